"""What contributors use: execute a notebook in place, normalise what is stored, measure times."""

import json
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_STOPPED, CommandError
from ..files import notebook_text, write_text
from ..notebook.files import Notebook, read_notebook
from ..notebook.outputs import collect_metrics, find_failure
from ..run.execution import Outcome, Plan, execute

NOTEBOOK_NOISE = ("widgets", "papermill", "jupytext", "vscode")
CELL_NOISE = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "vscode")
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET_VIEW = (
    "application/vnd.jupyter.widget-view+json"  # dead without its kernel: JupyterLab shows an error in its place
)
TABLE = re.compile(r"(<!-- course map: begin[^>]*-->\n).*?(<!-- course map: end -->)", flags=re.DOTALL)


def normalised(content: dict) -> dict:
    """A notebook's JSON without what differs between machines and hours; outputs, counts and ids stay."""
    metadata = {name: value for name, value in content["metadata"].items() if name not in NOTEBOOK_NOISE}
    metadata["kernelspec"] = KERNELSPEC
    metadata.get("language_info", {}).pop("version", None)
    cells = [
        cell | {"metadata": {name: value for name, value in cell["metadata"].items() if name not in CELL_NOISE}}
        for cell in content["cells"]
    ]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = [without_view(output) for output in cell["outputs"]]
    return content | {"metadata": metadata, "cells": cells}


def without_view(output: dict) -> dict:
    """An output without its widget view, if a figure or a text stands beside it."""
    data = output.get("data", {})
    if WIDGET_VIEW not in data or len(data) == 1:
        return output
    return output | {"data": {kind: value for kind, value in data.items() if kind != WIDGET_VIEW}}


def normalise_file(path: Path) -> bool:
    """Normalise a notebook in place; returns whether anything changed."""
    before = path.read_text(encoding="utf-8")
    after = notebook_text(normalised(read_notebook(path).content))
    if after != before:
        write_text(path, after)
    return after != before


def execute_in_place(notebook: Notebook, *, stop: threading.Event, progress: Callable[[Outcome], None]) -> float:
    """Run with the defaults in a fresh kernel and store the normalised result; returns seconds.

    Raises:
        CommandError: the notebook did not complete; the file is as it was.
    """
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        output = Path(scratch) / notebook.path.name
        plan = Plan(notebook=notebook.path, parameters={}, output=output, cwd=Path.cwd())
        outcome = execute(plan, stop=stop, progress=progress)
        executed = read_notebook(output).content if output.exists() else {"cells": []}
    require_completed(notebook, outcome, executed["cells"])
    write_text(notebook.path, notebook_text(normalised(executed)))
    return outcome.seconds


def require_completed(notebook: Notebook, outcome: Outcome, cells: list[dict]) -> None:
    """Raise a CommandError that says why a run is not good enough to be stored or measured."""
    problems = collect_metrics(cells).problems
    if outcome.status == "completed" and not problems:
        return
    failure = None if outcome.status == "completed" else find_failure(cells, outcome.last_cell)
    reason = (failure.error if failure else "") or outcome.message or " ".join(problems)
    where = f" in {failure.place}" if failure else ""
    code = {"interrupted": EXIT_INTERRUPTED, "died": EXIT_STOPPED}.get(outcome.status, EXIT_FAILED)
    status = "failed" if outcome.status == "completed" else outcome.status
    raise CommandError(
        f"{notebook.name}: {status}{where}{': ' * bool(reason)}{reason}. The file is unchanged.", exit_code=code
    )


def measure(notebook: Notebook, *, stop: threading.Event, progress: Callable[[Outcome], None]) -> int:
    """Seconds of a run with the defaults, whole, at least 1; nothing is kept.

    Raises:
        CommandError: the notebook did not complete.
    """
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        output = Path(scratch) / notebook.path.name
        plan = Plan(notebook=notebook.path, parameters={}, output=output, cwd=Path.cwd(), results=Path(scratch))
        outcome = execute(plan, stop=stop, progress=progress)
        cells = read_notebook(output).cells if output.exists() else []
    require_completed(notebook, outcome, cells)
    return max(1, round(outcome.seconds))


def write_seconds(notebook: Notebook, seconds: int) -> None:
    """Write `metadata.deepunsup.seconds`; every other byte of a normalised notebook stays."""
    content = json.loads(notebook.path.read_text(encoding="utf-8"))
    content["metadata"].setdefault("deepunsup", {})["seconds"] = seconds
    write_text(notebook.path, notebook_text(content))


def readme_table(notebooks: list[Notebook]) -> str:
    """The map of the course in Markdown: number, title, measured time; made from the notebooks' metadata alone."""
    lines = ["| | notebook | default run |", "|---|---|---|"]
    for notebook in notebooks:
        seconds = f"{notebook.seconds:.0f} s" if notebook.seconds is not None else "not measured"
        lines.append(f"| {notebook.number} | [{notebook.title}](notebooks/{notebook.path.name}) | {seconds} |")
    return "\n".join(lines) + "\n"


def with_table(readme: str, table: str) -> str:
    """README text with the table between its two marks renewed.

    Raises:
        CommandError: the marks `<!-- course map: begin -->` and `<!-- course map: end -->` are not there.
    """
    if not TABLE.search(readme):
        raise CommandError(
            "the README has no lines '<!-- course map: begin -->' and '<!-- course map: end -->' to fill."
        )
    return TABLE.sub(lambda match: match[1] + table + match[2], readme)
