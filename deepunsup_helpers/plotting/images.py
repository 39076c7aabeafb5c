"""Many small images as one picture."""

import math

import matplotlib.pyplot as plt
import numpy as np

from deepunsup_helpers.plotting.style import WIDTH, as_array, as_text


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

    show(image_grid(x[:40], titles=y[:40].tolist()), "Forty images with their classes.")
    """
    tiles = _tiles(x, value_range)
    count, height, width, _ = tiles.shape
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles holds {len(titles)} texts for {count} images; expected one each")
    columns = min(count, columns or _default_columns(count))
    gap = 1 if titles is None else math.ceil(0.3 * height)  # pixels above each row
    canvas, corners = _mosaic(tiles, columns=columns, gap=gap)
    ax = _draw(canvas, columns=columns, tile_width=width, ax=ax)
    for (top, left), title in zip(corners, [] if titles is None else titles):
        middle = left + (width - 1) / 2
        ax.text(middle, top - 0.5 - 0.05 * height, as_text(title), ha="center", va="bottom", fontsize=9)
    return ax


def image_rows(rows: dict, *, titles=None, value_range=(0.0, 1.0), ax=None):
    """Rows of images under each other, each with its label at the left: originals above reconstructions.

    Args:
        rows: {label: images (N, C, H, W) or (N, H, W)}; every row the same N, H and W.
        titles: a short text above each column, N of them, or None.
        value_range: the values drawn as black and as full brightness.
        ax: where to draw; by default a new figure of fitting size.
    Returns:
        the ax.
    Raises:
        ValueError: no rows, rows of different shapes, or the titles are not N.

    show(image_rows({"originals": x, "drawn again": x_hat}), "Originals above their reconstructions.")
    """
    shapes = {label: tuple(as_array(x).shape) for label, x in rows.items()}
    if len({(shape[0], *shape[-2:]) for shape in shapes.values()}) != 1:
        raise ValueError(f"rows have the shapes {shapes}; expected at least one row, and the same N, H and W in all")
    tiles = [_tiles(x, value_range) for x in rows.values()]
    count, height, width, _ = tiles[0].shape
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles holds {len(titles)} texts for {count} columns; expected one each")
    canvas, corners = _mosaic(np.concatenate(tiles), columns=count, gap=1)
    ax = _draw(canvas, columns=count, tile_width=width, ax=ax)
    offset = {"textcoords": "offset points", "annotation_clip": False}
    for (top, _), label in zip(corners[::count], rows):
        middle = (-0.5, top + (height - 1) / 2)
        ax.annotate(as_text(label), middle, xytext=(-6, 0), ha="right", va="center", **offset)
    for (_, left), title in zip(corners, [] if titles is None else titles):
        middle = (left + (width - 1) / 2, 0.5)
        ax.annotate(as_text(title), middle, xytext=(0, 3), ha="center", va="bottom", fontsize=9, **offset)
    return ax


def _tiles(x, value_range) -> np.ndarray:
    """Images as RGB in [0, 1], (N, H, W, 3); tiny ones enlarged by a whole factor, so that separators stay thin."""
    with np.errstate(over="ignore"):
        x = as_array(x).astype(np.float32)  # what is too large becomes infinite, and white
    shape = x.shape
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.size == 0:
        raise ValueError(f"images have shape {shape}; expected (N, 1, H, W), (N, 3, H, W) or (N, H, W)")
    low, high = value_range
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"value_range is {tuple(value_range)}; expected (lowest, highest)")
    x = (np.clip(np.nan_to_num(x, nan=low, posinf=high, neginf=low), low, high) - low) / (high - low)
    factor = max(1, 28 // max(x.shape[2:]))
    x = x.repeat(factor, axis=2).repeat(factor, axis=3)
    return np.broadcast_to(x, (len(x), 3, *x.shape[2:])).transpose(0, 2, 3, 1)


def _default_columns(count: int) -> int:
    """About twice as many columns as rows, and full rows where a number near that allows them."""
    start = max(8, math.ceil(math.sqrt(2 * count)))
    return next((columns for columns in range(start, start + 6) if count % columns == 0), start)


def _mosaic(tiles: np.ndarray, *, columns: int, gap: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Tiles (N, H, W, 3) on a white canvas, `gap` pixels above each, one beside; and their (top, left) corners."""
    count, height, width, _ = tiles.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + gap), columns * (width + 1) - 1, 3), dtype=np.float32)
    corners = [((i // columns) * (height + gap) + gap, (i % columns) * (width + 1)) for i in range(count)]
    for tile, (top, left) in zip(tiles, corners):
        canvas[top : top + height, left : left + width] = tile
    return canvas, corners


def _draw(canvas: np.ndarray, *, columns: int, tile_width: int, ax):
    if ax is None:
        width = min(WIDTH, columns * min(1.0, max(0.5, tile_width / 50)))  # inches
        ax = plt.subplots(figsize=(width, max(0.4, width * canvas.shape[0] / canvas.shape[1])))[1]
    ax.imshow(canvas)
    ax.set_axis_off()
    return ax
