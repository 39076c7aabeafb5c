"""One trial of a sweep: its key, its folder, and how it is computed, on whatever machine.

DIR/trials/KEY/      a finished run: there whole, or not at all, and never touched again
DIR/running/         runs under way; moved to trials/ when they end
DIR/damaged/         finished runs whose files could no longer be read
DIR/locks/KEY.lock   held by whoever computes KEY; the system frees it when that process dies
DIR/status/KEY.txt   where a run is; the only thing the progress line reads
DIR/source/          the notebook as it was when the sweep was started
DIR/sweep.json       whose process is at work, if any
"""

import contextlib
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import CommandError, describe_os_error
from ..notebook.digest import code_digest
from ..notebook.files import PACKAGE_ROOT, Notebook
from ..notebook.parameters import PATH_PREFIXES
from ..run.execution import Outcome
from ..run.run import Request, run_notebook
from ..threads import thread_variables
from .table import Row, read_row

STATUS_EVERY = 0.5  # seconds between two looks at the stop file and two writings of a status
TORCHVISION_SETS = ("mnist", "fashion_mnist", "kmnist")
DONE, BUSY, STOPPED, CHANGED = "", "busy", "stopped", "changed"  # what run_trial says; all else is a problem in words


@dataclass(frozen=True)
class Trial:
    """What is needed to compute one trial; it travels to other machines."""

    key: str  # names it, see `trial_key`
    label: str  # for people
    request: Request  # its environment: what whoever started the sweep set, upper limits of threads and the data
    parameters: dict[str, Any]  # all of them; the request has those that depart from the defaults
    output: Path  # the sweep's folder
    stop_file: Path  # while it exists, the sweep's runs are to end
    index: int  # its number in the sweep, for taking GPUs in turn
    side_by_side: int  # runs at work at once on one machine
    host: str  # on which the sweep was started
    retry_before: float  # failures older than this (seconds since 1970) are computed again

    @property
    def place(self) -> Path:
        """The folder of the finished run."""
        return self.output / "trials" / self.key


def trial_key(state: tuple[str, str], parameters: Mapping[str, Any]) -> str:
    """Names a trial: the same for the same state (digests of code and data) and parameters, whatever their order."""
    facts = json.dumps([*state, parameters], sort_keys=True, default=repr)
    return hashlib.sha256(facts.encode()).hexdigest()[:20]


def data_digest(parameters: Mapping[str, Any], data: str | None) -> str:
    """What distinguishes the files that parameters name: contents of single files; names, sizes and times in folders.

    MNIST and the like count by the files in `data` (DEEPUNSUP_DATA) where that is set; generated data are code.
    """
    digest = hashlib.sha256()
    for value in sorted({value for value in parameters.values() if isinstance(value, str)}):
        folders = []
        if value in TORCHVISION_SETS:
            name = value.replace("_", "")
            folders = [raw for raw in Path(data or os.devnull).glob("*/raw") if raw.parent.name.lower() == name]
        elif value.startswith(PATH_PREFIXES):
            path = Path(value.partition(":")[2])
            folders = [path]
            digest.update(path.read_bytes() if path.is_file() else b"")
        for folder in folders:
            for file in sorted(file for file in folder.rglob("*") if file.is_file()):
                facts = file.stat()
                line = f"{file.relative_to(folder).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\0"
                digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def package_digest() -> str:
    """SHA-256 of the package's .py files, names and contents: whether two machines have the same."""
    digest = hashlib.sha256()
    for path in sorted((PACKAGE_ROOT / "deepunsup_helpers").rglob("*.py")):
        digest.update(path.relative_to(PACKAGE_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def key_now(trial: Trial) -> str:
    """The trial's key with the code and the data as this machine sees them."""
    notebook = Notebook(trial.request.workplace / trial.request.notebook.path.name, trial.request.notebook.content)
    data = data_digest(trial.parameters, trial.request.environment.get("DEEPUNSUP_DATA"))
    return trial_key((code_digest(notebook), data), trial.parameters)


def run_trial(trial: Trial) -> str:
    """Compute one trial, unless it is there or somebody else is at it.

    Returns:
        DONE when the trial is there now, BUSY when somebody else computes it, STOPPED, CHANGED when it is not kept since
        code or data are no longer those of its key, or in a few words why it could not be kept.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(trial.output / "locks" / f"{trial.key}.lock", timeout=0):
            end = _compute(trial)
        if end == CHANGED:  # what else runs would not be kept either
            trial.stop_file.touch()
        return end
    except Timeout:
        return BUSY
    except OSError as error:
        return describe_os_error(error)
    except Exception as error:  # whatever one run ends with, the others go on
        return str(error) if isinstance(error, CommandError) else f"internal error, {type(error).__name__}: {error}"


def _compute(trial: Trial) -> str:
    """The trial, whose lock is held."""
    row = read_row(trial.place)
    if trial.stop_file.exists():
        return STOPPED
    if row and not repeats(trial, row):
        return DONE
    key = key_now(trial)
    if key != trial.key and trial.host == socket.gethostname():  # another machine may keep its data elsewhere
        return CHANGED
    name, stop = f"{trial.key}-{uuid.uuid4().hex[:8]}", threading.Event()
    under_way, status = trial.output / "running" / name, trial.output / "status" / f"{trial.key}.txt"
    try:
        finished = run_notebook(request_here(trial, under_way), stop=stop, progress=watching(trial, status, stop))
        if finished.status == "interrupted":
            return STOPPED
        if key_now(trial) != key:
            return CHANGED
        if trial.place.exists():  # an older failure makes room, a damaged run is put aside
            aside = trial.output / ("running" if row else "damaged") / f"{name}-old"
            aside.parent.mkdir(exist_ok=True)
            trial.place.rename(aside)
        under_way.rename(trial.place)
        return DONE
    finally:
        status.unlink(missing_ok=True)
        for leftover in (trial.output / "running").glob(f"{trial.key}-*"):
            shutil.rmtree(leftover, ignore_errors=True)


def repeats(trial: Trial, row: Row) -> bool:
    """Whether a finished trial is to be computed again: a failure from before this sweep, when asked for."""
    return not row.completed and (trial.place / "run.json").stat().st_mtime < trial.retry_before


def watching(trial: Trial, status: Path, stop: threading.Event) -> Callable[[Outcome], None]:
    """A run's progress, which now and then writes the status file and looks whether the sweep is to stop."""
    due = 0.0

    def progress(outcome: Outcome) -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + STATUS_EVERY
        where = "starting" if outcome.last_cell is None else f"cell {outcome.last_cell + 1}/{outcome.total}"
        with contextlib.suppress(OSError):  # a full disk must not cost the run its progress line
            status.write_text(where, encoding="utf-8")
        if trial.stop_file.exists():
            stop.set()

    return progress


def request_here(trial: Trial, output: Path) -> Request:
    """The run on this machine, with its part of the cores (fixed, so that a repetition has as many) and its GPU."""
    environment, folder = trial.request.environment, trial.request.workplace
    environment = environment | thread_variables(trial.side_by_side, environment, fixed=True)
    if devices := gpus():
        environment["CUDA_VISIBLE_DEVICES"] = devices[trial.index % len(devices)]
    folder = folder if folder.is_dir() else None  # a machine may have the sweep's folder alone
    return replace(trial.request, output=str(output), folder=folder, environment=environment)


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
