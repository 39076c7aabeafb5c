"""Watching over one execution: progress, the time limit, Ctrl-C, and nothing left running afterwards."""

import contextlib
import json
import os
import queue
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

from .kernels import MARK, end_processes, jupyter_environment

GRACE = 8.0  # seconds a worker gets to save its notebook and end its kernel
ERROR_LINE = re.compile(r"^(\w+\.)*\w*(Error|Exception)\b.*")


@dataclass(frozen=True)
class Plan:
    """What to execute.

    Args:
        notebook: the source, never written to.
        parameters: values to inject.
        output: where the executed notebook goes.
        cwd: the folder the command was given in.
        results: the folder the notebook itself may write to (DEEPUNSUP_OUTPUT), or None.
        timeout: seconds for the whole run, or None.
        workers: runs at work at the same time.
        folder: where the notebook works, or None for its own.
        environment: variables that go over those of this process.
    """

    notebook: Path
    parameters: dict[str, Any]
    output: Path
    cwd: Path
    results: Path | None = None
    timeout: float | None = None
    workers: int = 1
    folder: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """How an execution ended: `status` is completed, failed, timeout, died or interrupted."""

    status: str = "died"
    seconds: float = 0.0
    message: str = ""
    last_cell: int | None = None
    total: int = 0
    cell_seconds: dict[int, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def execute(plan: Plan, *, stop: threading.Event, progress: Callable[[Outcome], None]) -> Outcome:
    """Execute a notebook in a process of its own and wait for its end.

    Args:
        stop: set from outside (a signal) to interrupt; whatever was done until then is kept.
        progress: called after each event and a few times a second.
    """
    began, outcome, mark = time.monotonic(), Outcome(), uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="deepunsup-", ignore_cleanup_errors=True) as scratch:
        log_path = Path(scratch) / "worker.log"
        with open(log_path, "wb") as log:
            process = _start(plan, Path(scratch), log, mark)
        try:
            events: queue.Queue[dict | None] = queue.Queue()
            threading.Thread(target=_read_events, args=(process, events), daemon=True).start()
            reason = _follow(events, outcome, began=began, timeout=plan.timeout, stop=stop, progress=progress)
            _let_end(process)
        finally:
            end_processes(mark)
            process.wait()
        while not events.empty():
            _note(outcome, events.get() or {})
        if reason:
            outcome.status = reason
        elif outcome.status == "died":
            outcome.message = outcome.message or _why_it_died(log_path, process.returncode)
    outcome.seconds = time.monotonic() - began
    return outcome


def _start(plan: Plan, scratch: Path, log: Any, mark: str) -> subprocess.Popen:
    """Start the worker in a process group of its own, and give it its plan.

    It works in the scratch folder, without that on its path: a `random.py` beside a notebook is none of its business.
    """
    base = os.environ | plan.environment
    environment = jupyter_environment(scratch, plan.cwd, base, workers=plan.workers)
    environment.pop("DEEPUNSUP_OUTPUT", None)
    if plan.results is not None:
        environment["DEEPUNSUP_OUTPUT"] = str(plan.results)
    environment["IPYTHONDIR"] = str(scratch / "ipython")  # no start-up files, no shared history
    environment["JUPYTER_RUNTIME_DIR"] = str(scratch / "runtime")
    environment[MARK] = f"{environment.get(MARK, '')}:{mark}"  # a run inside a notebook belongs to both
    group = {"creationflags": 0x200} if os.name == "nt" else {"start_new_session": True}  # 0x200: new process group
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "deepunsup_helpers.runner.run.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=scratch, env=environment, **group,
    )  # fmt: skip
    content = {
        "notebook": str(plan.notebook), "parameters": plan.parameters, "output": str(plan.output),
        "folder": str(plan.folder or plan.notebook.parent), "mark": mark,
    }  # fmt: skip
    with contextlib.suppress(OSError):  # a worker that is gone already shows up as dead
        process.stdin.write(json.dumps(content).encode() + b"\n")
        process.stdin.flush()
    return process


def _read_events(process: subprocess.Popen, events: queue.Queue) -> None:
    """Pass the worker's events on; None at its end."""
    for line in process.stdout:
        try:
            events.put(json.loads(line))
        except ValueError:
            continue
    events.put(None)


def _follow(
    events: queue.Queue, outcome: Outcome, *, began: float, timeout: float | None, stop: threading.Event,
    progress: Callable[[Outcome], None],
) -> str | None:  # fmt: skip
    """Take events until the end; returns 'timeout' or 'interrupted' when it was cut short."""
    while True:
        try:
            event = events.get(timeout=0.1)
        except queue.Empty:
            event = {}
        if event is None or _note(outcome, event):
            return None
        outcome.seconds = time.monotonic() - began
        progress(outcome)
        if stop.is_set():
            return "interrupted"
        if timeout is not None and outcome.seconds > timeout:
            return "timeout"


def _note(outcome: Outcome, event: dict[str, Any]) -> bool:
    """Write an event into the outcome; True when it was the last."""
    kind = event.get("event")
    if kind == "start":
        outcome.total = event["total"]
    elif kind == "cell":
        outcome.last_cell = event["index"]
    elif kind == "done":
        outcome.cell_seconds[event["index"]] = event["seconds"]
    elif kind == "end":
        outcome.status, outcome.facts = event["status"], event.get("facts", {})
        outcome.message = event.get("message", "")
    return kind == "end"


def _let_end(process: subprocess.Popen) -> None:
    """Ask the worker to leave, and give it time to."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _why_it_died(log: Path, code: int) -> str:
    """The last error that a dead worker or kernel left in its log, or the signal that ended the worker."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.strip() for line in lines if ERROR_LINE.match(line.strip())]
    return errors[-1] if errors else f"its process was ended by signal {-code}" if code < 0 else ""
