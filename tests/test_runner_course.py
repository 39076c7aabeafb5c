"""The student's copies of the course's own notebooks: nothing is given away, and an empty blank breaks nothing."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
from toy_notebooks import code, deepunsup, facts, write

from deepunsup_helpers.runner.course.student_copy import BLANK, student_edition

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
REGION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", flags=re.DOTALL)
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@every_notebook
def test_the_copy_parses_and_gives_no_solution_away(path):
    source = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    solutions = [region for text in source for region in REGION.findall(text)]
    elsewhere = {line.strip() for text in source for line in REGION.sub("", text).splitlines()}
    secret = {
        line.strip() for region in solutions for line in region.splitlines() if len(line.strip()) > 12
    } - elsewhere
    assert solutions and secret

    copy = nbformat.reads(student_edition(path), as_version=4)
    nbformat.validate(copy)
    cells = [cell for cell in copy.cells if cell.cell_type == "code"]
    for cell in cells:
        ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE))
        assert cell.outputs == [] and cell.execution_count is None
    text = "\n".join(cell.source for cell in cells)
    assert text.count(BLANK) == len(solutions)
    assert secret.isdisjoint(line.strip() for line in text.splitlines()) and "SOLUTION" not in json.dumps(copy)


@pytest.mark.slow
@every_notebook
def test_run_all_passes_with_blanks_and_every_blank_fails_its_check(path, tmp_path):
    copy = tmp_path / "work" / path.name
    copy.parent.mkdir()
    copy.write_text(student_edition(path), encoding="utf-8")
    done = deepunsup("run", copy, "--preset", "smoke", "-o", "run", cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "run")["status"] == "completed"
    executed = nbformat.read(tmp_path / "run" / path.name, as_version=4)
    printed = "".join(
        output.text for cell in executed.cells for output in cell.get("outputs", []) if output.output_type == "stream"
    )
    blanks = copy.read_text(encoding="utf-8").count(json.dumps(BLANK)[1:-1])
    assert blanks >= 1
    assert printed.count(": not yet. Not written yet.") == blanks and ": passed." not in printed


def test_a_copy_that_was_only_opened_and_saved_counts_as_untouched(folder_of_copies):
    from deepunsup_helpers.runner.course.lab import build_copies
    from deepunsup_helpers.runner.notebook.files import read_notebook

    notebooks, work = folder_of_copies
    notebooks = [read_notebook(path) for path in notebooks]
    build_copies(notebooks, work, fresh=False)
    copy = work / notebooks[0].path.name
    saved = json.loads(copy.read_text(encoding="utf-8"))
    saved["metadata"]["language_info"] = {"name": "python"}
    for cell in saved["cells"]:
        cell["metadata"]["trusted"] = True
        if cell["cell_type"] == "code":
            cell["execution_count"], cell["outputs"] = 3, []
    copy.write_text(json.dumps(saved), encoding="utf-8")
    assert build_copies(notebooks, work, fresh=True) == [f"{notebooks[0].name}: as built"]
    saved["cells"][-1]["source"] = "mine"
    copy.write_text(json.dumps(saved), encoding="utf-8")
    assert build_copies(notebooks, work, fresh=False) == [f"{notebooks[0].name}: yours, kept"]
    copy.write_text("no notebook", encoding="utf-8")
    assert build_copies(notebooks, work, fresh=False) == [f"{notebooks[0].name}: yours, kept"]


@pytest.fixture
def folder_of_copies(tmp_path):
    path = write(tmp_path / "notebooks" / "04_toy.ipynb", code("print(1)"), title="A toy")
    return [path], tmp_path / "work"
