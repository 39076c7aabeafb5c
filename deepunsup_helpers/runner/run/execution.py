"""Watching over one execution: progress, the time limit, Ctrl-C, and nothing left running afterwards."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..notebook.files import Notebook
from .kernels import MARK, end_processes, jupyter_environment

GRACE = 8.0  # seconds a worker gets to save its notebook and end its kernel
ERROR_LINE = re.compile(r"\s*((?:\w+\.)*\w*(?:Error|Exception)\b.*)")
OWN_GROUP = {"creationflags": 0x200} if os.name == "nt" else {"start_new_session": True}  # Ctrl-C is ours to pass on


@dataclass(frozen=True)
class Request:
    """What to run: a notebook with checked values; nothing in it can be refused any more.

    Args:
        values: parameters that depart from the notebook's defaults.
        timeout: seconds for the whole run, or None.
        output: the folder for the results, relative to the cwd, or None for a dated one.
        cwd: the folder the command was given in.
        folder: where the notebook works; its own unless it runs from a copy.
        environment: variables that go over those of this process.
        command: what repeats the run, where that is not this process's own command line.
        strict: whether a claim that does not hold makes the exit code 1.
    """

    notebook: Notebook
    values: dict[str, Any]
    preset: str | None = None
    timeout: float | None = None
    output: str | None = None
    cwd: Path = field(default_factory=Path.cwd)
    folder: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    command: str | None = None
    strict: bool = False

    @property
    def workplace(self) -> Path:
        """The folder that relative paths in the notebook start from."""
        return self.folder or self.notebook.path.parent


@dataclass
class Outcome:
    """How an execution ended: `status` is completed, failed, timeout, died or interrupted.

    The worker's events set `total`, `last_cell`, and at the end `status`, `message` and `facts`.
    """

    status: str = "died"
    seconds: float = 0.0
    message: str = ""
    last_cell: int | None = None
    total: int = 0
    cell_seconds: dict[int, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """'cell 12 of 38', or 'starting'."""
        return "starting" if self.last_cell is None else f"cell {self.last_cell + 1} of {self.total}"


def execute(request: Request, results: Path, *, stop: threading.Event, progress: Callable[[Outcome], None]) -> Outcome:
    """Execute a notebook in a process of its own and wait for its end.

    Args:
        results: where the executed notebook goes, under its own name, and what it saves (DEEPUNSUP_OUTPUT); absolute.
        stop: set from outside (a signal) to interrupt; whatever was done until then is kept.
        progress: called a few times a second.
    """
    began, outcome, mark = time.monotonic(), Outcome(), uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="deepunsup-", ignore_cleanup_errors=True) as scratch:
        process = _start(request, results, Path(scratch), mark)
        try:
            reader = threading.Thread(target=_read_events, args=(process, outcome), daemon=True)
            reader.start()
            cut_short = None
            while reader.is_alive() and not cut_short:
                outcome.seconds = time.monotonic() - began
                progress(outcome)
                if stop.is_set():
                    cut_short = "interrupted"
                elif request.timeout is not None and outcome.seconds > request.timeout:
                    cut_short = "timeout"
                reader.join(0.1)
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.stdin.close()  # to the worker this means "leave"
                process.wait(GRACE)
        finally:
            end_processes(mark)
            process.kill()
            process.wait()
        reader.join(1)
        if stop.is_set() and outcome.status == "died":  # Ctrl-C met the worker before it had a group of its own
            cut_short = "interrupted"
        if cut_short:
            outcome.status = cut_short
        elif outcome.status == "died":
            outcome.message = outcome.message or _why_it_died(Path(scratch) / "worker.log", process.returncode)
    outcome.seconds = time.monotonic() - began
    return outcome


def _start(request: Request, results: Path, scratch: Path, mark: str) -> subprocess.Popen:
    """Start the worker in a process group of its own.

    It works in the scratch folder, without that on its path: a `random.py` beside a notebook is none of its business.
    """
    environment = jupyter_environment(scratch, request.cwd, os.environ | request.environment) | {
        "DEEPUNSUP_OUTPUT": str(results),
        "IPYTHONDIR": str(scratch / "ipython"),  # no start-up files, no shared history
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        MARK: f"{os.environ.get(MARK, '')}:{mark}",  # a run inside a notebook belongs to both
    }
    plan = {
        "parameters": request.values,
        "output": str(results / request.notebook.path.name),
        "folder": str(request.workplace),
        "mark": mark,
    }
    (scratch / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    (scratch / "notebook.ipynb").write_text(json.dumps(request.notebook.content), encoding="utf-8")
    with open(scratch / "worker.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "deepunsup_helpers.runner.run.worker"], cwd=scratch, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, **OWN_GROUP,
        )  # fmt: skip


def _read_events(process: subprocess.Popen, outcome: Outcome) -> None:
    """Write the worker's events into the outcome, until the last one or the worker's end."""
    for line in process.stdout:
        with contextlib.suppress(ValueError):  # cut off by a kill
            event = json.loads(line)
            if "done" in event:
                index, seconds = event.pop("done")
                outcome.cell_seconds[index] = seconds
            vars(outcome).update(event)
            if "status" in event:
                return


def _why_it_died(log: Path, code: int) -> str:
    """The last error that a dead worker or kernel left in its log, or the signal that ended the worker."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [match[1].rstrip() for match in map(ERROR_LINE.match, lines) if match]
    return errors[-1] if errors else f"its process was ended by signal {-code}" if code < 0 else ""
