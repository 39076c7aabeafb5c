"""One trial of a sweep: its key, its folder, and how it is computed, on whatever machine.

DIR/trials/KEY/      a finished run: there whole, or not at all, and never touched again
DIR/running/         runs under way; moved to trials/ when they end
DIR/damaged/         finished runs whose files could no longer be read
DIR/locks/KEY.lock   held by whoever computes KEY; the system frees it when that process dies
DIR/status/KEY.json  where a run is; the only thing the progress line reads
DIR/source/          the notebook as it was when the sweep was started
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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import CommandError, describe_os_error
from ..files import write_json
from ..notebook.digest import code_digest
from ..notebook.files import PACKAGE_ROOT, Notebook, read_notebook
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
    """What is needed to compute one trial; it travels to other machines.

    Args:
        key: names the trial, see `trial_key`; `label` is for people.
        index: its number in the sweep, for taking GPUs in turn.
        notebook: the copy to run; `folder` is where it works, if that folder is there.
        parameters: all of them; `values` are those to inject.
        output: the sweep's folder.
        side_by_side: runs at work at once on one machine.
        threads: the thread variables of whoever started the sweep: upper limits.
        data: DEEPUNSUP_DATA, absolute, or None.
        sweep: who started it: id, host, process.
        retry: whether a failure that is older than `began` is computed again.
        state: digests of code and data that the key stands for.
    """

    key: str
    label: str
    index: int
    notebook: Path
    folder: Path
    parameters: dict[str, Any]
    values: dict[str, Any]
    preset: str | None
    timeout: float | None
    output: Path
    command: str
    side_by_side: int
    threads: dict[str, str]
    data: str | None
    sweep: tuple[str, str, int]
    retry: bool
    began: float
    state: tuple[str, str]

    @property
    def place(self) -> Path:
        """The folder of the finished run."""
        return self.output / "trials" / self.key


def trial_key(state: tuple[str, str], parameters: Mapping[str, Any]) -> str:
    """Names a trial: the same for the same code, data and parameters, whatever their order.

    Args:
        state: digests of code (`code_digest`) and data (`data_digest`).
    """
    facts = json.dumps([*state, parameters], sort_keys=True, default=repr)
    return hashlib.sha256(facts.encode()).hexdigest()[:20]


def data_digest(names: Iterable[str], data: str | None) -> str:
    """What distinguishes the files behind `data_names`: contents of single files; names, sizes and times in folders.

    MNIST and the like count by the files in `data` (DEEPUNSUP_DATA) where that is set; generated data are code.
    """
    digest = hashlib.sha256()
    for value in names:
        path = Path(value.partition(":")[2])
        folders = [path]
        if value in TORCHVISION_SETS:
            name = value.replace("_", "")
            folders = [raw for raw in Path(data or os.devnull).glob("*/raw") if raw.parent.name.lower() == name]
        elif path.is_file():
            digest.update(path.read_bytes())
            continue
        for folder in sorted(folders):
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    facts = file.stat()
                    line = f"{file.relative_to(folder).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\0"
                    digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def data_names(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The values that stand for data in files, in order."""
    texts = {value for value in parameters.values() if isinstance(value, str)}
    return tuple(sorted(text for text in texts if text.startswith(PATH_PREFIXES) or text in TORCHVISION_SETS))


def package_digest() -> str:
    """SHA-256 of the package's .py files, names and contents: whether two machines have the same."""
    digest = hashlib.sha256()
    for path in sorted((PACKAGE_ROOT / "deepunsup_helpers").rglob("*.py")):
        digest.update(path.relative_to(PACKAGE_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def state_now(trial: Trial) -> tuple[str, str]:
    """Digests of the code and the data as this machine sees them."""
    notebook = Notebook(trial.folder / trial.notebook.name, read_notebook(trial.notebook).content)
    return code_digest(notebook), data_digest(data_names(trial.parameters), trial.data)


def run_trial(trial: Trial) -> tuple[str, str]:
    """Compute one trial, unless it is there or somebody else is at it.

    Returns:
        key, and DONE when the trial is there now, BUSY when somebody else computes it, STOPPED, CHANGED when it is not kept
        since code or data are no longer those of its key, or in a few words why it could not be kept.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(trial.output / "locks" / f"{trial.key}.lock", timeout=0):
            return trial.key, _compute(trial)
    except Timeout:
        return trial.key, BUSY
    except CommandError as error:
        return trial.key, str(error)
    except OSError as error:
        return trial.key, describe_os_error(error)


def _compute(trial: Trial) -> str:
    """The trial, whose lock is held."""
    if stop_asked(trial):
        return STOPPED
    row = read_row(trial.place)
    if row and not repeats(trial, row):
        return DONE
    here = trial.sweep[1] == socket.gethostname()
    state = trial.state if here else state_now(trial)  # another machine may keep its data elsewhere
    if state_now(trial) != state:
        return _changed(trial)
    under_way = trial.output / "running" / f"{trial.key}-{uuid.uuid4().hex[:8]}"
    status = trial.output / "status" / f"{trial.key}.json"
    stop = threading.Event()
    request = Request(
        notebook=read_notebook(trial.notebook), values=trial.values, preset=trial.preset, timeout=trial.timeout,
        output=str(under_way), cwd=trial.output, folder=trial.folder if trial.folder.is_dir() else None,
        environment=trial_environment(trial), command=trial.command,
    )  # fmt: skip
    try:
        finished = run_notebook(request, stop=stop, progress=_Watch(trial, status, stop))
    except BaseException:
        _clear(trial)
        raise
    finally:
        status.unlink(missing_ok=True)
    if finished.status == "interrupted":
        end = STOPPED
    elif state_now(trial) != state:
        end = _changed(trial)
    else:
        if trial.place.exists():  # an older failure makes room, a damaged run is put aside
            aside = trial.output / ("running" if row else "damaged") / f"{trial.key}-{uuid.uuid4().hex[:8]}"
            aside.parent.mkdir(exist_ok=True)
            trial.place.rename(aside)
        under_way.rename(trial.place)
        end = DONE
    _clear(trial)
    return end


def _clear(trial: Trial) -> None:
    """Remove what runs of the trial left behind that were cut off."""
    for leftover in (trial.output / "running").glob(f"{trial.key}-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def repeats(trial: Trial, row: Row) -> bool:
    """Whether a finished trial is to be computed again: a failure from before this sweep, when asked for."""
    return trial.retry and not row.completed and (trial.place / "run.json").stat().st_mtime < trial.began


def stop_file(trial: Trial) -> Path:
    """While it exists, the sweep's runs are to end."""
    return trial.output / "status" / f"{trial.sweep[0]}.stop"


def _changed(trial: Trial) -> str:
    """End the sweep's other runs too: theirs would not be kept either."""
    stop_file(trial).touch()
    return CHANGED


def stop_asked(trial: Trial) -> bool:
    """Whether the sweep wants its runs to end, or is gone from this machine."""
    if stop_file(trial).exists():
        return True
    _, host, process = trial.sweep
    if host != socket.gethostname():
        return False
    import psutil

    return not psutil.pid_exists(process)


class _Watch:
    """Writes the status file from a run's progress, and passes on the wish to stop."""

    def __init__(self, trial: Trial, status: Path, stop: threading.Event):
        self.trial, self.status, self.stop = trial, status, stop
        self._next = 0.0

    def __call__(self, outcome: Outcome) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + STATUS_EVERY
        cell = 0 if outcome.last_cell is None else outcome.last_cell + 1
        with contextlib.suppress(OSError):  # a full disk must not cost the run its progress line
            write_json(self.status, {"cell": cell, "total": outcome.total})
        if stop_asked(self.trial):
            self.stop.set()


def trial_environment(trial: Trial) -> dict[str, str]:
    """Variables of a run: its part of the cores, so that a repetition has as many; its GPU; where the data lie."""
    environment = thread_variables(trial.side_by_side, trial.threads, fixed=True)
    devices = gpus()
    if devices:
        environment["CUDA_VISIBLE_DEVICES"] = devices[trial.index % len(devices)]
    if trial.data:
        environment["DEEPUNSUP_DATA"] = trial.data
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
