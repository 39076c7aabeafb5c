"""Strokes: handwritten digits made on the spot, 28x28, with the true factors behind every image.

A digit is a pen's path (glyphs.py). Its control points are disturbed as a hand disturbs them, the path is slanted,
rotated, scaled and shifted, and drawn by the distance of each pixel to it. Nothing is downloaded.

Every image has its own row of random numbers, drawn by NumPy's PCG64; pixels come from sums, products, minima and
square roots alone, each rounded exactly by IEEE 754. So image i of a seed depends neither on how many images are made
nor on the number of threads.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from deepunsup_helpers.data.glyphs import Glyph, glyphs

SIZE = 28  # pixels a side
BLOCK = 4096  # images whose random numbers are drawn together
CHUNK = 256  # images of one form whose paths are computed together
PAINTED = 40  # images painted together: torch starts no threads for fewer than 32,768 numbers, and all stays in cache


class Factor(NamedTuple):
    """How a factor varies: a normal distribution, cut at `low` and `high`."""

    mean: float
    sd: float
    low: float
    high: float
    unit: str


FACTORS = {
    "slant": Factor(10.0, 14.0, -22.0, 38.0, "degrees from the vertical, positive leans right"),
    "rotation": Factor(0.0, 6.5, -16.0, 16.0, "degrees, positive turns counter-clockwise"),
    "pen_width": Factor(2.5, 0.6, 1.3, 4.4, "pixels, where the ink falls to one half"),
    "width": Factor(1.0, 0.15, 0.65, 1.35, "times the form's usual width"),
    "height": Factor(16.8, 1.0, 14.0, 19.0, "pixels, top to bottom of the upright path"),
    "shift_x": Factor(0.0, 0.7, -2.0, 2.0, "pixels to the right, of the path's centre of gravity"),
    "shift_y": Factor(0.0, 0.7, -2.0, 2.0, "pixels downwards, of the path's centre of gravity"),
}
NAMES = ("digit", "allograph", *FACTORS)
POSSIBLE = {  # what `ranges` may ask for
    "allograph": (0, 9),
    "slant": (-60, 60),
    "rotation": (-180, 180),
    "pen_width": (0.5, SIZE),
    "width": (0.1, 3),
    "height": (4, SIZE),
    "shift_x": (-SIZE, SIZE),
    "shift_y": (-SIZE, SIZE),
}
NATURAL_HEIGHT = 17.0  # pixels; at this height and width 1 a form has the proportions of glyphs.py

MAX_POINTS = 20  # control points of a form, at most
MAX_STROKES = 2
JITTERS = 3 * MAX_POINTS + 4 * MAX_STROKES + 1  # normal numbers an image uses up

STROKE_JITTER = 0.04  # sd of a stroke's place against the others (half heights), of its size and its direction
SLIP = 2.5  # standard deviations by which a hand slips at most: rare, and still legible
PEN_JITTER = 0.10  # sd of the pen's relative width along the stroke
CARELESS = 0.2  # sd of the logarithm of a writer's carelessness, which scales every disturbance of the path
EDGE = 1.5  # pixels over which the ink falls from 1 to 0


class Strokes(NamedTuple):
    """Images with what made them."""

    images: Tensor  # uint8 (N, 28, 28), 0 paper, 255 ink
    labels: Tensor  # int64 (N,), the digit
    factors: dict[str, Tensor]  # name -> float32 (N,)


def generate(
    n: int,
    *,
    seed: int,
    digits: Sequence[int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Strokes:
    """Draw n handwritten digits.

    The factors, each independent of the others; FACTORS holds their distributions:
        digit: 0 to 9, all as likely as each other.
        allograph: 0, 1, ...: which of the digit's forms (a 7 without or with a bar, ...), as often as each occurs.
        slant: degrees from the vertical, positive leans right.
        rotation: degrees, positive turns counter-clockwise.
        pen_width: pixels, where the ink falls to one half.
        width: times the form's usual width.
        height: pixels, top to bottom of the upright path.
        shift_x, shift_y: pixels to the right and downwards, of the path's centre of gravity from the image's centre.
    What else varies, as hands do, is not a factor: a smooth bend of the whole, the run of each line, the place of a
    stroke against the others, the pressure of the pen.

    Args:
        n: number of images.
        seed: 0 to 2**32 - 1. Image i of a seed is the same for every n, any number of threads.
        digits: the digits to draw from; all ten by default.
        ranges: factor -> (low, high): that factor is uniform there instead, also beyond its usual limits; equal ends
            hold it. All else stays what it is without. For allograph: the first and the last form to use (a digit with
            fewer forms takes its last).
    Returns:
        Strokes: images uint8 (n, 28, 28), labels int64 (n,), factors name -> float32 (n,).
    Raises:
        ValueError: n or seed is out of range, a digit or a factor does not exist, a range is empty or impossible.
    """
    return _generate(n, np.random.SeedSequence([_whole("seed", seed), 0]), digits, ranges)


class StrokesDataset(NamedTuple):
    """A training and a test part, made from two streams of random numbers."""

    train: Strokes
    test: Strokes


def strokes_dataset(
    train_size: int = 12_000,
    test_size: int = 2_000,
    seed: int = 0,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    digits: Sequence[int] | None = None,
) -> StrokesDataset:
    """A training and a test set; a second call with the same arguments copies what the first one drew.

    The training part is `generate(train_size, seed=seed, ...)`, the test part comes from another stream of the seed.
    Nothing is kept on disk: drawing all 14,000 images takes about a second.
    Raises: ValueError, as `generate` does.
    """
    frozen = None if ranges is None else tuple(sorted((name, tuple(limits)) for name, limits in ranges.items()))
    return copy.deepcopy(_dataset(train_size, test_size, seed, frozen, None if digits is None else tuple(digits)))


@lru_cache(maxsize=4)
def _dataset(train_size: int, test_size: int, seed: int, ranges: tuple | None, digits: tuple | None) -> StrokesDataset:
    limits = None if ranges is None else dict(ranges)
    test_stream = np.random.SeedSequence([_whole("seed", seed), 1])
    return StrokesDataset(
        train=generate(train_size, seed=seed, digits=digits, ranges=limits),
        test=_generate(test_size, test_stream, digits, limits),
    )


def _generate(n: int, stream: np.random.SeedSequence, digits, ranges) -> Strokes:
    n, digits, ranges = _whole("n", n), _check_digits(digits), _check_ranges(ranges)
    images = np.empty((n, SIZE, SIZE), np.uint8)
    factors = {name: np.empty(n) for name in NAMES}
    for start, uniform, normal in _draws(n, stream):
        rows = slice(start, start + len(uniform))
        block = _factors(uniform, digits, ranges)
        for name in NAMES:
            factors[name][rows] = block[name]
        images[rows] = _draw_block(block, normal)
    return Strokes(
        images=torch.from_numpy(images),
        labels=torch.from_numpy(factors["digit"].astype(np.int64)),
        factors={name: torch.from_numpy(values.astype(np.float32)) for name, values in factors.items()},
    )


def _draws(n: int, stream: np.random.SeedSequence) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first row, uniform (B, 9), normal (B, JITTERS)), block by block; row i is the same whatever n is."""
    for_factors, for_jitter = (np.random.Generator(np.random.PCG64(s)) for s in stream.spawn(2))
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        jitter = for_jitter.standard_normal((size, JITTERS)).clip(-SLIP, SLIP)
        yield start, for_factors.random((size, len(NAMES))), jitter


def _factors(
    uniform: np.ndarray, digits: tuple[int, ...], ranges: dict[str, tuple[float, float]]
) -> dict[str, np.ndarray]:
    """Turn one uniform number a factor, (B, 9), into factors, name -> (B,)."""
    u = dict(zip(NAMES, uniform.T, strict=True))
    digit = np.array(digits)[(u["digit"] * len(digits)).astype(int)]
    allograph = np.zeros(len(digit), int)
    for d in digits:
        first, last = (min(int(end), len(glyphs()[d]) - 1) for end in ranges.get("allograph", (0, 99)))
        fractions = np.cumsum([form.fraction for form in glyphs()[d][first : last + 1]])
        mine = digit == d
        allograph[mine] = first + np.searchsorted(fractions[:-1] / fractions[-1], u["allograph"][mine], side="right")
    values = {"digit": digit, "allograph": allograph}
    for name, (mean, sd, low, high, _) in FACTORS.items():
        if name in ranges:
            low, high = ranges[name]
            values[name] = low + u[name] * (high - low)
        else:  # the inverse of the cut normal's distribution function
            below, above = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
            values[name] = mean + sd * ndtri(below + u[name] * (above - below))
    return values


def _draw_block(factors: dict[str, np.ndarray], normal: np.ndarray) -> np.ndarray:
    """Images uint8 (B, 28, 28): form by form, at most CHUNK at once."""
    images = np.empty((len(normal), SIZE, SIZE), np.uint8)
    for digit, forms in glyphs().items():
        for number, glyph in enumerate(forms):
            members = np.flatnonzero((factors["digit"] == digit) & (factors["allograph"] == number))
            for rows in (members[i : i + CHUNK] for i in range(0, len(members), CHUNK)):
                chosen = {name: values[rows] for name, values in factors.items()}
                x, y, pressure = _path(glyph, chosen, normal[rows].T)
                for i in range(0, len(rows), PAINTED):
                    few = slice(i, i + PAINTED)
                    radius = chosen["pen_width"][few] / 2
                    images[rows[few]] = _paint(x[:, few], y[:, few], pressure[:, few], radius=radius)
    return images


def _path(
    glyph: Glyph, factors: dict[str, np.ndarray], normal: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pen's path: x and y, pixels from the centre of the top left one, and the relative pressure, each (P, B)."""
    x, y, pressure = _disturb(glyph, normal)
    x, y, pressure = (_product(glyph.curve, values) for values in (x, y, pressure))
    top, bottom = y.min(0), y.max(0)
    half = 2 / (bottom - top)  # the jittered path is 2 half heights tall again
    x = x * half * (NATURAL_HEIGHT / 2) * factors["width"]
    y = y * half * factors["height"] / 2
    x = x - np.tan(np.radians(factors["slant"])) * y
    angle = np.radians(factors["rotation"])
    x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    centre = (SIZE - 1) / 2
    x = x - x.mean(0) + centre + factors["shift_x"]
    y = y - y.mean(0) + centre + factors["shift_y"]
    return x, y, np.maximum(1 + pressure, 0.5)


def _disturb(glyph: Glyph, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The control points as one hand places them, x and y, and the pen's relative pressure there, each (K, B)."""
    points = normal[: 3 * MAX_POINTS].reshape(3, MAX_POINTS, -1)[:, : len(glyph.points)]
    strokes = normal[3 * MAX_POINTS : -1].reshape(4, MAX_STROKES, -1)[:, glyph.stroke] * STROKE_JITTER
    if glyph.stroke.max() == 0:
        strokes = np.zeros_like(strokes)  # a single stroke has nothing to be displaced against
    careless = np.exp(CARELESS * normal[-1])
    centre = np.stack([glyph.points[glyph.stroke == s].mean(0) for s in glyph.stroke])
    dx, dy = (glyph.points - centre).T[:, :, None]
    move_x = _product(glyph.wander, points[0]) + strokes[0] + strokes[2] * dx + strokes[3] * dy
    move_y = _product(glyph.wander, points[1]) + strokes[1] + strokes[2] * dy - strokes[3] * dx
    x, y = glyph.points.T[:, :, None] + careless * np.stack([move_x, move_y])
    return x, y, PEN_JITTER * _product(glyph.press, points[2])


def _product(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """matrix (P, K) times values (K, B), without BLAS, whose sums may depend on the number of threads."""
    total = np.zeros((len(matrix), values.shape[1]))
    for weights, value in zip(matrix.T, values, strict=True):
        rows = np.flatnonzero(weights)
        total[rows[0] : rows[-1] + 1] += weights[rows[0] : rows[-1] + 1, None] * value
    return total


def _paint(x: np.ndarray, y: np.ndarray, pressure: np.ndarray, *, radius: np.ndarray) -> np.ndarray:
    """Ink of each pixel, uint8 (B, 28, 28), by its distance to the path.

    Distances are divided by the pressure at the path's point (x, y, pressure: (P, B)) and compared with the pen's
    radius (B,), pixels: so a squared distance stays the sum of a row's and a column's part.
    """
    x, y, scale, radius = (values.astype(np.float32) for values in (x, y, 1 / pressure, radius))
    grid = np.arange(SIZE, dtype=np.float32)[:, None]  # (28, 1)
    columns = torch.from_numpy(np.square((grid - x[:, None]) * scale[:, None]))  # (P, 28, B)
    rows = torch.from_numpy(np.square((grid - y[:, None]) * scale[:, None]))[:, :, None]  # (P, 28, 1, B)
    nearest = torch.full((SIZE, SIZE, len(radius)), torch.inf)
    candidate = torch.empty_like(nearest)
    for row, column in zip(rows, columns, strict=True):
        torch.add(row, column, out=candidate)
        torch.minimum(nearest, candidate, out=nearest)
    ink = np.clip((radius - np.sqrt(nearest.numpy())) / np.float32(EDGE) + np.float32(0.5), 0, 1)
    ink = ink * ink * (3 - 2 * ink)  # a soft edge
    return (ink * 255 + np.float32(0.5)).astype(np.uint8).transpose(2, 0, 1)


def _whole(name: str, value: int) -> int:
    if int(value) != value or not 0 <= value < 2**32:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from 0 to 4,294,967,295.")
    return int(value)


def _check_digits(digits: Sequence[int] | None) -> tuple[int, ...]:
    chosen = tuple(range(10)) if digits is None else tuple(digits)
    if not chosen or any(d not in range(10) for d in chosen):
        raise ValueError(f"digits is {digits!r}; give at least one digit from 0 to 9, such as digits=[3, 8].")
    return tuple(int(d) for d in chosen)


def _check_ranges(ranges: Mapping[str, tuple[float, float]] | None) -> dict[str, tuple[float, float]]:
    for name, limits in (ranges or {}).items():
        if name not in POSSIBLE:
            raise ValueError(
                f"no range for {name!r}: give one of {', '.join(POSSIBLE)}; choose digits by digits=[...]."
            )
        least, most = POSSIBLE[name]
        if len(limits) != 2 or not least <= limits[0] <= limits[1] <= most:
            raise ValueError(f"the range of {name} is {limits!r}: give (low, high), {least} <= low <= high <= {most}.")
    return dict(ranges or {})
