"""What the user sees while and after notebooks run."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .run.execution import Outcome
from .run.run import Finished

MOST_METRICS = 12


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets; a second Ctrl-C leaves at once.

    Outside of the main thread, where signals cannot be caught, nothing sets it.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, _: object) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN or number == signal.SIGINT:
            signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """One line that is rewritten: 'cell 12 of 38, 23 s'. Silent when standard error is no terminal."""

    def __init__(self, name: str):
        self.name, self.shown = name, ""

    def __call__(self, outcome: Outcome) -> None:
        """Show where the run is."""
        where = f"cell {outcome.last_cell + 1} of {outcome.total}" if outcome.last_cell is not None else "starting"
        self.show(f"{self.name}: {where}, {outcome.seconds:.0f} s")

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
    try:
        return str(path.relative_to(cwd.resolve()))
    except ValueError:
        return str(path)


def tell(finished: Finished, cwd: Path) -> None:
    """Say how a run ended: figures and report, or what went wrong in its last lines."""
    report = finished.folder / "report.html"
    place = shown_path(report if report.exists() else finished.folder, cwd)
    seconds = f"{finished.seconds:.0f} s" if finished.seconds >= 10 else f"{finished.seconds:.1f} s"
    if finished.status == "completed":
        click.echo(f"{finished.name}: completed in {seconds}")
        print_metrics(finished.metrics)
        for fault in finished.problems:
            click.echo(fault, err=True)
        click.echo(f"report: {place}")
        return
    for line in ending(finished, seconds):
        click.echo(line, err=True)
    click.echo(f"kept so far: {place}", err=True)


def ending(finished: Finished, seconds: str) -> list[str]:
    """The lines about a run that did not complete."""
    name, failure = finished.name, finished.failure
    where = f" in {failure.place}" if failure else ""
    if finished.status == "timeout":
        return [f"{name}: stopped by the time limit{where} after {seconds} (--timeout)."]
    if finished.status == "interrupted":
        return [f"{name}: interrupted{where} after {seconds}."]
    if finished.status == "died":
        reason = f": {finished.message}" if finished.message else ""
        advice = "Often the machine ran out of memory: try smaller parameters (deepunsup params shows them)."
        return [f"{name}: the kernel died{where} after {seconds}{reason}", advice]
    if failure is None:
        return [f"{name}: failed after {seconds}: {fault}" for fault in finished.problems] or [f"{name}: failed."]
    lines = (failure.traceback or failure.error).splitlines()
    return [f"{name}: failed{where} after {seconds}:", *(f"    {line}" for line in lines)]


def print_metrics(metrics: dict[str, float]) -> None:
    """Figures in two columns; only the first dozen."""
    width = max(map(len, metrics), default=0)
    for name, value in list(metrics.items())[:MOST_METRICS]:
        click.echo(f"  {name:<{width}}  {value:.6g}")
    if len(metrics) > MOST_METRICS:
        click.echo(f"  ... and {len(metrics) - MOST_METRICS} more in metrics.json")
