"""The small commands: what they show, how fast they start, what they leave alone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_notebooks import command, deepunsup, variables, write

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
        assert min(seconds) < 0.5, seconds  # the least: what others do meanwhile is not the command's fault


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


def test_a_share_of_the_cores_is_never_more_than_was_given():
    share = str(max(1, available_cores() // 2))
    assert thread_variables(1, {}) == {}
    assert thread_variables(2, {}) == dict.fromkeys(THREAD_VARIABLES, share)
    one = {"OMP_NUM_THREADS": "1"}  # torch would take the larger of this and MKL_NUM_THREADS
    assert thread_variables(1, one, fixed=True) == dict.fromkeys(THREAD_VARIABLES, "1")
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
