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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..console import Progress, duration, shown_path
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, CommandError, describe_os_error
from ..files import write_json, write_text
from ..notebook.digest import code_digest
from ..notebook.files import Notebook
from ..notebook.parameters import read_parameters
from ..run.run import Request
from ..threads import THREAD_VARIABLES
from .backends import Engine
from .grid import Axes
from .search import optuna_draws, random_draws
from .summary import write_summary
from .table import Row, claims_line, label, mean_of, read_row, read_rows, write_tables
from .trial import BUSY, CHANGED, DONE, STOPPED, Trial, data_digest, repeats, trial_key

FOLDERS = ("trials", "running", "locks", "status", "source")
TABLES, SUMMARY = "tables", "summary.html"
WHEN_CHANGED = (
    "the package, a module beside the notebook or the data are no longer what they were. What ran just then was not kept: "
    "give the same command again to go on with the new ones."
)


@dataclass
class SweepResult:
    """What a sweep left behind."""

    folder: Path
    rows: list[Row]  # of its own trials
    problems: dict[str, str]  # a trial's label, or a file's name, to why it was not kept
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 when every trial completed, 130 after Ctrl-C, else 1."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if self.problems or any(not row.completed for row in self.rows) else 0

    def table(self) -> Any:
        """results.csv as a pandas DataFrame: a row a run, columns for what varied, the metrics and the rest."""
        import pandas

        return pandas.read_csv(self.folder / "results.csv")


@contextlib.contextmanager
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
        self.retry, self.cwd, self.tell, self.stop = retry, cwd, tell, stop
        self.defaults = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
        self.code, self.data = code_digest(notebook), {}  # digests, of data by the texts that may name them
        self.stop_file, self.began = folder / "status" / f"{uuid.uuid4().hex[:12]}.stop", time.time()
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
        write_text(copy.path, json.dumps(notebook.content))
        self.request = Request(notebook=copy, values={}, preset=preset, timeout=timeout, cwd=folder,
                               folder=notebook.path.parent, environment=environment)  # fmt: skip

    def run(self, sample: int | None, seed: int, minimize: str | None) -> SweepResult:
        """Compute the trials of draws, tell the search what came of them, until there is nothing to draw."""
        grid = self.axes.grid()
        known = self._known_draws(grid) if minimize else []
        self.total = len(grid) * max(sample or 1, len(known))
        search = random_draws(self.axes, count=sample or 1, seed=seed)
        if minimize:
            batch = max(1, self.engine.jobs // len(grid))
            search = optuna_draws(self.axes, count=sample, seed=seed, known=known, batch=batch)
        means = None
        with contextlib.suppress(StopIteration):
            while not self.stop.is_set():
                groups = [[self._trial(values | drawn) for values in grid] for drawn in search.send(means)]
                trials = [trial for group in groups for trial in group]
                if means is None:
                    self._announce(trials)
                self._compute(trials)
                means = [self._mean(group, minimize) for group in groups]
        return self._finish(minimize)

    def key_of(self, parameters: Mapping[str, Any]) -> str:
        """The key of these parameters, with code and data as they were when the sweep, or the first trial of such, began."""
        texts = frozenset(value for value in parameters.values() if isinstance(value, str))
        if texts not in self.data:
            self.data[texts] = data_digest(parameters, self.request.environment.get("DEEPUNSUP_DATA"))
        return trial_key((self.code, self.data[texts]), parameters)

    def _known_draws(self, grid: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The draws of which some trial is finished."""
        spans, found = self.axes.drawn, {}
        wanted = {self.key_of(self.defaults | values | dict.fromkeys(spans)) for values in grid}
        for row in read_rows(self.folder, self.key_of)[0]:
            draw = {name: row.parameters[name] for name in spans}
            within = all(draw[name] is not None and span.low <= draw[name] <= span.high for name, span in spans.items())
            if within and self.key_of(row.parameters | dict.fromkeys(spans)) in wanted:
                found[json.dumps(draw)] = draw
        return list(found.values())

    def _trial(self, values: dict[str, Any]) -> Trial:
        """The trial at these values, which depart from the defaults; its row is read if it is there."""
        parameters = self.defaults | values
        key = self.key_of(parameters)
        words = ["deepunsup", "run", str(self.notebook.number or self.notebook.path)]
        words += ["--preset", self.request.preset] if self.request.preset else []
        for name, value in values.items():
            words += ["-p", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        varied = {name: value for name, value in values.items() if name not in self.axes.fixed}
        trial = Trial(
            key=key, label=label(varied), request=replace(self.request, values=values, command=shlex.join(words)),
            parameters=parameters, output=self.folder, stop_file=self.stop_file,
            index=len(self.trials), side_by_side=self.engine.side_by_side, host=socket.gethostname(),
            retry_before=self.began if self.retry else 0.0,
        )  # fmt: skip
        self.trials[key] = trial
        self._read(trial)
        return trial

    def _read(self, trial: Trial) -> Row | None:
        """Take a trial that is there among the rows; a failure that is to be repeated counts for nothing."""
        row = read_row(trial.place)
        if row is None or repeats(trial, row):
            return None
        self.rows[trial.key] = row
        return row

    def _announce(self, first: list[Trial]) -> None:
        """How many runs, how many of them are there already, how long it may take."""
        counts = {name: len(values) for name, values in self.axes.swept.items()}
        counts |= dict.fromkeys(self.axes.drawn, "drawn")
        there = sum(trial.key in self.rows for trial in first)
        damaged = sum(trial.place.exists() and read_row(trial.place) is None for trial in first)
        text = f"{self.notebook.name}: {self.total} runs"
        text += f" ({', '.join(f'{name}: {count}' for name, count in counts.items())})" if counts else ""
        text += f", {there} of them there already" if there else ""
        text += f", {damaged} damaged (computed again, the old files kept in damaged/)" if damaged else ""
        known = [row.seconds for row in map(read_row, (self.folder / "trials").glob("*")) if row and row.completed]
        seconds = statistics.median(known) if known else self.notebook.seconds
        if self.total > there and seconds:
            text += f"; about {duration(seconds * (self.total - there) / self.engine.jobs)}, going by the "
            text += "finished runs" if known else "default run"
        self._say(f"{text}; {self.engine.jobs} at once; results in {shown_path(self.folder, self.cwd)}")

    def _compute(self, trials: list[Trial]) -> None:
        """Compute the trials; those that another sweep computes just now are waited for."""
        left = {trial.key for trial in trials} - self.rows.keys()
        while left and not self.stop.is_set():
            ends = self.engine.run([trial for key, trial in self.trials.items() if key in left], self._poll)
            self._poll()
            for key, end in ends.items():
                trial = self.trials[key]
                if end == CHANGED:
                    self.problems[CHANGED] = WHEN_CHANGED
                    self.stop.set()
                elif end not in (DONE, BUSY, STOPPED) or (end == DONE and key not in self.rows):
                    self.problems[trial.label] = end or f"the files in {trial.place} cannot be read"
                    self._say(f"{trial.label}: {self.problems[trial.label]}")
            left = {key for key, end in ends.items() if end == BUSY} - self.rows.keys()
            if left:
                time.sleep(0.5)

    def _poll(self) -> None:
        """Look at the folder: tell what finished, show what runs, pass on that it is to stop."""
        there = {path.name for path in (self.folder / "trials").iterdir()}
        for key in self.trials.keys() & there - self.rows.keys():
            if row := self._read(self.trials[key]):
                self._tell_end(self.trials[key], row)
        with contextlib.suppress(OSError):  # a full disk, a closed terminal: neither ends a sweep
            if self.stop.is_set():
                self.stop_file.touch()
            self._show_progress()

    def _show_progress(self) -> None:
        """Rewrite the line that says what is done and what runs."""
        running = []
        for path in (self.folder / "status").glob("*.txt"):
            with contextlib.suppress(OSError, KeyError):  # it has just ended, or is another sweep's
                running.append(f"{self.trials[path.stem].label} {path.read_text(encoding='utf-8')}")
        failed = sum(not row.completed for row in self.rows.values())
        text = f"{len(self.rows)} of {self.total} done" + (f", {failed} failed" if failed else "")
        if self.news and len(self.rows) < self.total:
            left = (time.time() - self.began) / self.news * (self.total - len(self.rows))
            text += f", about {duration(left)} left"
        self.line.show("; ".join([text, *running]))

    def _tell_end(self, trial: Trial, row: Row) -> None:
        """Tell a trial that ended just now; now and then, write the tables."""
        self.news += 1
        text = f"completed in {duration(row.seconds)}"
        if not row.completed:
            report = shown_path(trial.place / "report.html", self.cwd)
            text = f"{row.status}, {row.error or 'no message'} ({report})"
        self._say(f"{len(self.rows)}/{self.total} {trial.label}: {text}")
        if time.monotonic() > self._next_table:
            began = time.monotonic()
            with contextlib.suppress(OSError):  # told at the end
                write_tables(self.folder, read_rows(self.folder, self.key_of)[0])
            self._next_table = time.monotonic() + max(5.0, 20 * (time.monotonic() - began))

    def _say(self, line: str) -> None:
        """Tell a line; where nobody listens any more, the sweep goes on."""
        with contextlib.suppress(OSError):
            self.line.clear()
            self.tell(line)

    def _mean(self, trials: list[Trial], metric: str | None) -> float | None:
        """The metric's mean over a draw's trials; None unless all of them recorded it."""
        rows = [self.rows.get(trial.key) for trial in trials]
        values = [row.metrics[metric] for row in rows if row and row.completed and metric in row.metrics]
        return mean_of(values) if len(values) == len(trials) else None

    def _finish(self, minimize: str | None) -> SweepResult:
        """Write the tables and the summary, and say how it went."""
        rows, others = read_rows(self.folder, self.key_of)
        files = {TABLES: partial(write_tables, self.folder, rows),
                 SUMMARY: partial(write_summary, self.folder, self.notebook, rows, others, minimize)}  # fmt: skip
        for name, write in files.items():
            try:
                write()
            except OSError as error:  # a file held open must not cost the sweep
                self.problems[name] = f"{describe_os_error(error)}: free it and give the same command again"
        self.stop_file.unlink(missing_ok=True)
        interrupted = self.stop.is_set() and CHANGED not in self.problems
        result = SweepResult(self.folder, list(self.rows.values()), self.problems, interrupted)
        general = [name for name in (TABLES, SUMMARY, CHANGED) if name in self.problems]
        completed, lost = sum(row.completed for row in result.rows), len(self.problems) - len(general)
        failed = len(result.rows) - completed
        text = f"{completed} completed"
        text += f", {failed} failed" if failed else ""
        text += f", {lost} not kept" if lost else ""
        text += " (--retry-failed runs them again)" if failed and not self.retry else ""
        text += "; all of them were there already" if not self.news and len(result.rows) == self.total else ""
        text += "; interrupted: give the same command again to go on" if interrupted else ""
        lines = [f"{name}: {self.problems[name]}" for name in general]
        place = shown_path(self.folder / SUMMARY, self.cwd)
        for line in filter(None, [text, *lines, claims_line(rows), f"summary: {place}"]):
            self._say(line)
        return result
