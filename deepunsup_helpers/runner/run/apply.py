"""`apply`: the model of a finished run over new data, without training."""

import ast
import json
import re
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CommandError
from ..files import code_notebook, notebook_text, read_facts, write_text
from ..notebook.files import Notebook, read_notebook, source_of, tags_of
from ..notebook.parameters import PATH_PREFIXES, absolute
from .run import Finished, Request, run_notebook

MAGIC = re.compile(r"^\s*[%!].*$", flags=re.MULTILINE)  # IPython's own lines
LOAD_CELL = 1  # below the imports and the run's parameters
LOAD = """\
# the run's model, and new data read as its training data were
from deepunsup_helpers import load_model, save_table
from deepunsup_helpers.data import load_new

model = load_model({model!r})
data = load_new({source!r}, model.header.preprocessing)
print(f"{{len(data.ids)}} examples from {{data.name}}")"""
WRITE = """\
# the results, a row an example
import pandas

table = pandas.DataFrame(apply(model, data))
if "id" not in table and len(table) == len(data.ids):
    table.insert(0, "id", data.ids)
save_table(table, "results")
print(f"{len(table)} rows in tables/results.csv")"""


def prepare_apply(run_folder: str, source: str, *, output: str | None, timeout: float | None, cwd: Path) -> Request:
    """Check everything that can be checked without a kernel; the notebook of the request is still to be written.

    Args:
        run_folder: the folder of a completed run whose notebook has cells tagged `apply` that define
            `apply(model, data) -> rows`, and that saved its model with its preprocessing.
        source: `folder:PATH`, `csv:PATH` or `npz:PATH`.
    Raises:
        CommandError: what is missing, in one line.
    """
    folder = (cwd / Path(run_folder).expanduser()).resolve()
    facts = read_facts(folder / "run.json")
    if "notebook" not in facts:
        raise CommandError(f"{folder} is no run's folder: give the one that `deepunsup run` wrote its report to.")
    if facts.get("status") != "completed":
        raise CommandError(f"the run in {folder} is {facts.get('status')}: only a completed run's model is applied.")
    notebook = read_notebook(folder / f"{facts['notebook']}.ipynb")
    if not any("apply" in tags_of(cell) for cell in notebook.cells):
        raise CommandError(f"{notebook.name} has no cell tagged `apply` that defines apply(model, data).")
    model, kind = model_of(folder)
    if not source.startswith(PATH_PREFIXES):
        wanted = (
            f"{'folder' if (cwd / source).is_dir() else 'csv'}:{source}" if (cwd / source).exists() else "folder:PATH"
        )
        raise CommandError(f"{source}: expected folder:PATH, csv:PATH or npz:PATH, such as {wanted}.")
    if source.startswith({"images": "csv:", "table": "folder:"}.get(kind, "?")):
        raise CommandError(f"{source}: the model was trained on {'images' if kind == 'images' else 'a table'}.")
    text = to_apply(notebook, read_facts(folder / "parameters.json"), model, absolute(source, cwd), source)
    content, place = json.loads(text), Path(str(facts.get("path"))).parent
    return Request(
        notebook=Notebook(path=folder / f"{notebook.name}_applied.ipynb", content=content), values={}, timeout=timeout,
        output=output, cwd=cwd, folder=place if place.is_dir() else folder,
    )  # fmt: skip


def model_of(folder: Path) -> tuple[str, str]:
    """The path of a run's model, and the kind of data it was trained on: "images" or "table".

    Raises:
        CommandError: there is none, it is damaged, or it does not say how its data were read.
    """
    from deepunsup_helpers.saving import read_header

    files = sorted(folder.glob("*.safetensors"))
    named = [path for path in files if path.name == "model.safetensors"] or files
    if len(named) != 1:
        names = ", ".join(path.name for path in files)
        reason = (
            f"several models ({names}), none of them model.safetensors"
            if files
            else "no model: the notebook saves none"
        )
        raise CommandError(f"{folder} holds {reason}.")
    try:
        header = read_header(named[0])
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    if header.preprocessing is None:
        call = "save_model(model, preprocessing=data.preprocessing)"
        raise CommandError(f"{named[0]} does not say how its data were read: the notebook must call {call}.")
    return str(named[0]), str(header.preprocessing.get("kind"))


def to_apply(notebook: Notebook, parameters: dict[str, Any], model: str, source: str, name: str) -> str:
    """A notebook of the run's imports, its parameters and its `apply` cells, between loading and writing."""
    values = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    own = [source_of(cell) for cell in notebook.cells if cell["cell_type"] == "code" and "apply" in tags_of(cell)]
    sources = [f"{imports_of(notebook)}\n\n{values}".strip(), LOAD.format(model=model, source=source), *own, WRITE]
    return code_notebook(sources, title=f"{notebook.title}: applied to {name}")


def imports_of(notebook: Notebook) -> str:
    """The import lines at the top level of a notebook's code cells, each once."""
    lines: dict[str, None] = {}
    for cell in notebook.cells:
        if cell["cell_type"] == "code":
            try:
                body = ast.parse(MAGIC.sub("", source_of(cell))).body
            except SyntaxError:
                continue
            found = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
            lines |= dict.fromkeys(ast.unparse(node) for node in found if getattr(node, "module", "") != "__future__")
    return "\n".join(lines)


def apply_model(request: Request, *, stop: threading.Event, progress: Callable) -> Finished:
    """Run what `prepare_apply` prepared.

    Raises:
        CommandError: the new data do not fit the model; the folder cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        path = Path(scratch) / request.notebook.path.name
        write_text(path, notebook_text(request.notebook.content))
        finished = run_notebook(
            replace(request, notebook=replace(request.notebook, path=path)), stop=stop, progress=progress
        )
    if finished.status == "failed" and finished.failure and finished.failure.cell == LOAD_CELL:
        raise CommandError(finished.failure.value)
    return finished
