"""What the user sees while and after notebooks run."""

import os
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import EXIT_INTERRUPTED


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets; a second signal raises KeyboardInterrupt, a third leaves.

    Outside of the main thread, where signals cannot be caught, nothing sets it.
    """
    stop, seen = threading.Event(), []
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, _: object) -> None:
        if number == getattr(signal, "SIGHUP", None):
            leave_terminal()
        seen.append(number)
        stop.set()
        if len(seen) == 2:
            raise KeyboardInterrupt
        if len(seen) > 2:
            os._exit(EXIT_INTERRUPTED)

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names if hasattr(signal, name)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN or number == signal.SIGINT:
            signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_terminal() -> None:
    """Let nothing more be written to a terminal that is gone: each try would be an error of its own."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):  # a file or a pipe is still there
            os.dup2(nowhere, stream)


class Progress:
    """One line that is rewritten: 'cell 12 of 38, 23 s'. Silent when standard error is no terminal."""

    def __init__(self, name: str):
        self.name, self.shown = name, ""

    def __call__(self, outcome: Any) -> None:
        """Show where a run is, from its Outcome so far."""
        self.show(f"{self.name}: {outcome.where}, {outcome.seconds:.0f} s")

    def show(self, text: str) -> None:
        """Rewrite the line when it changed."""
        if text != self.shown and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()
        self.shown = text

    def clear(self) -> None:
        """Leave an empty line."""
        self.show("")


def duration(seconds: float) -> str:
    """'1.4 s', '41 s', '12 min', '3.5 h'."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def shown_path(path: Path, cwd: Path) -> str:
    """A path relative to the cwd where it lies below."""
    return str(path.relative_to(cwd.resolve())) if path.is_relative_to(cwd.resolve()) else str(path)
