"""What is laid over or beside data: a guess, a reference, names of points, one dot a seed."""

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patheffects import withStroke

from deepunsup_helpers.plotting.charts import label_end, spread_labels
from deepunsup_helpers.plotting.style import GUESS_COLOUR, INK, LARGEST, LINE_COLOURS, QUIET, as_array, as_text
from deepunsup_helpers.printing import guessed

FAR = 2.0  # a guess that would make the axis this much longer is named at its edge


def guess_line(ax, guess: Any, *, axis: str = "y", label: str = "your guess"):
    """The learner's guess as a dashed line across the figure; nothing when there is none or it is no number.

    It never stops a notebook. A guess far from the data is named at the edge, so that the data keep their room.

    Args:
        ax: where to draw; last, when the data are there.
        guess: anything: None, a number in the units of `axis`, or a text such as "12" or "1,5".
        axis: "y" for a horizontal line at y = guess, "x" for a vertical one.
        label: written at the line's end.
    Returns:
        the ax.
    Raises:
        ValueError: `axis` is neither "x" nor "y".

    guess_line(curves(history.train), guess=120)
    """
    value = guessed(guess)
    _check(axis)
    if value is None:
        return ax
    low, high = sorted(ax.get_ylim() if axis == "y" else ax.get_xlim())
    logarithmic = (ax.get_yscale() if axis == "y" else ax.get_xscale()) == "log"
    if logarithmic and value <= 0:
        place = -math.inf
    else:
        scaled = [math.log(v) for v in (low, value, high)] if logarithmic else [low, value, high]
        place = (scaled[1] - scaled[0]) / (scaled[2] - scaled[0])
    if ax.has_data() and not 1 - FAR <= place <= FAR:
        above = place > 0
        arrow = {("y", True): "\u2191", ("y", False): "\u2193", ("x", True): "\u2192", ("x", False): "\u2190"}[
            axis, above
        ]
        at = (0.5, 0.97 if above else 0.03) if axis == "y" else (0.98 if above else 0.02, 0.97)
        sides = {"ha": "center" if axis == "y" else "right" if above else "left"}
        sides["va"] = "bottom" if axis == "y" and not above else "top"
        text = f"{as_text(label)}: {value:.4g} {arrow}"
        ax.annotate(text, at, xycoords="axes fraction", color=GUESS_COLOUR, path_effects=_halo(), **sides)
        return ax
    return reference_line(ax, value, label, axis=axis, colour=GUESS_COLOUR, style=(0, (5, 3)))


def reference_line(ax, value: float, label: str, *, axis: str = "y", colour: str = QUIET, style: Any = (0, (1, 1.5))):
    """A line across the figure with its name: a floor, a chance level, an exact answer.

    Args:
        ax: where to draw.
        value: in the units of `axis`; what is not finite is not drawn.
        label: at the line's end: right of the axes, or for axis="x" inside them at the top.
        axis: "y" for a horizontal line, "x" for a vertical one.
        colour, style: as Matplotlib takes them.
    Returns:
        the ax.
    Raises:
        ValueError: `axis` is neither "x" nor "y".

    reference_line(curves(history.train), 52.7, "always the mean")
    """
    _check(axis)
    if not math.isfinite(value):
        return ax
    scale = ax.get_yscale() if axis == "y" else ax.get_xscale()
    value, label = float(np.clip(value, 1 / LARGEST if scale == "log" else -LARGEST, LARGEST)), as_text(label)
    look = {"color": colour, "linestyle": style, "linewidth": 1.6, "zorder": 3}
    if axis == "y":
        ax.axhline(value, **look)
        label_end(ax, label, value, INK if colour == QUIET else colour, at=None)
        spread_labels(ax)
    else:
        ax.axvline(value, **look)
        low, high = sorted(ax.get_xlim())
        middle = math.sqrt(low * high) if scale == "log" and low > 0 else (low + high) / 2
        side = {"ha": "left", "xytext": (4, -4)} if value < middle else {"ha": "right", "xytext": (-4, -4)}
        ax.annotate(
            label,
            (value, 1),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            va="top",
            color=INK if colour == QUIET else colour,
            path_effects=_halo(),
            annotation_clip=False,
            **side,
        )
    return ax


def label_points(ax, x, y, names, *, colour: str = INK):
    """Names beside points, each moved up or down until it covers none that came before.

    Args:
        ax: where the points are.
        x, y: (N,) each, in the units of the axes.
        names: N texts.
        colour: of the texts.
    Returns:
        the ax.
    Raises:
        ValueError: not as many names as points.

    label_points(ax, errors, accuracies, ["PCA", "network"])
    """
    x, y = as_array(x).astype(float).reshape(-1), as_array(y).astype(float).reshape(-1)
    names = list(names)
    if not len(x) == len(y) == len(names):
        raise ValueError(f"{len(x)} x, {len(y)} y and {len(names)} names; expected as many of each")
    taken, middle = [], np.mean(ax.transAxes.transform([(0, 0), (1, 1)]), axis=0)[0]
    points = 72 / ax.figure.dpi
    for place, name in sorted(zip(zip(x, y), map(as_text, names)), key=lambda pair: -pair[0][1]):
        across, up = ax.transData.transform(place) * points
        left = across / points > middle  # towards the middle of the axes, where there is room
        width = 6.0 * len(name)
        start = across - 6 - width if left else across + 6
        height = next(
            step
            for step in sorted(range(-400, 401, 6), key=abs)
            if all(abs(up + step - v) > 12 or start > b or start + width < a for a, b, v in taken)
        )
        taken.append((start, start + width, up + height))
        at = {"xytext": (-6 if left else 6, height), "textcoords": "offset points", "va": "center"}
        ax.annotate(name, place, ha="right" if left else "left", color=colour, path_effects=_halo(), **at)
    return ax


def dots(values: dict, *, ylabel: str, reference: dict | None = None, ax=None):
    """One dot a seed, a short bar at the median: what may be compared by eye, spread included.

    Args:
        values: {name: [a number a seed]}; what is not finite is left out.
        ylabel: what the numbers are, with their unit.
        reference: {label: value}, horizontal lines: floors, chance levels.
        ax: where to draw; by default a new figure.
    Returns:
        the ax.

    dots({"PCA": [19.9, 19.9, 19.9], "network": [21.0, 21.4, 22.1]}, ylabel="squared error an image")
    """
    ax = ax or plt.subplots()[1]
    for place, (_, series) in enumerate(values.items()):
        series = as_array(series).astype(float).reshape(-1)
        series = series[np.isfinite(series)]
        if not len(series):
            continue
        beside = place + (np.arange(len(series)) - (len(series) - 1) / 2) * min(0.09, 0.5 / len(series))
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        ax.plot(beside, series, "o", color=colour, markersize=6, alpha=0.85, markeredgewidth=0)
        ax.hlines(np.median(series), place - 0.3, place + 0.3, color=colour, linewidth=2)
    ax.set_xticks(range(len(values)), [as_text(name) for name in values])
    ax.set_xlim(-0.6, len(values) - 0.4)
    ax.set_ylabel(ylabel)
    for label, value in (reference or {}).items():
        reference_line(ax, float(value), label)
    return ax


def _check(axis: str) -> None:
    if axis not in ("x", "y"):
        raise ValueError(f'axis is {axis!r}; expected "x" or "y"')


def _halo() -> list:
    return [withStroke(linewidth=2.5, foreground="white")]
