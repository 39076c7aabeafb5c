"""A sweep under way: each point run once, however often the sweep is begun."""

import json
import os
import shlex
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..console import Progress, duration, shown_path, stopping
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, CommandError, describe_os_error
from ..files import write_text
from ..notebook.files import Notebook
from ..notebook.parameters import read_parameters
from .backends import Engine
from .grid import Axes
from .search import OptunaSearch, RandomSearch
from .table import Row, read_row, read_rows, write_results
from .trial import Trial, notebook_digest, package_digest, trial_key

FOLDERS = ("trials", "running", "locks", "status", "source")


@dataclass(frozen=True)
class Point:
    """One run to be: the values that depart from the defaults, and a label of those that vary in this sweep."""

    key: str
    values: dict[str, Any]
    parameters: dict[str, Any]
    label: str


@dataclass
class SweepResult:
    """What a sweep left behind: its folder, the rows of its own points, and what it could not do."""

    folder: Path
    rows: list[Row] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)  # label to why a point could not even be kept
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 when every point completed, 130 after Ctrl-C, else 1."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if self.problems or any(not row.completed for row in self.rows) else 0

    def table(self) -> Any:
        """results.csv as a pandas DataFrame: a row a run, columns for what varied, the metrics and the rest."""
        import pandas

        return pandas.read_csv(self.folder / "results.csv")


class Sweeping:
    """One sweep under way."""

    def __init__(self, notebook: Notebook, axes: Axes, folder: Path, *, preset: str | None, timeout: float | None,
                 retry: bool, cwd: Path, tell: Callable[[str], None]):  # fmt: skip
        self.notebook, self.axes, self.folder = notebook, axes, folder
        self.preset, self.timeout, self.retry, self.cwd, self.tell = preset, timeout, retry, cwd, tell
        self.defaults = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
        self.digests = {"notebook": notebook_digest(notebook), "package": package_digest()}
        self.identity, self.began = uuid.uuid4().hex[:12], time.time()
        self.points: dict[str, Point] = {}
        self.rows: dict[str, Row] = {}
        self.problems: dict[str, str] = {}
        self.stop = threading.Event()
        self.line = Progress(notebook.name)
        self.news = 0  # points that ended since the start
        self._next_table = 0.0  # when results.csv is worth writing again
        try:
            for name in FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
            self.copy = folder / "source" / self.digests["notebook"][:12] / notebook.path.name
            self.copy.parent.mkdir(exist_ok=True)
            write_text(self.copy, json.dumps(notebook.content))
        except OSError as error:
            raise CommandError(f"cannot make the sweep's folder: {describe_os_error(error)}") from error

    @contextmanager
    def search(self, sample: int | None, seed: int, minimize: str | None) -> Iterator[Any]:
        """Where the draws come from; one search at a time learns from a study."""
        if minimize is None:
            yield RandomSearch(self.axes, sample or 1, seed)
            return
        from filelock import FileLock, Timeout

        name = trial_key(**self.digests, parameters={"axes": repr(self.axes), "minimize": minimize})
        try:
            with FileLock(self.folder / "locks" / f"search-{name}.lock", timeout=0):
                yield OptunaSearch(self.axes, count=sample, seed=seed, file=self.folder / "search.log", name=name)
        except Timeout as error:
            raise CommandError(
                f"another sweep minimizes {minimize} in {self.folder} just now: wait, or give another -o."
            ) from error

    def run(self, engine: Engine, search: Any, sample: int | None, minimize: str | None) -> SweepResult:
        """Ask for draws, run their points, tell the search what came of them, until there is nothing to ask."""
        grid = self.axes.grid()
        total = len(grid) * (sample or 1)
        self._announce(engine, grid, total, search)
        with stopping() as self.stop:
            while not self.stop.is_set():
                draws = search.ask(max(1, engine.jobs // len(grid)))
                if not draws:
                    break
                points = {number: [self._point(values | drawn) for values in grid] for number, drawn in draws}
                self._run(engine, [point for group in points.values() for point in group], total)
                if self.stop.is_set():
                    break
                for number, group in points.items():
                    search.tell(number, self._mean(group, minimize))
        self.line.clear()
        return self._finish(minimize)

    def _point(self, values: dict[str, Any]) -> Point:
        """The point at these values."""
        parameters = self.defaults | values
        key = trial_key(**self.digests, parameters=parameters)
        names = [name for name in values if name in self.axes.swept or name in self.axes.drawn]
        label = " ".join(f"{name}={values[name]}" for name in names) or "the only point"
        self.points[key] = Point(key=key, values=values, parameters=parameters, label=label)
        return self.points[key]

    def _announce(self, engine: Engine, grid: list, total: int, search: Any) -> None:
        """How many runs, how many of them are there already, how long it may take."""
        counts = [f"{name}: {len(values)}" for name, values in self.axes.swept.items()]
        counts += [f"{name}: drawn" for name in self.axes.drawn]
        there = 0
        if not isinstance(search, OptunaSearch):
            draws = RandomSearch(self.axes, search.count, search.seed).ask(1)
            rows = [
                read_row(self.folder / "trials" / self._point(values | drawn).key)
                for _, drawn in draws
                for values in grid
            ]
            there = sum(row is not None and (row.completed or not self.retry) for row in rows)
            self.points.clear()
        text = f"{self.notebook.name}: {total} runs" + (f" ({', '.join(counts)})" if counts else "")
        text += f", {there} of them there already" if there else ""
        left = total - there
        known = [row.seconds for row in map(read_row, (self.folder / "trials").glob("*")) if row and row.completed]
        seconds = statistics.median(known) if known else self.notebook.seconds
        if left and seconds:
            source = "the finished runs" if known else "the default run"
            text += f"; about {duration(seconds * left / engine.jobs)}, going by {source}"
        self.tell(f"{text}; {engine.jobs} at once; results in {shown_path(self.folder, self.cwd)}")

    def _run(self, engine: Engine, points: list[Point], total: int) -> None:
        """Run the points; those that another sweep computes just now are waited for."""
        left = {point.key: point for point in points}
        for key in list(left):
            self._take(key, total, news=False)
        while left and not self.stop.is_set():
            tasks = [self._task(engine, index, point) for index, point in enumerate(left.values())]
            ends = engine.run([task for task in tasks if not self._there(task)], partial(self._poll, total))
            self._poll(total)
            for key, end in ends.items():
                if end not in ("busy", "stopped") and key not in self.rows:
                    self.problems[key] = end or f"{self.folder / 'points' / key} cannot be read: remove it"
                    self._say(f"{self.points[key].label}: {self.problems[key]}")
            left = {key: left[key] for key, end in ends.items() if end == "busy" and key not in self.rows}
            if left:
                time.sleep(0.5)

    def _there(self, task: Trial) -> bool:
        """Whether a point needs no worker at all."""
        row = self.rows.get(task.key)
        return row is not None and (row.completed or not self.retry)

    def _task(self, engine: Engine, index: int, point: Point) -> Trial:
        """The point as a worker takes it."""
        threads = os.environ.get("OMP_NUM_THREADS", "")
        data = os.environ.get("DEEPUNSUP_DATA")
        words = ["deepunsup", "run", str(self.notebook.number or self.notebook.path)]
        words += ["--preset", self.preset] if self.preset else []
        words += [word for name, value in point.values.items() for word in ("-p", f"{name}={_typed(value)}")]
        return Trial(
            key=point.key, index=index, notebook=self.copy, folder=self.notebook.path.parent, values=point.values,
            preset=self.preset, timeout=self.timeout, output=self.folder, command=shlex.join(words), share=engine.share,
            threads=int(threads) if threads.isdecimal() and int(threads) else None,
            data=str((self.cwd / Path(data).expanduser()).resolve()) if data else None,
            sweep=(self.identity, socket.gethostname(), os.getpid()), retry=self.retry, began=self.began,
        )  # fmt: skip

    def _poll(self, total: int) -> None:
        """Look at the folder: tell what finished, show what runs, pass on Ctrl-C."""
        there = {path.name for path in (self.folder / "trials").iterdir()}
        for key in self.points:
            if key in there and (key not in self.rows or (self.retry and not self.rows[key].completed)):
                self._take(key, total, news=True)
        if self.stop.is_set():
            (self.folder / "status" / f"{self.identity}.stop").touch()
        running = []
        for path in (self.folder / "status").glob("*.json"):
            try:
                status = json.loads(path.read_text(encoding="utf-8"))
                if path.stem in self.points:
                    where = f"cell {status['cell']}/{status['total']}" if status["total"] else "starting"
                    running.append(f"{self.points[path.stem].label} {where}")
            except (OSError, ValueError, KeyError):  # it has just ended
                continue
        failed = sum(not row.completed for row in self.rows.values())
        doing = ", ".join(running[:4]) + (f" and {len(running) - 4} more" if len(running) > 4 else "")
        done = f"{len(self.rows)} of {total} done" + (f", {failed} failed" if failed else "")
        if self.news and len(self.rows) < total:
            left = (time.time() - self.began) / self.news * (total - len(self.rows))
            done += f", about {duration(left)} left"
        self.line.show(f"{done}; {doing}" if doing else done)

    def _take(self, key: str, total: int, *, news: bool) -> None:
        """Read a point that is there, and tell it."""
        place = self.folder / "trials" / key
        row = read_row(place) if place.exists() else None
        if row is None or self.rows.get(key) == row:
            return
        if self.retry and not row.completed and (place / "run.json").stat().st_mtime < self.began:
            return
        self.rows[key] = row
        if not news:
            return
        self.news += 1
        where = f"{len(self.rows)}/{total} {self.points[key].label}"
        if row.completed:
            self._say(f"{where}: completed in {duration(row.seconds)}")
        else:
            report = shown_path(place / "report.html", self.cwd)
            self._say(f"{where}: {row.status}, {row.error or 'no message'} ({report})")
        if time.monotonic() > self._next_table:
            began = time.monotonic()
            write_results(self.folder / "results.csv", read_rows(self.folder, **self.digests)[0])
            self._next_table = time.monotonic() + max(5.0, 20 * (time.monotonic() - began))

    def _say(self, line: str) -> None:
        self.line.clear()
        self.tell(line)

    def _mean(self, points: list[Point], metric: str | None) -> float | None:
        """The metric's mean over a draw's points; None unless all of them recorded it."""
        rows = [self.rows.get(point.key) for point in points]
        if metric is None or not all(row and row.completed and metric in row.metrics for row in rows):
            return None
        return statistics.fmean(row.metrics[metric] for row in rows)

    def _finish(self, minimize: str | None) -> SweepResult:
        """Write the table and the summary, and say how it went."""
        from .summary import write_summary

        rows, others = read_rows(self.folder, **self.digests)
        write_results(self.folder / "results.csv", rows)
        write_summary(self.folder, notebook=self.notebook, rows=rows, others=others, minimize=minimize)
        (self.folder / "status" / f"{self.identity}.stop").unlink(missing_ok=True)
        result = SweepResult(
            folder=self.folder, rows=list(self.rows.values()), interrupted=self.stop.is_set(),
            problems={self.points[key].label: text for key, text in self.problems.items()},
        )  # fmt: skip
        completed = sum(row.completed for row in result.rows)
        failed = len(result.rows) - completed
        text = f"{completed} completed" + (f", {failed} failed" if failed else "")
        text += f", {len(result.problems)} not kept" if result.problems else ""
        if failed and not self.retry:
            text += " (--retry-failed runs them again)"
        if result.interrupted:
            text += "; interrupted: give the same command again to go on"
        self.tell(text)
        self.tell(f"summary: {shown_path(self.folder / 'summary.html', self.cwd)}")
        return result


def _typed(value: Any) -> str:
    """A value as `deepunsup run -p name=value` takes it."""
    return value if isinstance(value, str) else json.dumps(value)
