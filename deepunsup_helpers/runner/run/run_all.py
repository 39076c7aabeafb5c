"""`run all`: every notebook of the course, one after another or several at once."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import click

from ..console import Progress, shown_path, stopping
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, CommandError, describe_os_error, nearest
from ..notebook.files import Notebook, course
from ..notebook.outputs import claims_summary
from ..notebook.parameters import read_parameters
from .execution import Outcome
from .result import failed_claims, print_result
from .run import Finished, Request, prepare, run_notebook


def run_all(
    *, assignments: dict[str, str], preset: str | None, output: str | None, timeout: float | None, jobs: int,
    strict: bool, cwd: Path,
) -> int:  # fmt: skip
    """Run the course and print a table; returns the exit code (1 if any run did not complete, or by `strict`).

    Each run is a process of its own; with `jobs` of them each gets cores/jobs threads.

    Raises:
        CommandError: bad parameters, found before anything starts.
    """
    requests = plan_all(course(cwd), assignments, preset, output, timeout, strict, cwd)
    workers = min(jobs, len(requests))
    board = Board(len(requests))
    ends: dict[str, Finished | str] = {}
    with stopping() as stop, ThreadPoolExecutor(max_workers=workers) as pool:
        futures = {pool.submit(one, request, stop, board, workers): request for request in requests}
        pending: set[Future] = set(futures)
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when="FIRST_COMPLETED")
            for future in done:
                end = ends[futures[future].notebook.name] = future.result()
                board.clear()
                _print_end(futures[future].notebook.name, end, cwd)
            board.show()
        board.clear()
        interrupted = stop.is_set()
    for line in summary(requests, ends, cwd):
        click.echo(line)
    if interrupted:
        return EXIT_INTERRUPTED
    return 0 if all(isinstance(end, Finished) and end.exit_code == 0 for end in ends.values()) else EXIT_FAILED


def plan_all(
    notebooks: list[Notebook], assignments: dict[str, str], preset: str | None, output: str | None,
    timeout: float | None, strict: bool, cwd: Path,
) -> list[Request]:  # fmt: skip
    """A request for each notebook; a parameter goes to those that have it, a preset leaves out those without it.

    Raises:
        CommandError: no notebook has the parameter or preset, a value is wrong, or a result would be mixed with another.
    """
    if preset is not None and not any(preset in notebook.presets for notebook in notebooks):
        known = {name for notebook in notebooks for name in notebook.presets}
        raise CommandError(f"no notebook has a preset {preset!r}{nearest(preset, sorted(known))}")
    known = {name for notebook in notebooks for name in read_parameters(notebook)}
    for name in assignments:
        if name not in known:
            raise CommandError(f"no notebook has a parameter {name!r}{nearest(name, sorted(known))}")
    requests = []
    for notebook in notebooks:
        if preset is not None and preset not in notebook.presets:
            click.echo(f"{notebook.name}: left out, it has no preset {preset!r}", err=True)
            continue
        own = {name: text for name, text in assignments.items() if name in read_parameters(notebook)}
        place = None if output is None else str(Path(output) / notebook.name)
        requests.append(
            prepare(notebook, assignments=own, preset=preset, timeout=timeout, output=place, strict=strict, cwd=cwd)
        )
    for request in requests:
        _refuse_used_folder(request)
    return requests


def _refuse_used_folder(request: Request) -> None:
    """Find out before the first run that the last one would have no folder."""
    if request.output is None:
        return
    folder = request.cwd / Path(request.output).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CommandError(f"{folder} already holds something: give a new folder with -o.")
    except OSError as error:
        raise CommandError(f"cannot make the run's folder: {describe_os_error(error)}") from error


def one(request: Request, stop: threading.Event, board: "Board", workers: int) -> Finished | str:
    """Perform one request; what cannot even start becomes a line of text."""
    if stop.is_set():
        return "not started"
    try:
        return run_notebook(request, stop=stop, progress=board.watcher(request.notebook.name), workers=workers)
    except CommandError as error:
        return str(error)
    except OSError as error:
        return describe_os_error(error)
    finally:
        board.finish(request.notebook.name)


class Board:
    """The progress line of several runs: '3 of 8 done; 04_deep_autoencoders 12/38, 09_...'."""

    def __init__(self, total: int):
        self.total, self.done = total, 0
        self._running: dict[str, str] = {}
        self._line = Progress("")

    def watcher(self, name: str):
        """What a run reports its progress to."""

        def note(outcome: Outcome) -> None:
            cell = 0 if outcome.last_cell is None else outcome.last_cell + 1
            self._running[name] = f"{name} {cell}/{outcome.total}" if outcome.total else f"{name} starting"

        return note

    def finish(self, name: str) -> None:
        """A run is over."""
        self._running.pop(name, None)
        self.done += 1

    def show(self) -> None:
        """Rewrite the line."""
        self._line.show(f"{self.done} of {self.total} done; {', '.join(list(self._running.values()))}")

    def clear(self) -> None:
        """Leave an empty line."""
        self._line.clear()


def _print_end(name: str, end: Finished | str, cwd: Path) -> None:
    """One line for a run that completed, all about one that did not."""
    if isinstance(end, str):
        click.echo(f"{name}: {end}", err=True)
    elif end.status == "completed":
        line = claims_summary(end.asked)
        click.echo(f"{name}: completed in {end.seconds:.0f} s" + (f"; {line}" if line else ""))
        for line in failed_claims(end):
            click.echo(line, err=True)
    else:
        print_result(end, cwd)


def summary(requests: list[Request], ends: dict[str, Finished | str], cwd: Path) -> list[str]:
    """The closing table: notebook, status, seconds, report."""
    names = [request.notebook.name for request in requests]
    width = max(map(len, ["notebook", *names]))
    lines = ["", f"{'notebook':<{width}}  {'status':<11}  {'seconds':>7}  report"]
    for name in names:
        end = ends.get(name, "not started")
        if isinstance(end, str):
            lines.append(f"{name:<{width}}  {'not run':<11}  {'':>7}")
            continue
        place = shown_path(end.folder / "report.html", cwd)
        lines.append(f"{name:<{width}}  {end.status:<11}  {end.seconds:>7.1f}  {place}")
    done = sum(isinstance(end, Finished) and end.status == "completed" for end in ends.values())
    return lines + [f"{done} of {len(names)} completed"]
