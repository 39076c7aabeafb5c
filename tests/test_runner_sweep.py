"""Sweeps of tiny notebooks: each point once, whatever happens meanwhile; what is told, and what is kept."""

import csv
import json
import os
import random
import signal
import statistics
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from toy_notebooks import code, command, deepunsup, facts, png, variables, write

from deepunsup_helpers.runner.sweep import sweep
from deepunsup_helpers.runner.sweep.trial import data_fingerprint, gpus, notebook_digest, trial_key

LOG = """
import os, time
from deepunsup_helpers import record
def log(what):
    with open("log.txt", "a") as file:
        file.write(f"{what} {epochs} {rate}\\n")
log("begin")
"""
WORK = """
time.sleep(0.02)
if rate == 3:
    raise ValueError("three is <too> much")
seen = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
with open(os.path.join(os.environ["DEEPUNSUP_OUTPUT"], "seen.json"), "w") as file:
    import json; json.dump(seen, file)
record(loss=rate ** 2 + epochs, share=1 / (epochs + 1))
"""
FIGURE = f"""
from IPython.display import display
display({{"image/png": "{png(40, 30)}", "text/plain": "A grey square."}}, raw=True)
log("end")
"""


def toy(folder: Path, *cells, **about) -> Path:
    """A notebook 04 that writes log.txt beside itself."""
    return write(
        folder / "notebooks" / "04_toy.ipynb", code(LOG), *cells, code(WORK), code(FIGURE, "flagship"), **about
    )


def ends(folder: Path, what: str = "end") -> list[str]:
    """'epochs rate' of each run that came to its last cell, in order."""
    try:
        lines = (folder / "notebooks" / "log.txt").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.removeprefix(f"{what} ") for line in lines if line.startswith(what)]


def points(folder: Path) -> dict[str, tuple[int, int]]:
    """Key to the inode and time of its run.json, once every file of the point has been found whole."""
    found = {}
    for place in (folder / "trials").glob("*"):
        for path in [*place.glob("*.json"), *place.glob("*.ipynb")]:
            json.loads(path.read_text(encoding="utf-8"))
        assert (place / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
        about = (place / "run.json").stat()
        found[place.name] = (about.st_ino, about.st_mtime_ns)
    return found


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two jobs over 2 x 3 points, of which two fail; begun again; begun with one value more."""
    folder = tmp_path_factory.mktemp("swept")
    toy(folder, seconds=2)
    words = ["sweep", "04", "-p", "epochs=1..2", "--jobs", "2", "-o", "out"]
    first = deepunsup(*words, "-p", "rate=0.5,1,3", cwd=folder)
    before = points(folder / "out")
    again = deepunsup(*words, "-p", "rate=0.5,1,3", cwd=folder)
    more = deepunsup(*words, "-p", "rate=0.5,1,2", cwd=folder)
    return folder, first, again, more, before


def test_a_sweep_runs_every_combination_and_tells_failures(swept):
    folder, first, _, _, before = swept
    assert first.returncode == 1 and len(before) == 6
    assert (
        "6 runs (epochs: 2, rate: 3); about 6.0 s, going by the default run; 2 at once; results in out" in first.stdout
    )
    assert "4 completed, 2 failed (--retry-failed runs them again)" in first.stdout
    failed = [line for line in first.stdout.splitlines() if "three is <too> much" in line]
    assert len(failed) == 2 and all("rate=3.0: failed, ValueError" in line and "report.html" in line for line in failed)
    assert first.stderr == ""


def test_finished_points_are_not_run_again(swept):
    folder, _, again, more, before = swept
    assert "6 of them there already" in again.stdout and again.returncode == 1
    after = points(folder / "out")
    assert {key: after[key] for key in before} == before and len(after) == 8
    assert "6 runs (epochs: 2, rate: 3), 4 of them there already" in more.stdout and more.returncode == 0
    assert sorted(ends(folder)) == sorted(f"{epochs} {rate}" for epochs in (1, 2) for rate in (0.5, 1.0, 2.0))
    assert len(ends(folder, "begin")) == 8, "a failed point is not repeated unasked"


def test_the_table_holds_every_point_of_the_folder(swept):
    rows = table(swept[0] / "out")
    assert [(row["epochs"], row["rate"]) for row in rows] == [
        (e, r) for e in "12" for r in ("0.5", "1.0", "2.0", "3.0")
    ]
    for row in rows:
        told = facts(swept[0] / "out" / row["folder"])
        assert told["status"] == row["status"] == ("failed" if row["rate"] == "3.0" else "completed")
        if row["status"] == "completed":
            assert float(row["loss"]) == float(row["rate"]) ** 2 + int(row["epochs"])
        else:
            assert row["loss"] == "" and row["error"] == "ValueError: three is <too> much"
        assert row["dataset"] == "strokes" and row["sizes"] == "[2, 4]"
        assert told["command"] == f"deepunsup run 04 -p epochs={row['epochs']} -p rate={row['rate']}"


def test_each_of_two_jobs_has_half_of_the_cores(swept):
    share = str(max(1, len(os.sched_getaffinity(0)) // 2)) if hasattr(os, "sched_getaffinity") else None
    for place in (swept[0] / "out" / "trials").iterdir():
        if facts(place)["status"] == "completed":
            assert facts(place, "seen.json")["OMP_NUM_THREADS"] in ("1", share)


def test_nothing_is_left_lying_about(swept):
    assert {path.name for path in (swept[0] / "out").iterdir()} == {
        "trials", "running", "locks", "status", "source", "results.csv", "summary.html",
    }  # fmt: skip
    assert not list((swept[0] / "out" / "running").iterdir()) and not list((swept[0] / "out" / "status").iterdir())


def test_failures_are_repeated_on_request(tmp_path):
    path = toy(tmp_path, code('if os.path.exists("broken"): raise OSError("broken")'))
    (path.parent / "broken").touch()
    words = ["sweep", "04", "-p", "epochs=1..2", "-o", "out"]
    assert deepunsup(*words, cwd=tmp_path).returncode == 1
    (path.parent / "broken").unlink()
    assert deepunsup(*words, cwd=tmp_path).returncode == 1 and ends(tmp_path) == []
    assert deepunsup(*words, "--retry-failed", cwd=tmp_path).returncode == 0
    before = points(tmp_path / "out")
    assert deepunsup(*words, "--retry-failed", cwd=tmp_path).returncode == 0
    assert points(tmp_path / "out") == before and ends(tmp_path) == ["1 0.5", "2 0.5"]


def test_what_a_key_depends_on(tmp_path):
    from deepunsup_helpers.runner.notebook.files import read_notebook

    plain = read_notebook(toy(tmp_path / "a"))
    digest = notebook_digest(plain)
    content = json.loads(json.dumps(plain.content))
    content["cells"][0]["source"] = "# Another title"
    content["cells"][-1]["outputs"] = []
    assert notebook_digest(type(plain)(plain.path, content)) == digest, "prose and outputs do not count"
    content["cells"][-1]["source"] += " "
    assert notebook_digest(type(plain)(plain.path, content)) != digest

    parameters = {"epochs": 1, "rate": 0.5}
    key = trial_key(digest, "package", parameters)
    assert key == trial_key(digest, "package", dict(reversed(parameters.items())))
    others = [
        (digest, "other", parameters),
        ("other", "package", parameters),
        (digest, "package", {"epochs": 1, "rate": 1.0}),
    ]
    assert len({key, *(trial_key(*other) for other in others)}) == 4


def test_the_data_belong_to_the_key(tmp_path, monkeypatch):
    images, table_file, data = tmp_path / "images", tmp_path / "t.csv", tmp_path / "data" / "MNIST" / "raw"
    data.mkdir(parents=True)
    images.mkdir()
    (images / "a.png").write_bytes(b"1")
    table_file.write_text("x\n1\n")
    (data / "train-images-idx3-ubyte").write_bytes(b"1")
    monkeypatch.setenv("DEEPUNSUP_DATA", str(tmp_path / "data"))
    from deepunsup_helpers.runner.sweep import trial as module

    def prints():
        module._fingerprint.cache_clear()
        requested = [f"folder:{images}", f"csv:{table_file}", "mnist", "strokes", "kmnist"]
        return [data_fingerprint({"dataset": value}) for value in requested]

    before = prints()
    assert prints() == before
    (images / "b.png").write_bytes(b"2")
    table_file.write_text("x\n2\n")
    (data / "train-images-idx3-ubyte").write_bytes(b"12")
    after = prints()
    assert [a != b for a, b in zip(before, after)] == [True, True, True, False, False]


def test_a_changed_notebook_is_computed_anew_and_the_old_figures_are_left_out(tmp_path):
    path = toy(tmp_path)
    words = ["sweep", "04", "-p", "epochs=1..2", "-o", "out"]
    assert deepunsup(*words, cwd=tmp_path).returncode == 0
    path.write_text(path.read_text().replace("rate ** 2 + epochs", "rate ** 2 + 10 * epochs"))
    assert deepunsup(*words, cwd=tmp_path).returncode == 0
    assert [float(row["loss"]) for row in table(tmp_path / "out")] == [10.25, 20.25]
    assert len(points(tmp_path / "out")) == 4
    assert "2 more runs in this folder are left out" in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")


def test_two_sweeps_into_one_folder_do_no_harm(tmp_path):
    toy(tmp_path)
    lines = [["sweep", "04", "-p", f"epochs={values}", "-o", "out", "--jobs", "2"] for values in ("1..4", "3..6")]
    both = [subprocess.Popen(command(*line), cwd=tmp_path, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True) for line in lines]  # fmt: skip
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and err == "" and "4 completed" in out
    assert sorted(ends(tmp_path)) == [f"{epochs} 0.5" for epochs in range(1, 7)]
    assert len(points(tmp_path / "out")) == 6


def test_killed_at_twenty_random_moments(tmp_path):
    """After SIGKILL and starting again, each point is there once, whole, and was not touched after it was finished."""
    toy(tmp_path)
    words = ["sweep", "04", "-p", "epochs=1..18", "-o", "out", "--jobs", "2"]
    generator = random.Random(20)
    seen: dict[str, tuple[int, int]] = {}
    counted: dict[str, int] = {}
    for _ in range(20):
        process = subprocess.Popen(command(*words), cwd=tmp_path, env=variables(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        time.sleep(generator.uniform(0.1, 4.0))
        if generator.random() < 0.5:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        now = points(tmp_path / "out") if (tmp_path / "out").exists() else {}
        assert {key: now[key] for key in seen} == seen
        seen = now
        for key in now:
            epochs = facts(tmp_path / "out" / "trials" / key, "parameters.json")["epochs"]
            counted.setdefault(key, ends(tmp_path).count(f"{epochs} 0.5"))
    last = deepunsup(*words, cwd=tmp_path, timeout=200)
    assert last.returncode == 0 and "18 completed" in last.stdout, last.stderr
    now = points(tmp_path / "out")
    assert len(now) == 18 and {key: now[key] for key in seen} == seen
    for key, count in counted.items():
        epochs = facts(tmp_path / "out" / "trials" / key, "parameters.json")["epochs"]
        assert ends(tmp_path).count(f"{epochs} 0.5") == count, "a finished point was run again"
    assert [row["epochs"] for row in table(tmp_path / "out")] == [str(epochs) for epochs in range(1, 19)]
    assert not list((tmp_path / "out" / "running").iterdir())


def test_ctrl_c_keeps_what_is_finished_and_leaves_no_kernel(tmp_path):
    toy(tmp_path, code("if epochs == 2:\n    import pathlib\n    pathlib.Path('pid.txt').write_text(str(os.getpid()))\n"
                       "    time.sleep(60)"))  # fmt: skip
    words = ["sweep", "04", "-p", "epochs=1..4", "-o", "out", "--jobs", "2"]
    process = subprocess.Popen(command(*words), cwd=tmp_path, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)  # fmt: skip
    until = time.monotonic() + 60
    while not (tmp_path / "notebooks" / "pid.txt").exists() or len(ends(tmp_path)) < 3:
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group
    out, err = process.communicate(timeout=40)
    assert process.returncode == 130 and "interrupted: give the same command again" in out and "Traceback" not in err
    assert len(points(tmp_path / "out")) == 3 and len(table(tmp_path / "out")) == 3
    pid = int((tmp_path / "notebooks" / "pid.txt").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not list((tmp_path / "out" / "running").iterdir())


def test_gpus_are_taken_in_turn(tmp_path):
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: one (UUID: a)'\necho 'GPU 1: two (UUID: b)'\n")
    tool.chmod(0o755)
    toy(tmp_path)
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    done = deepunsup(
        "sweep", "04", "-p", "epochs=1..4", "-o", "out", cwd=tmp_path, PATH=path, CUDA_VISIBLE_DEVICES=None
    )
    assert done.returncode == 0, done.stderr
    seen = {facts(place, "parameters.json")["epochs"]: facts(place, "seen.json")["CUDA_VISIBLE_DEVICES"]
            for place in (tmp_path / "out" / "trials").iterdir()}  # fmt: skip
    assert seen == {1: "0", 2: "1", 3: "0", 4: "1"}


@pytest.mark.parametrize("visible, names", [("", []), ("2,5", ["2", "5"]), ("GPU-ab", ["GPU-ab"]), ("-1", [])])
def test_the_users_choice_of_gpus_is_kept(monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus.cache_clear()
    assert gpus() == names
    gpus.cache_clear()


def test_python_does_the_same(tmp_path):
    toy(tmp_path)
    lines: list[str] = []
    result = sweep(
        "04", {"epochs": range(1, 3), "rate": [0.5, 1]}, jobs=2, output="out", cwd=tmp_path, tell=lines.append
    )
    assert result.exit_code == 0 and len(result.rows) == 4 and lines[-1] == "summary: out/summary.html"
    frame = result.table()
    assert frame.loss.tolist() == [1.25, 2.0, 2.25, 3.0] and frame.share.mean() == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_a_preset_and_a_file_lie_beneath_the_command_line(tmp_path):
    toy(tmp_path, presets={"small": {"epochs": 9, "rate": 2.0}})
    (tmp_path / "grid.yaml").write_text("rate: [0.5, 1.0]\nepochs: 5\n")
    done = deepunsup("sweep", "04", "--preset", "small", "--param-file", "grid.yaml", "-p", "epochs=1,2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "runs" / "04_toy" / "sweep")
    assert [(row["epochs"], row["rate"]) for row in rows] == [("1", "0.5"), ("1", "1.0"), ("2", "0.5"), ("2", "1.0")]
    assert deepunsup("clean", "--yes", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (["04", "-p", "epoch=1,2"], "did you mean 'epochs'"),
        (["04", "-p", "epochs=1..x"], "expected a whole number"),
        (["04", "-p", "rate=0:1"], "say how often with --sample N"),
        (["04", "--sample", "3"], "give at least one"),
        (["04", "-p", "rate=1,2", "--minimize", "loss"], "give --sample N"),
        (["04", "-p", "rate=0:1", "--sample", "3", "--minimize", "los"], "did you mean 'loss'"),
        (["04", "--preset", "none"], "no preset 'none'"),
        (["04", "--backend", "dask"], "--backend dask needs"),
        (["04", "--backend", "spark"], "spark"),
        (["04", "--address", "tcp://here:1"], "--backend dask"),
        (["04", "--param-file", "none.yaml"], "cannot read the parameter file"),
        (["77"], "no notebook 77"),
        (["04", "-p", "epochs=1,2", "-o", "notebooks/04_toy.ipynb"], "cannot make the sweep's folder"),
    ],
)
def test_bad_input_is_told_before_anything_runs(tmp_path, words, said):
    toy(tmp_path)
    done = deepunsup("sweep", *words, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert ends(tmp_path, "begin") == []


def test_random_draws_are_the_same_each_time(tmp_path):
    toy(tmp_path)
    words = ["sweep", "04", "-p", "rate=1e-4:1e-2:log", "-p", "epochs=1,2", "--sample", "3", "-o", "out", "--jobs", "2"]
    assert deepunsup(*words, cwd=tmp_path).returncode == 0
    rates = {float(row["rate"]) for row in table(tmp_path / "out")}
    assert len(table(tmp_path / "out")) == 6 and len(rates) == 3 and all(1e-4 <= rate <= 1e-2 for rate in rates)
    before = points(tmp_path / "out")
    assert "6 of them there already" in deepunsup(*words, cwd=tmp_path).stdout
    assert points(tmp_path / "out") == before
    assert deepunsup(*words, "--sample-seed", "1", cwd=tmp_path).returncode == 0
    assert len(points(tmp_path / "out")) == 12


def test_optuna_finds_the_bottom_of_a_parabola(tmp_path):
    """30 draws; the mean over two seeds is minimised; a second call has nothing left to do."""
    pytest.importorskip("optuna", reason="comes with the extra [search]")
    quick = "from deepunsup_helpers import record\nrecord(height=(rate - 1.7) ** 2 + epochs)"
    write(tmp_path / "notebooks" / "04_toy.ipynb", code(quick))
    words = ["sweep", "04", "-p", "rate=-10:10", "-p", "epochs=0,1", "--sample", "15", "--minimize", "height", "-o", "out",
             "--jobs", "2"]  # fmt: skip
    first = deepunsup(*words, cwd=tmp_path, timeout=200)
    assert first.returncode == 0, first.stderr
    rows = table(tmp_path / "out")
    assert len(rows) == 30
    best = min(rows, key=lambda row: float(row["height"]))
    heights = [(float(row["rate"]) - 1.7) ** 2 for row in rows]
    assert abs(float(best["rate"]) - 1.7) < 2.0
    assert statistics.fmean(heights) < 11.7**2 / 3 + 1, "better on the whole than draws by chance"
    before = points(tmp_path / "out")
    assert deepunsup(*words, cwd=tmp_path).returncode == 0 and points(tmp_path / "out") == before
    html = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert "The least mean of <code>height</code> comes first." in html
