"""`run all`: every notebook of the course, one after another or several at once."""

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from ..console import Progress, shown_path, stopping
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, CommandError, describe, nearest
from ..notebook.files import course
from ..notebook.outputs import claims_summary
from ..notebook.parameters import read_parameters
from ..threads import thread_variables
from .execution import Outcome, Request
from .folder import empty_folder
from .result import failed_claims, print_result
from .run import Finished, prepare, run_notebook


def run_all(
    assignments: dict[str, str], preset: str | None, *, output: str | None, timeout: float | None, jobs: int,
    strict: bool, cwd: Path,
) -> int:  # fmt: skip
    """Run the course and print a table; returns the exit code (1 if any run did not complete, or by `strict`).

    Each run is a process of its own; with `jobs` of them each gets cores/jobs threads. A parameter goes to the notebooks
    that have it, a preset leaves out those without it.

    Raises:
        CommandError: no notebook has the parameter or preset, a value is wrong, or a result would be mixed with another;
            found before anything starts.
    """
    notebooks = [(notebook, read_parameters(notebook)) for notebook in course(cwd)]
    check_names("parameter", assignments, {name for _, known in notebooks for name in known})
    check_names("preset", [preset] if preset else [], {name for notebook, _ in notebooks for name in notebook.presets})
    requests = []
    for notebook, known in notebooks:
        if preset and preset not in notebook.presets:
            click.echo(f"{notebook.name}: left out, it has no preset {preset!r}", err=True)
            continue
        own = {name: text for name, text in assignments.items() if name in known}
        place = str(Path(output) / notebook.name) if output is not None else None
        requests.append(prepare(notebook, own, preset, timeout=timeout, output=place, strict=strict, cwd=cwd))
    for request in requests if output is not None else []:  # the last one shall have its folder too
        empty_folder(request.output, cwd)
    threads = thread_variables(min(jobs, len(requests)), os.environ)
    ends, interrupted = run_requests([replace(request, environment=threads) for request in requests], jobs)
    for line in summary(ends, cwd):
        click.echo(line)
    if interrupted:
        return EXIT_INTERRUPTED
    return 0 if all(isinstance(end, Finished) and end.exit_code == 0 for end in ends.values()) else EXIT_FAILED


def check_names(kind: str, names: Iterable[str], known: set[str]) -> None:
    """Raise a CommandError for a parameter or preset that no notebook has."""
    for name in names:
        if name not in known:
            raise CommandError(f"no notebook has a {kind} {name!r}{nearest(name, sorted(known))}")


def run_requests(requests: list[Request], jobs: int) -> tuple[dict[str, Finished | str], bool]:
    """Run them, so many at once, and say how each ended.

    Returns:
        the ends by the notebooks' names, of those that could not even start in words; whether they were interrupted.
    """
    ends: dict[str, Finished | str] = {}
    latest: dict[str, Outcome] = {}  # where those under way are
    line = Progress("")
    with stopping() as stop, ThreadPoolExecutor(max_workers=jobs) as pool:
        pending = {pool.submit(run_one, request, stop, latest): request for request in requests}
        while pending:
            for future in wait(pending, timeout=0.2, return_when="FIRST_COMPLETED").done:
                request = pending.pop(future)
                ends[request.notebook.name] = future.result()
                line.clear()
                print_end(request, future.result())
            under_way = [f"{name} {outcome.where}" for name, outcome in list(latest.items()) if name not in ends]
            line.show(f"{len(ends)} of {len(requests)} done; {', '.join(under_way)}")
        line.clear()
        return {request.notebook.name: ends[request.notebook.name] for request in requests}, stop.is_set()


def run_one(request: Request, stop: threading.Event, latest: dict[str, Outcome]) -> Finished | str:
    """One run, whose progress goes into `latest`; what cannot even start becomes a line of text."""
    if stop.is_set():
        return "not started"
    try:
        return run_notebook(request, stop=stop, progress=partial(latest.__setitem__, request.notebook.name))
    except Exception as error:
        return describe(error)


def print_end(request: Request, end: Finished | str) -> None:
    """One line for a run that completed, all about one that did not."""
    name = request.notebook.name
    if isinstance(end, str):
        click.echo(f"{name}: {end}", err=True)
    elif end.status == "completed":
        claims = claims_summary(end.asked)
        click.echo(f"{name}: completed in {end.seconds:.0f} s" + (f"; {claims}" if claims else ""))
        for text in [*(f"warning: {text}" for text in end.recorded.warnings), *failed_claims(end)]:
            click.echo(f"{name}: {text}", err=True)
    else:
        print_result(end, request.cwd)


def summary(ends: dict[str, Finished | str], cwd: Path) -> list[str]:
    """The closing table: notebook, status, seconds, report."""
    width = max(map(len, ["notebook", *ends]))
    lines = ["", f"{'notebook':<{width}}  {'status':<11}  {'seconds':>7}  report"]
    for name, end in ends.items():
        if isinstance(end, str):
            lines.append(f"{name:<{width}}  not run")
        else:
            place = shown_path(end.folder / "report.html", cwd)
            lines.append(f"{name:<{width}}  {end.status:<11}  {end.seconds:>7.1f}  {place}")
    completed = sum(isinstance(end, Finished) and end.status == "completed" for end in ends.values())
    return [*lines, f"{completed} of {len(ends)} completed"]
