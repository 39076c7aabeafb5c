"""summary.html: what a sweep found, in one file that needs no network; its links lead to the runs beside it."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..files import write_text
from ..notebook.files import Notebook
from ..report.page import TEMPLATES, number, shown
from .table import SEED, Group, Row, groups, metric_names, varied

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5A5A5A")  # Okabe & Ito, as in the course
MOST_LINES = len(COLOURS)  # of one panel; more configurations are drawn as dots alone
MOST_PICTURES = 60  # thumbnails of one page
THUMBNAIL = 480  # pixels across, at most


def write_summary(
    output: Path, *, notebook: Notebook, rows: list[Row], others: int, minimize: str | None = None
) -> None:
    """Write `output/summary.html`.

    Args:
        rows: finished points, see `table.read_rows`.
        others: points of the folder that another version of notebook, package or data computed.
        minimize: the metric that the best configuration has least of.
    """
    names, metrics, found = varied(rows), metric_names(rows), groups(rows)
    if minimize in metrics:
        found = sorted(found, key=lambda group: (group.mean_and_spread(minimize) or (float("inf"),))[0])
    axes = [name for name in names if name != SEED]
    seeds = len({repr(row.parameters.get(SEED)) for row in rows})
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True)  # fmt: skip
    environment.filters["breakable"] = breakable
    html = environment.get_template("summary.html").render(
        notebook=notebook,
        axes=axes,
        metrics=metrics,
        seeds=seeds,
        several=any(len(group.rows) > 1 for group in found),
        lines=[table_line(group, axes, metrics) for group in found],
        best=minimize if minimize in metrics else None,
        failures=[(label(row, names), row) for row in rows if not row.completed],
        completed=sum(row.completed for row in rows),
        shared={
            name: shown(value) for name, value in (rows[0].parameters if rows else {}).items() if name not in names
        },
        figures=[(name, *metric_figure(name, found, axes, metrics)) for name in axes] if metrics else [],
        pictures=pictures(output, found, axes),
        left_out=max(0, len(found) - MOST_PICTURES),
        others=others,
        seconds=sum(row.seconds for row in rows),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
    )
    write_text(output / "summary.html", html)


def breakable(name: str) -> Markup:
    """A name that may be broken after an underscore, so that a wide table still fits."""
    return escape(name).replace("_", Markup("_<wbr>"))


def label(row: Row, names: list[str]) -> str:
    """'latent_dim=8 seed=1'."""
    return " ".join(f"{name}={shown(row.parameters.get(name))}" for name in names) or "the only point"


def table_line(group: Group, axes: list[str], metrics: list[str]) -> dict[str, Any]:
    """A configuration's values, and each metric as mean, spread and number of runs."""
    figures = []
    for metric in metrics:
        found = group.mean_and_spread(metric)
        mean, spread, count = found or (None, None, 0)
        figures.append({
            "mean": "" if mean is None else number(mean),
            "spread": "" if spread is None else f"{spread:.2g}",
            "short": count if 0 < count < len(group.rows) else 0,
        })  # fmt: skip
    return {
        "values": [shown(group.values[name]) for name in axes],
        "figures": figures,
        "runs": [(shown(row.parameters.get(SEED, "run")), f"trials/{row.key}/report.html") for row in group.rows],
    }


def metric_figure(axis: str, found: list[Group], axes: list[str], metrics: list[str]) -> tuple[str, str]:
    """Every metric against one swept parameter, a panel each, as PNG in base64; and its alt text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = min(3, len(metrics))
    lines = -(-len(metrics) // columns)
    others = [name for name in axes if name != axis]
    position, ticks = positions([group.values[axis] for group in found])
    kinds = list(dict.fromkeys(tuple(repr(group.values[name]) for name in others) for group in found))
    look = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E6E6E6",
            "axes.axisbelow": True, "legend.frameon": False}  # fmt: skip
    with plt.rc_context(look):
        figure, panels = plt.subplots(
            lines, columns, figsize=(3.1 * columns, 2.5 * lines), squeeze=False, layout="constrained"
        )
        for panel, metric in zip(panels.flat, metrics):
            draw_panel(panel, metric, found, kinds, lambda group: position(group.values[axis]),
                       lambda group: tuple(repr(group.values[name]) for name in others))  # fmt: skip
            panel.set(xlabel=axis, title=metric)
            ticks(panel)
        for panel in panels.flat[len(metrics) :]:
            panel.remove()
        if others and len(kinds) <= MOST_LINES:
            titles = [" ".join(f"{name}={value}" for name, value in zip(others, kind)) for kind in kinds]
            figure.legend(*_legend(titles, plt), loc="outside lower center", ncols=min(4, len(titles)))
        stream = io.BytesIO()
        figure.savefig(stream, dpi=140, format="png")
        plt.close(figure)
    alt = f"{len(metrics)} panels, one a metric: {', '.join(metrics)}, each against {axis}; dots are runs, lines join means."
    return base64.b64encode(stream.getvalue()).decode(), alt


def draw_panel(
    panel: Any, metric: str, found: list[Group], kinds: list[tuple], place: Callable, kind_of: Callable
) -> None:
    """One metric: a dot a run, a line through the means of the configurations that differ in this axis alone."""
    several = len(kinds) > MOST_LINES
    for number_, kind in enumerate(kinds):
        colour = COLOURS[0] if several else COLOURS[number_]
        mine = [group for group in found if kind_of(group) == kind and group.mean_and_spread(metric)]
        mine.sort(key=place)
        for group in mine:
            values = [row.metrics[metric] for row in group.rows if metric in row.metrics]
            panel.plot([place(group)] * len(values), values, "o", color=colour, ms=3.5, alpha=0.55, mew=0)
        if not several and len(mine) > 1:
            means = [group.mean_and_spread(metric)[0] for group in mine]
            panel.plot([place(group) for group in mine], means, color=colour, lw=1.6)
    stands: dict[float, list[float]] = {}
    for group in found:
        stands.setdefault(place(group), []).extend(row.metrics[metric] for row in group.rows if metric in row.metrics)
    if several and 1 < len(stands) <= len(found) / 2:  # a grid: what this parameter does whatever the others are
        means = {x: sum(values) / len(values) for x, values in sorted(stands.items()) if values}
        panel.plot(list(means), list(means.values()), color=COLOURS[-1], lw=1.6)


def _legend(titles: list[str], plt: Any) -> tuple[list, list[str]]:
    """Handles and titles of the colours."""
    return [plt.Line2D([], [], color=colour, marker="o", ms=4) for colour in COLOURS[: len(titles)]], titles


def positions(values: list[Any]) -> tuple[Callable[[Any], float], Callable[[Any], None]]:
    """Where a value stands on the horizontal axis, and a function that dresses the axis of a panel.

    Numbers stand to scale, to a logarithmic one where they are positive and span a factor of 20; all else side by side.
    """
    different = list({repr(value): value for value in values}.values())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in different):
        logarithmic = min(different) > 0 and max(different) / min(different) >= 20

        def dress(panel: Any) -> None:
            if logarithmic:
                panel.set_xscale("log")
            if len(different) <= 6:
                panel.set_xticks(sorted(different), [f"{value:g}" for value in sorted(different)])
                panel.set_xticks([], minor=True)

        return float, dress
    order = [repr(value) for value in different]

    def name_ticks(panel: Any) -> None:
        slanted = {"rotation": 20, "ha": "right"} if max(len(text) for text in order) > 10 else {}
        panel.set_xticks(range(len(order)), [shown(value)[-24:] for value in different], **slanted)

    return lambda value: float(order.index(repr(value))), name_ticks


def pictures(output: Path, found: list[Group], axes: list[str]) -> list[dict[str, str]]:
    """A thumbnail of each configuration's flagship figure (its first run's), with a link to the report."""
    shots = []
    for group in found[:MOST_PICTURES]:
        row = next((row for row in group.rows if row.flagship), None)
        picture = thumbnail(output / "trials" / row.key / row.flagship) if row else None
        if picture:
            shots.append({"title": label(row, axes), "link": f"trials/{row.key}/report.html", "picture": picture})
    return shots


def thumbnail(path: Path) -> str | None:
    """A PNG made small, in base64; None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL, 4 * THUMBNAIL))
            stream = io.BytesIO()
            small.quantize(128).save(stream, format="PNG", optimize=True)
    except (OSError, ValueError):
        return None
    return base64.b64encode(stream.getvalue()).decode()
