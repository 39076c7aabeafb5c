"""Run notebooks and store their outputs in place: `python tools/execute.py NB...`."""

import json
import os
import tempfile
from pathlib import Path

import click
from normalise import normalised

from deepunsup_helpers.runner.cli import main
from deepunsup_helpers.runner.console import Progress, stopping
from deepunsup_helpers.runner.errors import EXIT_FAILED, CommandError
from deepunsup_helpers.runner.files import notebook_text, write_text
from deepunsup_helpers.runner.notebook.digest import code_digest
from deepunsup_helpers.runner.notebook.files import Notebook, find_notebook, read_notebook
from deepunsup_helpers.runner.run.run import Finished, Request, run_notebook
from deepunsup_helpers.runner.threads import thread_variables


def run_defaults(notebook: Notebook, variables: dict[str, str] | None = None) -> tuple[dict, float]:
    """The content of a notebook run with its defaults in a fresh kernel, and the seconds it took.

    The number of threads is fixed, so that the numbers can be had again; what the notebook saves is thrown away.

    Raises:
        CommandError: it did not complete, or a claim does not hold.
    """
    threads = thread_variables(1, os.environ, fixed=True)
    environment = threads | {"DEEPUNSUP_PRODUCTS": "default"} | (variables or {})
    progress = Progress(notebook.name)
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        try:
            with stopping() as stop:
                request = Request(notebook, {}, output=scratch, environment=environment)
                finished = run_notebook(request, stop=stop, progress=progress)
        finally:
            progress.clear()
        require_completed(finished)
        content = json.dumps(read_notebook(Path(scratch) / notebook.path.name).content)
        content = content.replace(f"{scratch}/", "")  # what was saved is named without the folder of this one run
        return json.loads(content), finished.seconds


def require_completed(finished: Finished) -> None:
    """Raise a CommandError that says why a run is not good enough to be stored or measured."""
    problems = [*finished.recorded.problems, *(f"Does not hold: {text}" for text in finished.broken)]
    if finished.status == "completed" and not problems:
        return
    status = "failed" if finished.status == "completed" else finished.status
    where = f" in {finished.failure.place}" if finished.failure else ""
    reason = (finished.failure.error if finished.failure else "") or finished.message or " ".join(problems)
    text = f"{finished.name}: {status}{where}{': ' * bool(reason)}{reason.rstrip('.')}. The file is unchanged."
    raise CommandError(text, exit_code=finished.exit_code or EXIT_FAILED)


@click.command()
@click.argument("nb", nargs=-1, required=True)
def execute(nb: tuple[str, ...]) -> None:
    """Run NB... from top to bottom and store the outputs in place.

    A fresh kernel, the defaults; a file changes only when every cell passed and every claim held.
    """
    for notebook in [find_notebook(text) for text in nb]:
        content, seconds = run_defaults(notebook, {"DEEPUNSUP_STATES": "1"})  # `explore` keeps what its sliders show
        content["metadata"].setdefault("deepunsup", {})["digest"] = code_digest(notebook)  # what made these outputs
        write_text(notebook.path, notebook_text(normalised(content)))
        click.echo(f"{notebook.name}: executed in {seconds:.1f} s and stored")


if __name__ == "__main__":
    main(execute)
