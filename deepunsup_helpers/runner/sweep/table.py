"""The finished points of a sweep's folder as rows, as results.csv, and averaged over seeds."""

import csv
import io
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import write_text
from .trial import trial_key

SEED = "seed"  # the parameter over which figures are averaged


@dataclass(frozen=True)
class Row:
    """One finished point: completed, or ended in another way that `error` tells."""

    key: str
    status: str
    seconds: float
    parameters: dict[str, Any]
    metrics: dict[str, float]
    error: str
    flagship: str | None
    figures: tuple[str, ...]

    @property
    def completed(self) -> bool:
        """Whether its figures count."""
        return self.status == "completed"


@dataclass(frozen=True)
class Group:
    """The completed rows that differ in their seed alone."""

    values: dict[str, Any]
    rows: list[Row]

    def mean_and_spread(self, metric: str) -> tuple[float, float | None, int] | None:
        """Mean, standard deviation (n - 1; None for a single run) and number of the runs that recorded the metric."""
        found = [row.metrics[metric] for row in self.rows if metric in row.metrics]
        if not found:
            return None
        return statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found)


def read_row(folder: Path) -> Row | None:
    """The point in a folder of `trials/`; None where it cannot be read."""
    try:
        facts, parameters, metrics = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("run.json", "parameters.json", "metrics.json")
        )
        figures = tuple(sorted(path.name for path in (folder / "figures").glob("*.png")))
        return Row(
            key=folder.name, status=facts["status"], seconds=float(facts.get("seconds") or 0.0), parameters=parameters,
            metrics=metrics, error=facts.get("error") or "; ".join(facts.get("problems") or []),
            flagship=facts.get("flagship"), figures=figures,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_rows(output: Path, *, notebook: str, package: str) -> tuple[list[Row], int]:
    """Every finished point of the folder that today's code and data would compute alike, and how many others there are.

    Args:
        notebook, package: today's digests, see `points.trial_key`.
    """
    rows = [row for row in map(read_row, sorted((output / "trials").glob("*"))) if row]
    current = [row for row in rows if trial_key(notebook, package, row.parameters) == row.key]
    names = varied(current)
    current.sort(key=lambda row: [_order(row.parameters.get(name)) for name in names])
    return current, len(rows) - len(current)


def _order(value: Any) -> tuple:
    """Numbers by size, before everything else by its text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, value, "")
    return (1, 0, repr(value))


def varied(rows: list[Row]) -> list[str]:
    """The parameters that differ between the rows, in the notebook's order, the seed last."""
    names = list(rows[0].parameters) if rows else []
    found = [name for name in names if len({json.dumps(row.parameters.get(name)) for row in rows}) > 1]
    return sorted(found, key=lambda name: name == SEED)


def metric_names(rows: list[Row]) -> list[str]:
    """Every metric that some completed row has, in the order of recording."""
    return list(dict.fromkeys(name for row in rows if row.completed for name in row.metrics))


def groups(rows: list[Row]) -> list[Group]:
    """The completed rows, those that differ in their seed alone together."""
    names = [name for name in varied(rows) if name != SEED]
    found: dict[str, Group] = {}
    for row in rows:
        if row.completed:
            values = {name: row.parameters.get(name) for name in names}
            found.setdefault(json.dumps(values), Group(values, [])).rows.append(row)
    return list(found.values())


def write_results(path: Path, rows: list[Row]) -> None:
    """results.csv: a row a point, first what varied, then status and metrics, then the parameters all share.

    The last column is the folder of the run below the sweep's folder.
    """
    names, metrics = varied(rows), metric_names(rows)
    shared = [name for name in (rows[0].parameters if rows else []) if name not in names]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    clash = set(metrics) & {*names, *shared, "status", "seconds", "error", "folder"}
    titles = [f"metric:{name}" if name in clash else name for name in metrics]
    writer.writerow([*names, "status", "seconds", *titles, *shared, "error", "folder"])
    for row in rows:
        values = [_cell(row.parameters.get(name)) for name in names]
        figures = [repr(row.metrics[name]) if name in row.metrics else "" for name in metrics]
        rest = [_cell(row.parameters.get(name)) for name in shared]
        writer.writerow([*values, row.status, row.seconds, *figures, *rest, row.error, f"trials/{row.key}"])
    write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    """A parameter in a table: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
