"""Whole runs of tiny notebooks: what is kept, how each fault ends, and that nothing stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from toy_notebooks import code, command, deepunsup, facts, only_run, png, text, variables, write

from deepunsup_helpers.runner.console import stopping

SEEN = """
import json, os, sys
seen = {"cwd": os.getcwd(), "python": sys.executable, "data": os.environ.get("DEEPUNSUP_DATA"), "dataset": dataset,
        "epochs": epochs, "rate": rate, "startup": "planted" in globals()}
with open(os.path.join(os.environ["DEEPUNSUP_OUTPUT"], "seen.json"), "w") as file:
    json.dump(seen, file)
print("first")
"""
MODEL = """
import json, os, struct
header = json.dumps({"__metadata__": {"class": "torch.nn.Identity", "config": "{}"}}).encode()
with open(os.path.join(os.environ["DEEPUNSUP_OUTPUT"], "model.safetensors"), "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header)
"""
FIGURE = f"""
from IPython.display import display
display({{"image/png": "{png()}", "text/plain": "A grey square."}}, raw=True)
"""
PID = 'import os, pathlib\npathlib.Path("pid.txt").write_text(str(os.getpid()))\nprint("before")'


def wait_for(condition, seconds: float = 60):
    """The condition's first true value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def assert_kernel_is_gone(folder: Path):
    pid = int((folder / "notebooks" / "pid.txt").read_text())
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, seconds=5)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """One complete run: relative paths, a broken kernelspec and a start-up file in the way, read while written."""
    folder = tmp_path_factory.mktemp("good")
    write(
        folder / "notebooks" / "04_good.ipynb", code(SEEN), text("## The *first* look"), code(FIGURE),
        code("from deepunsup_helpers import record\nrecord(loss=0.25, steps=7)"), text("## Flagship: error & size"),
        code(FIGURE, "flagship"), code("record(accuracy=0.5, interrupted=True)"), code(MODEL),
        code("1 / 0", "raises-exception"), code("print('last')"), presets={"smoke": {"epochs": 1, "rate": 1}},
    )  # fmt: skip
    spec = folder / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["false"], "display_name": "broken", "language": "python"}')
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "planted.py").write_text("planted = 1")
    (folder / "images").mkdir()

    words = ["run", "good", "--preset", "smoke", "-p", "epochs=2", "-p", "dataset=folder:images"]
    process = subprocess.Popen(
        command(*words), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=variables(
            DEEPUNSUP_DATA="some/data", JUPYTER_PATH=str(folder / "jupyter"), IPYTHONDIR=str(folder / "ipython")
        ),
    )  # fmt: skip
    halves = []
    while process.poll() is None:
        for path in [*folder.glob("runs/*/*/*.json"), *folder.glob("runs/*/*/*.ipynb")]:
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                halves.append(path.name)
        time.sleep(0.005)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return folder, only_run(folder, "04_good"), out, err, [name for name in halves if name != "seen.json"]


def test_a_run_keeps_everything_it_promises(good):
    _, run, out, err, halves = good
    assert sorted(path.name for path in run.iterdir()) == [
        "04_good.ipynb", "claims.json", "figures", "metrics.json", "model.safetensors", "parameters.json",
        "report.html", "run.json", "seen.json",
    ]  # fmt: skip
    assert facts(run, "metrics.json") == {"loss": 0.25, "steps": 7.0, "accuracy": 0.5}
    assert sorted(path.name for path in (run / "figures").iterdir()) == [
        "01-the-first-look.png",
        "02-flagship-error-size.png",
    ]
    assert (run / "figures" / "01-the-first-look.png").read_bytes().startswith(b"\x89PNG")
    assert "04_good: completed" in out and "accuracy  0.5" in out and "report.html" in out
    assert err == "", "no progress line without a terminal"
    assert halves == [], "no reader ever saw half a file"


def test_run_json_says_what_happened(good):
    told = facts(good[1])
    assert told["status"] == "completed" and told["notebook"] == "04_good" and told["preset"] == "smoke"
    assert told["training_interrupted"] is True
    assert told["flagship"] == "figures/02-flagship-error-size.png"
    assert told["device"] == "cpu" and told["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert 0 < sum(cell["seconds"] for cell in told["cell_seconds"]) < told["seconds"]
    assert [cell["cell"] for cell in told["cell_seconds"]] == list(range(1, 11)), (
        "every code cell, the injected one too"
    )


def test_preset_and_assignments_reach_the_notebook_with_absolute_paths(good):
    folder, run, *_ = good
    seen = facts(run, "seen.json")
    assert (seen["epochs"], seen["rate"], seen["dataset"]) == (2, 1.0, f"folder:{folder / 'images'}")
    assert seen["data"] == str(folder / "some" / "data")
    assert Path(seen["cwd"]) == folder / "notebooks"
    told = facts(run, "parameters.json")
    assert told["epochs"] == 2 and told["quick"] is True and list(told)[:2] == ["dataset", "epochs"]


def test_the_kernel_is_this_interpreter_and_knows_no_startup_files(good):
    seen = facts(good[1], "seen.json")
    assert Path(seen["python"]) == Path(sys.executable) and seen["startup"] is False


def test_the_source_is_untouched_and_the_copy_ran_to_its_end(good):
    folder, run, *_ = good
    source = nbformat.read(folder / "notebooks" / "04_good.ipynb", as_version=4)
    assert all(not cell.outputs for cell in source.cells if cell.cell_type == "code")
    executed = nbformat.read(run / "04_good.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "last\n"


CLAIMS = """
from deepunsup_helpers import claim, record
from deepunsup_helpers.record import warn
warn("three images are black")
claim("deep beats shallow", True)
claim("more is better", lambda: [][0])
claim("on strokes it is easy", True, when=dataset == "digits")
record(loss=1)
"""


def test_claims_are_kept_counted_and_told_and_only_strict_minds(tmp_path):
    write(tmp_path / "notebooks" / "01_claims.ipynb", code(CLAIMS), presets={"smoke": {}})
    write(tmp_path / "notebooks" / "02_none.ipynb")
    done = deepunsup("run", "1", "-o", "plain", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "1 of 2 claims hold"
    assert done.stderr.splitlines() == ["warning: three images are black", "does not hold: more is better"]
    assert facts(tmp_path / "plain", "claims.json") == [
        {"text": "deep beats shallow", "holds": True, "cell": 2},
        {"text": "more is better", "holds": False, "cell": 2},
        {"text": "on strokes it is easy", "holds": None, "cell": 2},
    ]
    told = facts(tmp_path / "plain")
    assert told["claims"] == {"held": 1, "asked": 2} and told["warnings"] == ["three images are black"]

    strict = deepunsup("run", "all", "--strict", "-o", "strict", cwd=tmp_path)
    assert strict.returncode == 1 and "does not hold: more is better" in strict.stderr
    assert "2 of 2 completed" in strict.stdout and "1 of 2 claims hold" in strict.stdout
    assert (tmp_path / "strict" / "01_claims" / "report.html").exists()
    assert facts(tmp_path / "strict" / "01_claims")["status"] == "completed"

    smoke = deepunsup("run", "1", "--strict", "--preset", "smoke", "-o", "smoke", cwd=tmp_path)
    assert smoke.returncode == 0 and "claims hold" not in smoke.stdout and "does not hold" not in smoke.stderr
    assert facts(tmp_path / "smoke")["claims"] == {"held": 0, "asked": 0}
    assert len(facts(tmp_path / "smoke", "claims.json")) == 3, "recorded, not counted"


def test_a_failing_cell_ends_in_1_with_its_last_lines(tmp_path):
    long = "def deep(n):\n    return deep(n - 1) if n else {}['lost']\n"
    write(
        tmp_path / "notebooks" / "01_bad.ipynb",
        code("print('kept')"),
        text("## Where it breaks"),
        code(long + "deep(30)"),
        code("1"),
    )
    done = deepunsup("run", "1", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith('01_bad: failed in cell [3] under "Where it breaks"')
    assert "KeyError: 'lost'" in done.stderr and len(lines) <= 8, "last lines only"
    assert "deepunsup_helpers" not in done.stderr, "no traceback of ours"
    run = only_run(tmp_path, "01_bad")
    assert (
        facts(run)["status"] == "failed"
        and facts(run)["error"] == "KeyError: 'lost'"
        and facts(run)["ended_in_cell"] == 3
    )
    executed = nbformat.read(run / "01_bad.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells if cell.cell_type == "code"] == [1, 2, 3, None]
    assert "KeyError" in (run / "report.html").read_text(encoding="utf-8")


def test_the_time_limit_covers_the_whole_run(tmp_path):
    sleeps = [code("import time; time.sleep(1.5)") for _ in range(40)]
    write(tmp_path / "notebooks" / "02_slow.ipynb", code(PID), *sleeps)
    began = time.monotonic()
    done = deepunsup("run", "02", "--timeout", "6", cwd=tmp_path)
    assert time.monotonic() - began < 16, "no single cell reaches the limit"
    assert done.returncode == 3 and "time limit" in done.stderr
    run = only_run(tmp_path, "02_slow")
    assert facts(run)["status"] == "timeout" and facts(run)["seconds"] >= 6
    assert "before" in (run / "02_slow.ipynb").read_text(encoding="utf-8")
    assert "time limit" in (run / "report.html").read_text(encoding="utf-8")
    assert_kernel_is_gone(tmp_path)


def test_a_killed_kernel_ends_in_3(tmp_path):
    write(tmp_path / "notebooks" / "03_dead.ipynb", code(PID), code("import os; os.kill(os.getpid(), 9)"), code("1"))
    done = deepunsup("run", "3", cwd=tmp_path)
    assert done.returncode == 3 and "kernel died" in done.stderr
    run = only_run(tmp_path, "03_dead")
    assert facts(run)["status"] == "died" and facts(run)["ended_in_cell"] == 3 and "in cell [3]" in done.stderr
    assert "before" in (run / "03_dead.ipynb").read_text(encoding="utf-8") and (run / "report.html").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals to a process group are POSIX")
def test_ctrl_c_ends_in_130_and_keeps_what_was_done(tmp_path):
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    stubborn = (
        "import time\nfor i in range(60):\n    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n        pass"
    )
    write(tmp_path / "notebooks" / "05_long.ipynb", code(PID), code(child), code(stubborn))
    process = subprocess.Popen(
        command("run", "5"), cwd=tmp_path, env=variables(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for((tmp_path / "notebooks" / "pid.txt").exists)
    time.sleep(1)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all in the foreground
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert time.monotonic() - began < 8
    run = only_run(tmp_path, "05_long")
    assert facts(run)["status"] == "interrupted"
    assert "before" in (run / "05_long.ipynb").read_text(encoding="utf-8") and (run / "report.html").exists()
    assert_kernel_is_gone(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process that gets SIGTERM")
def test_sigterm_and_a_closed_terminal_stop_as_ctrl_c_does():
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started the tests may have set it to be ignored
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.getsignal(number)
            with stopping() as stop:
                os.kill(os.getpid(), number)
                assert stop.wait(5)
            assert signal.getsignal(number) == before
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stopping() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.2), "under nohup a closed terminal stops nothing"
    finally:
        signal.signal(signal.SIGHUP, hangup)


@pytest.mark.skipif(os.name == "nt", reason="the trick with sitecustomize needs POSIX's exit codes")
def test_a_kernel_that_fails_to_start_gets_one_more_try(tmp_path):
    """The first `starts` kernels die at once; one death is forgiven, two are not."""
    write(tmp_path / "notebooks" / "06_start.ipynb", code("print('up')"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'ipykernel_launcher' in ' '.join(sys.orig_argv):\n"
        "    with open(os.environ['STARTS'], 'a') as file: file.write('x')\n"
        "    if os.path.getsize(os.environ['STARTS']) <= int(os.environ['DEATHS']): os._exit(1)\n"
    )
    path = os.pathsep.join([str(tmp_path / "site"), variables()["PYTHONPATH"]])
    for deaths, code_expected, starts in ((1, 0, 2), (9, 3, 2)):
        count = tmp_path / f"starts{deaths}"
        done = deepunsup("run", "6", cwd=tmp_path, PYTHONPATH=path, STARTS=str(count), DEATHS=str(deaths))
        assert (done.returncode, count.stat().st_size) == (code_expected, starts), done.stderr
    assert "did not start" in done.stderr


def test_two_workers_see_half_of_the_cores_each(tmp_path):
    look = (
        "import os\nfrom deepunsup_helpers import record\n"
        "record(threads=int(os.environ['OMP_NUM_THREADS']), mkl=int(os.environ['MKL_NUM_THREADS']))"
    )
    write(tmp_path / "notebooks" / "07_one.ipynb", code(look))
    write(tmp_path / "notebooks" / "08_two.ipynb", code(look), code("import sys; sys.exit(epochs - 4)"), code("1"))
    free = {name: None for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = deepunsup("run", "all", "--jobs", "2", "-o", "out", "-p", "epochs=4", cwd=tmp_path, **free)
    assert done.returncode == 1, "one of two failed: leaving by sys.exit(0) is no success"
    from deepunsup_helpers.runner.threads import available_cores

    for name in ("07_one", "08_two"):
        share = max(1, available_cores() // 2)
        assert facts(tmp_path / "out" / name, "metrics.json") == {"threads": share, "mkl": share}
    table = done.stdout.splitlines()
    assert [line.split()[1] for line in table if line.startswith(("07_one ", "08_two "))] == ["completed", "failed"]
    assert table[-1] == "1 of 2 completed" and "SystemExit" in done.stderr
    again = deepunsup("run", "all", "-o", "out", cwd=tmp_path)
    assert again.returncode == 2 and "07_one" in again.stderr, "a finished result is never mixed with another"
