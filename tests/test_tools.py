"""What contributors use, under tools/: execute in place, normalise, measure."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from normalise import normalise_file, normalised
from times import readme_table, with_table, write_seconds
from toy_notebooks import code, variables, write

from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.notebook.digest import code_digest
from deepunsup_helpers.runner.notebook.files import course, read_notebook

TOOLS = Path(__file__).resolve().parent.parent / "tools"


def tool(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """A contributor's command, as started from a course's folder."""
    command = [sys.executable, str(TOOLS / f"{name}.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=variables(), capture_output=True, text=True, timeout=90)


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path / "notebooks" / "00_start_here.ipynb", title="Start here", seconds=12, presets={"smoke": {"epochs": 1}}
    )
    write(tmp_path / "notebooks" / "04_toy.ipynb", title="A toy")
    return tmp_path


def test_execute_stores_outputs_only_when_all_went_well(folder):
    good = write(
        folder / "notebooks" / "05_good.ipynb",
        code("print(epochs + 1)"),
        code("import os\nassert 'notebooks' not in os.environ['DEEPUNSUP_OUTPUT'] and os.environ['OMP_NUM_THREADS']"),
        code("from deepunsup_helpers import claim\nclaim('one is less than two', 1 < 2)"),
    )
    bad = write(folder / "notebooks" / "06_bad.ipynb", code("print(1)"), code("1 / 0"))
    before = bad.read_bytes()
    done = tool("execute", "5", "6", cwd=folder)
    assert done.returncode == 1 and '06_bad: failed in cell [3] under "A toy": ZeroDivisionError' in done.stderr
    assert bad.read_bytes() == before
    stored = nbformat.read(good, as_version=4)
    assert [cell.execution_count for cell in stored.cells if cell.cell_type == "code"] == [1, 2, 3, 4]
    assert stored.cells[2].outputs[0].text == "4\n" and "papermill" not in json.dumps(stored)
    assert [cell.id for cell in stored.cells] == [cell.id for cell in nbformat.read(good, as_version=4).cells]
    assert not normalise_file(good), "what is stored is normal"
    assert stored.metadata.deepunsup.digest == code_digest(read_notebook(good)), "which code made these outputs"


def test_execute_stores_nothing_when_a_claim_does_not_hold(folder):
    claims = "from deepunsup_helpers import claim\nclaim('two is less than one', 2 < 1); claim('fine', True)"
    path = write(folder / "notebooks" / "07_claims.ipynb", code(claims))
    before = path.read_bytes()
    done = tool("execute", "7", cwd=folder)
    assert done.returncode == 1 and path.read_bytes() == before
    assert done.stderr == "deepunsup: 07_claims: failed: Does not hold: two is less than one. The file is unchanged.\n"


def test_normalise_drops_noise_and_keeps_outputs_counts_and_ids(tmp_path):
    path = write(
        tmp_path / "04_toy.ipynb",
        code("1", "flagship", outputs=[nbformat.v4.new_output("stream", text="é\n")], count=7),
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    notebook.metadata["papermill"] = {"duration": 1.5}
    notebook.metadata["kernelspec"]["name"] = "my-env"
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    notebook.cells[2].metadata |= {"papermill": {"duration": 1}, "execution": {"iopub.status.busy": "2026"}}
    nbformat.write(notebook, path)
    assert normalise_file(path) and not normalise_file(path)
    after = nbformat.read(path, as_version=4)
    assert (
        set(after.metadata) == {"deepunsup", "kernelspec", "language_info"}
        and after.metadata.kernelspec.name == "python3"
    )
    assert after.cells[2].metadata == {"tags": ["flagship"]} and after.cells[2].execution_count == 7
    assert [cell.id for cell in after.cells] == [cell.id for cell in notebook.cells]
    assert "é" in path.read_text(encoding="utf-8") and path.read_bytes().endswith(b"}\n")


def test_normalise_drops_dead_widget_views_and_keeps_what_stands_beside_them():
    view = "application/vnd.jupyter.widget-view+json"
    kept = {"image/png": "aGk=", "text/plain": "a figure"}
    both = (kept | {view: {"model_id": "x"}}, {view: {}})
    outputs = [{"output_type": "display_data", "metadata": {}, "data": data} for data in both]
    content = {"metadata": {}, "cells": [{"cell_type": "code", "metadata": {}, "outputs": outputs}]}
    after = [output["data"] for output in normalised(content)["cells"][0]["outputs"]]
    assert after == [kept, {view: {}}]


def test_measured_seconds_change_one_line_only(folder):
    path = folder / "notebooks" / "00_start_here.ipynb"
    normalise_file(path)
    before = path.read_text(encoding="utf-8").splitlines()
    write_seconds(read_notebook(path), 41)
    after = path.read_text(encoding="utf-8").splitlines()
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [
        ('   "seconds": 12,', '   "seconds": 41,')
    ]


def test_times_measures_and_renews_the_readme_from_the_metadata(folder):
    for name in ("00_start_here", "04_toy"):
        normalise_file(folder / "notebooks" / f"{name}.ipynb")
    readme = folder / "README.md"
    readme.write_text("before\n<!-- course map: begin (deepunsup times) -->\nold\n<!-- course map: end -->\nafter\n")
    done = tool("times", "4", "--readme", "README.md", cwd=folder)
    assert done.returncode == 0, done.stderr
    seconds = read_notebook(folder / "notebooks" / "04_toy.ipynb").seconds
    assert 1 <= seconds < 60 and f"04_toy: {seconds} s" in done.stdout
    text = readme.read_text(encoding="utf-8")
    assert (
        f"| 04 | [A toy](notebooks/04_toy.ipynb) | {seconds} s |" in text and "| 12 s |" in text and "old" not in text
    )
    assert text.startswith("before\n") and text.endswith("after\n")
    assert with_table(text, readme_table(course(folder))) == text, "a second time changes nothing"
    with pytest.raises(CommandError, match="course map"):
        with_table("no marks", "")


def test_the_map_shows_parts_and_how_many_claims_held_where_that_was_measured(tmp_path):
    claims = {"seeds": [100, 101], "shares": {"one is less than two": [2, 2], "two is less than one": [0, 2]}}
    write(tmp_path / "notebooks" / "04_toy.ipynb", title="A toy", claims=claims)
    write(tmp_path / "notebooks" / "08_other.ipynb", title="Another", seconds=12)
    write(tmp_path / "notebooks" / "23_third.ipynb", title="A third")
    assert readme_table(course(tmp_path)).splitlines()[2:] == [
        "| | **Autoencoders** | | |",
        "| 04 | [A toy](notebooks/04_toy.ipynb) | not measured | 2 of 4 |",
        "| 08 | [Another](notebooks/08_other.ipynb) | 12 s | |",
        "| | **At work** | | |",
        "| 23 | [A third](notebooks/23_third.ipynb) | not measured | |",
    ]


@pytest.fixture
def seeded(folder):
    """A notebook with one claim that holds for even seeds, one that is asked for some, and a death at seed 5."""
    body = (
        "from deepunsup_helpers import claim\nclaim('the seed is even', seed % 2 == 0)\n"
        "claim('small', seed < 4, when=seed != 2)\nassert seed != 5\nclaim('the end is reached', True)"
    )
    path = write(folder / "notebooks" / "08_seeds.ipynb", code(body), presets={"smoke": {}})
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source += "seed = 0  # of all random numbers\n"
    nbformat.write(notebook, path)
    normalise_file(path)
    return path


def test_reliability_counts_each_claim_over_seeds(seeded, folder):
    before = json.loads(seeded.read_text(encoding="utf-8"))
    done = tool("reliability", "8", "--seeds", "2..5", cwd=folder)
    assert done.returncode == 1 and "3 of 4 runs completed" in done.stdout, done.stdout + done.stderr
    assert "seed 5: failed" in done.stdout and "the seed is even   not with seed 3, 5" in done.stdout
    after = json.loads(seeded.read_text(encoding="utf-8"))
    claims = after["metadata"]["deepunsup"].pop("claims")
    assert after == before
    assert claims["shares"] == {"the seed is even": [2, 4], "small": [1, 3], "the end is reached": [3, 4]}
    assert claims["seeds"] == [2, 3, 4, 5] and claims["digest"] == code_digest(read_notebook(seeded))


def test_reliability_goes_on_where_it_stopped(seeded, folder):
    assert tool("reliability", "8", "--seeds", "2", "--dry", cwd=folder).returncode == 0
    (kept,) = (folder / "runs" / "reliability").glob("08_seeds-*")
    first = (kept / "2" / "run.json").stat().st_mtime_ns
    assert tool("reliability", "8", "--seeds", "2,0", "--dry", cwd=folder).returncode == 0
    assert (kept / "2" / "run.json").stat().st_mtime_ns == first and (kept / "0" / "run.json").exists()
    assert "claims" not in json.loads(seeded.read_text(encoding="utf-8"))["metadata"]["deepunsup"]
    for wrong in ("5..3", "1,1", "a"):
        done = tool("reliability", "8", "--seeds", wrong, cwd=folder)
        assert done.returncode == 2 and "expected 100..109" in done.stderr and "Traceback" not in done.stderr
