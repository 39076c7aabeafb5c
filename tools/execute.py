"""Run notebooks and store their outputs in place: `python tools/execute.py NB...`."""

import os
import tempfile
from pathlib import Path

import click
from normalise import normalised

from deepunsup_helpers.runner.cli import main
from deepunsup_helpers.runner.console import Progress, stopping
from deepunsup_helpers.runner.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_STOPPED, CommandError
from deepunsup_helpers.runner.files import notebook_text, write_text
from deepunsup_helpers.runner.notebook.digest import code_digest
from deepunsup_helpers.runner.notebook.files import Notebook, find_notebook, read_notebook
from deepunsup_helpers.runner.notebook.outputs import collect, find_failure
from deepunsup_helpers.runner.run.execution import Outcome, Request
from deepunsup_helpers.runner.run.execution import execute as execute_request
from deepunsup_helpers.runner.threads import thread_variables


def run_defaults(notebook: Notebook, variables: dict[str, str] | None = None) -> tuple[dict, float]:
    """The content of a notebook run with its defaults in a fresh kernel, and the seconds it took.

    The number of threads is fixed, so that the numbers can be had again; what the notebook saves is thrown away.

    Raises:
        CommandError: it did not complete, or a claim does not hold.
    """
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        threads = thread_variables(1, os.environ, fixed=True)
        request = Request(notebook, {}, environment=threads | {"DEEPUNSUP_PRODUCTS": "default"} | (variables or {}))
        progress = Progress(notebook.name)
        try:
            with stopping() as stop:
                outcome = execute_request(request, Path(scratch), stop=stop, progress=progress)
        finally:
            progress.clear()
        output = Path(scratch) / notebook.path.name
        content = read_notebook(output).content if output.exists() else {"cells": []}
    require_completed(notebook, outcome, content["cells"])
    return content, outcome.seconds


def require_completed(notebook: Notebook, outcome: Outcome, cells: list[dict]) -> None:
    """Raise a CommandError that says why a run is not good enough to be stored or measured."""
    recorded = collect(cells)
    problems = recorded.problems + [
        f"Does not hold: {claim['text']}" for claim in recorded.claims if claim["holds"] is False
    ]
    if outcome.status == "completed" and not problems:
        return
    failure = None if outcome.status == "completed" else find_failure(cells, outcome.last_cell)
    reason = (failure.error if failure else "") or outcome.message or " ".join(problems)
    where = f" in {failure.place}" if failure else ""
    code = {"interrupted": EXIT_INTERRUPTED, "died": EXIT_STOPPED}.get(outcome.status, EXIT_FAILED)
    status = "failed" if outcome.status == "completed" else outcome.status
    text = f"{notebook.name}: {status}{where}{': ' * bool(reason)}{reason.rstrip('.')}. The file is unchanged."
    raise CommandError(text, exit_code=code)


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
