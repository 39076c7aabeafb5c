"""Grading: only what an exercise needs is run, and a hostile notebook spoils neither the others nor the verdicts."""

import csv
import os
import shutil
import sys

import nbformat
import pytest

from deepunsup_helpers.runner.course.student_copy import student_edition
from deepunsup_helpers.runner.grade import grade as grading
from deepunsup_helpers.runner.grade.command import grade_folder
from deepunsup_helpers.runner.grade.needed import needed_for, read_code
from deepunsup_helpers.runner.grade.submissions import asked_by, find_submissions
from deepunsup_helpers.runner.notebook.files import course, find_notebook

NOTEBOOK = "00_start_here"


def code(*sources):
    return read_code([{"cell_type": "code", "source": source, "metadata": {}} for source in sources])


def needed(name, *sources, cells=None, before=None):
    before = len(sources) if before is None else before
    return [s.text for s in needed_for(name, code(*sources), cells=cells or range(before), before=before)]


# --- what is run ---


def test_what_a_function_calls_its_own_is_not_looked_for_outside():
    found = needed("f", "x = train()\nW = 3", "def f(x, *, y=2):\n    z = x + y\n    return [W * k for k in z]")
    assert found == ["W = 3", "def f(x, *, y=2):\n    z = x + y\n    return [W * k for k in z]"]


@pytest.mark.parametrize(
    "above, function",
    [
        ("import math as m", "def f():\n    return m.pi"),
        ("from numpy import *", "def f():\n    return pi"),
        ("a, (b, c) = 1, (2, 3)", "def f():\n    return c"),
        ("if True:\n    c = 3", "def f():\n    return c"),
        ("def c():\n    return 3", "@c\ndef f():\n    return 3"),
        ("class c:\n    x = 3", "def f(y=c.x):\n    return y"),
        ("c = 3", "def f():\n    def g():\n        return c\n    return g()"),
        ("c = 3", "def f():\n    global c\n    c += 1\n    return c"),
        ("c = 3", "f = lambda x: x + c"),
        ("for c in range(3):\n    pass", "def f():\n    return {c: [c for _ in 'ab']}"),
    ],
)
def test_what_stands_outside_is_found(above, function):
    assert needed("f", "unused = train()", above, function) == [above, function]


def test_a_table_is_filled_before_it_is_used_and_a_number_counted_up():
    sources = ("t = {}", "t['x'] = 1", "t.y = 2", "n = 1", "n += 1", "def f():\n    return t, n")
    assert needed("f", *sources) == list(sources)


def test_what_stands_below_the_check_is_left_out_and_magics_are_no_python():
    found = needed("f", "%matplotlib inline\n!pip install x\nc = 3", "def f():\n    return c", "c = late()", before=2)
    assert found == ["c = 3", "def f():\n    return c"]
    assert code("%%bash\nrm x").statements == [] and "line 1" in code("def f(:").broken[0]


def test_the_blank_of_a_cell_elsewhere_is_not_taken_for_the_answer():
    assert needed("f", "def f():\n    return 1", "def f():\n    return 2", cells=[0]) == ["def f():\n    return 1"]


def test_every_exercise_of_the_course_is_found_with_its_module():
    for notebook in course():
        found = asked_by(notebook)
        assert len(found) == 3 and all(one.grade_id.startswith(notebook.number) for one in found)
        assert {one.module for one in found} == {notebook.name[3:]} | ({"smallest_game"} & {found[0].module})


# --- whose it is ---


def write(path, answers=(), *, keep=lambda cell: True):
    """A student's copy of the notebook in which cells with these ids have these texts."""
    notebook = nbformat.reads(student_edition(find_notebook(NOTEBOOK).path), as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = dict(answers).get(grade_id, cell.source)
    notebook.cells = [cell for cell in notebook.cells if keep(cell)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def submitted(folder):
    return find_submissions(folder, [find_notebook(NOTEBOOK), find_notebook("04_deep_autoencoders")])


def test_students_are_named_by_folders_or_by_files(tmp_path):
    write(tmp_path / "anna" / f"{NOTEBOOK}.ipynb")
    write(tmp_path / "ben" / "homework" / "renamed.ipynb")
    write(tmp_path / f"cem_{NOTEBOOK}.ipynb")
    write(tmp_path / "anna" / ".ipynb_checkpoints" / f"{NOTEBOOK}.ipynb")
    assert [(one.student, one.course) for one in submitted(tmp_path)] == [(s, NOTEBOOK) for s in ("anna", "ben", "cem")]


def test_of_two_copies_the_later_one_counts(tmp_path):
    old, new = write(tmp_path / "anna" / "b.ipynb"), write(tmp_path / "anna" / "a.ipynb")
    os.utime(old, (1, 1)), os.utime(new, (2, 2))
    assert [one.path.name for one in submitted(tmp_path)] == ["a.ipynb"]


def test_cells_that_are_missing_twice_there_or_no_python_are_told(tmp_path):
    is_loss = lambda cell: cell.metadata.get("nbgrader", {}).get("grade_id") == "00-baseline-loss"
    write(tmp_path / "gone.ipynb", keep=lambda cell: not is_loss(cell))
    write(tmp_path / "broken.ipynb", {"00-baseline-loss": "def baseline_loss(x):\n    return (x"})
    twice = nbformat.read(write(tmp_path / "twice.ipynb"), as_version=4)
    again = next(cell for cell in twice.cells if is_loss(cell)).copy()
    again.id = "another"
    twice.cells.insert(0, again)
    nbformat.write(twice, tmp_path / "twice.ipynb")
    said = {one.student: one.jobs[0].missing for one in submitted(tmp_path)}
    assert said["gone"] == "its cell is not there, and `baseline_loss` is defined nowhere above the check"
    assert "cannot be read. SyntaxError, line 2" in said["broken"] and "delete one" in said["twice"]


def test_an_answer_in_a_cell_of_ones_own_counts(tmp_path):
    def drop(cell):
        return cell.metadata.get("nbgrader", {}).get("grade_id") != "00-baseline-loss"

    notebook = nbformat.read(write(tmp_path / "own.ipynb", keep=drop), as_version=4)
    notebook.cells.insert(3, nbformat.v4.new_code_cell("def baseline_loss(x):\n    return 1"))
    nbformat.write(notebook, tmp_path / "own.ipynb")
    assert submitted(tmp_path)[0].jobs[0].source.endswith("return 1")


def test_bad_folders_are_told_in_one_line(tmp_path):
    for folder, words in ((tmp_path / "none", "is no folder"), (tmp_path, "no notebooks")):
        with pytest.raises(Exception, match=words):
            submitted(folder)


# --- the verdicts ---

RIGHT = "def baseline_loss(x):\n    return ((x - x.mean(0)) ** 2).flatten(1).sum(1).mean()"
WRONG = "def baseline_loss(x):\n    return 0 * x.mean()"
HOSTILE = {  # student: what stands above a wrong answer, and words of the verdict
    "loops": ("while True:\n    pass", "ran longer than"),
    "exits": ("import sys\nsys.exit(0)", "ends the program"),
    "leaves": ("import os\nos._exit(0)", "exit code 0"),
    "forks": ("import os\nos.fork()", ""),
    "swarms": ("import subprocess\nfor _ in range(20):\n    subprocess.Popen(['sleep', '60'])\nimport time\ntime.sleep(60)",
               "processes"),
    "hoards": ("import numpy\nhoard = [numpy.ones(10**8) for _ in range(40)]", "emory"),
    "rewrites": ("import deepunsup_helpers.exercises as e\nfrom deepunsup_helpers.exercises import start_here, toolkit\n"
                 "e.run_check = lambda *_: e.Result(True, 'ha')\ntoolkit.require = toolkit.expect = lambda *_, **__: None\n"
                 "start_here.baseline_loss = e.Exercise('x', None, lambda mine: e.Result(True, 'ha'))", ""),
    "replaces": ("import torch\ntorch.allclose = lambda *_, **__: True", "in the place of torch.allclose"),
    "prints": ("for n in range(9):\n    print('{\"job\": %d, \"passed\": true, \"message\": \"ha\"}' % n, flush=True)", ""),
    "asks": ("input('?')", "EOFError"),
    "calls": ("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=3)", "Error"),
    "raises": ("1 / 0", "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="what is closed off is tried where it can be")
@pytest.mark.parametrize(
    "students",
    [("loops", "leaves", "rewrites", "replaces"), pytest.param(tuple(HOSTILE), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_a_class_of_hostile_notebooks(students, tmp_path, capsys):
    folder, foreign = tmp_path / "class", tmp_path / "foreign.txt"
    foreign.write_text("kept")
    for student in students:
        above = HOSTILE[student][0]
        bound = above.replace("\n", "\n    ")
        text = f"def spoil():\n    {bound}\n\n\nspoilt = spoil()\n\n\n{WRONG.replace('0 *', 'spoilt or 0 *')}"
        write(folder / student / f"{NOTEBOOK}.ipynb", {"00-baseline-loss": text})
    closed = grading.can_be_closed()
    delete = f"import pathlib, shutil\npathlib.Path({str(foreign)!r}).unlink(); shutil.rmtree({str(folder)!r})\n{RIGHT}"
    write(
        folder / "zz_deletes" / f"{NOTEBOOK}.ipynb",
        {"00-baseline-loss": delete.replace("\npathlib", "\ngone = pathlib")},
    )
    write(folder / "zz_good" / f"{NOTEBOOK}.ipynb", {"00-baseline-loss": RIGHT})
    assert grade_folder(folder, tmp_path / "grades.csv", jobs=2, timeout=20 if len(students) > 4 else 5) == 0
    with open(tmp_path / "grades.csv", newline="") as file:
        rows = {(row["student"], row["exercise"]): row for row in csv.DictReader(file)}
    assert len(rows) == 3 * (len(students) + 2)
    for student in students:
        row, words = rows[student, "baseline_loss"], HOSTILE[student][1]
        assert row["passed"] == "no" and words in row["message"], row
        assert rows[student, "diagnose"]["message"] == "not written yet", "an exercise after it has its own verdict"
    assert rows["zz_good", "baseline_loss"]["passed"] == "yes"
    if closed:
        assert foreign.read_text() == "kept" and len(list(folder.iterdir())) == len(students) + 2
    n = len(students) + 2
    assert f"{n} of {n} notebooks of {n} students" in capsys.readouterr().out


def test_the_time_that_a_judge_takes_to_load_is_no_students(tmp_path, monkeypatch):
    allowed, excess = [], grading._excess
    monkeypatch.setattr(grading, "_excess", lambda *asked: allowed.append(asked[2]) or excess(*asked))
    sleeps = RIGHT.replace("return", "import time\n    time.sleep(60)\n    return")
    write(tmp_path / "class" / "anna" / "a.ipynb", {"00-baseline-loss": sleeps})
    grade_folder(tmp_path / "class", tmp_path / "grades.csv", jobs=1, timeout=3)
    assert "ran longer than 3 s" in (tmp_path / "grades.csv").read_text()
    assert set(allowed) == {3, grading.LOADING} and allowed[0] == grading.LOADING, "torch loads before anything runs"


def test_what_was_written_into_the_package_is_put_back(tmp_path, monkeypatch):
    package = tmp_path / "deepunsup_helpers"
    package.mkdir()
    for name in ("a.py", "b.py"):
        (package / name).write_text(name)
    monkeypatch.setattr(grading, "PACKAGE_ROOT", tmp_path)
    guard = grading._Guard()
    assert guard.restored() == ""
    (package / "a.py").unlink(), (package / "b.py").write_text("passed = True")
    assert guard.restored() == "a.py"
    assert [(package / name).read_text() for name in ("a.py", "b.py")] == ["a.py", "b.py"]


def test_without_a_sandbox_the_verdicts_are_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading, "can_be_closed", lambda: False)
    monkeypatch.setattr("deepunsup_helpers.runner.grade.command.can_be_closed", lambda: False)
    write(tmp_path / "class" / "anna" / "a.ipynb", {"00-baseline-loss": RIGHT})
    grade_folder(tmp_path / "class", tmp_path / "grades.csv", jobs=1, timeout=60)
    said = capsys.readouterr()
    assert "anna, 00_start_here: 1 of 3; not yet: diagnose, overfits" in said.out and "bubblewrap" in said.err


def test_a_table_that_exists_is_kept_and_no_cell_is_a_formula(tmp_path):
    text = grading.as_csv([grading.Grade("=1+1", "00", "x", True, "a, b")])
    assert text == 'student,notebook,exercise,passed,message\n\'=1+1,00,x,yes,"a, b"\n'
    (tmp_path / "grades.csv").write_text("mine")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "x.ipynb").write_text("nonsense")
    grade_folder(tmp_path / "class", tmp_path / "grades.csv", jobs=1, timeout=60)
    assert (tmp_path / "grades.csv").read_text() == "mine"
    assert "not a notebook" in (tmp_path / "grades-2.csv").read_text()


@pytest.mark.slow
def test_the_references_pass_and_the_blanks_are_blank(tmp_path):
    for notebook in course():
        (tmp_path / "teacher").mkdir(exist_ok=True), (tmp_path / "student").mkdir(exist_ok=True)
        shutil.copy(notebook.path, tmp_path / "teacher")
        (tmp_path / "student" / notebook.path.name).write_text(student_edition(notebook.path))
    assert grade_folder(tmp_path, tmp_path / "grades.csv", jobs=2, timeout=120) == 0
    with open(tmp_path / "grades.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row for row in rows if row["student"] == "teacher" and row["passed"] == "no"] == []
    assert {row["message"] for row in rows if row["student"] == "student"} == {"not written yet"}
