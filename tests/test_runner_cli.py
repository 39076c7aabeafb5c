"""The small commands: what they show, how fast they start, what they leave alone."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from toy_notebooks import code, command, deepunsup, variables, write

from deepunsup_helpers.runner.course.upkeep import normalise_file, normalised, readme_table, with_table, write_seconds
from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.notebook.files import course, read_notebook
from deepunsup_helpers.runner.threads import THREAD_VARIABLES, available_cores, thread_variables

RUNNER = Path(__file__).resolve().parent.parent / "deepunsup_helpers" / "runner"


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path / "notebooks" / "00_start_here.ipynb", title="Start here", seconds=12, presets={"smoke": {"epochs": 1}}
    )
    write(tmp_path / "notebooks" / "04_toy.ipynb", title="A toy")
    (tmp_path / "notebooks" / "scratch.ipynb").write_text("{}")
    return tmp_path


def test_list_and_help_start_within_half_a_second(folder):
    for words in (["list"], ["--help"]):
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run(command(*words), cwd=folder, env=variables(), check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
        assert statistics.median(seconds) < 0.5, seconds


def test_no_part_of_the_runner_loads_torch():
    names = [
        ".".join(["deepunsup_helpers.runner", *path.relative_to(RUNNER).with_suffix("").parts])
        for path in RUNNER.rglob("*.py")
        if path.name != "__init__.py"
    ]
    script = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=variables(), capture_output=True, text=True, check=True)
    assert len(names) > 15 and done.stdout.strip() == "False"


def test_list_shows_number_title_and_measured_time(folder):
    lines = deepunsup("list", cwd=folder).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["00", "start_here"], ["04", "toy"]]
    assert "12 s" in lines[0] and lines[0].endswith("Start here") and "not measured" in lines[1]


def test_params_shows_defaults_meanings_choices_and_presets(folder):
    shown = deepunsup("params", "0", cwd=folder).stdout
    assert "dataset  'strokes'" in shown and "which images; one of: strokes, digits, folder:PATH" in shown
    assert "smoke  epochs=1" in shown


def test_without_notebooks_here_those_beside_the_package_are_found_or_it_says_where_it_looked(tmp_path):
    done = deepunsup("list", cwd=tmp_path)
    beside = sorted((RUNNER.parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if beside:
        assert [line[:2] for line in done.stdout.splitlines()] == [path.name[:2] for path in beside]
    else:
        assert done.returncode == 2 and str(tmp_path / "notebooks") in done.stderr


def test_clean_removes_runs_and_nothing_else(folder):
    (folder / "runs" / "04_toy" / "20260101-000000").mkdir(parents=True)
    (folder / "runs" / "04_toy" / "20260101-000000" / "run.json").write_text('{"status": "completed"}')
    for kept in ("runs/mine/notes.txt", "work/04_toy.ipynb", "build/theirs.txt"):
        (folder / kept).parent.mkdir(parents=True, exist_ok=True)
        (folder / kept).write_text("kept")
    alive = folder / "runs" / "04_toy" / "20260101-000001" / "run.json"
    alive.parent.mkdir()
    alive.write_text(json.dumps({"status": "running", "pid": os.getpid()}))

    asked = subprocess.run(command("clean"), cwd=folder, env=variables(), input="n\n", capture_output=True, text=True)
    assert asked.returncode == 130 and (folder / "runs" / "04_toy" / "20260101-000000").exists()
    done = deepunsup("clean", "--yes", cwd=folder)
    assert done.returncode == 0 and "work/" in done.stdout and "still running" in done.stdout
    assert not (folder / "runs" / "04_toy" / "20260101-000000").exists() and alive.exists()
    assert all((folder / kept).exists() for kept in ("runs/mine/notes.txt", "work/04_toy.ipynb", "build/theirs.txt"))


def test_execute_stores_outputs_only_when_all_went_well(folder):
    good = write(
        folder / "notebooks" / "05_good.ipynb",
        code("print(epochs + 1)"),
        code("import os\nassert 'DEEPUNSUP_OUTPUT' not in os.environ"),
    )
    bad = write(folder / "notebooks" / "06_bad.ipynb", code("print(1)"), code("1 / 0"))
    before = bad.read_bytes()
    done = deepunsup("execute", "5", "6", cwd=folder)
    assert done.returncode == 1 and '06_bad: failed in cell [3] under "A toy": ZeroDivisionError' in done.stderr
    assert bad.read_bytes() == before
    stored = nbformat.read(good, as_version=4)
    assert [cell.execution_count for cell in stored.cells if cell.cell_type == "code"] == [1, 2, 3]
    assert stored.cells[2].outputs[0].text == "4\n" and "papermill" not in json.dumps(stored)
    assert [cell.id for cell in stored.cells] == [cell.id for cell in nbformat.read(good, as_version=4).cells]
    assert not normalise_file(good), "what is stored is normal"


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
    done = deepunsup("times", "4", "--readme", "README.md", cwd=folder)
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


def test_a_share_of_the_cores_is_never_more_than_was_given():
    share = str(max(1, available_cores() // 2))
    assert thread_variables(1, {}) == {}
    assert thread_variables(2, {}) == dict.fromkeys(THREAD_VARIABLES, share)
    assert thread_variables(2, {"OMP_NUM_THREADS": "1"})["OMP_NUM_THREADS"] == "1"
    assert thread_variables(2, {"OMP_NUM_THREADS": "999"})["OMP_NUM_THREADS"] == share
    assert set(thread_variables(10_000, {}).values()) == {"1"}


def test_check_says_what_is_missing_and_what_to_do(folder):
    """With a torch that cannot be imported, and a folder of data that is empty."""
    (folder / "broken" / "torch").mkdir(parents=True)
    (folder / "broken" / "torch" / "__init__.py").write_text("raise ImportError('libcudart is missing')")
    path = f"{folder / 'broken'}{os.pathsep}{variables()['PYTHONPATH']}"
    done = deepunsup("check", cwd=folder, PYTHONPATH=path)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "MISSING" in lines["torch"] and "libcudart is missing; install torch and torchvision together" in lines["torch"]
    )
    for name in ("Python", "memory", "disk", "notebooks", "kernel"):
        assert lines[name].split()[1] == "ok", lines[name]
