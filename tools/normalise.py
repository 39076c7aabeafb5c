"""Drop from notebooks what differs between machines and hours: `python tools/normalise.py NB...`."""

from pathlib import Path

import click

from deepunsup_helpers.runner.cli import main
from deepunsup_helpers.runner.files import notebook_text, write_text
from deepunsup_helpers.runner.notebook.files import find_notebook, read_notebook

NOTEBOOK_NOISE = ("widgets", "papermill", "jupytext", "vscode")
CELL_NOISE = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "vscode")
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"  # dead without its kernel: JupyterLab would show an error


def normalised(content: dict) -> dict:
    """A notebook's JSON without timings, widget state and the like; outputs, counts and ids stay."""
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


@click.command()
@click.argument("nb", nargs=-1, required=True)
def normalise(nb: tuple[str, ...]) -> None:
    """Drop timings and widget state from NB...; outputs, counts and ids stay."""
    for notebook in [find_notebook(text) for text in nb]:
        click.echo(f"{notebook.name}: {'normalised' if normalise_file(notebook.path) else 'was normal'}")


if __name__ == "__main__":
    main(normalise)
