"""Runs without a kernel, for the tests of sweeps: what a notebook would record is a function of its parameters."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deepunsup_helpers.runner.notebook.parameters import read_parameters


class FakeRuns:
    """Stands for `run_notebook`. `answer(parameters)` returns metrics, or raises what the notebook would end with.

    An OSError is one of the runner itself: a full disk. `ended` lists the parameters of all runs that came to an end.
    """

    def __init__(self, answer: Callable[[dict], dict[str, float]]):
        self.answer, self.claims = answer, lambda parameters: []
        self.begun: list[dict] = []
        self.ended: list[dict] = []
        self.environments: list[dict[str, str]] = []
        self.seconds = 0.0

    def __call__(self, request: Any, *, stop: threading.Event, progress: Callable, workers: int = 1) -> Any:
        folder = Path(request.output)
        folder.mkdir()
        defaults = {name: one.default for name, one in read_parameters(request.notebook).items()}
        parameters = defaults | request.values
        self.begun.append(parameters)
        self.environments.append(request.environment)
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            progress(SimpleNamespace(last_cell=0, total=3))
            if stop.wait(0.02):
                return SimpleNamespace(status="interrupted")
        status, metrics, error = "completed", {}, None
        try:
            metrics = self.answer(parameters)
        except OSError:
            raise
        except Exception as problem:
            status, error = "failed", f"{type(problem).__name__}: {problem}"
        write_trial(folder, parameters, metrics, status=status, error=error, preset=request.preset,
                    claims=self.claims(parameters), command=request.command)  # fmt: skip
        self.ended.append(parameters)
        return SimpleNamespace(status=status)


def write_trial(folder: Path, parameters: dict, metrics: dict, *, claims: list | None = None, **facts: Any) -> None:
    """The files of a finished run, as a sweep reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"status": "completed", "seconds": 1.0, "error": None, "flagship": None, "preset": None} | facts
    files = {"parameters": parameters, "metrics": metrics, "claims": claims or [], "run": facts}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "report.html").write_text("<p>a report</p></html>", encoding="utf-8")
