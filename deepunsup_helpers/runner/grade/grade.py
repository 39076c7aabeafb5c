"""Judge a folder of students' notebooks: a process for each, watched, and a table of what has passed."""

import contextlib
import csv
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, Queue
from typing import NamedTuple

from ..files import write_text
from ..notebook.files import PACKAGE_ROOT
from ..run.kernels import MARK, end_processes
from ..threads import THREAD_VARIABLES
from .submissions import Submission

MOST_MEMORY = 4 * 2**30  # bytes that the processes of one notebook may use together
MOST_PROCESSES = 12  # at once; a judge and its sandbox are three
LOOK_EVERY = 0.3  # seconds
LOADING = 120  # seconds a judge has before it begins: nothing of a student's runs in them


class Grade(NamedTuple):
    """One row: whether an exercise has passed, and the sentence that the student would read."""

    student: str
    notebook: str
    exercise: str
    passed: bool
    message: str


def sandbox(scratch: Path) -> list[str]:
    """The command that shows what follows it the machine without its network, and lets it write into `scratch` alone."""
    options = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", str(scratch), str(scratch)]
    return ["bwrap", *options, "--unshare-all", "--die-with-parent", "--new-session", "--chdir", str(scratch)]


@functools.cache
def can_be_closed() -> bool:
    """Whether bubblewrap is here and works; it needs Linux."""
    if shutil.which("bwrap") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as folder:
        tried = [*sandbox(Path(folder).resolve()), sys.executable, "-c", ""]
        return subprocess.run(tried, capture_output=True, timeout=60, check=False).returncode == 0


def grade_all(
    submissions: list[Submission], table: Path, *, jobs: int, timeout: float, stop: threading.Event,
    tell: Callable[[Submission, list[Grade]], None],
) -> list[Grade]:  # fmt: skip
    """The rows of all submissions, in their order; the table is written anew after each.

    Args:
        submissions: as `find_submissions` gives them.
        table: the CSV file.
        jobs: notebooks at once.
        timeout: seconds that one exercise may take.
        stop: where it is set, what runs is ended and what has not begun is left out.
        tell: called after each submission with its rows.
    """
    guard, lock, rows = _Guard(), threading.Lock(), {}

    def one(number: int, submission: Submission) -> None:
        if stop.is_set():
            return
        found = _grade(submission, timeout, stop)
        if stop.is_set():
            return
        with lock:
            changed = guard.restored()
            if changed:
                found = [
                    row._replace(message=f"{row.message} (Meanwhile {changed} was changed, and put back.)")
                    for row in found
                ]
            rows[number] = found
            write_text(table, as_csv([row for n in sorted(rows) for row in rows[n]]))
            tell(submission, found)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, range(len(submissions)), submissions))
    return [row for n in sorted(rows) for row in rows[n]]


def as_csv(rows: list[Grade]) -> str:
    """The table's text; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Grade._fields)
    for row in rows:
        cells = (str(cell) if not isinstance(cell, bool) else ("yes" if cell else "no") for cell in row)
        writer.writerow("'" + cell if cell[:1] in ("=", "+", "-", "@") else cell for cell in cells)
    return text.getvalue()


class _Guard:
    """The package's files as they were: a student's code that writes into them spoils nobody else's verdict."""

    def __init__(self):
        folder = PACKAGE_ROOT / "deepunsup_helpers"
        self.files = {path: path.read_bytes() for path in sorted(folder.rglob("*.py"))}

    def restored(self) -> str:
        """Put back what is changed or gone; the name of the first such file, or ''."""
        changed = [path for path, data in self.files.items() if not path.is_file() or path.read_bytes() != data]
        for path in changed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.files[path])
        return changed[0].name if changed else ""


def _grade(submission: Submission, timeout: float, stop: threading.Event) -> list[Grade]:
    who = submission.student, submission.course
    if submission.problem:
        return [Grade(*who, "", False, f"{submission.path.name}: {submission.problem}")]
    verdicts = {n: (False, job.missing) for n, job in enumerate(submission.jobs) if job.missing}
    while len(verdicts) < len(submission.jobs) and not stop.is_set():
        verdicts |= _judge(submission, [n for n in range(len(submission.jobs)) if n not in verdicts], timeout, stop)
    return [Grade(*who, job.asked.name, *verdicts.get(n, (False, ""))) for n, job in enumerate(submission.jobs)]


def _judge(
    submission: Submission, numbers: list[int], timeout: float, stop: threading.Event
) -> dict[int, tuple[bool, str]]:
    """One process for these exercises: the verdicts up to the first one that ends the process; at least one."""
    jobs = [submission.jobs[n] for n in numbers]
    asked = [[job.asked.name, job.asked.function, job.source] for job in jobs]
    token = uuid.uuid4().hex  # what the code prints is not taken for a verdict
    plan = json.dumps({"module": jobs[0].asked.module, "jobs": asked, "token": token})
    verdicts, current, began, allowed = {}, numbers[0], time.monotonic(), max(timeout, LOADING)
    with _process(token) as (process, lines):
        with contextlib.suppress(OSError):  # it has died already
            process.stdin.write(plan)
            process.stdin.close()
        while len(verdicts) < len(numbers):
            try:
                line = lines.get(timeout=LOOK_EVERY)
            except Empty:
                reason = _excess(process, time.monotonic() - began, allowed)
                if reason or stop.is_set():
                    return verdicts | {current: (False, reason)}
                continue
            if line is None:
                code = process.wait()
                return verdicts | {current: (False, f"the process ended (exit code {code}) before the check was over")}
            if "begins" in line:
                current, began, allowed = numbers[line["begins"]], time.monotonic(), timeout
            else:
                verdicts[numbers[line["job"]]] = line["passed"], line["message"]
    return verdicts


@contextlib.contextmanager
def _process(token: str) -> Iterator[tuple[subprocess.Popen, Queue]]:
    """A judge in a scratch folder, and the lines it says, None at their end; with the block all of its processes end."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="deepunsup-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder).resolve()
        kept = {
            key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "SYSTEMROOT", "LD_LIBRARY_PATH")
        }
        own = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR", "XDG_CACHE_HOME"), folder)
        fixed = {MARK: mark, "MPLBACKEND": "agg", "PYTHONPATH": str(PACKAGE_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        environment = kept | own | fixed | {"DEEPUNSUP_OUTPUT": folder} | dict.fromkeys(THREAD_VARIABLES, "1")
        process = subprocess.Popen(
            [*(sandbox(scratch) if can_be_closed() else []), sys.executable, "-P", "-m", "deepunsup_helpers.exercises.judge"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        lines: Queue = Queue()
        threading.Thread(target=_listen, args=(process.stdout, token, lines), daemon=True).start()
        try:
            yield process, lines
        finally:
            with contextlib.suppress(OSError, AttributeError):  # gone already; Windows has no groups
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            end_processes(mark)  # those that left the group
            process.wait()


def _listen(stream, token: str, lines: Queue) -> None:
    for text in stream:
        if text.startswith(token):
            lines.put(json.loads(text.removeprefix(token)))
    lines.put(None)


def _excess(process: subprocess.Popen, seconds: float, timeout: float) -> str:
    """Which limit the process has passed, in a sentence, or ''."""
    import psutil

    if seconds > timeout:
        return f"it ran longer than {timeout:g} s: does a loop never end?"
    try:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        memory = 0
        for one in family:
            with contextlib.suppress(psutil.Error):
                memory += one.memory_info().rss
    except psutil.Error:  # gone meanwhile
        return ""
    if len(family) > MOST_PROCESSES:
        return f"it started {len(family)} processes"
    return f"it used more than {MOST_MEMORY / 2**30:.0f} GiB of memory" if memory > MOST_MEMORY else ""
