"""The pictures of a sweep's summary: every metric against one parameter; small copies of the runs' main figures."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..report.page import shown
from .table import Configuration, label, mean_of

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5A5A5A")  # Okabe & Ito, as in the course
MOST_PLACES = 12  # that a line joins
LARGEST = 1e100  # a scale beyond it has no ticks
THUMBNAIL = 480  # pixels across, at most
LOOK = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E6E6E6",
    "axes.axisbelow": True, "legend.frameon": False, "text.parse_math": False,  # names and values are text: `$` is a dollar
}  # fmt: skip


def metric_plot(axis: str, found: list[Configuration], axes: list[str], metrics: list[str]) -> bytes:
    """Every metric against one swept parameter, a panel each, as a PNG.

    A dot is a run; a line joins the means of configurations that differ in this parameter alone or, where there are more
    of these than colours, of all.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    kinds: dict[str, list[Configuration]] = {}
    for one in found:
        kinds.setdefault(label({name: one.values[name] for name in axes if name != axis}), []).append(one)
    kinds = kinds if len(kinds) <= len(COLOURS) else {"": found}
    position, dress = positions([one.values[axis] for one in found])
    columns = min(3, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    with rc_context(LOOK):
        figure = Figure(figsize=(3.1 * columns, 2.5 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False)
        for panel, metric in zip(panels.flat, metrics):
            for kind, colour in zip(kinds.values(), COLOURS):
                draw(panel, [(position(one.values[axis]), row.metrics[metric]) for one in kind for row in one.completed
                             if metric in row.metrics], colour)  # fmt: skip
            panel.set(xlabel=axis, title=metric)
            dress(panel)
        for panel in panels.flat[len(metrics) :]:
            panel.remove()
        if len(kinds) > 1:
            handles = [Line2D([], [], color=colour, marker="o", ms=4) for _, colour in zip(kinds, COLOURS)]
            figure.legend(handles, list(kinds), loc="outside lower center", ncols=columns)
        stream = io.BytesIO()
        figure.savefig(stream, dpi=140, format="png")
    return stream.getvalue()


def draw(panel: Any, dots: list[tuple[float, float]], colour: str) -> None:
    """Dots, and a line through the means where they stand at a few places (at as many as draws, it would zigzag)."""
    panel.plot(*zip(*dots) if dots else ([], []), "o", color=colour, ms=3.5, alpha=0.55, mew=0)
    values: dict[float, list[float]] = {}
    for x, y in sorted(dots):
        values.setdefault(x, []).append(y)
    if 1 < len(values) <= MOST_PLACES:
        panel.plot(list(values), [mean_of(some) for some in values.values()], color=colour, lw=1.6)


def positions(values: list[Any]) -> tuple[Callable[[Any], float], Callable[[Any], None]]:
    """Where a value stands on the horizontal axis, and a function that dresses the axis of a panel.

    Numbers stand to scale, to a logarithmic one where they are positive and span a factor of 10; all else side by side.
    """
    different = list({repr(value): value for value in values}.values())
    if all(type(value) in (int, float) and abs(value) < LARGEST for value in different):
        logarithmic = min(different) > 0 and max(different) / min(different) >= 10

        def dress(panel: Any) -> None:
            if logarithmic:
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter("{x:g}")
                panel.xaxis.set_minor_formatter("")
            if len(different) <= 6:
                panel.set_xticks(sorted(different), [f"{value:g}" for value in sorted(different)])
                panel.set_xticks([], minor=True)

        return float, dress
    order = [repr(value) for value in different]

    def name_ticks(panel: Any) -> None:
        slanted = {"rotation": 20, "ha": "right"} if max(len(text) for text in order) > 10 else {}
        panel.set_xticks(range(len(order)), [shown(value)[-24:] for value in different], **slanted)

    return lambda value: float(order.index(repr(value))), name_ticks


def thumbnail(path: Path) -> bytes | None:
    """A small PNG of a picture; None where it cannot be read."""
    from PIL import Image

    stream = io.BytesIO()
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL, 4 * THUMBNAIL))
            small.quantize(128).save(stream, format="PNG", optimize=True)
    except Exception:  # a damaged picture can raise anything
        return None
    return stream.getvalue()
