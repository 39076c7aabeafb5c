"""The finished trials of a sweep's folder as rows; results.csv and claims.csv; averages over seeds."""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepunsup_helpers.results import plain_cell

from ..files import write_text
from ..notebook.files import require

SEED = "seed"  # the parameter over which metrics are averaged


@dataclass(frozen=True)
class Row:
    """One finished trial; `claims` holds true, false or None (not asked) by the claim's text."""

    key: str
    status: str
    seconds: float
    parameters: dict[str, Any]
    metrics: dict[str, float]
    error: str = ""
    flagship: str | None = None
    preset: str | None = None
    claims: dict[str, bool | None] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        """Whether its metrics count."""
        return self.status == "completed"


def read_row(folder: Path) -> Row | None:
    """The finished trial in a folder of `trials/`; None where there is none, or its files are damaged."""

    def read(name: str, kind: type) -> Any:
        return require(json.loads((folder / name).read_text(encoding="utf-8")), kind, name)

    try:
        run, parameters, metrics = (read(f"{name}.json", dict) for name in ("run", "parameters", "metrics"))
        claims = read("claims.json", list) if (folder / "claims.json").exists() else []
        row = Row(
            key=folder.name, parameters=parameters, preset=run.get("preset"), seconds=float(run.get("seconds") or 0),
            status=require(run["status"], str, "status"), flagship=require(run.get("flagship"), str | None, "flagship"),
            error=require(run.get("error") or "; ".join(run.get("problems") or []), str, "error"),
            metrics={name: float(value) for name, value in metrics.items()},
            claims={str(claim["text"]): require(claim["holds"], bool | None, "holds") for claim in claims},
        )  # fmt: skip
        return row if all(map(math.isfinite, [row.seconds, *row.metrics.values()])) else None
    except Exception:  # damage can raise anything
        return None


def read_rows(output: Path, key_of: Callable[[Mapping[str, Any]], str]) -> tuple[list[Row], int]:
    """Every finished trial of the folder whose key its parameters have today, by `key_of`, and how many others."""
    rows = [row for row in map(read_row, sorted((output / "trials").glob("*"))) if row]
    current = [row for row in rows if key_of(row.parameters) == row.key]
    names = varied(current)
    current.sort(key=lambda row: [_order(row.parameters.get(name)) for name in names])
    return current, len(rows) - len(current)


def _order(value: Any) -> tuple:
    """Numbers by size, before everything else by its text."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, "") if number else (1, 0, repr(value))


def varied(rows: list[Row]) -> list[str]:
    """The parameters that differ between the rows, in the notebook's order, the seed last."""
    names = list(rows[0].parameters) if rows else []
    found = [name for name in names if len({json.dumps(row.parameters.get(name)) for row in rows}) > 1]
    return sorted(found, key=lambda name: name == SEED)


def label(values: Mapping[str, Any]) -> str:
    """'latent_dim=8 seed=1'."""
    return " ".join(f"{name}={value}" for name, value in values.items()) or "the only run"


def metric_names(rows: list[Row]) -> list[str]:
    """Every metric that some completed row has, in the order of recording."""
    return list(dict.fromkeys(name for row in rows if row.completed for name in row.metrics))


@dataclass(frozen=True)
class Configuration:
    """The rows that differ in their seed alone, whatever became of them."""

    values: dict[str, Any]
    rows: list[Row]

    @property
    def completed(self) -> list[Row]:
        """Those whose metrics count."""
        return [row for row in self.rows if row.completed]

    def mean_and_spread(self, metric: str) -> tuple[float, float | None, int] | None:
        """Mean, standard deviation (n - 1; None for a single run) and number of the runs that recorded the metric."""
        found = [row.metrics[metric] for row in self.completed if metric in row.metrics]
        if not found:
            return None
        try:
            return mean_of(found), statistics.stdev(found) if len(found) > 1 else None, len(found)
        except OverflowError:
            return mean_of(found), math.inf, len(found)


def mean_of(values: list[float]) -> float:
    """The mean, of numbers near the largest too."""
    try:
        return statistics.fmean(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def configurations(rows: list[Row]) -> list[Configuration]:
    """The rows, those that differ in their seed alone together."""
    names = [name for name in varied(rows) if name != SEED]
    found: dict[str, Configuration] = {}
    for row in rows:
        values = {name: row.parameters.get(name) for name in names}
        found.setdefault(json.dumps(values), Configuration(values, [])).rows.append(row)
    return list(found.values())


def claim_counts(rows: list[Row]) -> list[tuple[Configuration, dict[str, Any]]]:
    """How often each claim holds, for each configuration and claim: its text, `runs`, `asked`, `held`, `share`.

    `runs` counts the configuration's runs, `asked` those in which the claim was asked, `held` those in which it held;
    `share` is held / asked, left out where nobody asked. A run that did not complete counts as asked and not held, for each
    claim of its configuration's runs, or of all runs where none of the configuration completed. Smoke runs count as
    not asked: they are too short to bear a claim out.
    """
    lines = []
    everything = dict.fromkeys(text for row in rows for text in row.claims)
    for one in configurations(rows):
        own = dict.fromkeys(text for row in one.rows for text in row.claims)
        for text in own if one.completed else everything:
            answers = [row.claims.get(text) if row.completed else False for row in one.rows if row.preset != "smoke"]
            asked, held = sum(answer is not None for answer in answers), sum(answer is True for answer in answers)
            counts = {"claim": text, "runs": len(one.rows), "asked": asked, "held": held}
            lines.append((one, counts | ({"share": round(held / asked, 4)} if asked else {})))
    return lines


def claims_line(rows: list[Row]) -> str:
    """'claims: 52 of 54 hold; least often: ...', or '' where none was asked."""
    asked = [(one, counts) for one, counts in claim_counts(rows) if counts["asked"]]
    if not asked:
        return ""
    held, total = (sum(counts[name] for _, counts in asked) for name in ("held", "asked"))
    line = f"claims: {held} of {total} hold"
    one, worst = min(asked, key=lambda pair: pair[1]["share"])
    if worst["held"] == worst["asked"]:
        return line
    line += f"; least often: {worst['claim']!r}, {worst['held']} of {worst['asked']}"
    return f"{line} at {label(one.values)}" if one.values else line


def write_tables(output: Path, rows: list[Row]) -> None:
    """Write results.csv, a row a trial, and claims.csv where there are claims; see `claim_counts`.

    results.csv has first what varied, then status and metrics, then the parameters all share; the last column is the
    folder of the run below the sweep's folder.
    """
    several, own = varied(rows), ["status", "seconds", "error", "folder"]
    parameters = titles(rows[0].parameters if rows else [], taken=own, kind="parameter")
    measured = titles(metric_names(rows), taken=[*own, *parameters], kind="metric")
    lines = [
        {parameters[name]: row.parameters.get(name) for name in several}
        | {"status": row.status, "seconds": row.seconds}
        | {title: row.metrics.get(name, "") for name, title in measured.items()}
        | {title: row.parameters.get(name) for name, title in parameters.items() if name not in several}
        | {"error": row.error, "folder": f"trials/{row.key}"}
        for row in rows
    ]
    write_csv(output / "results.csv", lines, columns=list(lines[0]) if lines else own)
    if counts := claim_counts(rows):
        own = ["claim", "runs", "asked", "held", "share"]
        axes = titles(counts[0][0].values, taken=own, kind="parameter")
        lines = [{axes[name]: value for name, value in one.values.items()} | line for one, line in counts]
        write_csv(output / "claims.csv", lines, columns=[*axes.values(), *own])


def titles(names: Iterable[str], *, taken: list[str], kind: str) -> dict[str, str]:
    """A column's title for each name: itself, or 'metric:seconds' where a column has that title already."""
    return {name: f"{kind}:{name}" if name in taken else name for name in names}


def write_csv(path: Path, lines: list[dict[str, Any]], columns: list[str]) -> None:
    """Write lines as CSV; a cell that a line lacks stays empty."""
    from pandas import DataFrame

    cells = [{name: csv_cell(value) for name, value in line.items()} for line in lines]
    write_text(path, DataFrame(cells, columns=columns, dtype=object).to_csv(index=False, lineterminator="\n"))


def csv_cell(value: Any) -> Any:
    """What stands in a table for a value: numbers, text that no table program computes, all else as JSON."""
    return plain_cell(value) if type(value) in (int, float, str) else json.dumps(value)
