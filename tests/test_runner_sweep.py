"""Sweeps: each trial once, whatever happens meanwhile; what is told, and what is kept. Most without a kernel."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fake_runs import FakeRuns
from toy_notebooks import code, command, deepunsup, facts, png, variables, write

from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.sweep import sweep
from deepunsup_helpers.runner.sweep import trial as trial_module
from deepunsup_helpers.runner.sweep.trial import data_digest, gpus, trial_key

START = """
import json, os, time
from deepunsup_helpers import claim, record
"""
WORK = """
if rate == 3:
    raise ValueError("three is <too> much")
seen = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
with open(os.path.join(os.environ["DEEPUNSUP_OUTPUT"], "seen.json"), "w") as file:
    json.dump(seen, file)
record(loss=rate ** 2 + epochs, share=1 / (epochs + 1))
claim("one epoch is enough", epochs == 1)
"""
FIGURE = f"""
from IPython.display import display
display({{"image/png": "{png(40, 30)}", "text/plain": "A grey square."}}, raw=True)
"""


def toy(folder: Path, *cells, **about) -> Path:
    """A notebook 04 that records, claims and shows a figure."""
    cells = (code(START), *cells, code(WORK), code(FIGURE, "flagship"))
    return write(folder / "notebooks" / "04_toy.ipynb", *cells, **about)


def trials(folder: Path) -> dict[str, tuple[int, int]]:
    """Key to the inode and time of its run.json, once every file of the trial has been found whole."""
    found = {}
    for place in (folder / "trials").glob("*"):
        for path in [*place.glob("*.json"), *place.glob("*.ipynb")]:
            json.loads(path.read_text(encoding="utf-8"))
        assert (place / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
        about = (place / "run.json").stat()
        found[place.name] = (about.st_ino, about.st_mtime_ns)
    return found


def table(folder: Path, name: str = "results.csv") -> list[dict[str, str]]:
    with open(folder / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# With kernels


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two jobs over 2 x 2 trials, of which two fail."""
    folder = tmp_path_factory.mktemp("swept")
    toy(folder, seconds=2)
    words = ["sweep", "04", "-p", "epochs=1..2", "--jobs", "2", "-o", "out", "-p", "rate=0.5,3"]
    return folder, deepunsup(*words, cwd=folder)


def test_a_sweep_runs_every_combination_and_tells_failures(swept):
    folder, done = swept
    assert done.returncode == 1 and len(trials(folder / "out")) == 4 and done.stderr == ""
    assert (
        "4 runs (epochs: 2, rate: 2); about 4.0 s, going by the default run; 2 at once; results in out" in done.stdout
    )
    assert "2 completed, 2 failed (--retry-failed runs them again)" in done.stdout
    assert "claims: 1 of 4 hold; least often: 'one epoch is enough', 0 of 1 at epochs=" in done.stdout
    failed = [line for line in done.stdout.splitlines() if "three is <too> much" in line]
    assert len(failed) == 2 and all("rate=3.0: failed, ValueError" in line and "report.html" in line for line in failed)


def test_the_table_holds_every_run(swept):
    rows = table(swept[0] / "out")
    assert [(row["epochs"], row["rate"]) for row in rows] == [(e, r) for e in "12" for r in ("0.5", "3.0")]
    for row in rows:
        told = facts(swept[0] / "out" / row["folder"])
        assert told["status"] == row["status"] == ("failed" if row["rate"] == "3.0" else "completed")
        if row["status"] == "completed":
            assert float(row["loss"]) == float(row["rate"]) ** 2 + int(row["epochs"])
            threads = facts(swept[0] / "out" / row["folder"], "seen.json")["OMP_NUM_THREADS"]
            assert threads in ("1", str(max(1, len(os.sched_getaffinity(0)) // 2)))
        else:
            assert row["loss"] == "" and row["error"] == "ValueError: three is <too> much"
        assert row["dataset"] == "strokes" and row["sizes"] == "[2, 4]"
        assert told["command"] == f"deepunsup run 04 -p epochs={row['epochs']} -p rate={row['rate']}"


def test_nothing_is_left_lying_about(swept):
    assert {path.name for path in (swept[0] / "out").iterdir()} == {
        "trials", "running", "locks", "status", "source", "sweep.json", "results.csv", "claims.csv", "summary.html",
    }  # fmt: skip
    assert not list((swept[0] / "out" / "running").iterdir()) and not list((swept[0] / "out" / "status").iterdir())


def start(folder: Path, *words, **streams) -> subprocess.Popen:
    """A sweep of its own process group, as a terminal starts it."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.Popen(command("sweep", "04", "-o", "out", "--jobs", "2", *words), cwd=folder, env=variables(),
                            start_new_session=True, text=True, **streams)  # fmt: skip


def children_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes that a command started, now."""
    return psutil.Process(process.pid).children(recursive=True)


def finished(folder: Path) -> list[Path]:
    """The finished trials of a sweep into out/."""
    return list((folder / "out" / "trials").glob("*"))


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    """Whether all of them end within some seconds."""
    return not psutil.wait_procs(processes, timeout=seconds)[1]


def test_killed_at_two_moments(tmp_path):
    """After SIGKILL and starting again each trial is there once, whole, and was not touched after it was finished."""
    toy(tmp_path)
    seen: dict[str, tuple[int, int]] = {}
    for moment in (1.2, 3.5):
        process = start(tmp_path, "-p", "epochs=1..4", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        children = children_of(process)
        process.kill()
        process.wait()
        assert gone(children, 10), "kernels and workers of a killed command do not stay"
        now = trials(tmp_path / "out") if (tmp_path / "out").exists() else {}
        assert {key: now[key] for key in seen} == seen
        seen = now
    last = deepunsup("sweep", "04", "-p", "epochs=1..4", "-o", "out", "--jobs", "2", cwd=tmp_path)
    assert last.returncode == 0 and "4 completed" in last.stdout, last.stderr
    now = trials(tmp_path / "out")
    assert len(now) == 4 and {key: now[key] for key in seen} == seen
    assert [row["epochs"] for row in table(tmp_path / "out")] == list("1234")
    assert not list((tmp_path / "out" / "running").iterdir())


def test_ctrl_c_keeps_what_is_finished_and_leaves_no_kernel(tmp_path):
    toy(tmp_path, code("if epochs == 2:\n    open('waits', 'w').close()\n    time.sleep(600)"))
    process = start(tmp_path, "-p", "epochs=1..3")
    until = time.monotonic() + 120
    while not (tmp_path / "notebooks" / "waits").exists() or len(finished(tmp_path)) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    children = children_of(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "interrupted: give the same command again" in out and err == ""
    assert len(trials(tmp_path / "out")) == 2 and len(table(tmp_path / "out")) == 2
    assert gone(children, 2) and not list((tmp_path / "out" / "running").iterdir())


@pytest.mark.parametrize("moment", [0.0, 0.4])
def test_ctrl_c_in_the_first_seconds(tmp_path, moment):
    toy(tmp_path)
    process = start(tmp_path, "-p", "epochs=1..3")
    while not (tmp_path / "out" / "sweep.json").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and err == "" and "interrupted" in out
    assert facts(tmp_path / "out", "sweep.json")["status"] == "ended"


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals to close")
def test_a_closed_terminal_ends_a_sweep_that_keeps_its_tables(tmp_path):
    """What is finished is in the tables though nobody can be told any more."""
    import pty

    toy(tmp_path, code("if epochs == 2:\n    open('waits', 'w').close()\n    time.sleep(600)"))
    ours, theirs = pty.openpty()
    process = start(tmp_path, "-p", "epochs=1..2", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    until = time.monotonic() + 120
    while not (tmp_path / "notebooks" / "waits").exists() or not finished(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.05)
    children = children_of(process)
    os.close(ours)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(timeout=120) in (129, 130)
    assert len(table(tmp_path / "out")) == 1 and (tmp_path / "out" / "summary.html").exists()
    assert gone(children, 2) and not list(tmp_path.glob("out/.*")), "no half-written file"


# Without kernels


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Runs of a toy notebook in this process; three is too much."""

    def answer(parameters):
        if parameters["rate"] == 3:
            raise ValueError("three is <too> much")
        return {"loss": parameters["rate"] ** 2 + parameters["epochs"]}

    fake = FakeRuns(answer)
    monkeypatch.setattr(trial_module, "run_notebook", fake)
    monkeypatch.delenv("DEEPUNSUP_DATA", raising=False)
    quiet = "from deepunsup_helpers import record\nrecord(loss=1, height=2)"
    write(
        tmp_path / "notebooks" / "04_toy.ipynb", code(quiet), seconds=2, presets={"small": {"epochs": 9, "rate": 2.0}}
    )
    return fake


@pytest.fixture
def begin(tmp_path):
    """Begin a sweep into out/; returns its result, which has what was told as `lines`."""

    def begin(output="out", **options):
        lines: list[str] = []
        values = options.pop("values", {"epochs": "1..2"})
        result = sweep("04", values, output=output, cwd=tmp_path, tell=lines.append, **options)
        result.lines = lines
        return result

    return begin


def test_finished_trials_are_not_run_again(runs, begin, tmp_path):
    first = begin(values={"epochs": "1..2", "rate": "0.5,1,3"})
    before = trials(tmp_path / "out")
    again = begin(values={"epochs": "1..2", "rate": "0.5,1,3"})
    assert first.exit_code == again.exit_code == 1 and "6 of them there already" in again.lines[0]
    assert "4 completed, 2 failed (--retry-failed runs them again); all of them were there already" in again.lines
    assert trials(tmp_path / "out") == before and len(runs.begun) == 6
    more = begin(values={"epochs": "1..2", "rate": "0.5,1,2"})
    assert "6 runs (epochs: 2, rate: 3), 4 of them there already" in more.lines[0] and more.exit_code == 0
    after = trials(tmp_path / "out")
    assert {key: after[key] for key in before} == before and len(after) == 8 == len(runs.begun)
    assert begin(values={"epochs": "1..2", "rate": "0.5,1,2"}).exit_code == 0 and len(runs.begun) == 8


def test_the_folder_says_whether_somebody_is_at_work(runs, begin, tmp_path):
    told = []
    runs.answer = lambda parameters: told.append(facts(tmp_path / "out", "sweep.json")) or {"loss": 1}
    begin()
    assert [one["status"] for one in told] == ["running"] * 2 and told[0]["pid"] == os.getpid()
    assert facts(tmp_path / "out", "sweep.json")["status"] == "ended"


def test_failures_are_repeated_on_request(runs, begin, tmp_path):
    works, runs.answer = runs.answer, lambda parameters: 1 / 0
    assert begin().exit_code == 1
    runs.answer = works
    assert begin().exit_code == 1 and len(runs.begun) == 2
    mended = begin(retry_failed=True)
    assert mended.exit_code == 0 and "2 completed" in mended.lines and len(runs.begun) == 4
    before = trials(tmp_path / "out")
    assert begin(retry_failed=True).exit_code == 0 and trials(tmp_path / "out") == before


def test_what_a_key_depends_on():
    parameters = {"epochs": 1, "rate": 0.5}
    key = trial_key(("code", "data"), parameters)
    assert key == trial_key(("code", "data"), dict(reversed(parameters.items())))
    others = [
        (("other", "data"), parameters),
        (("code", "other"), parameters),
        (("code", "data"), {"epochs": 1, "rate": 1.0}),
    ]
    assert len({key, *(trial_key(*other) for other in others)}) == 4


def test_the_data_belong_to_the_key(tmp_path):
    images, file, raw = tmp_path / "images", tmp_path / "t.csv", tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    images.mkdir()
    (images / "a.png").write_bytes(b"1")
    file.write_text("x\n1\n")
    (raw / "train-images-idx3-ubyte").write_bytes(b"1")

    def digests():
        names = [f"folder:{images}", f"csv:{file}", "fashion_mnist", "strokes", "kmnist"]
        return [data_digest({"dataset": name}, str(tmp_path / "data")) for name in names]

    before = digests()
    assert digests() == before
    (images / "b.png").write_bytes(b"2")
    file.write_text("x\n2\n")
    (raw / "train-images-idx3-ubyte").write_bytes(b"12")
    assert [a != b for a, b in zip(before, digests())] == [True, True, True, False, False]


def test_a_changed_notebook_is_computed_anew_and_the_old_runs_are_left_out(runs, begin, tmp_path):
    begin()
    path = tmp_path / "notebooks" / "04_toy.ipynb"
    path.write_text(path.read_text().replace("loss=1", "loss=10"))
    runs.answer = lambda parameters: {"loss": 10.0 * parameters["epochs"]}
    assert begin().exit_code == 0
    assert [float(row["loss"]) for row in table(tmp_path / "out")] == [10, 20] and len(trials(tmp_path / "out")) == 4
    assert "2 more runs in this folder are left out" in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_filed_under_a_key_that_has_ceased_to_be_true(runs, begin, tmp_path, jobs):
    """A module beside the notebook changes while the second of six runs is under way."""
    path = tmp_path / "notebooks" / "04_toy.ipynb"
    path.write_text(path.read_text().replace("record(loss=1,", "import beside; record(loss=1,"))
    module = tmp_path / "notebooks" / "beside.py"
    module.write_text("x = 1\n")
    works = runs.answer

    def answer(parameters):
        while parameters["epochs"] > 2 and module.read_text() == "x = 1\n":
            time.sleep(0.01)  # those after the second see the change, however busy the machine is
        if parameters["epochs"] == 2 and module.read_text() == "x = 1\n":
            module.write_text("x = 2\n")
        return works(parameters)

    runs.answer = answer
    cut = begin(values={"epochs": "1..6"}, jobs=jobs)
    kept = trials(tmp_path / "out")
    assert cut.exit_code == 1 and len(kept) <= 1 and len(runs.begun) <= 1 + jobs
    assert "give the same command again to go on with the new" in "\n".join(cut.lines)
    again = begin(values={"epochs": "1..6"}, jobs=jobs)
    assert again.exit_code == 0 and len(again.rows) == 6 and len(trials(tmp_path / "out")) == 6 + len(kept)


def test_what_the_notebook_cannot_reach_changes_no_key(runs, begin, tmp_path):
    begin()
    (tmp_path / "notebooks" / "elsewhere.py").write_text("x = 1\n")
    assert "2 of them there already" in begin().lines[0]


def test_two_sweeps_into_one_folder_do_no_harm(runs, begin, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    runs.seconds = 0.2
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(begin, values={"epochs": values}, jobs=2) for values in ("1..4", "3..6")]
        for future in both:
            assert future.result().exit_code == 0 and len(future.result().rows) == 4
    assert sorted(one["epochs"] for one in runs.ended) == [1, 2, 3, 4, 5, 6] and len(trials(tmp_path / "out")) == 6


def damage(place: Path, how: str) -> None:
    """Spoil a finished trial."""
    if how == "cut off":
        (place / "metrics.json").write_text('{"loss": 1')
    elif how == "no UTF-8":
        (place / "run.json").write_bytes(b'{"status": "completed\xff"}')
    elif how == "wrong type":
        (place / "metrics.json").write_text('{"loss": "much"}')
    elif how == "no number":
        (place / "metrics.json").write_text('{"loss": NaN}')
    elif how == "a list":
        (place / "run.json").write_text("[1]")
    elif how == "deep":
        (place / "run.json").write_text("[" * 100_000)
    elif how == "claims":
        (place / "claims.json").write_text('[{"text": "a"}]')
    else:
        (place / "run.json").unlink()


@pytest.mark.parametrize(
    "how", ["cut off", "no UTF-8", "wrong type", "no number", "a list", "deep", "claims", "missing"]
)
def test_a_damaged_run_is_put_aside_and_computed_again(runs, begin, tmp_path, how):
    begin()
    places = sorted((tmp_path / "out" / "trials").iterdir())
    damage(places[0], how)
    again = begin()
    assert again.exit_code == 0 and len(again.rows) == 2 and len(runs.begun) == 3
    assert "1 damaged (computed again, the old files kept in damaged/)" in again.lines[0]
    assert len(list((tmp_path / "out" / "damaged").iterdir())) == 1 and len(trials(tmp_path / "out")) == 2
    assert len(table(tmp_path / "out")) == 2


def test_other_damage_in_the_folder_does_no_harm(runs, begin, tmp_path):
    begin()
    (tmp_path / "out" / "status" / "x.json").write_bytes(b"\xff")
    (tmp_path / "out" / "trials" / "note.txt").write_text("mine")
    (tmp_path / "out" / "search.log").write_bytes(b"\xff{")
    assert begin(values={"epochs": "1..3"}).exit_code == 0 and len(table(tmp_path / "out")) == 3


@pytest.mark.parametrize("name", ["trials", "status", "source"])
def test_a_file_in_the_place_of_a_folder_is_named(runs, begin, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("")
    with pytest.raises(CommandError, match=f"cannot make the sweep's folder: File exists: .*{name}"):
        begin()
    assert runs.begun == []


@pytest.mark.parametrize("name", ["results.csv", "claims.csv", "summary.html"])
def test_a_table_that_cannot_be_written_is_told_at_the_end(runs, begin, tmp_path, name):
    runs.claims = lambda parameters: [{"text": "it works", "holds": True, "cell": 1}]
    (tmp_path / "out" / name).mkdir(parents=True)
    result = begin()
    assert result.exit_code == 1 and len(trials(tmp_path / "out")) == 2 and "2 completed" in result.lines
    assert any("Is a directory" in line and name in line for line in result.lines)
    (tmp_path / "out" / name).rmdir()
    assert begin().exit_code == 0 and (tmp_path / "out" / name).is_file() and len(runs.begun) == 2


def test_a_run_that_cannot_be_kept_is_told_and_tried_again(runs, begin, tmp_path):
    works = runs.answer

    def full(parameters):
        if parameters["epochs"] == 2:
            raise OSError(28, "No space left on device", "/full")
        return works(parameters)

    runs.answer = full
    result = begin()
    assert result.exit_code == 1 and result.problems == {"epochs=2": "No space left on device: /full"}
    assert "1 completed, 1 not kept" in result.lines and not list((tmp_path / "out" / "running").iterdir())
    runs.answer = works
    assert begin().exit_code == 0 and len(trials(tmp_path / "out")) == 2


def test_nobody_who_listens_is_no_reason_to_stop(runs, tmp_path):
    def closed(line):
        raise BrokenPipeError

    assert sweep("04", {"epochs": [1, 2]}, output="out", cwd=tmp_path, tell=closed).exit_code == 0
    assert len(table(tmp_path / "out")) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_threads_are_fixed_to_a_part_of_the_cores(runs, begin, monkeypatch, jobs):
    from deepunsup_helpers.runner import threads

    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    for name in threads.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    begin(jobs=jobs)
    assert {one["OMP_NUM_THREADS"] for one in runs.environments} == {str(8 // jobs)}
    runs.environments.clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    begin(values={"epochs": "5..6"}, jobs=jobs)
    assert {one["OMP_NUM_THREADS"] for one in runs.environments} == {"2"}, "a user's own smaller number is kept"


def test_gpus_are_taken_in_turn(runs, begin, tmp_path, monkeypatch):
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: one (UUID: a)'\necho 'GPU 1: two (UUID: b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus.cache_clear()
    begin(values={"epochs": "1..4"})
    gpus.cache_clear()
    seen = {one["epochs"]: variables["CUDA_VISIBLE_DEVICES"] for one, variables in zip(runs.begun, runs.environments)}
    assert seen == {1: "0", 2: "1", 3: "0", 4: "1"}


@pytest.mark.parametrize("visible, names", [("", []), ("2,5", ["2", "5"]), ("GPU-ab", ["GPU-ab"]), ("-1", [])])
def test_the_users_choice_of_gpus_is_kept(monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus.cache_clear()
    assert gpus() == names
    gpus.cache_clear()


def test_python_takes_ranges_and_lists(runs, begin):
    result = begin(values={"epochs": range(1, 3), "rate": [0.5, 1]}, jobs=2)
    assert result.exit_code == 0 and len(result.rows) == 4 and result.lines[-1] == "summary: out/summary.html"
    assert result.table().loss.tolist() == [1.25, 2.0, 2.25, 3.0]


def test_a_preset_and_a_file_lie_beneath_the_command_line(runs, begin, tmp_path):
    (tmp_path / "grid.yaml").write_text("rate: [0.5, 1.0]\nepochs: 5\n")
    begin(preset="small", param_file="grid.yaml", values={"epochs": "1,2"}, output=None)
    rows = table(tmp_path / "runs" / "04_toy" / "sweep")
    assert [(row["epochs"], row["rate"]) for row in rows] == [("1", "0.5"), ("1", "1.0"), ("2", "0.5"), ("2", "1.0")]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"values": {"epoch": "1,2"}}, "did you mean 'epochs'"),
        ({"values": {"epochs": "1..x"}}, "expected a whole number"),
        ({"values": {"rate": "0:1"}}, "say how often with --sample N"),
        ({"sample": 3}, "give at least one"),
        ({"sample": 0}, "sample=0: expected a number above 0"),
        ({"jobs": -1}, "jobs=-1: expected a number above 0"),
        ({"values": {"rate": "1,2"}, "minimize": "loss"}, "give --sample N"),
        ({"values": {"rate": "0:1"}, "sample": 3, "minimize": "los"}, "did you mean 'loss'"),
        ({"preset": "none"}, "no preset 'none'"),
        ({"backend": "dask"}, "--backend dask needs"),
        ({"backend": "spark"}, "no backend 'spark'"),
        ({"address": "tcp://here:1"}, "--backend dask"),
        ({"param_file": "none.yaml"}, "cannot read the parameter file"),
        ({"output": "notebooks/04_toy.ipynb"}, "cannot make the sweep's folder"),
    ],
)
def test_bad_input_is_told_before_anything_runs(runs, begin, options, said):
    with pytest.raises(CommandError) as fault:
        begin(**options)
    assert said in str(fault.value) and runs.begun == []


def test_the_command_line_tells_bad_input_in_a_line(tmp_path):
    toy(tmp_path)
    done = deepunsup("sweep", "04", "-p", "epoch=1,2", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'epochs'" in done.stderr and "Traceback" not in done.stderr


def test_random_draws_are_the_same_each_time(runs, begin, tmp_path):
    options = {"values": {"rate": "1e-4:1e-2:log", "epochs": "1,2"}, "sample": 3, "jobs": 2}
    assert begin(**options).exit_code == 0
    rates = {float(row["rate"]) for row in table(tmp_path / "out")}
    assert len(table(tmp_path / "out")) == 6 and len(rates) == 3 and all(1e-4 <= rate <= 1e-2 for rate in rates)
    before = trials(tmp_path / "out")
    assert "6 of them there already" in begin(**options).lines[0] and trials(tmp_path / "out") == before
    assert begin(**options, sample_seed=1).exit_code == 0 and len(trials(tmp_path / "out")) == 12


@pytest.fixture
def minimize(runs, begin):
    """A search for the bottom of a parabola at 1.7."""
    pytest.importorskip("optuna", reason="comes with the extra [search]")
    runs.answer = lambda parameters: {"height": (parameters["rate"] - 1.7) ** 2 + parameters["epochs"]}

    def minimize(sample, **options):
        return begin(values={"rate": "-10:10", "epochs": "0,1"}, sample=sample, minimize="height", **options)

    return minimize


def test_optuna_finds_the_bottom_of_a_parabola(runs, minimize, tmp_path):
    """25 draws; the mean over two seeds is minimised; a second call has nothing left to do."""
    first = minimize(25, jobs=2)
    rows = table(tmp_path / "out")
    assert first.exit_code == 0 and len(rows) == 50 == len(runs.begun)
    best = min(rows, key=lambda row: float(row["height"]))
    heights = [(float(row["rate"]) - 1.7) ** 2 for row in rows]
    assert abs(float(best["rate"]) - 1.7) < 2.0
    assert sum(heights) / 50 < 100 / 3 + 1.7**2, "better on the whole than draws by chance"
    again = minimize(25)
    assert again.exit_code == 0 and len(runs.begun) == 50 and len(again.rows) == 50
    assert "50 completed; all of them were there already" in again.lines
    html = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert "The least mean of <code>height</code> comes first." in html


def test_a_search_goes_on_with_new_draws(runs, minimize):
    minimize(4)
    assert "8 of them there already" in minimize(9).lines[0]
    assert len(runs.begun) == 18 and len({one["rate"] for one in runs.begun}) == 9, "no draw twice"


def test_a_failed_draw_is_no_end(runs, minimize):
    """It is told as failed with exit code 1, and tried again on request."""
    works, fail = runs.answer, [True]

    def answer(parameters):
        if fail[0] and len(runs.begun) <= 4:
            raise ValueError("not today")
        return works(parameters)

    runs.answer = answer
    assert minimize(4).exit_code == 1
    fail[0] = False
    again = minimize(4)
    assert again.exit_code == 1 and len(again.rows) == 8 == len(runs.begun) and "4 failed" in again.lines[-2]
    mended = minimize(4, retry_failed=True)
    assert mended.exit_code == 0 and len(runs.begun) == 12 and "8 completed" in mended.lines
    assert minimize(4, retry_failed=True).exit_code == 0 and len(runs.begun) == 12


def test_a_draw_that_was_never_kept_is_drawn_again(runs, minimize, tmp_path):
    works, full = runs.answer, [True]

    def answer(parameters):
        if full[0] and len(runs.begun) > 4:
            raise OSError(28, "No space left on device", "/full")
        return works(parameters)

    runs.answer = answer
    assert minimize(4).exit_code == 1 and len(trials(tmp_path / "out")) == 4
    full[0] = False
    again = minimize(4)
    assert again.exit_code == 0 and len(again.rows) == 8 and len(trials(tmp_path / "out")) == 8


def test_a_draw_that_was_cut_off_is_completed(runs, minimize, tmp_path):
    """One of a draw's two runs is missing: the next sweep computes it first, at the same value."""
    import shutil

    minimize(2)
    lost = next((tmp_path / "out" / "trials").iterdir())
    parameters = facts(lost, "parameters.json")
    shutil.rmtree(lost)
    assert minimize(2).exit_code == 0 and runs.begun[4:] == [parameters]
