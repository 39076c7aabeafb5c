"""One run: claim a folder, execute, gather the results."""

import contextlib
import os
import shlex
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_STOPPED, describe, describe_os_error
from ..files import read_facts, write_json
from ..notebook.files import Notebook
from ..notebook.outputs import Failure, Recorded, collect, find_failure, write_figures
from ..notebook.parameters import chosen_values, read_parameters
from .execution import Outcome, Request, execute
from .folder import claim_folder, files_of, versions, write_run

EXIT_CODES = {"completed": 0, "failed": EXIT_FAILED, "timeout": EXIT_STOPPED, "died": EXIT_STOPPED,
              "interrupted": EXIT_INTERRUPTED}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A run that ended, one way or another; `recorded` is what its cells said, and what is wrong with it."""

    request: Request
    folder: Path
    status: str
    seconds: float
    failure: Failure | None
    message: str
    recorded: Recorded

    @property
    def name(self) -> str:
        """The notebook's."""
        return self.request.notebook.name

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The claims that count: those that were asked; of a smoke run none."""
        claims = [] if self.request.preset == "smoke" else self.recorded.claims
        return [claim for claim in claims if claim["holds"] is not None]

    @property
    def broken(self) -> list[str]:
        """The claims that do not hold."""
        return [claim["text"] for claim in self.asked if not claim["holds"]]

    @property
    def exit_code(self) -> int:
        """0 completed, 1 failed or, by `strict`, with a claim that does not hold, 3 time-out or dead kernel, 130 interrupted."""
        return EXIT_CODES[self.status] or (EXIT_FAILED if self.request.strict and self.broken else 0)


def prepare(
    notebook: Notebook, assignments: dict[str, str], preset: str | None, *, timeout: float | None, output: str | None,
    strict: bool, cwd: Path,
) -> Request:  # fmt: skip
    """Check parameters and preset; raises CommandError before any kernel starts."""
    values = chosen_values(notebook, preset, assignments, cwd)
    return Request(notebook, values, preset=preset, timeout=timeout, output=output, strict=strict, cwd=cwd)


def run_notebook(request: Request, *, stop: threading.Event, progress: Callable[[Outcome], None]) -> Finished:
    """Execute the request in a folder of its own and keep whatever came of it.

    Raises:
        CommandError: the folder cannot be had.
        OSError: the disk refuses even run.json.
    """
    folder = claim_folder(request.notebook.name, request.output, request.cwd)
    facts = _facts(request)
    try:
        write_run(folder, facts)
        defaults = {name: parameter.default for name, parameter in read_parameters(request.notebook).items()}
        write_json(folder / "parameters.json", defaults | request.values)
        return _keep(request, folder, facts, execute(request, folder, stop=stop, progress=progress))
    except BaseException as error:  # whatever it is, nothing stays "running"
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OSError):
            write_run(folder, facts | {"status": status, "error": describe(error)})
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
    cells = read_facts(folder / request.notebook.path.name).get("cells", [])  # none when the kernel never started
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
    finished = Finished(request, folder, status, outcome.seconds, failure, outcome.message, recorded)
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
        "cell_seconds": cell_times(cells, outcome.cell_seconds),
    }
    try:
        from ..report.page import write_report

        write_report(folder, request=request, facts=facts, recorded=recorded, cells=cells, failure=failure)
    except Exception as error:  # a report that cannot be drawn must not cost the run
        recorded.problems.append(f"the report could not be written ({describe(error)}).")
    write_run(folder, facts | {"files": files_of(folder)})
    return finished


def used_threads(fewest_and_most: list[int]) -> int | str | None:
    """2, or "1 to 2" where the threads followed the machine's load."""
    numbers = list(dict.fromkeys(fewest_and_most))
    return " to ".join(map(str, numbers)) if len(numbers) > 1 else next(iter(numbers), None)


def hidden_modules(folder: Path) -> list[str]:
    """A line when files beside the notebook have the names of Python's own modules, as `random.py`."""
    names = sorted(path.name for path in folder.glob("*.py") if path.stem in sys.stdlib_module_names)
    line = f"{', '.join(names)} beside the notebook may hide Python's own: rename it if you did not mean to."
    return [line] if names else []


def cell_times(cells: list[dict], seconds: dict[int, float]) -> list[dict[str, Any]]:
    """Seconds of each cell that ran, by its number as Jupyter shows it."""
    return [
        {"cell": cells[index].get("execution_count"), "seconds": seconds[index]}
        for index in sorted(seconds)
        if index < len(cells) and cells[index].get("execution_count")
    ]
