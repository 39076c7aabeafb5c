"""The exercises' cells: nbgrader's metadata, a check right after each blank, and no other cell that gives a solution away."""

import ast
import importlib
import re
from pathlib import Path

import nbformat
import pytest

from deepunsup_helpers.exercises import Exercise

NOTEBOOKS = {path: nbformat.read(path, as_version=4) for path in sorted(Path("notebooks").glob("[0-9][0-9]_*.ipynb"))}
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
SAME = {  # the package's functions that are an exercise's solution under another name
    "knn_accuracy": {"knn_predict"},
    "reconstruction_error": {"squared_error", "squared_error_per_example"},
}


def code_cells(path):
    return [cell for cell in NOTEBOOKS[path].cells if cell.cell_type == "code"]


def exercises_of(path):
    module = importlib.import_module(f"deepunsup_helpers.exercises.{path.stem[3:]}")
    return [thing.name for thing in vars(module).values() if isinstance(thing, Exercise)]


def graded(cell):
    return cell.metadata.get("nbgrader")


@every_notebook
def test_each_blank_is_followed_by_its_check_and_the_last_cell_counts(path):
    cells = NOTEBOOKS[path].cells
    blanks = [k for k, cell in enumerate(cells) if "### BEGIN SOLUTION" in cell.source]
    assert [name for k in blanks for name in re.findall(r"checked\((\w+),", cells[k + 1].source)] == sorted(
        exercises_of(path), key=[re.findall(r"def (\w+)\(", cells[k].source)[-1] for k in blanks].index
    )
    for k in blanks:
        name = re.findall(r"checked\((\w+),", cells[k + 1].source)[0]
        assert cells[k + 1].source == f"{name} = checked({name}, exercises.{name})", "the check, and nothing else"
        answer, check = graded(cells[k]), graded(cells[k + 1])
        assert (answer.solution, answer.grade, answer.locked) == (True, False, False)
        assert (check.solution, check.grade, check.locked, check.points) == (False, True, True, 1)
        assert check.grade_id == f"{answer.grade_id}-check" == f"{path.stem[:2]}-{name.replace('_', '-')}-check"
    assert all(graded(cell).schema_version == 3 and graded(cell).cell_type == "code" for cell in cells if graded(cell))
    assert cells[-1].source == "exercises_passed(exercises)"


def test_grade_ids_are_unique_in_the_course():
    ids = [graded(cell).grade_id for path in NOTEBOOKS for cell in NOTEBOOKS[path].cells if graded(cell)]
    assert len(ids) == len(set(ids)) == 2 * 3 * len(NOTEBOOKS)


# --- nothing gives a solution away ---


class _Nameless(ast.NodeTransformer):
    """Variables have no names: `x.mean(0)` and `rows.mean(0)` are the same."""

    def visit_Name(self, node):
        return ast.copy_location(ast.Name("_", node.ctx), node)


def expressions(source):
    """Every expression of a cell, without the names of variables, of at least 22 characters that say something."""
    source = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
    tree = _Nameless().visit(ast.parse(source))
    found = {ast.unparse(node).replace("axis=", "dim=") for node in ast.walk(tree) if isinstance(node, ast.expr)}
    return {text for text in found if len(text.replace("_", "")) >= 22 and not isinstance(_literal(text), str)}


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def solution(cell):
    inside = re.search(r"### BEGIN SOLUTION\n(.*)\n\s*### END SOLUTION", cell.source, re.DOTALL)[1]
    return "def solution():\n" + inside


@every_notebook
def test_no_other_cell_holds_a_piece_of_a_solution(path):
    cells = code_cells(path)
    for cell in cells:
        if "### BEGIN SOLUTION" not in cell.source:
            continue
        pieces = expressions(solution(cell))
        for other in cells:
            if other is not cell:
                held = pieces & expressions(other.source)
                assert not held, f"{other.id} holds {held} of {graded(cell).grade_id}"


@every_notebook
def test_no_cell_imports_or_names_the_reference(path):
    names = exercises_of(path)
    seen = set()
    for cell in code_cells(path):
        if "apply" in cell.metadata.get("tags", []):  # a program for new data, not a part of the lesson
            continue
        for node in ast.walk(ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE))):
            if isinstance(node, ast.ImportFrom):
                seen |= {alias.name for alias in node.names}
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") != "exercises":
                seen.add(node.attr)
    for name in names:
        given_away = seen & ({name} | SAME.get(name, set()))
        assert not given_away, f"{given_away} gives {name} away"
