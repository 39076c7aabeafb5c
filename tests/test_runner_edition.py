"""The student's copies: they hide what they must, run to their end, and are never overwritten."""

import ast
import json
import subprocess

import nbformat
import pytest
from toy_notebooks import code, deepunsup, facts, only_run, text, variables, write

from deepunsup_helpers.runner.course.student_copy import BLANK, blanked, student_edition
from deepunsup_helpers.runner.errors import CommandError

EXERCISES = """
from deepunsup_helpers.exercises import Exercise, Result, checked, run_check
def doubled_check(mine):
    right = all(mine(x) == 2 * x for x in (0, 3, -1.5))
    return Result(right, "doubles" if right else "it does not double")
doubled_exercise = Exercise("doubled", lambda x: x + x, doubled_check)
"""
SOLVED = '''
def doubled(x):
    """Twice x."""
    ### BEGIN SOLUTION
    secret_answer = 2 * x
    return secret_answer
    ### END SOLUTION
mine = doubled
doubled = checked(doubled, doubled_exercise)
'''
AFTER = """
from deepunsup_helpers import record
record(right=doubled(21) == 42, passed=run_check(mine, doubled_exercise).passed)
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of one notebook, its copies built from another folder's command line."""
    folder = tmp_path_factory.mktemp("course")
    ran = nbformat.v4.new_output("stream", text="secret_answer printed")
    write(
        folder / "notebooks" / "04_toy.ipynb", code(EXERCISES), text("## Turn"), code(SOLVED, outputs=[ran], count=3),
        code(AFTER, count=4), code("secret = 'secret_answer'", "instructor"), text("secret_answer, for teachers"),
        presets={"smoke": {"epochs": 1}},
    )  # fmt: skip
    notebook = nbformat.read(folder / "notebooks" / "04_toy.ipynb", as_version=4)
    notebook.cells[-1].metadata["tags"] = ["instructor"]
    nbformat.write(notebook, folder / "notebooks" / "04_toy.ipynb")
    (folder / "notebooks" / "table.csv").write_text("a,b\n1,2\n")
    done = deepunsup("lab", "--build-only", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_copy_parses_and_holds_no_solution_and_no_output(course):
    copy = nbformat.read(course / "work" / "04_toy.ipynb", as_version=4)
    nbformat.validate(copy)
    cells = [cell for cell in copy.cells if cell.cell_type == "code"]
    for cell in cells:
        ast.parse(cell.source)
        assert cell.outputs == [] and cell.execution_count is None
    assert sum(BLANK in cell.source for cell in cells) == 1
    assert "secret" not in json.dumps(copy) and "SOLUTION" not in json.dumps(copy)
    assert copy.metadata.deepunsup.presets.smoke.epochs == 1, "runs by the command line as the original does"
    assert (course / "work" / "table.csv").exists(), "what the notebook reads lies beside the copy"


def test_run_all_passes_with_blanks_and_every_blank_fails_its_check(course):
    done = deepunsup("run", "work/04_toy.ipynb", cwd=course)
    assert done.returncode == 0, done.stderr
    run = only_run(course, "04_toy")
    assert facts(run, "metrics.json") == {"right": 1, "passed": 0}
    executed = nbformat.read(run / "04_toy.ipynb", as_version=4)
    told = "".join(
        output.text for cell in executed.cells for output in cell.get("outputs", []) if output.output_type == "stream"
    )
    assert "doubled: not yet" in told


def test_the_blank_stands_where_the_solution_stood():
    source = (
        "class A:\n    def f(self):\n        ### BEGIN SOLUTION\n        return 1\n        ### END SOLUTION\n\n"
        "    g = 2\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION"
    )
    assert blanked(source) == f"class A:\n    def f(self):\n        {BLANK}\n\n    g = 2\n{BLANK}"
    assert blanked("x = 1\n# nothing hidden") == "x = 1\n# nothing hidden"


@pytest.mark.parametrize("source", [
    "### BEGIN SOLUTION\nx = 1", "x = 1\n### END SOLUTION", "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
    "## BEGIN SOLUTION\nx = 1\n## END SOLUTION", "### begin solution\nx\n### end solution",
    "x = 1  ### BEGIN SOLUTION\n### END SOLUTION",
])  # fmt: skip
def test_markers_that_would_give_a_solution_away_are_refused(source, tmp_path):
    with pytest.raises(CommandError, match="solution markers"):
        student_edition(write(tmp_path / "a.ipynb", code(source)))


def test_a_copy_is_never_overwritten_and_fresh_sets_it_aside(tmp_path):
    path = write(tmp_path / "notebooks" / "04_toy.ipynb", code("x = 1"))
    write(tmp_path / "notebooks" / "05_other.ipynb")
    assert "04_toy: new" in deepunsup("lab", "--build-only", cwd=tmp_path).stdout
    copy = tmp_path / "work" / "04_toy.ipynb"
    mine = copy.read_text(encoding="utf-8").replace("x = 1", "x = 'my answer'")
    copy.write_text(mine, encoding="utf-8")
    write(path, code("x = 2"))
    assert "04_toy: yours, kept" in deepunsup("lab", "--build-only", cwd=tmp_path).stdout
    assert copy.read_text(encoding="utf-8") == mine

    done = deepunsup("lab", "4", "--build-only", "--fresh", cwd=tmp_path)
    assert "04_toy: new; yours is now 04_toy-" in done.stdout and "05_other" not in done.stdout
    assert "x = 2" in copy.read_text(encoding="utf-8")
    (aside,) = (tmp_path / "work").glob("04_toy-*.ipynb")
    assert aside.read_text(encoding="utf-8") == mine
    deepunsup("clean", "--yes", cwd=tmp_path)
    assert aside.exists() and copy.exists(), "clean never touches work/"


def test_lab_starts_jupyterlab_in_work_with_this_kernel(tmp_path):
    """JupyterLab itself is replaced by a program that tells how it was started."""
    write(tmp_path / "notebooks" / "04_toy.ipynb")
    (tmp_path / "fake" / "jupyterlab").mkdir(parents=True)
    (tmp_path / "fake" / "jupyterlab" / "__init__.py").touch()
    (tmp_path / "fake" / "jupyterlab" / "__main__.py").write_text(
        "import json, os, sys\nfrom jupyter_client.kernelspec import KernelSpecManager\n"
        "mine = KernelSpecManager().get_kernel_spec('python3').argv[0] == sys.executable\n"
        "print(json.dumps([sys.argv[1:], os.getcwd(), mine]))\nsys.exit(5)"
    )
    path = f"{tmp_path / 'fake'}{':' if subprocess.os.name != 'nt' else ';'}{variables()['PYTHONPATH']}"
    done = deepunsup("lab", "--no-browser", "--port", "9876", cwd=tmp_path, PYTHONPATH=path)
    arguments, place, mine = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 5 and place == str(tmp_path / "work") and mine
    assert {"--no-browser", "--port=9876", f"--ServerApp.root_dir={tmp_path / 'work'}"} <= set(arguments)
