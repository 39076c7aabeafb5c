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
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from ..console import Progress, duration, shown_path
from ..errors import CommandError, describe_os_error
from ..files import write_text
from ..notebook.digest import code_digest
from ..notebook.files import Notebook
from ..notebook.parameters import read_parameters
from ..threads import THREAD_VARIABLES
from .backends import Engine
from .grid import Axes
from .result import SweepResult, claims_line
from .search import OptunaSearch, RandomSearch
from .table import Row, mean_of, read_row, read_rows, write_tables
from .trial import BUSY, CHANGED, DONE, STOPPED, Trial, data_digest, data_names, repeats, trial_key

FOLDERS = ("trials", "running", "locks", "status", "source")


def make_folder(folder: Path) -> None:
    """Make a sweep's folder, or find it there."""
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the sweep's folder: {describe_os_error(error)}") from error


class Sweep:
    """One sweep under way, in a folder that is there; `stop` is set from outside to end it."""

    def __init__(self, notebook: Notebook, axes: Axes, folder: Path, engine: Engine, *, preset: str | None,
                 timeout: float | None, retry: bool, cwd: Path, tell: Callable[[str], None],
                 stop: threading.Event):  # fmt: skip
        self.notebook, self.axes, self.folder, self.engine = notebook, axes, folder, engine
        self.preset, self.timeout, self.retry, self.cwd, self.tell, self.stop = preset, timeout, retry, cwd, tell, stop
        self.defaults = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
        data = os.environ.get("DEEPUNSUP_DATA")
        self.data = str((cwd / Path(data).expanduser()).resolve()) if data else None
        self.code = code_digest(notebook)
        self.data_of = cache(partial(data_digest, data=self.data))
        self.identity, self.began = (uuid.uuid4().hex[:12], socket.gethostname(), os.getpid()), time.time()
        self.trials: dict[str, Trial] = {}
        self.rows: dict[str, Row] = {}
        self.problems: dict[str, str] = {}
        self.line = Progress(notebook.name)
        self.total, self.news = 0, 0  # runs of the sweep, and those that ended since the start
        self.changed = False  # code or data are no longer what they were at the start
        self._next_table = 0.0  # when results.csv is worth writing again
        self.copy = folder / "source" / self.code[:12] / notebook.path.name
        try:
            self.copy.parent.mkdir(exist_ok=True)
            write_text(self.copy, json.dumps(notebook.content))
        except OSError as error:
            raise CommandError(f"cannot write to the sweep's folder: {describe_os_error(error)}") from error

    def run(self, sample: int | None, seed: int, minimize: str | None) -> SweepResult:
        """Ask for draws, compute their trials, tell the search what came of them, until there is nothing to ask."""
        grid = self.axes.grid()
        self.total = len(grid) * (sample or 1)
        if minimize:
            known = self._known_draws(grid)
            search = OptunaSearch(self.axes, count=sample, seed=seed, known=known)
            self.total = max(self.total, len(grid) * len(known))
        else:
            search = RandomSearch(self.axes, sample or 1, seed)
        room = max(1, self.engine.jobs // len(grid))
        draws = search.ask(room)
        groups = [[self._trial(values | drawn) for values in grid] for drawn in draws]
        self._announce([trial for group in groups for trial in group])
        while draws and not self.stop.is_set():
            self._compute({trial.key: trial for group in groups for trial in group})
            for drawn, group in zip(draws, groups):
                search.tell(drawn, self._mean(group, minimize))
            draws = [] if self.stop.is_set() else search.ask(room)
            groups = [[self._trial(values | drawn) for values in grid] for drawn in draws]
        with contextlib.suppress(OSError):
            self.line.clear()
        return self._finish(minimize)

    def key_of(self, parameters: Mapping[str, Any]) -> str:
        """The key that these parameters have with today's code and data."""
        return trial_key((self.code, self.data_of(data_names(parameters))), parameters)

    def _known_draws(self, grid: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The draws of which some trial is finished."""
        drawn = self.axes.drawn

        def rest(parameters: Mapping[str, Any]) -> str:
            return json.dumps({name: value for name, value in parameters.items() if name not in drawn}, sort_keys=True)

        rows, _ = read_rows(self.folder, self.key_of)
        wanted = {rest(self.defaults | values) for values in grid}
        found = [{name: row.parameters[name] for name in drawn} for row in rows if rest(row.parameters) in wanted]
        found = [draw for draw in found if all(span.low <= draw[name] <= span.high for name, span in drawn.items())]
        return list({json.dumps(draw): draw for draw in found}.values())

    def _trial(self, values: dict[str, Any]) -> Trial:
        """The trial at these values, which depart from the defaults."""
        parameters = self.defaults | values
        key = self.key_of(parameters)
        names = [name for name in values if name in self.axes.swept or name in self.axes.drawn]
        words = ["deepunsup", "run", str(self.notebook.number or self.notebook.path)]
        words += ["--preset", self.preset] if self.preset else []
        words += [word for name, value in values.items() for word in ("-p", f"{name}={_typed(value)}")]
        self.trials[key] = Trial(
            key=key, label=" ".join(f"{name}={values[name]}" for name in names) or "the only run",
            index=len(self.trials), notebook=self.copy, folder=self.notebook.path.parent, parameters=parameters,
            values=values, preset=self.preset, timeout=self.timeout, output=self.folder, command=shlex.join(words),
            side_by_side=self.engine.side_by_side, data=self.data, sweep=self.identity, retry=self.retry,
            began=self.began, threads={name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
            state=(self.code, self.data_of(data_names(parameters))),
        )  # fmt: skip
        return self.trials[key]

    def _announce(self, first: list[Trial]) -> None:
        """How many runs, how many of them are there already, how long it may take."""
        counts = [f"{name}: {len(values)}" for name, values in self.axes.swept.items()]
        counts += [f"{name}: drawn" for name in self.axes.drawn]
        rows = {trial.key: read_row(trial.place) for trial in first}
        there = sum(row is not None and (row.completed or not self.retry) for row in rows.values())
        damaged = sum(row is None and self.trials[key].place.exists() for key, row in rows.items())
        text = f"{self.notebook.name}: {self.total} runs" + (f" ({', '.join(counts)})" if counts else "")
        text += f", {there} of them there already" if there else ""
        text += f", {damaged} damaged (computed again, the old files kept in damaged/)" if damaged else ""
        known = [row.seconds for row in map(read_row, (self.folder / "trials").glob("*")) if row and row.completed]
        seconds = statistics.median(known) if known else self.notebook.seconds
        if self.total > there and seconds:
            source = "the finished runs" if known else "the default run"
            text += f"; about {duration(seconds * (self.total - there) / self.engine.jobs)}, going by {source}"
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
                if end == CHANGED:
                    self.changed = True
                    self.stop.set()
                elif end not in (DONE, BUSY, STOPPED) or (end == DONE and key not in self.rows):
                    self.problems[self.trials[key].label] = (
                        end or f"the files in {self.trials[key].place} cannot be read"
                    )
                    self._say(f"{self.trials[key].label}: {self.problems[self.trials[key].label]}")
            left = {key: left[key] for key, end in ends.items() if end == BUSY and key not in self.rows}
            if left:
                time.sleep(0.5)

    def _poll(self) -> None:
        """Look at the folder: tell what finished, show what runs, pass on the wish to stop."""
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
            with contextlib.suppress(OSError, ValueError, KeyError):  # it has just ended
                status = json.loads(path.read_text(encoding="utf-8"))
                if path.stem in self.trials:
                    where = f"cell {status['cell']}/{status['total']}" if status["total"] else "starting"
                    running.append(f"{self.trials[path.stem].label} {where}")
        failed = sum(not row.completed for row in self.rows.values())
        done = f"{len(self.rows)} of {self.total} done" + (f", {failed} failed" if failed else "")
        if self.news and len(self.rows) < self.total:
            left = (time.time() - self.began) / self.news * (self.total - len(self.rows))
            done += f", about {duration(left)} left"
        doing = ", ".join(running[:4]) + (f" and {len(running) - 4} more" if len(running) > 4 else "")
        self.line.show(f"{done}; {doing}" if doing else done)

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
            self._write_tables(read_rows(self.folder, self.key_of)[0])
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

    def _write_tables(self, rows: list[Row]) -> None:
        """Write results.csv and claims.csv, or remember why not: a file held open must not cost the sweep."""
        self.problems.pop("tables", None)
        try:
            write_tables(self.folder, rows)
        except OSError as error:
            self.problems["tables"] = f"{describe_os_error(error)}: close or free it and give the same command again"

    def _finish(self, minimize: str | None) -> SweepResult:
        """Write the tables and the summary, and say how it went."""
        from .summary import write_summary

        rows, others = read_rows(self.folder, self.key_of)
        self._write_tables(rows)
        try:
            write_summary(self.folder, notebook=self.notebook, rows=rows, others=others, minimize=minimize)
        except OSError as error:
            self.problems["summary.html"] = describe_os_error(error)
        (self.folder / "status" / f"{self.identity[0]}.stop").unlink(missing_ok=True)
        if self.changed:
            self.problems["stopped"] = ("the package, a module beside the notebook or the data changed meanwhile. What ran "
                                        "just then was not kept: give the same command again to go on with the new "
                                        "ones.")  # fmt: skip
        result = SweepResult(folder=self.folder, rows=list(self.rows.values()), problems=self.problems,
                             interrupted=self.stop.is_set() and not self.changed)  # fmt: skip
        for line in self._last_lines(result, rows):
            self._say(line)
        return result

    def _last_lines(self, result: SweepResult, rows: list[Row]) -> list[str]:
        """How many completed, which claim holds least often, where the summary is."""
        completed = sum(row.completed for row in result.rows)
        failed = len(result.rows) - completed
        lost = sum(trial.label in self.problems for trial in self.trials.values())
        text = (
            f"{completed} completed" + (f", {failed} failed" if failed else "") + (f", {lost} not kept" if lost else "")
        )
        if failed and not self.retry:
            text += " (--retry-failed runs them again)"
        if not self.news and len(result.rows) == self.total:
            text += "; all of them were there already"
        if result.interrupted:
            text += "; interrupted: give the same command again to go on"
        lines = [text] + [
            f"{name}: {self.problems[name]}" for name in ("tables", "summary.html", "stopped") if name in self.problems
        ]
        lines += claims_line(rows)
        return [*lines, f"summary: {shown_path(self.folder / 'summary.html', self.cwd)}"]


def _typed(value: Any) -> str:
    """A value as `deepunsup run -p name=value` takes it."""
    return value if isinstance(value, str) else json.dumps(value)
