"""summary.html: what a sweep found, in one file that needs no network; its links lead to the runs beside it."""

import math
from pathlib import Path

import jinja2

from ..console import duration
from ..files import write_text
from ..notebook.files import Notebook
from ..report.html import picture
from ..report.page import TEMPLATES, number, shown
from .plots import LARGEST, metric_plot, thumbnail
from .table import SEED, Configuration, Row, claim_counts, configurations, label, metric_names, varied

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
    axes = [name for name in names if name != SEED]
    plots, undrawn = metric_plots(found, axes, metrics)
    if minimize in metrics:
        found.sort(key=lambda one: (one.mean_and_spread(minimize) or (math.inf,))[0])
    counts = sorted(claim_counts(rows), key=lambda pair: pair[1].get("share", 2))  # what nobody asked comes last
    broken = [pair for pair in counts if pair[1].get("share", 2) < 1]
    claims = counts if len(counts) <= MOST_CLAIMS else broken[: 3 * MOST_CLAIMS]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True)  # fmt: skip
    environment.filters |= {"number": number, "shown": shown}
    html = environment.get_template("summary.html").render(
        notebook=notebook,
        axes=axes,
        metrics=metrics,
        seeds=len({repr(row.parameters.get(SEED)) for row in rows}),
        found=found,
        best=minimize if minimize in metrics else None,
        failures=[
            (label({name: row.parameters.get(name) for name in names}), row) for row in rows if not row.completed
        ],
        completed=sum(row.completed for row in rows),
        claims=claims,
        held=len(counts) - len(claims),
        smoke=any(row.preset == "smoke" for row in rows),
        shared={name: value for name, value in (rows[0].parameters if rows else {}).items() if name not in names},
        plots=plots,
        undrawn=undrawn,
        pictures=pictures(output, found[:MOST_PICTURES]),
        left_out=max(0, len(found) - MOST_PICTURES),
        others=others,
        duration=duration(sum(row.seconds for row in rows)),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
    )
    write_text(output / "summary.html", html)


def metric_plots(found: list[Configuration], axes: list[str], metrics: list[str]) -> tuple[dict[str, str], list[str]]:
    """A picture for each parameter that varies, and what could not be drawn."""
    found = [one for one in found if one.completed]
    values = {name: [row.metrics.get(name, 0) for one in found for row in one.completed] for name in metrics}
    undrawn = [name for name in metrics if max(map(abs, values[name])) >= LARGEST]
    drawn = [name for name in metrics if name not in undrawn]
    plots, why = {}, [f"{name} has values beyond {LARGEST:g}" for name in undrawn]
    for axis in axes if drawn else []:
        alt = f"A panel for each of {', '.join(drawn)} against {axis}; dots are runs, lines join means."
        try:
            plots[axis] = picture("image/png", metric_plot(axis, found, axes, drawn), alt=alt)
        except Exception as error:  # no picture may cost a table
            why.append(f"against {axis} ({type(error).__name__}: {error})")
    return plots, why


def pictures(output: Path, found: list[Configuration]) -> list[tuple[Row, str, str]]:
    """A run of each configuration that has a main figure, what it is a run of, and the figure, small."""
    shots = []
    for one in found:
        row = next((row for row in one.completed if row.flagship), None)
        if small := row and thumbnail(output / "trials" / row.key / row.flagship):
            title = label(one.values)
            shots.append((row, title, picture("image/png", small, alt=f"Main figure of {title}")))
    return shots
