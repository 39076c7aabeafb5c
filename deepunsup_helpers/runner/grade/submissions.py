"""Which exercises the course asks for, and which notebooks of a folder answer them."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import CommandError, describe
from ..notebook.files import Notebook, read_notebook, source_of
from ..notebook.syntax import tree_of
from .needed import needed_for, read_code


@dataclass(frozen=True)
class Asked:
    """One exercise of the course: its name, the function that the check takes, nbgrader's id, the module of its check."""

    name: str
    function: str
    grade_id: str
    module: str


@dataclass(frozen=True)
class Job:
    """What is to be judged: an exercise, and the code that defines its function, or why there is none."""

    asked: Asked
    source: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Submission:
    """One student's notebook, read into memory; `course` is the name of the notebook it answers, '' where there is none."""

    student: str
    path: Path
    course: str
    jobs: tuple[Job, ...] = ()
    problem: str = ""


def asked_by(notebook: Notebook) -> list[Asked]:
    """The exercises of a notebook of the course, in order: each is a cell `f = checked(f, exercises.name)`."""
    module, found, solution = "", [], ""
    for cell in notebook.code_cells:
        tree = tree_of(cell)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "deepunsup_helpers.exercises":
                module = next((alias.name for alias in node.names if alias.asname == "exercises"), module)
        about = cell["metadata"].get("nbgrader", {})
        if about.get("solution"):
            solution = about.get("grade_id", "")
        for node in tree.body:
            call = getattr(node, "value", None)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "checked" and len(call.args) == 2:
                function, exercise = call.args
                found.append(Asked(exercise.attr, function.id, solution, module))
    return found


def find_submissions(folder: Path, course: list[Notebook]) -> list[Submission]:
    """Every notebook below a folder, read before any of them runs, in the order of students and notebooks.

    A student is named by the folder below `folder`, or, of a file that lies in it directly, by the file's name without
    the notebook's. Of two copies of one notebook by one student the one changed last counts.

    Raises:
        CommandError: no folder, or no notebook in it.
    """
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder: expected one with the students' notebooks, a folder for each.")
    paths = [path for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    if not paths:
        raise CommandError(f"no notebooks (.ipynb) below {folder}.")
    asked = {notebook.name: asked_by(notebook) for notebook in course}
    newest: dict[tuple[str, str], Submission] = {}
    for path in sorted(paths, key=lambda path: path.stat().st_mtime):
        one = _read(path, folder, asked)
        newest[one.student, one.course or str(path)] = one  # a later one takes the place of an earlier one
    return sorted(newest.values(), key=lambda one: (one.student, one.course, str(one.path)))


def _read(path: Path, folder: Path, asked: dict[str, list[Asked]]) -> Submission:
    inside = path.relative_to(folder).parts
    named = next((name for name in asked if name in path.stem), "")
    student = inside[0] if len(inside) > 1 else path.stem.replace(named, "").strip(" _-.()") or folder.resolve().name
    try:
        notebook = read_notebook(path)
    except CommandError as error:
        return Submission(student, path, named, problem=describe(error))
    ids = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in notebook.code_cells}
    known = {name: sum(one.grade_id in ids for one in some) for name, some in asked.items()}
    name = max(known, key=known.get) if any(known.values()) else named
    if not name or not asked[name]:
        return Submission(student, path, "", problem="this is no notebook of the course, or one without exercises")
    code = read_code(notebook.cells)
    return Submission(student, path, name, tuple(_job(one, notebook, code) for one in asked[name]))


def _job(asked: Asked, notebook: Notebook, code) -> Job:
    """The exercise's code: from the cell with its id, else from wherever its function is defined above its check."""
    check = re.compile(rf"\bchecked\(\s*{asked.function}\s*,\s*exercises\.{asked.name}\b")
    texts = {n: source_of(cell) for n, cell in enumerate(notebook.cells) if cell["cell_type"] == "code"}
    before = next((n for n, text in texts.items() if check.search(text)), len(notebook.cells))
    ids = {n: notebook.cells[n]["metadata"].get("nbgrader", {}).get("grade_id") for n in texts}
    own = [n for n, grade_id in ids.items() if grade_id == asked.grade_id]
    if len(own) > 1:
        return Job(asked, missing="its cell is there twice: delete one")
    if own and own[0] in code.broken:
        return Job(asked, missing=f"the cell cannot be read. {code.broken[own[0]]}")
    if own and before <= own[0]:
        before = own[0] + 1  # the cells were moved about
    statements = needed_for(asked.function, code, cells=own, before=before)
    statements = statements or needed_for(asked.function, code, cells=range(before), before=before)
    if not statements:
        gone = "" if own else "its cell is not there, and "
        return Job(asked, missing=f"{gone}`{asked.function}` is defined nowhere above the check")
    return Job(asked, source="\n\n".join(statement.text for statement in statements))
