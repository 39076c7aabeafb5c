"""`run all`: every notebook of the course, one after another or several at once."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
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
    workers, line = min(jobs, len(requests)), Progress("")
    ends: dict[str, Finished | str] = {}
    latest: dict[str, Outcome] = {}
    with stopping() as stop, ThreadPoolExecutor(max_workers=workers) as pool:
        pending = {pool.submit(one, request, stop, latest, workers): request.notebook.name for request in requests}
        while pending:
            for future in wait(pending, timeout=0.2, return_when="FIRST_COMPLETED").done:
                name = pending.pop(future)
                ends[name] = future.result()
                line.clear()
                _print_end(name, ends[name], cwd)
            under_way = [f"{name} {_cells(outcome)}" for name, outcome in list(latest.items()) if name not in ends]
            line.show(f"{len(ends)} of {len(requests)} done; {', '.join(under_way)}")
        line.clear()
        interrupted = stop.is_set()
    for text in summary(requests, ends, cwd):
        click.echo(text)
    if interrupted:
        return EXIT_INTERRUPTED
    return 0 if all(isinstance(end, Finished) and end.exit_code == 0 for end in ends.values()) else EXIT_FAILED


def _cells(outcome: Outcome) -> str:
    return f"{(outcome.last_cell or 0) + 1}/{outcome.total}" if outcome.total else "starting"


def plan_all(
    notebooks: list[Notebook], assignments: dict[str, str], preset: str | None, output: str | None,
    timeout: float | None, strict: bool, cwd: Path,
) -> list[Request]:  # fmt: skip
    """A request for each notebook; a parameter goes to those that have it, a preset leaves out those without it.

    Raises:
        CommandError: no notebook has the parameter or preset, a value is wrong, or a result would be mixed with another.
    """
    parameters = {notebook.name: read_parameters(notebook) for notebook in notebooks}
    kinds = {"parameter": (assignments, {name for own in parameters.values() for name in own})}
    kinds["preset"] = ([preset] if preset else [], {name for notebook in notebooks for name in notebook.presets})
    for kind, (wanted, known) in kinds.items():
        for name in wanted:
            if name not in known:
                raise CommandError(f"no notebook has a {kind} {name!r}{nearest(name, sorted(known))}")
    requests = []
    for notebook in notebooks:
        if preset is not None and preset not in notebook.presets:
            click.echo(f"{notebook.name}: left out, it has no preset {preset!r}", err=True)
            continue
        own = {name: text for name, text in assignments.items() if name in parameters[notebook.name]}
        place = None if output is None else str(Path(output) / notebook.name)
        requests.append(
            prepare(notebook, assignments=own, preset=preset, timeout=timeout, output=place, strict=strict, cwd=cwd)
        )
        if place is not None:
            _refuse_used_folder(cwd / Path(place).expanduser())
    return requests


def _refuse_used_folder(folder: Path) -> None:
    """Find out before the first run that the last one would have no folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CommandError(f"{folder} already holds something: give a new folder with -o.")
    except OSError as error:
        raise CommandError(f"cannot make the run's folder: {describe_os_error(error)}") from error


def one(request: Request, stop: threading.Event, latest: dict[str, Outcome], workers: int) -> Finished | str:
    """One run, whose progress goes into `latest`; what cannot even start becomes a line of text."""
    if stop.is_set():
        return "not started"
    try:
        return run_notebook(
            request, stop=stop, progress=partial(latest.__setitem__, request.notebook.name), workers=workers
        )
    except OSError as error:
        return describe_os_error(error)
    except Exception as error:
        return str(error) if isinstance(error, CommandError) else f"{type(error).__name__}: {error}"


def _print_end(name: str, end: Finished | str, cwd: Path) -> None:
    """One line for a run that completed, all about one that did not."""
    if isinstance(end, str):
        click.echo(f"{name}: {end}", err=True)
    elif end.status == "completed":
        line = claims_summary(end.asked)
        click.echo(f"{name}: completed in {end.seconds:.0f} s" + (f"; {line}" if line else ""))
        for text in [*(f"warning: {text}" for text in end.recorded.warnings), *failed_claims(end)]:
            click.echo(f"{name}: {text}", err=True)
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
