"""A sweep under way: each trial run once, however often the sweep is begun."""

import contextlib
import json
import os
import shlex
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..console import Progress, duration, shown_path
from ..errors import CommandError, describe_os_error
from ..files import write_json, write_text
from ..notebook.digest import code_digest
from ..notebook.files import Notebook
from ..notebook.parameters import read_parameters
from ..run.run import Request
from ..threads import THREAD_VARIABLES
from .backends import Engine
from .grid import Axes
from .result import SweepResult, claims_line
from .search import OptunaSearch, random_draws
from .summary import write_summary
from .table import Row, mean_of, read_row, read_rows, write_tables
from .trial import BUSY, CHANGED, DONE, STOPPED, Trial, data_digest, repeats, trial_key

FOLDERS = ("trials", "running", "locks", "status", "source")
WHEN_CHANGED = (
    "the package, a module beside the notebook or the data are no longer what they were. What ran just then was not kept: "
    "give the same command again to go on with the new ones."
)


@contextmanager
def sweep_folder(folder: Path) -> Iterator[None]:
    """Make a sweep's folder, or find it there; its sweep.json says meanwhile whose process is at work in it."""
    mine = {"pid": os.getpid(), "host": socket.gethostname()}
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_json(folder / "sweep.json", {"status": "running"} | mine)
    except OSError as error:
        raise CommandError(f"cannot make the sweep's folder: {describe_os_error(error)}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            write_json(folder / "sweep.json", {"status": "ended"} | mine)


class Sweep:
    """One sweep under way, in a folder that is there; `stop` is set from outside to end it."""

    def __init__(self, notebook: Notebook, axes: Axes, folder: Path, engine: Engine, *, preset: str | None,
                 timeout: float | None, retry: bool, cwd: Path, tell: Callable[[str], None],
                 stop: threading.Event):  # fmt: skip
        self.notebook, self.axes, self.folder, self.engine = notebook, axes, folder, engine
        self.preset, self.retry, self.cwd, self.tell, self.stop = preset, retry, cwd, tell, stop
        self.defaults = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
        self.code, self.data = code_digest(notebook), {}  # digests, of data by the values that may name them
        self.identity, self.began = (uuid.uuid4().hex[:12], socket.gethostname(), os.getpid()), time.time()
        self.trials: dict[str, Trial] = {}
        self.rows: dict[str, Row] = {}
        self.problems: dict[str, str] = {}
        self.line = Progress(notebook.name)
        self.total, self.news = 0, 0  # runs of the sweep, and those that ended since the start
        self._next_table = 0.0  # when results.csv is worth writing again
        environment = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
        if os.environ.get("DEEPUNSUP_DATA"):
            environment["DEEPUNSUP_DATA"] = str((cwd / Path(os.environ["DEEPUNSUP_DATA"]).expanduser()).resolve())
        copy = Notebook(folder / "source" / self.code[:12] / notebook.path.name, notebook.content)
        self.request = Request(notebook=copy, values={}, preset=preset, timeout=timeout, cwd=folder,
                               folder=notebook.path.parent, environment=environment)  # fmt: skip
        try:
            copy.path.parent.mkdir(exist_ok=True)
            write_text(copy.path, json.dumps(notebook.content))
        except OSError as error:
            raise CommandError(f"cannot write to the sweep's folder: {describe_os_error(error)}") from error

    def run(self, sample: int | None, seed: int, minimize: str | None) -> SweepResult:
        """Compute the trials of draws, tell the search what came of them, until there is nothing to draw."""
        grid = self.axes.grid()
        self.total = len(grid) * (sample or 1)
        draws, search = random_draws(self.axes, sample or 1, seed), None
        if minimize:
            draws = self._known_draws(grid)
            self.total = max(self.total, len(grid) * len(draws))
            search = OptunaSearch(self.axes, count=sample, seed=seed, known=len(draws))
        groups = [[self._trial(values | drawn) for values in grid] for drawn in draws]
        self._announce([trial for group in groups for trial in group])
        while True:
            self._compute({trial.key: trial for group in groups for trial in group})
            if self.stop.is_set() or not search:
                break
            for drawn, group in zip(draws, groups):
                search.tell(drawn, self._mean(group, minimize))
            draws = search.ask(max(1, self.engine.jobs // len(grid)))
            groups = [[self._trial(values | drawn) for values in grid] for drawn in draws]
            if not draws:
                break
        return self._finish(minimize)

    def state(self, parameters: Mapping[str, Any]) -> tuple[str, str]:
        """Digests of code and data as they were when the sweep, or the first trial with such data, began."""
        texts = tuple(sorted({value for value in parameters.values() if isinstance(value, str)}))
        if texts not in self.data:
            self.data[texts] = data_digest(parameters, self.request.environment.get("DEEPUNSUP_DATA"))
        return self.code, self.data[texts]

    def key_of(self, parameters: Mapping[str, Any]) -> str:
        """The key that these parameters have with the code and the data of this sweep."""
        return trial_key(self.state(parameters), parameters)

    def _known_draws(self, grid: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The draws of which some trial is finished."""
        drawn = self.axes.drawn

        def rest(parameters: Mapping[str, Any]) -> str:
            return json.dumps({name: value for name, value in parameters.items() if name not in drawn}, sort_keys=True)

        wanted = {rest(self.defaults | values) for values in grid}
        rows = [row for row in read_rows(self.folder, self.key_of)[0] if rest(row.parameters) in wanted]
        found = [{name: row.parameters[name] for name in drawn} for row in rows]
        found = [draw for draw in found if all(span.low <= draw[name] <= span.high for name, span in drawn.items())]
        return list({json.dumps(draw): draw for draw in found}.values())

    def _trial(self, values: dict[str, Any]) -> Trial:
        """The trial at these values, which depart from the defaults."""
        parameters = self.defaults | values
        key = self.key_of(parameters)
        words = ["deepunsup", "run", str(self.notebook.number or self.notebook.path)]
        words += ["--preset", self.preset] if self.preset else []
        for name, value in values.items():
            words += ["-p", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        varied = [name for name in values if name in self.axes.swept or name in self.axes.drawn]
        self.trials[key] = Trial(
            key=key, label=" ".join(f"{name}={values[name]}" for name in varied) or "the only run",
            request=replace(self.request, values=values, command=shlex.join(words)), parameters=parameters,
            output=self.folder, index=len(self.trials), side_by_side=self.engine.side_by_side, sweep=self.identity,
            retry_before=self.began if self.retry else 0.0, state=self.state(parameters),
        )  # fmt: skip
        return self.trials[key]

    def _announce(self, first: list[Trial]) -> None:
        """How many runs, how many of them are there already, how long it may take."""
        varied = {name: len(values) for name, values in self.axes.swept.items()} | dict.fromkeys(
            self.axes.drawn, "drawn"
        )
        rows = [read_row(trial.place) for trial in first]
        there = sum(row is not None and (row.completed or not self.retry) for row in rows)
        damaged = sum(row is None and trial.place.exists() for trial, row in zip(first, rows))
        text = f"{self.notebook.name}: {self.total} runs"
        text += f" ({', '.join(f'{name}: {count}' for name, count in varied.items())})" if varied else ""
        text += f", {there} of them there already" if there else ""
        text += f", {damaged} damaged (computed again, the old files kept in damaged/)" if damaged else ""
        known = [row.seconds for row in map(read_row, (self.folder / "trials").glob("*")) if row and row.completed]
        seconds = statistics.median(known) if known else self.notebook.seconds
        if self.total > there and seconds:
            text += f"; about {duration(seconds * (self.total - there) / self.engine.jobs)}, going by the "
            text += "finished runs" if known else "default run"
        self._say(f"{text}; {self.engine.jobs} at once; results in {shown_path(self.folder, self.cwd)}")

    def _compute(self, left: dict[str, Trial]) -> None:
        """Compute the trials; those that another sweep computes just now are waited for."""
        for key in left:
            self._take(key, news=False)
        while left and not self.stop.is_set():
            waiting = [trial for key, trial in left.items() if key not in self.rows]
            ends = self.engine.run(waiting, self._poll)
            self._poll()
            for key, end in ends.items():
                label = self.trials[key].label
                if end == CHANGED:
                    self.problems[CHANGED] = WHEN_CHANGED
                    self.stop.set()
                elif end not in (DONE, BUSY, STOPPED) or (end == DONE and key not in self.rows):
                    self.problems[label] = end or f"the files in {self.trials[key].place} cannot be read"
                    self._say(f"{label}: {self.problems[label]}")
            left = {key: left[key] for key, end in ends.items() if end == BUSY and key not in self.rows}
            if left:
                time.sleep(0.5)

    def _poll(self) -> None:
        """Look at the folder: tell what finished, show what runs, pass on that it is to stop."""
        there = {path.name for path in (self.folder / "trials").iterdir()}
        for key in self.trials.keys() & there - self.rows.keys():
            self._take(key, news=True)
        with contextlib.suppress(OSError):  # a full disk, a closed terminal: neither ends a sweep
            if self.stop.is_set():
                (self.folder / "status" / f"{self.identity[0]}.stop").touch()
            self._show_progress()

    def _show_progress(self) -> None:
        """Rewrite the line that says what is done and what runs."""
        running = []
        for path in (self.folder / "status").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):  # it has just ended, or is another sweep's
                trial, status = self.trials[path.stem], json.loads(path.read_text(encoding="utf-8"))
                where = f"cell {status['cell']}/{status['total']}" if status["total"] else "starting"
                running.append(f"{trial.label} {where}")
        failed = sum(not row.completed for row in self.rows.values())
        text = f"{len(self.rows)} of {self.total} done" + (f", {failed} failed" if failed else "")
        if self.news and len(self.rows) < self.total:
            left = (time.time() - self.began) / self.news * (self.total - len(self.rows))
            text += f", about {duration(left)} left"
        self.line.show("; ".join([text, *running[:4]]) + (f" and {len(running) - 4} more" if len(running) > 4 else ""))

    def _take(self, key: str, *, news: bool) -> None:
        """Read a trial that is there, and tell it; a failure that is to be repeated counts for nothing."""
        trial = self.trials[key]
        row = read_row(trial.place)
        if row is None or repeats(trial, row):
            return
        self.rows[key] = row
        if not news:
            return
        self.news += 1
        where = f"{len(self.rows)}/{self.total} {trial.label}"
        if row.completed:
            self._say(f"{where}: completed in {duration(row.seconds)}")
        else:
            report = shown_path(trial.place / "report.html", self.cwd)
            self._say(f"{where}: {row.status}, {row.error or 'no message'} ({report})")
        if time.monotonic() > self._next_table:
            began = time.monotonic()
            self._write("tables", partial(write_tables, self.folder, read_rows(self.folder, self.key_of)[0]))
            self._next_table = time.monotonic() + max(5.0, 20 * (time.monotonic() - began))

    def _say(self, line: str) -> None:
        """Tell a line; where nobody listens any more, the sweep goes on."""
        with contextlib.suppress(OSError):
            self.line.clear()
            self.tell(line)

    def _mean(self, trials: list[Trial], metric: str | None) -> float | None:
        """The metric's mean over a draw's trials; None unless all of them recorded it."""
        rows = [self.rows.get(trial.key) for trial in trials]
        if metric is None or not all(row and row.completed and metric in row.metrics for row in rows):
            return None
        return mean_of([row.metrics[metric] for row in rows])

    def _write(self, name: str, write: Callable[[], None]) -> None:
        """Write tables or the summary, or remember why not: a file held open must not cost the sweep."""
        self.problems.pop(name, None)
        try:
            write()
        except OSError as error:
            self.problems[name] = f"{describe_os_error(error)}: free it and give the same command again"

    def _finish(self, minimize: str | None) -> SweepResult:
        """Write the tables and the summary, and say how it went."""
        rows, others = read_rows(self.folder, self.key_of)
        self._write("tables", partial(write_tables, self.folder, rows))
        self._write("summary.html", partial(write_summary, self.folder, self.notebook, rows, others, minimize))
        (self.folder / "status" / f"{self.identity[0]}.stop").unlink(missing_ok=True)
        result = SweepResult(folder=self.folder, rows=list(self.rows.values()), problems=self.problems,
                             interrupted=self.stop.is_set() and CHANGED not in self.problems)  # fmt: skip
        completed = sum(row.completed for row in result.rows)
        failed = len(result.rows) - completed
        lost = len(self.problems.keys() & {trial.label for trial in self.trials.values()})
        text = (
            f"{completed} completed" + (f", {failed} failed" if failed else "") + (f", {lost} not kept" if lost else "")
        )
        text += " (--retry-failed runs them again)" if failed and not self.retry else ""
        text += "; all of them were there already" if not self.news and len(result.rows) == self.total else ""
        text += "; interrupted: give the same command again to go on" if result.interrupted else ""
        lines = [
            f"{name}: {self.problems[name]}" for name in ("tables", "summary.html", CHANGED) if name in self.problems
        ]
        place = shown_path(self.folder / "summary.html", self.cwd)
        for line in [text, *lines, *claims_line(rows), f"summary: {place}"]:
            self._say(line)
        return result
