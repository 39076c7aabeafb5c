"""summary.html: what a sweep found, in one file that needs no network; its links lead to the runs beside it."""

import math
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..console import duration
from ..files import write_text
from ..notebook.files import Notebook
from ..report.page import TEMPLATES, number, shown
from .plots import LARGEST, metric_plot, thumbnail
from .table import SEED, Configuration, Row, claim_counts, configurations, metric_names, varied

MOST_PICTURES = 60  # thumbnails of one page
MOST_CLAIMS = 20  # lines; where there are more, what always held is left to claims.csv


def write_summary(output: Path, notebook: Notebook, rows: list[Row], others: int, minimize: str | None = None) -> None:
    """Write `output/summary.html`; a picture that cannot be drawn is left out and said to be.

    Args:
        rows: finished trials, see `table.read_rows`.
        others: trials of the folder that another version of notebook, package or data computed.
        minimize: the metric that the best configuration has least of.
    """
    names, metrics, found = varied(rows), metric_names(rows), configurations(rows)
    if minimize in metrics:
        found.sort(key=lambda one: (one.mean_and_spread(minimize) or (math.inf,))[0])
    axes = [name for name in names if name != SEED]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True)  # fmt: skip
    environment.filters["breakable"] = breakable
    lines, hidden = claim_lines(rows, axes)
    plots, undrawn = metric_plots(configurations(rows), axes, metrics)
    html = environment.get_template("summary.html").render(
        notebook=notebook,
        axes=axes,
        metrics=metrics,
        seeds=len({repr(row.parameters.get(SEED)) for row in rows}),
        several=any(len(one.completed) > 1 for one in found),
        lines=[table_line(one, axes, metrics) for one in found],
        best=minimize if minimize in metrics else None,
        failures=[(label(row, names), row) for row in rows if not row.completed],
        completed=sum(row.completed for row in rows),
        claims=lines,
        held=hidden,
        smoke=any(row.preset == "smoke" for row in rows),
        shared={name: shown(value) for name, value in (rows[0].parameters if rows else {}).items() if name not in names},
        plots=plots,
        undrawn=undrawn,
        pictures=pictures(output, found, axes),
        left_out=max(0, len(found) - MOST_PICTURES),
        others=others,
        duration=duration(sum(row.seconds for row in rows)),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
    )  # fmt: skip
    write_text(output / "summary.html", html)


def breakable(name: str) -> Markup:
    """A name that may be broken after an underscore, so that a wide table still fits."""
    return escape(name).replace("_", Markup("_<wbr>"))


def label(row: Row, names: list[str]) -> str:
    """'latent_dim=8 seed=1'."""
    return " ".join(f"{name}={shown(row.parameters.get(name))}" for name in names) or "the only run"


def table_line(one: Configuration, axes: list[str], metrics: list[str]) -> dict[str, Any]:
    """A configuration's values, and each metric as mean, spread and, where not all runs have it, their number."""
    cells = []
    for metric in metrics:
        mean, spread, count = one.mean_and_spread(metric) or (None, None, 0)
        cells.append({
            "mean": "" if mean is None else number(mean),
            "spread": "" if spread is None else f"{spread:.2g}",
            "short": count if 0 < count < len(one.completed) else 0,
        })  # fmt: skip
    return {
        "values": [shown(one.values[name]) for name in axes],
        "cells": cells,
        "runs": [(shown(row.parameters.get(SEED, "run")), row) for row in one.rows],
    }


def claim_lines(rows: list[Row], axes: list[str]) -> tuple[list[dict[str, Any]], int]:
    """Claims with the configurations' values, the worst first, never asked last; and how many lines are left out."""
    lines = [counts | {"values": [shown(one.values[name]) for name in axes]} for one, counts in claim_counts(rows)]
    lines.sort(key=lambda line: line.get("share", 2))
    told = (
        lines if len(lines) <= MOST_CLAIMS else [line for line in lines if line.get("share", 2) < 1][: 3 * MOST_CLAIMS]
    )
    return told, len(lines) - len(told)


def metric_plots(found: list[Configuration], axes: list[str], metrics: list[str]) -> tuple[list[dict], list[str]]:
    """A picture for each parameter that varies, and what could not be drawn."""
    rows = [row for one in found for row in one.completed]
    drawable = [name for name in metrics if all(abs(row.metrics.get(name, 0)) < LARGEST for row in rows)]
    plots, undrawn = [], [f"{name} has values beyond {LARGEST:g}" for name in metrics if name not in drawable]
    for name in axes if drawable else []:
        try:
            picture = metric_plot(name, [one for one in found if one.completed], axes, drawable)
        except Exception as error:  # no picture may cost a table
            undrawn.append(f"against {name} ({type(error).__name__}: {error})")
        else:
            alt = f"A panel for each of {', '.join(drawable)} against {name}; dots are runs, lines join means."
            plots.append({"name": name, "picture": picture, "alt": alt})
    return plots, undrawn


def pictures(output: Path, found: list[Configuration], axes: list[str]) -> list[dict[str, str]]:
    """A thumbnail of each configuration's main figure (its first run's), with a link to the report."""
    shots = []
    for one in found[:MOST_PICTURES]:
        row = next((row for row in one.completed if row.flagship), None)
        picture = thumbnail(output / "trials" / row.key / row.flagship) if row else None
        if picture:
            shots.append({"title": label(row, axes), "link": f"trials/{row.key}/report.html", "picture": picture})
    return shots
