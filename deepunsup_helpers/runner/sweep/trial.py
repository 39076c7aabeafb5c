"""One point of a sweep: its key, its folder, and the task that computes it on whatever machine.

DIR/trials/KEY/      a finished run: there whole, or not at all, and never touched again
DIR/running/         runs under way; moved to trials/ when they end
DIR/locks/KEY.lock   held by the process that computes KEY; the system frees it when that process dies
DIR/status/KEY.json  where a run is; the only thing the progress line reads
DIR/source/          the notebook as it was when the sweep was started
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import CommandError, describe_os_error
from ..files import write_json
from ..notebook.files import PACKAGE_ROOT, Notebook, read_notebook, source_of, tags_of
from ..notebook.parameters import PATH_PREFIXES
from ..run.execution import Outcome
from ..run.folder import status_of
from ..run.run import Request, run_notebook
from ..threads import THREAD_VARIABLES, available_cores

STATUS_EVERY = 0.5  # seconds between two looks at the stop file and two writings of a status
TORCHVISION_SETS = ("mnist", "fashion_mnist", "kmnist")


@dataclass(frozen=True)
class Trial:
    """What a worker needs to compute one point; it travels to other machines.

    Args:
        key: names the point, see `trial_key`.
        index: the point's number in its sweep, for taking GPUs in turn.
        notebook: the copy to run; `folder` is where it works, if that folder is there.
        values: parameters to inject, those at their defaults left out.
        output: the sweep's folder.
        share: runs at work at once on one machine; 0 leaves the threads alone.
        threads: at most so many, or None.
        sweep: who started it: id, host, pid.
        retry: whether a failure that is older than `began` is computed again.
    """

    key: str
    index: int
    notebook: Path
    folder: Path
    values: dict[str, Any]
    preset: str | None
    timeout: float | None
    output: Path
    command: str
    share: int
    threads: int | None
    data: str | None
    sweep: tuple[str, str, int]
    retry: bool
    began: float


def notebook_digest(notebook: Notebook) -> str:
    """SHA-256 of the notebook's code: sources and tags of its code cells. Prose and outputs do not count."""
    code = [[source_of(cell), tags_of(cell)] for cell in notebook.cells if cell.get("cell_type") == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def package_digest() -> str:
    """SHA-256 of the package's .py files, names and contents."""
    digest = hashlib.sha256()
    for path in sorted((PACKAGE_ROOT / "deepunsup_helpers").rglob("*.py")):
        digest.update(path.relative_to(PACKAGE_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def data_fingerprint(values: Mapping[str, Any]) -> str:
    """What distinguishes the files that the parameters name: contents of single files, names, sizes and times in folders.

    MNIST and its kin count by the files in DEEPUNSUP_DATA where that is set. Generated data are part of the package.
    """
    return _fingerprint(tuple(sorted({value for value in values.values() if isinstance(value, str)})),
                        os.environ.get("DEEPUNSUP_DATA", ""))  # fmt: skip


@cache
def _fingerprint(values: tuple[str, ...], data: str) -> str:
    digest = hashlib.sha256()
    for value in values:
        prefix, _, path = value.partition(":")
        if value.startswith(PATH_PREFIXES) and Path(path).is_file():
            digest.update(Path(path).read_bytes())
        elif value.startswith(PATH_PREFIXES):
            _add_folder(digest, Path(path))
        elif value in TORCHVISION_SETS and data:
            for folder in sorted(Path(data).expanduser().glob("*/raw")):
                if folder.parent.name.lower() == value.replace("_", ""):
                    _add_folder(digest, folder)
    return digest.hexdigest()


def _add_folder(digest: Any, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            facts = path.stat()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())


def trial_key(notebook: str, package: str, parameters: Mapping[str, Any]) -> str:
    """The name of a point: 20 hexadecimal digits of the SHA-256 of all that its figures depend on.

    Args:
        notebook, package: their digests.
        parameters: every parameter, resolved.
    """
    facts = [notebook, package, json.dumps(parameters, sort_keys=True, default=repr), data_fingerprint(parameters)]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:20]


def run_trial(task: Trial) -> tuple[str, str]:
    """Compute one point, unless it is there or somebody else is at it.

    Returns:
        key, and "" when the point is there now, "busy" when another process computes it, "stopped", or in a few words
        why it could not even be kept.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(task.output / "locks" / f"{task.key}.lock", timeout=0):
            return task.key, _compute(task)
    except Timeout:
        return task.key, "busy"
    except CommandError as error:
        return task.key, str(error)
    except OSError as error:
        return task.key, describe_os_error(error)


def _compute(task: Trial) -> str:
    """The point, whose lock is held."""
    place = task.output / "trials" / task.key
    if stop_asked(task) or (place.exists() and not repeats(task, place)):
        return "stopped" if stop_asked(task) else ""
    under_way = task.output / "running" / f"{task.key}-{uuid.uuid4().hex[:8]}"
    status = task.output / "status" / f"{task.key}.json"
    stop = threading.Event()
    request = Request(
        notebook=read_notebook(task.notebook), values=task.values, preset=task.preset, timeout=task.timeout,
        output=str(under_way), cwd=task.output, folder=task.folder if task.folder.is_dir() else None,
        environment=task_environment(task), command=task.command,
    )  # fmt: skip
    try:
        finished = run_notebook(request, stop=stop, progress=_Watch(task, status, stop))
        if finished.status == "interrupted":
            return "stopped"
        if place.exists():  # an older failure makes room
            place.rename(task.output / "running" / f"{task.key}-old-{uuid.uuid4().hex[:8]}")
        under_way.rename(place)
    finally:
        status.unlink(missing_ok=True)
        for leftover in (task.output / "running").glob(f"{task.key}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    return ""


def repeats(task: Trial, place: Path) -> bool:
    """Whether a finished point is to be computed again: a failure from before this sweep, when asked for."""
    return task.retry and status_of(place) != "completed" and (place / "run.json").stat().st_mtime < task.began


def stop_asked(task: Trial) -> bool:
    """Whether the sweep wants its runs to end, or is gone from this machine."""
    identity, host, pid = task.sweep
    if (task.output / "status" / f"{identity}.stop").exists():
        return True
    if host != socket.gethostname():
        return False
    import psutil

    return not psutil.pid_exists(pid)


class _Watch:
    """Writes the status file from a run's progress, and passes on the value to stop."""

    def __init__(self, task: Trial, status: Path, stop: threading.Event):
        self.task, self.status, self.stop = task, status, stop
        self._next = 0.0

    def __call__(self, outcome: Outcome) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + STATUS_EVERY
        cell = 0 if outcome.last_cell is None else outcome.last_cell + 1
        write_json(self.status, {"cell": cell, "total": outcome.total, "seconds": round(outcome.seconds, 1),
                                 "sweep": self.task.sweep[0], "host": socket.gethostname()})  # fmt: skip
        if stop_asked(self.task):
            self.stop.set()


def task_environment(task: Trial) -> dict[str, str]:
    """Variables of a run: its share of the cores, its GPU, where the data lie."""
    environment = {}
    if task.share:
        threads = max(1, available_cores() // task.share)
        threads = min(threads, task.threads or threads)
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    devices = gpus()
    if devices:
        environment["CUDA_VISIBLE_DEVICES"] = devices[task.index % len(devices)]
    if task.data:
        environment["DEEPUNSUP_DATA"] = task.data
    return environment


@cache
def gpus() -> list[str]:
    """Names of this machine's CUDA devices, as CUDA_VISIBLE_DEVICES takes them, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "" and "ray" in sys.modules:  # Ray hides them from a task that asked for none
        visible = None
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]
