"""Curves with their names at their ends, maps of a latent space."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from deepunsup_helpers.plotting.style import (
    CLASS_COLOURS,
    INK,
    LARGEST,
    LINE_COLOURS,
    as_array,
    as_text,
    luminance,
    text_colour,
)

LINE_END = "line end"  # marks the texts that `spread_labels` may move
LINE_HEIGHT = 14  # points between two such texts
MOST_NAMES = 20  # classes: more names than this cover the points


def curves(series: dict, *, x=None, xlabel: str = "epoch", ylabel: str = "loss", yscale: str = "linear", ax=None):
    """Lines with their names written at their ends.

    Args:
        series: {name: values}; NaN and infinite values are left out, on a log scale also what is not above 0.
        x: positions shared by all, or None for 1, 2, 3, ...
        xlabel, ylabel: what the axes show, with units.
        yscale: "linear" or "log".
        ax: where to draw; by default a new figure.
    Returns:
        the ax.
    Raises:
        ValueError: more values than positions.

    show(curves(history.train, ylabel="nats an image"), "The loss falls from epoch to epoch.")
    """
    ax = ax or plt.subplots()[1]
    ax.set_yscale(yscale)
    ax.margins(x=0.02)
    ends = []
    for i, (name, values) in enumerate(series.items()):
        values = as_array(values).astype(float).reshape(-1)
        positions = np.arange(1, len(values) + 1) if x is None else as_array(x).astype(float).reshape(-1)
        if len(values) > len(positions):
            raise ValueError(f"{name!r} has {len(values)} values for {len(positions)} positions in x")
        keep = np.isfinite(values) & np.isfinite(positions[: len(values)]) & ((yscale != "log") | (values > 0))
        least = 1 / LARGEST if yscale == "log" else -LARGEST
        colour = LINE_COLOURS[i % len(LINE_COLOURS)]
        points = (np.clip(positions[: len(values)][keep], -LARGEST, LARGEST), np.clip(values[keep], least, LARGEST))
        ax.plot(*points, color=colour, marker="o" if keep.sum() == 1 else None, label=as_text(name))
        if keep.any():
            ends.append((float(points[0][-1]), float(points[1][-1]), as_text(name), colour))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if x is None:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    left, right = ax.get_xlim()
    for end, value, name, colour in ends:
        label_end(ax, name, value, colour, at=None if end > right - 0.08 * (right - left) else end)
    spread_labels(ax)
    return ax


def latent_scatter(z, y=None, *, class_names=None, ax=None):
    """A map of a 2-D representation, coloured by class, each class's name written at its median point.

    With more than twenty classes only the twenty largest are named; the ten colours come again and again.

    Args:
        z: (N, 2); points that are not finite are left out.
        y: classes, whole numbers, (N,), or None for a single colour.
        class_names: a name for each class number, or None for the numbers; written as they are.
        ax: where to draw; by default a new square figure.
    Returns:
        the ax.
    Raises:
        ValueError: z is not (N, 2), y not (N,) or no whole numbers, or a class has no name.

    latent_scatter(vae.encode(x)[0], y, class_names=data.class_names)
    """
    z = as_array(z).astype(float)
    if z.ndim != 2 or z.shape[1] != 2:
        raise ValueError(f"z has shape {z.shape}; expected points in the plane, shape (N, 2)")
    y = np.zeros(len(z), dtype=int) if y is None else as_array(y)
    if y.shape != (len(z),):
        raise ValueError(f"y has shape {y.shape} for {len(z)} points; expected ({len(z)},)")
    if y.size and not (y == np.floor(y)).all():
        raise ValueError("y holds fractions or NaN; expected whole class numbers")
    y = y.astype(int)
    if class_names is not None and y.size and not 0 <= y.min() <= y.max() < len(class_names):
        raise ValueError(
            f"y holds classes {y.min()} to {y.max()}, class_names {len(class_names)} names; one each is needed"
        )
    ax = ax or plt.subplots(figsize=(5.2, 5.0))[1]
    finite = np.isfinite(z).all(axis=1)
    z, y = np.clip(z[finite], -LARGEST, LARGEST), y[finite]
    classes, counts = np.unique(y, return_counts=True)
    palette = {c: CLASS_COLOURS[c % len(CLASS_COLOURS)] for c in classes}
    colours = np.array([to_rgb(palette[c]) for c in y]).reshape(-1, 3)
    order = np.random.default_rng(0).permutation(len(z))  # so that no class lies on top of another
    size = float(np.clip(20_000 / max(1, len(z)), 5, 36))  # square points
    ax.scatter(*z[order].T, c=colours[order], s=size, alpha=0.75, linewidths=0)
    crowded = ax.get_window_extent().width < 300  # pixels: a panel among others
    named = np.sort(classes[np.argsort(-counts, kind="stable")[:MOST_NAMES]])
    for c in named if len(classes) > 1 else ():
        name = as_text(c if class_names is None else class_names[c], most=20)
        box = {"boxstyle": "circle,pad=0.22" if len(name) == 1 else "round,pad=0.25", "fc": palette[c], "ec": "white"}
        ink = "white" if luminance(palette[c]) < 0.3 else INK
        at = {"ha": "center", "va": "center", "fontsize": 8 if crowded else 11}
        ax.annotate(name, np.median(z[y == c], axis=0), color=ink, fontweight="bold", bbox=box, **at)
    ax.set(xlabel="latent 1", ylabel="latent 2")
    return ax


def spread_labels(ax) -> None:
    """Move the names at the lines' ends apart where they would overlap, and into view where a line has left it."""
    texts = [text for text in ax.texts if text.get_gid() == LINE_END]
    if not texts:
        return
    low, high = sorted(ax.get_ylim())
    for text in texts:
        out_of_view = " \u2191" if text.line_y > high else " \u2193" if text.line_y < low else ""
        text.set_text(text.line_name + out_of_view)
        text.xy = (text.xy[0], float(np.clip(text.line_y, low, high)))
    points = 72 / ax.figure.dpi  # in a pixel
    wanted = np.array([ax.transData.transform((1, text.xy[1]))[1] for text in texts]) * points
    order = np.argsort(wanted, kind="stable")
    spread = wanted[order]
    for _ in range(500):  # push neighbours apart, half the overlap each
        overlap = np.clip(LINE_HEIGHT - np.diff(spread), 0, None)
        if (overlap < 0.1).all():
            break
        spread[:-1] -= overlap / 2
        spread[1:] += overlap / 2
    for i, height in zip(order, spread):
        texts[i].set_position((texts[i].get_position()[0], height - wanted[i]))


def label_end(ax, name: str, y: float, colour: str, *, at: float | None) -> None:
    """Write a name right of the axes at height y, or, if the line ends early, beside its last point x = `at`."""
    across = ax.get_yaxis_transform() if at is None else ax.transData
    text = ax.annotate(
        name,
        (1.0 if at is None else at, y),
        xycoords=across,
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        color=text_colour(colour),
        annotation_clip=False,
        gid=LINE_END,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
    text.line_name, text.line_y = name, y  # as they are, while the text has to stay in view
