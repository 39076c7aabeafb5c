"""One run: claim a folder, execute, gather the results, tell how it went."""

import contextlib
import json
import os
import shlex
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_STOPPED, describe_os_error
from ..files import write_json
from ..notebook.files import Notebook
from ..notebook.outputs import Failure, Recorded, collect, find_failure, write_figures
from ..notebook.parameters import chosen_values, read_parameters
from .execution import Outcome, Plan, execute
from .folder import claim_folder, files_of, versions, write_run

EXIT_CODES = {"completed": 0, "failed": EXIT_FAILED, "timeout": EXIT_STOPPED, "died": EXIT_STOPPED,
              "interrupted": EXIT_INTERRUPTED}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A checked value for a run: nothing in it can be refused any more.

    Args:
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


@dataclass(frozen=True)
class Finished:
    """A run that ended, one way or another; `recorded` is what its cells said, and what is wrong with it."""

    name: str
    folder: Path
    status: str
    seconds: float
    failure: Failure | None
    message: str
    recorded: Recorded
    smoke: bool
    strict: bool

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The claims that count: those that were asked; of a smoke run none."""
        return [] if self.smoke else [claim for claim in self.recorded.claims if claim["holds"] is not None]

    @property
    def broken(self) -> list[str]:
        """The claims that do not hold."""
        return [claim["text"] for claim in self.asked if not claim["holds"]]

    @property
    def exit_code(self) -> int:
        """0 completed, 1 failed or, by `strict`, with a claim that does not hold, 3 time-out or dead kernel, 130 interrupted."""
        return EXIT_CODES[self.status] or (EXIT_FAILED if self.strict and self.broken else 0)


def prepare(
    notebook: Notebook, *, assignments: dict[str, str], preset: str | None = None, timeout: float | None = None,
    output: str | None = None, strict: bool = False, cwd: Path | None = None,
) -> Request:  # fmt: skip
    """Check parameters and preset; raises CommandError before any kernel starts."""
    cwd = cwd or Path.cwd()
    values = chosen_values(notebook, preset, assignments, cwd)
    return Request(notebook, values, preset=preset, timeout=timeout, output=output, strict=strict, cwd=cwd)


def run_notebook(
    request: Request, *, stop: threading.Event, progress: Callable[[Outcome], None], workers: int = 1
) -> Finished:
    """Execute the request in a folder of its own and keep whatever came of it.

    Raises:
        CommandError: the folder cannot be had.
        OSError: the disk refuses even run.json.
    """
    notebook = request.notebook
    folder = claim_folder(notebook.name, request.output, request.cwd)
    facts = _facts(request)
    try:
        write_run(folder, facts)
        defaults = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
        write_json(folder / "parameters.json", defaults | request.values)
        plan = Plan(
            notebook=notebook.path, parameters=request.values, output=folder / notebook.path.name, cwd=request.cwd,
            results=folder, timeout=request.timeout, workers=workers, folder=request.workplace,
            environment=request.environment,
        )  # fmt: skip
        return _keep(request, folder, facts, execute(plan, stop=stop, progress=progress))
    except BaseException as error:  # whatever it is, nothing stays "running"
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        told = describe_os_error(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            write_run(folder, facts | {"status": status, "error": told})
        raise


def _facts(request: Request) -> dict[str, Any]:
    """What run.json says while the run is under way."""
    return {
        "status": "running",
        "notebook": request.notebook.name,
        "title": request.notebook.title,
        "path": str(request.notebook.path),
        "preset": request.preset,
        "changed": sorted(request.values),
        "command": request.command or shlex.join(["deepunsup", *sys.argv[1:]]),
        "timeout": request.timeout,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "versions": versions(),
    }


def _keep(request: Request, folder: Path, facts: dict[str, Any], outcome: Outcome) -> Finished:
    """Write metrics, claims, figures and report; run.json with the final status comes last."""
    cells = _executed_cells(folder / request.notebook.path.name)
    recorded = collect(cells)
    failure = None if outcome.status == "completed" else find_failure(cells, outcome.last_cell)
    flagship = None
    try:
        write_json(folder / "metrics.json", recorded.metrics)
        write_json(folder / "claims.json", recorded.claims)
        flagship = write_figures(cells, folder)
    except OSError as error:  # a full disk
        recorded.problems.append(describe_os_error(error))
    status = "failed" if outcome.status == "completed" and recorded.problems else outcome.status
    if status in ("failed", "died"):
        recorded.problems += hidden_modules(request.workplace)
    finished = Finished(
        name=request.notebook.name, folder=folder, status=status, seconds=outcome.seconds, failure=failure,
        message=outcome.message, recorded=recorded, smoke=request.preset == "smoke", strict=request.strict,
    )  # fmt: skip
    facts = facts | {
        "status": status,
        "seconds": round(outcome.seconds, 2),
        "device": outcome.facts.get("device"),
        "gpu": outcome.facts.get("gpu"),
        "threads": used_threads(outcome.facts.get("threads") or []),
        "training_interrupted": recorded.interrupted,
        "flagship": flagship,
        "error": (failure.error if failure else "") or outcome.message or next(iter(recorded.problems), None),
        "ended_in_cell": failure.count if failure else None,
        "problems": recorded.problems,
        "warnings": recorded.warnings,
        "claims": {"held": len(finished.asked) - len(finished.broken), "asked": len(finished.asked)},
        "cell_seconds": cell_times(cells, outcome),
    }
    try:
        from ..report.page import write_report

        write_report(folder, request=request, facts=facts, recorded=recorded, cells=cells, failure=failure)
    except Exception as error:  # a report that cannot be drawn must not cost the run
        told = describe_os_error(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        recorded.problems.append(f"the report could not be written ({told}).")
    write_run(folder, facts | {"files": files_of(folder)})
    return finished


def used_threads(fewest_and_most: list[int]) -> int | str | None:
    """2, or "1 to 2" where the threads followed the machine's load."""
    numbers = list(dict.fromkeys(fewest_and_most))
    return " to ".join(map(str, numbers)) if len(numbers) > 1 else next(iter(numbers), None)


def hidden_modules(folder: Path) -> list[str]:
    """A line when files beside the notebook have the names of Python's own modules, as `random.py`."""
    names = sorted(path.name for path in folder.glob("*.py") if path.stem in sys.stdlib_module_names)
    return (
        [f"{', '.join(names)} beside the notebook may hide Python's own: rename it if you did not mean to."]
        if names
        else []
    )


def _executed_cells(path: Path) -> list[dict]:
    """Cells of the executed notebook; none when the kernel never started."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return []


def cell_times(cells: list[dict], outcome: Outcome) -> list[dict[str, Any]]:
    """Seconds of each code cell that ran, by its number as Jupyter shows it."""
    return [
        {"cell": cells[index].get("execution_count"), "seconds": seconds}
        for index, seconds in sorted(outcome.cell_seconds.items())
        if index < len(cells) and cells[index].get("cell_type") == "code"
    ]
