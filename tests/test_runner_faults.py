"""Faults that happened: what a notebook prints, starts or closes, kills at bad moments, a full disk, what `clean` takes."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from toy_notebooks import code, command, deepunsup, facts, variables, write

from deepunsup_helpers.runner.console import stopping
from deepunsup_helpers.runner.course.clean import find_removable, remove
from deepunsup_helpers.runner.files import is_alive
from deepunsup_helpers.runner.run import folder as run_folder
from deepunsup_helpers.runner.run.run import hidden_modules, used_threads
from deepunsup_helpers.runner.run.worker import overwritten

posix = pytest.mark.skipif(os.name == "nt", reason="signals and forks are POSIX")
DAEMON = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", '''
import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
open("daemon.pid", "w").write(str(os.getpid()))
time.sleep(120)
'''])
"""


def wait_for(condition, seconds: float = 30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def gone(file: Path) -> bool:
    pid = int(file.read_text())
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@posix
def test_long_lines_raw_bytes_and_a_daemon_child_do_no_harm(tmp_path):
    """nbclient needs minutes for such a line; a daemon child has left its parent and its session."""
    long = "print('x' * 4_000_000)\nprint('y' * 100_000, end='')\nimport sys\nprint('e' * 300_000, file=sys.stderr)"
    write(
        tmp_path / "notebooks" / "01_loud.ipynb", code(long), code(DAEMON),
        code(r"import os; os.write(1, b'\xff\xfe raw\n'); print('\udcff lone')"),
        code("for i in range(300): print('\\r', i, end='', flush=True)"),
    )  # fmt: skip
    done = deepunsup("run", "1", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out" / "01_loud.ipynb", as_version=4).cells[2:]
    printed = [{output.name: output.text for output in cell.outputs if "name" in output} for cell in cells]
    assert printed[0] == {"stdout": "x" * 4_000_000 + "\n" + "y" * 100_000, "stderr": "e" * 300_000 + "\n"}
    assert "lone" in printed[2]["stdout"] and printed[3]["stdout"] == " 299"
    assert facts(tmp_path / "out")["cell_seconds"][1]["seconds"] < 5
    wait_for(lambda: gone(tmp_path / "notebooks" / "daemon.pid"), 5)


def test_what_a_carriage_return_overwrites_is_gone():
    assert overwritten("1 %\r50 %\r100 %\nnext\n") == "100 %\nnext\n"
    assert overwritten("dos\r\nline\r") == "dos\r\nline\r" and overwritten("plain\n") == "plain\n"


def test_a_metric_recorded_before_a_silent_cell_survives_the_death_of_the_worker(tmp_path):
    kill = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)"
    write(
        tmp_path / "notebooks" / "01_toy.ipynb", code("from deepunsup_helpers import record\nrecord(a=1)"), code(kill)
    )
    done = deepunsup("run", "1", "-o", "out", cwd=tmp_path)
    assert done.returncode == 3 and "its process was ended by signal 9" in done.stderr
    assert facts(tmp_path / "out", "metrics.json") == {"a": 1} and facts(tmp_path / "out")["status"] == "died"


def test_memory_is_blamed_for_a_killed_kernel_only(tmp_path):
    write(tmp_path / "notebooks" / "01_left.ipynb", code("import os; os._exit(3)"))
    write(tmp_path / "notebooks" / "02_killed.ipynb", code("import os; os.kill(os.getpid(), 9)"))
    done = deepunsup("run", "all", "-o", "out", "--jobs", "2", cwd=tmp_path)
    left, killed = sorted(line for line in done.stderr.splitlines() if "the kernel died" in line)
    assert left.endswith("it left with exit status 3") and killed.endswith("killed by SIGKILL")
    assert done.stderr.count("ran out of memory") == 1


@posix
def test_when_the_command_is_killed_kernel_and_children_go_within_seconds(tmp_path):
    here = "import os; open('kernel.pid', 'w').write(str(os.getpid()))"
    write(tmp_path / "notebooks" / "01_toy.ipynb", code(here), code(DAEMON), code("import time; time.sleep(100)"))
    process = subprocess.Popen(command("run", "1", "-o", "out"), cwd=tmp_path, env=variables(), start_new_session=True)
    wait_for((tmp_path / "notebooks" / "daemon.pid").exists)
    time.sleep(0.3)
    process.kill()
    process.wait()
    for name in ("kernel.pid", "daemon.pid"):
        wait_for(lambda name=name: gone(tmp_path / "notebooks" / name), 12)
    assert not is_alive(tmp_path / "out" / "run.json"), "it says running, but nobody is"


@posix
def test_when_the_lab_command_is_killed_its_server_goes(tmp_path):
    write(tmp_path / "notebooks" / "01_toy.ipynb")
    (tmp_path / "notebooks" / "dangling.csv").symlink_to("nowhere.csv")
    (tmp_path / "notebooks" / "folder").mkdir()
    (tmp_path / "notebooks" / "folder" / "dangling").symlink_to("nowhere")
    (tmp_path / "fake" / "jupyterlab").mkdir(parents=True)
    (tmp_path / "fake" / "jupyterlab" / "__init__.py").touch()
    (tmp_path / "fake" / "jupyterlab" / "__main__.py").write_text(
        "import os, pathlib, time\npathlib.Path('server.pid').write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    path = os.pathsep.join([str(tmp_path / "fake"), variables()["PYTHONPATH"]])
    process = subprocess.Popen(command("lab"), cwd=tmp_path, env=variables(PYTHONPATH=path), stdout=subprocess.DEVNULL)
    pid = tmp_path / "work" / "server.pid"
    wait_for(lambda: pid.exists() and pid.read_text())
    process.kill()
    process.wait()
    wait_for(lambda: gone(pid), 5)


def test_ctrl_c_while_the_command_still_imports_shows_no_traceback(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    done = deepunsup("list", cwd=tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), variables()["PYTHONPATH"]]))
    assert (done.returncode, done.stderr) == (130, "")


@posix
def test_ctrl_c_while_the_kernel_starts_ends_in_130(tmp_path):
    write(tmp_path / "notebooks" / "01_toy.ipynb", code("import time; time.sleep(60)"))
    process = subprocess.Popen(
        command("run", "1", "-o", "out"), cwd=tmp_path, env=variables(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for((tmp_path / "out" / "parameters.json").exists)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err and process.returncode == 130 and facts(tmp_path / "out")["status"] == "interrupted"


@posix
def test_a_second_ctrl_c_interrupts_what_the_first_only_asked_to_end():
    with pytest.raises(KeyboardInterrupt), stopping() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_on_a_full_disk_the_status_is_true(tmp_path, monkeypatch):
    running = {"status": "running", "notebook": "04_toy", "versions": {"python": "3.11"}}
    run_folder.write_run(tmp_path, running)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "write_json", full)
    run_folder.write_run(tmp_path, running | {"status": "completed"})
    told = {"status": "failed", "notebook": "04_toy", "error": "No space left on device"}
    assert facts(tmp_path) == told
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_modules_beside_the_notebook_are_found_and_hide_none_of_pythons(tmp_path):
    look = "import helpers, random\nassert helpers.x == 1 and random.random() < 1"
    write(tmp_path / "notebooks" / "01_toy.ipynb", code(look))
    (tmp_path / "notebooks" / "helpers.py").write_text("x = 1")
    for name in ("random.py", "types.py", "json.py"):
        (tmp_path / "notebooks" / name).write_text("raise ImportError('not me')")
    done = deepunsup("run", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_threads_are_a_number_or_a_range():
    assert [used_threads(seen) for seen in ([2, 2], [1, 2], [3], [])] == [2, "1 to 2", 3, None]


def test_files_that_hide_pythons_modules_are_named(tmp_path):
    for name in ("random.py", "helpers.py", "json.py"):
        (tmp_path / name).touch()
    (line,) = hidden_modules(tmp_path)
    assert line.startswith("json.py, random.py beside the notebook") and "memory" not in line


def run_at(folder: Path, status: str = "completed", files: tuple[str, ...] = ("report.html",), **about) -> Path:
    """A run's folder: run.json says that `files` are its own."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    folder.mkdir(parents=True, exist_ok=True)
    content = {"status": status, "pid": os.getpid(), "host": socket.gethostname(), "files": list(files)} | about
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def cleaned(cwd: Path) -> set[str]:
    """What is left below runs/ after cleaning."""
    remove(find_removable(cwd), cwd)
    left = [path for path in (cwd / "runs").rglob("*") if path.is_symlink() or path.is_file()]
    return {path.relative_to(cwd / "runs").as_posix() for path in left}


def test_clean_keeps_a_users_own_files_and_follows_no_link(tmp_path):
    run = run_at(tmp_path / "runs" / "04" / "a", files=("report.html", "figures/01.png", "mine.ipynb"))
    (run / "notes.txt").write_text("mine")
    later = time.time() + 60
    os.utime(run / "mine.ipynb", (later, later))  # edited after the run
    (tmp_path / "elsewhere").mkdir()
    run_at(tmp_path / "elsewhere" / "b")
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere")
    (run / "data").symlink_to(tmp_path / "elsewhere")
    found = find_removable(tmp_path)
    assert {path.name for path in found.foreign} == {"notes.txt", "mine.ipynb", "data"}
    assert cleaned(tmp_path) == {"04/a/notes.txt", "04/a/mine.ipynb", "04/a/data", "linked"}
    assert (tmp_path / "elsewhere" / "b" / "report.html").exists()


def test_clean_survives_nested_runs_and_keeps_the_busy_one_inside(tmp_path):
    outer = run_at(tmp_path / "runs" / "outer")
    run_at(outer / "done")
    run_at(outer / "busy", status="running")
    assert [path.name for path in find_removable(tmp_path).busy] == ["busy"]
    assert cleaned(tmp_path) == {"outer/busy/report.html", "outer/busy/run.json"}


@pytest.mark.parametrize("alive", [True, False])
def test_clean_keeps_a_sweep_just_begun_whole(alive, tmp_path):
    sweep = tmp_path / "runs" / "04" / "sweep"
    for name in ("trials", "running", "locks", "status", "source"):
        (sweep / name).mkdir(parents=True)
    (sweep / "source" / "04.ipynb").write_text("{}")
    (sweep / "sweep.json").write_text(
        json.dumps({"status": "running", "pid": os.getpid() if alive else 2**30, "host": socket.gethostname()})
    )
    run_at(sweep / "trials" / "k1")
    (sweep / "mine.txt").write_text("mine")
    left = cleaned(tmp_path)
    assert left == {f"04/sweep/{name}" for name in (
        ["mine.txt", "sweep.json", "source/04.ipynb", "trials/k1/run.json", "trials/k1/report.html"] if alive else ["mine.txt"]
    )}  # fmt: skip


def test_a_killed_run_is_no_longer_busy_and_its_known_files_go(tmp_path):
    run = run_at(
        tmp_path / "runs" / "04" / "a", status="running", files=("metrics.json", "04_toy.ipynb", "own.txt"), pid=2**30
    )
    content = facts(run) | {"notebook": "04_toy"}
    del content["files"]
    (run / "run.json").write_text(json.dumps(content))
    assert cleaned(tmp_path) == {"04/a/own.txt"}
    (run / "run.json").write_text("{ damaged")
    assert cleaned(tmp_path) == {"04/a/own.txt"}


def test_a_number_that_another_process_has_now_is_not_the_run(tmp_path):
    run = run_at(tmp_path, status="running")
    assert is_alive(run / "run.json")
    os.utime(run / "run.json", (1, 1))  # from long before this process began
    assert not is_alive(run / "run.json")
    run_at(tmp_path, status="running", host="another machine", pid=2**30)
    assert is_alive(run / "run.json"), "nobody here knows"
    assert not is_alive(tmp_path / "nothing.json")
