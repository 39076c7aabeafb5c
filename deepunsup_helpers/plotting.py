"""One style for every figure of the course: grids of images, curves, latent maps.

Functions take tensors or arrays and an optional `ax`, return the `ax`, and never display anything; `show` does.
"""

from __future__ import annotations

import base64
import io
import math
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

# Lines: Okabe & Ito, "Color Universal Design", without its yellow, which vanishes on white.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5A5A5A")
# Classes: Paul Tol's "muted" scheme and a grey: ten colours told apart with every common colour blindness.
CLASS_COLOURS = (
    "#332288", "#DDCC77", "#44AA99", "#882255", "#88CCEE",
    "#117733", "#CC6677", "#999933", "#AA4499", "#6E6E6E",
)  # fmt: skip
INK, QUIET = "#222222", "#8A8A8A"
GUESS_COLOUR = "#B5179E"
WIDTH = 8.0  # inches of a full-width figure: 800 CSS pixels, the column of JupyterLab on a laptop
PIXELS_PER_INCH = 100  # as displayed; the PNG holds twice as many for sharp text on dense screens
MOST_BYTES = 120_000  # of one PNG: a notebook with fifteen figures stays under 2 MB


def use_style() -> None:
    """Set the course's look for all following figures."""
    mpl.rcParams.update(
        {
            "figure.dpi": PIXELS_PER_INCH,
            "figure.figsize": (WIDTH, 3.6),
            "figure.constrained_layout.use": True,
            "font.family": ["DejaVu Sans"],  # comes with Matplotlib, so it is the same everywhere
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.titlepad": 8,
            "axes.labelsize": 11,
            "axes.labelcolor": INK,
            "axes.edgecolor": QUIET,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": mpl.cycler(color=LINE_COLOURS),
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.8,
            "xtick.color": QUIET,
            "ytick.color": QUIET,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "text.color": INK,
            "lines.linewidth": 2.0,
            "lines.solid_capstyle": "round",
            "legend.frameon": False,
            "legend.fontsize": 10,
            "image.cmap": "cividis",
        }
    )


def show(fig, alt: str) -> None:
    """Display a figure as a PNG with a text that stands for it, and close it. The way a figure cell ends.

    Args:
        fig: a Matplotlib figure.
        alt: what the figure shows, for those who cannot see it, in one or two sentences. It is also the output's
            plain text, which tests compare: say what holds in every run, not this run's numbers.
    Raises:
        ValueError: `alt` is empty.
    """
    if not alt.strip():
        raise ValueError("show needs alt, a sentence that says what the figure shows; it is empty")
    try:
        if not _in_notebook():
            print(alt)
            return
        from IPython.display import display

        data, metadata = png_bundle(fig, alt)
        display(data, metadata=metadata, raw=True)
    finally:
        plt.close(fig)


def png_bundle(fig, alt: str) -> tuple[dict[str, str], dict[str, dict]]:
    """A figure as (data, metadata) of one Jupyter output: the PNG in base64, its size in CSS pixels, the text."""
    png, width, height = render_png(fig)
    metadata = {"image/png": {"alt": alt, "width": width, "height": height}}
    return {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}, metadata


def render_png(fig, *, most_bytes: int = MOST_BYTES) -> tuple[bytes, int, int]:
    """A figure as PNG bytes, with its width and height in CSS pixels.

    Two PNG pixels for each CSS pixel; a figure that would exceed `most_bytes` gets a palette of 256 colours, and
    then fewer pixels, down to one.
    """
    for scale in (2.0, 1.5, 1.0):
        image = _rasterise(fig, dpi=PIXELS_PER_INCH * scale)
        width, height = (round(side / scale) for side in image.size)
        png = _encode(image)
        if len(png) > most_bytes:
            png = _encode(image.quantize(256, dither=0))
        if len(png) <= most_bytes:
            break
    return png, width, height


def image_grid(x, *, columns: int | None = None, titles=None, value_range=(0.0, 1.0), ax=None):
    """Images side by side, drawn as one picture with thin separators.

    Args:
        x: (N, C, H, W) with C = 1 (grey) or 3 (RGB), or (N, H, W); values outside `value_range` are clamped.
        columns: images in a row; by default a row about as long as the page.
        titles: a short text above each image, N of them, or None.
        value_range: the values drawn as black and as full brightness.
        ax: where to draw; by default a new figure of fitting size.
    Returns:
        the ax.
    Raises:
        ValueError: the shape is no batch of images, or the titles are not N.
    """
    tiles = _tiles(x, value_range)
    count, height, width, _ = tiles.shape
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles holds {len(titles)} texts for {count} images; expected one each")
    columns = min(count, columns or _default_columns(count))
    gap = 1 if titles is None else max(2, math.ceil(0.3 * height))  # pixels above each row
    canvas, corners = _mosaic(tiles, columns=columns, gap=gap)
    ax = _draw_mosaic(canvas, ax=ax, tile_width=width, columns=columns)
    for (top, left), title in zip(corners, titles if titles is not None else (), strict=titles is not None):
        ax.text(left + width / 2 - 0.5, top - 0.5 - 0.05 * height, str(title), ha="center", va="bottom", fontsize=9)
    return ax


def image_rows(rows: dict, *, value_range=(0.0, 1.0), ax=None):
    """Rows of images under each other, each with its label at the left: originals above reconstructions.

    Args:
        rows: {label: images (N, C, H, W) or (N, H, W)}; every row the same N, H and W.
        value_range: the values drawn as black and as full brightness.
        ax: where to draw; by default a new figure of fitting size.
    Returns:
        the ax.
    Raises:
        ValueError: no rows, or rows of different shapes.
    """
    shapes = {label: tuple(x.shape) for label, x in rows.items()}
    if not rows or len({(shape[0], *shape[-2:]) for shape in shapes.values()}) > 1:
        raise ValueError(f"rows have the shapes {shapes}; expected at least one, and the same N, H and W in all")
    tiles = [_tiles(x, value_range) for x in rows.values()]
    count, height, width, _ = tiles[0].shape
    canvas, corners = _mosaic(np.concatenate(tiles), columns=count, gap=1)
    ax = _draw_mosaic(canvas, ax=ax, tile_width=width, columns=count)
    for (top, _), label in zip(corners[::count], rows, strict=True):
        ax.annotate(
            label, (-0.5, top + height / 2 - 0.5), xytext=(-6, 0), textcoords="offset points",
            ha="right", va="center", annotation_clip=False,
        )  # fmt: skip
    return ax


def curves(series: dict, *, x=None, xlabel: str = "epoch", ylabel: str = "loss", yscale: str = "linear", ax=None):
    """Lines with their names written at their ends.

    Args:
        series: {name: values}; NaN and infinite values are left out.
        x: positions shared by all, or None for 1, 2, 3, ...
        xlabel, ylabel: what the axes show, with units.
        yscale: "linear" or "log".
        ax: where to draw; by default a new figure.
    Returns:
        the ax.
    """
    ax = ax or plt.subplots()[1]
    ax.set_yscale(yscale)
    ends = []
    for i, (name, values) in enumerate(series.items()):
        values = _array(values).astype(float)
        positions = np.arange(1, len(values) + 1) if x is None else _array(x)[: len(values)]
        keep = np.isfinite(values)
        colour = LINE_COLOURS[i % len(LINE_COLOURS)]
        marker = "o" if keep.sum() == 1 else None  # a line through one point is invisible
        ax.plot(positions[keep], values[keep], color=colour, marker=marker, label=name)
        if keep.any():
            ends.append((float(positions[keep][-1]), float(values[keep][-1]), str(name), colour))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if x is None:
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    _label_ends(ax, ends)
    return ax


def latent_scatter(z, y=None, *, class_names=None, ax=None):
    """A map of a 2-D representation, coloured by class, each class's name written at its median point.

    Args:
        z: (N, 2).
        y: classes, whole numbers, (N,), or None for a single colour.
        class_names: a name for each class number, or None for the numbers.
        ax: where to draw; by default a new square figure.
    Returns:
        the ax.
    Raises:
        ValueError: z is not (N, 2), or y not (N,).
    """
    z = _array(z)
    if z.ndim != 2 or z.shape[1] != 2:
        raise ValueError(f"z has shape {z.shape}; expected points in the plane, shape (N, 2)")
    y = np.zeros(len(z), dtype=int) if y is None else _array(y).astype(int)
    if y.shape != (len(z),):
        raise ValueError(f"y has shape {y.shape} for {len(z)} points; expected ({len(z)},)")
    ax = ax or plt.subplots(figsize=(5.2, 5.0))[1]
    classes = np.unique(y)
    colours = np.array([mpl.colors.to_rgb(CLASS_COLOURS[c % 10]) for c in classes])[np.searchsorted(classes, y)]
    order = np.random.default_rng(0).permutation(len(z))  # so that no class lies on top of another
    ax.scatter(*z[order].T, c=colours[order], s=float(np.clip(20_000 / len(z), 5, 36)), alpha=0.75, linewidths=0)
    for c in classes if len(classes) > 1 else ():
        ax.annotate(
            str(c) if class_names is None else str(class_names[c]), np.median(z[y == c], axis=0), ha="center",
            va="center", fontsize=15, fontweight="bold", color=CLASS_COLOURS[c % 10], path_effects=_halo(),
        )  # fmt: skip
    ax.set(xlabel="latent 1", ylabel="latent 2")
    return ax


def guess_line(ax, guess: float | None, *, axis: str = "y", label: str = "your guess"):
    """The learner's guess as a dashed line across the figure; nothing when `guess` is None.

    Args:
        ax: where to draw.
        guess: a number in the units of `axis`, or None.
        axis: "y" for a horizontal line at y = guess, "x" for a vertical one.
        label: written on the line.
    Returns:
        the ax.
    Raises:
        ValueError: `axis` is neither "x" nor "y", or `guess` is not a finite number.
    """
    if axis not in ("x", "y"):
        raise ValueError(f'axis is {axis!r}; expected "x" or "y"')
    if guess is None:
        return ax
    if isinstance(guess, str) or not math.isfinite(guess):
        raise ValueError(f"guess is {guess!r}; expected a number, or None for no guess")
    style = {"color": GUESS_COLOUR, "linestyle": (0, (5, 3)), "linewidth": 1.6, "zorder": 3}
    text = {"color": GUESS_COLOUR, "fontsize": 10, "path_effects": _halo()}
    if axis == "y":
        ax.axhline(guess, **style)
        at = {"xy": (0, guess), "xycoords": ax.get_yaxis_transform(), "xytext": (6, 3), "va": "bottom"}
    else:
        ax.axvline(guess, **style)
        at = {"xy": (guess, 1), "xycoords": ax.get_xaxis_transform(), "xytext": (5, -5), "va": "top"}
    ax.annotate(label, textcoords="offset points", **at, **text)
    return ax


def _array(values) -> np.ndarray:
    """A tensor on any device, or anything array-like, as a NumPy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
    elif isinstance(values, (list, tuple)):
        values = [float(v) for v in values]
    return np.asarray(values)


def _tiles(x, value_range) -> np.ndarray:
    """Images as RGB in [0, 1], (N, H, W, 3)."""
    x = _array(x).astype(np.float32)
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        raise ValueError(f"images have shape {x.shape}; expected (N, 1, H, W), (N, 3, H, W) or (N, H, W)")
    low, high = value_range
    x = np.clip((np.nan_to_num(x, nan=low) - low) / (high - low), 0, 1)
    return np.broadcast_to(x, (len(x), 3, *x.shape[2:])).transpose(0, 2, 3, 1)


def _default_columns(count: int) -> int:
    """About twice as many columns as rows, and full rows where a number near that allows them."""
    start = max(8, math.ceil(math.sqrt(2 * count)))
    return next((c for c in range(start, start + 6) if count % c == 0), start)


def _mosaic(tiles: np.ndarray, *, columns: int, gap: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Tiles (N, H, W, 3) on one white canvas, `gap` pixels above each, one beside; and their top left corners."""
    count, height, width, _ = tiles.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + gap), columns * (width + 1) - 1, 3), dtype=np.float32)
    corners = [((i // columns) * (height + gap) + gap, (i % columns) * (width + 1)) for i in range(count)]
    for tile, (top, left) in zip(tiles, corners, strict=True):
        canvas[top : top + height, left : left + width] = tile
    return canvas, corners


def _draw_mosaic(canvas: np.ndarray, *, ax, tile_width: int, columns: int):
    if ax is None:
        width = min(WIDTH, columns * min(1.0, max(0.5, tile_width / 50)))  # inches
        ax = plt.subplots(figsize=(width, max(0.4, width * canvas.shape[0] / canvas.shape[1])))[1]
    ax.imshow(canvas)
    ax.set_axis_off()
    return ax


def _label_ends(ax, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each line's name right of its last point, moved apart where names would overlap."""
    if not ends:
        return
    ends = sorted(ends, key=lambda end: ax.transData.transform(end[:2])[1])
    points = 72 / ax.figure.dpi  # points in a pixel
    heights = np.array([ax.transData.transform(end[:2])[1] for end in ends]) * points
    spread = heights.copy()
    for _ in range(200):  # push neighbours apart, half each, until they stand 13 points from each other
        overlap = 13 - np.diff(spread)
        if (overlap < 0.1).all():
            break
        push = np.clip(overlap, 0, None) / 2
        spread[:-1] -= push
        spread[1:] += push
    right = max(end[0] for end in ends)
    for (_, y, name, colour), move in zip(ends, spread - heights, strict=True):
        ax.annotate(
            name, (right, y), xytext=(7, move), textcoords="offset points", color=colour,
            va="center", annotation_clip=False, path_effects=_halo(),
        )  # fmt: skip


def _halo():
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def _rasterise(fig, *, dpi: float):
    from PIL import Image

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.06, facecolor="white")
    return Image.open(buffer).convert("RGB")


def _encode(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, not a terminal or a script."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")
