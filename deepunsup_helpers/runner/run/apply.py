"""`apply`: the model of a finished run over new data, without training."""

import ast
import threading
from collections.abc import Callable
from pathlib import Path

from deepunsup_helpers.saving import read_header

from ..errors import CommandError
from ..files import code_notebook, read_facts
from ..notebook.files import Notebook, read_notebook, source_of, tags_of
from ..notebook.parameters import PATH_PREFIXES, absolute
from ..notebook.syntax import tree_of
from .execution import Request
from .run import Finished, run_notebook

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
    """Check everything that can be checked without a kernel.

    Args:
        run_folder: the folder of a completed run whose notebook has cells tagged `apply` that define
            `apply(model, data) -> rows`, and that saved its model with its preprocessing.
        source: `folder:PATH`, `csv:PATH` or `npz:PATH`.
    Returns:
        a notebook of the run's imports, its parameters and its `apply` cells, between loading and writing.
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
    cells = [source_of(cell) for cell in notebook.cells if cell["cell_type"] == "code" and "apply" in tags_of(cell)]
    if not cells:
        raise CommandError(f"{notebook.name} has no cell tagged `apply` that defines apply(model, data).")
    model, kind = find_model(folder)
    if not source.startswith(PATH_PREFIXES):
        example = f"folder:{source}" if (cwd / source).is_dir() else "csv:table.csv"
        raise CommandError(f"{source}: expected folder:PATH, csv:PATH or npz:PATH, such as {example}.")
    if source.startswith({"images": "csv:", "table": "folder:"}.get(kind, "?")):
        raise CommandError(f"{source}: the model was trained on {'images' if kind == 'images' else 'a table'}.")
    parameters = [f"{name} = {value!r}" for name, value in read_facts(folder / "parameters.json").items()]
    load = LOAD.format(model=str(model), source=absolute(source, cwd))
    sources = ["\n".join([*imports_of(notebook), *parameters]), load, *cells, WRITE]
    content = code_notebook(sources, title=f"{notebook.title}: applied to {source}")
    workplace = Path(str(facts.get("path"))).parent
    return Request(
        Notebook(folder / f"{notebook.name}_applied.ipynb", content), {}, timeout=timeout, output=output, cwd=cwd,
        folder=workplace if workplace.is_dir() else folder,
    )  # fmt: skip


def find_model(folder: Path) -> tuple[Path, str]:
    """A run's model, and the kind of data it was trained on: "images" or "table".

    Raises:
        CommandError: there is none, it is damaged, or it does not say how its data were read.
    """
    models = sorted(folder.glob("*.safetensors"))
    chosen = [path for path in models if path.name == "model.safetensors"] or models
    if not chosen:
        raise CommandError(f"{folder} holds no model: the notebook saves none.")
    if len(chosen) > 1:
        names = ", ".join(path.name for path in models)
        raise CommandError(f"{folder} holds several models ({names}), none of them model.safetensors.")
    try:
        preprocessing = read_header(chosen[0]).preprocessing
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    if preprocessing is None:
        call = "save_model(model, preprocessing=data.preprocessing)"
        raise CommandError(f"{chosen[0]} does not say how its data were read: the notebook must call {call}.")
    return chosen[0], str(preprocessing.get("kind"))


def imports_of(notebook: Notebook) -> list[str]:
    """The import lines at the top level of a notebook's code cells, each once."""
    lines: dict[str, None] = {}
    for cell in notebook.code_cells:
        found = [node for node in tree_of(cell).body if isinstance(node, ast.Import | ast.ImportFrom)]
        lines |= dict.fromkeys(ast.unparse(node) for node in found if getattr(node, "module", "") != "__future__")
    return list(lines)


def apply_model(request: Request, *, stop: threading.Event, progress: Callable) -> Finished:
    """Run what `prepare_apply` prepared.

    Raises:
        CommandError: the new data do not fit the model; the folder cannot be had.
    """
    finished = run_notebook(request, stop=stop, progress=progress)
    if finished.status == "failed" and finished.failure and finished.failure.cell == LOAD_CELL:
        raise CommandError(finished.failure.value)
    return finished
