"""How hands write the ten digits: the pen's path of each allograph, as a few control points.

Coordinates are hundredths of half a digit's height: x to the right, y downwards, the top at -100 and the bottom
at 100. A mark `!` after a point makes it a corner; everywhere else the pen runs through smoothly. Each string is one
stroke, from pen down to pen up, in the order in which people draw it.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicHermiteSpline

FIELD, FIELD_REACH = 0.165, 1.0  # a bend of the whole plane: sd and reach, in half heights
WOBBLE, WOBBLE_REACH = 0.055, 0.6  # a deviation along the stroke: sd and reach, in half heights
SWING = {0: 0.6}  # digits made in one swing stray less, here by this factor; all others by 1
SPACING = 0.05  # distance between neighbouring samples of a path, in half heights: about 0.45 pixel


class Glyph(NamedTuple):
    """One allograph: K control points in S strokes and the matrix that makes P curve samples of them."""

    fraction: float  # how often this form occurs among the images of its digit
    points: np.ndarray  # (K, 2), half heights
    stroke: np.ndarray  # (K,) integers, the stroke each point belongs to
    curve: np.ndarray  # (P, K): samples = curve @ points
    wander: np.ndarray  # (K, K): wander @ independent normals = how far the points stray, half heights
    press: np.ndarray  # (K, K): the same for the pen's pressure, relative


# digit -> (fraction, strokes) of each allograph
ALLOGRAPHS = {
    0: (
        (0.6, ("18,-95 -30,-90 -66,-40 -68,28 -34,86 22,96 62,50 70,-20 44,-76 -2,-97",)),
        (0.4, ("36,-70 2,-98 -46,-74 -68,-10 -52,62 -6,98 46,76 68,10 54,-56 10,-92 -22,-84",)),
    ),
    1: (
        (0.6, ("2,-100 1,-34 -1,33 -2,100",)),
        (0.25, ("-36,-56 -14,-76 8,-100! 6,-34 4,33 2,100",)),
        (0.15, ("-34,-60 -14,-76 6,-100! 5,-34 3,33 2,98", "-50,99 0,98 50,98")),
    ),
    2: (
        (0.4, ("-58,-58 -38,-90 4,-100 44,-80 46,-36 16,10 -26,52 -66,90! -6,88 70,90",)),
        (0.4, ("-58,-62 -32,-94 16,-98 44,-68 34,-18 -4,34 -42,80 -68,90 -70,66 -38,58 4,78 40,94 76,78",)),
        (0.2, ("-54,-74 -14,-100 32,-88 46,-50 20,-2 -24,50 -64,92! -30,72 8,80 42,94 74,82",)),
    ),
    3: (
        (0.45, ("-52,-76 -16,-99 32,-90 44,-54 18,-20 -18,-6! 28,4 58,38 44,80 -4,100 -58,78",)),
        (0.35, ("-54,-78 -10,-100 36,-88 40,-52 8,-20 -20,-6 -20,-24 12,-14 50,16 56,60 20,96 -28,99 -60,76",)),
        (0.2, ("-54,-95 0,-96 54,-98! 22,-60 -10,-24! 34,-14 60,24 46,76 -2,100 -58,80",)),
    ),
    4: (
        (0.5, ("-42,-90 -54,-44 -58,0! 0,4 62,-6", "42,-98 36,-32 28,34 24,100")),
        (0.25, ("-46,-88 -58,-44 -44,-2 -4,2 36,-26 50,-90! 42,-26 30,38 22,100",)),
        (0.25, ("28,-100 -18,-46 -66,18! 0,18 64,14", "28,-100 28,-34 26,34 24,100")),
    ),
    5: (
        (0.4, ("-30,-90 -40,-50 -46,-10! 0,-26 44,-2 52,46 18,92 -58,84", "-30,-90 16,-94 70,-100")),
        (0.4, ("66,-98 14,-96 -28,-88! -40,-26! 6,-20 46,10 46,58 8,96 -58,86",)),
        (0.2, ("62,-98 10,-98 -34,-76 -30,-34 12,-10 46,22 40,70 0,99 -56,84",)),
    ),
    6: (
        (0.6, ("36,-98 -10,-68 -46,-16 -56,38 -38,84 6,99 46,74 48,32 12,8 -30,28 -46,60",)),
        (0.4, ("16,-100 -20,-50 -44,4 -46,58 -14,97 30,84 44,44 14,18 -26,38 -42,68",)),
    ),
    7: (
        (0.45, ("-62,-76 -6,-88 60,-98! 34,-38 8,28 -8,100",)),
        (0.25, ("-60,-78 -4,-88 58,-98! 32,-38 8,28 -10,100", "-30,8 12,2 54,-6")),
        (0.15, ("-64,-54 -60,-88! 0,-90 58,-96! 32,-38 6,28 -8,100",)),
        (0.15, ("-60,-76 -12,-92 38,-96 52,-62 26,0 4,50 -8,100",)),
    ),
    8: (
        (0.35, ("46,-76 8,-99 -36,-82 -38,-46 0,-12 44,24 48,68 4,99 -46,74 -42,28 -2,-10 38,-42 50,-78 22,-97",)),
        (0.35, ("50,-84 10,-99 -36,-82 -38,-46 0,-12 40,24 40,70 0,99 -44,76 -40,30 0,-10 34,-42 56,-92",)),
        (0.15, ("2,-12 -38,-44 -32,-84 8,-99 44,-74 34,-36 -2,-8 -42,28 -44,72 0,99 44,72 40,26 2,-10 -20,-26",)),
        (0.15, ("8,-98 -32,-78 -32,-36 4,-12 36,-38 34,-80 2,-98", "4,-12 -40,18 -46,66 0,99 46,68 42,18 0,-14")),
    ),
    9: (
        (0.45, ("46,-70 10,-98 -36,-82 -50,-44 -20,-12 20,-24 46,-68! 42,-8 36,46 30,100",)),
        (0.25, ("46,-70 10,-97 -36,-82 -50,-42 -18,-8 24,-22 46,-66! 46,-6 40,56 8,97 -42,84",)),
        (0.3, ("42,-86 -4,-97 -46,-62 -28,-22 20,-36 46,-84! 34,-24 18,38 2,100",)),
    ),
}


@lru_cache(maxsize=1)
def glyphs() -> dict[int, tuple[Glyph, ...]]:
    """All allographs, digit -> forms, their curve matrices computed."""
    return {
        digit: tuple(_glyph(fraction, strokes, SWING.get(digit, 1.0)) for fraction, strokes in forms)
        for digit, forms in ALLOGRAPHS.items()
    }


def _glyph(fraction: float, strokes: tuple[str, ...], swing: float) -> Glyph:
    points, owner, pieces = [], [], []
    for number, text in enumerate(strokes):
        start = len(points)  # a piece runs from one corner to the next
        for word in text.split():
            points.append([float(v) / 100 for v in word.rstrip("!").split(",")])
            owner.append(number)
            if word.endswith("!") and len(points) - start > 1:
                pieces.append((start, len(points)))
                start = len(points) - 1
        pieces.append((start, len(points)))
    points = np.array(points)
    curve = np.zeros((0, len(points)))
    for start, stop in pieces:
        rows = _catmull_rom(points[start:stop])
        padded = np.zeros((len(rows), len(points)))
        padded[:, start:stop] = rows
        curve = np.concatenate([curve, padded])
    stroke = np.array(owner)
    wander, press = _disturbances(points, stroke)
    return Glyph(fraction, points, stroke, curve, swing * wander, press)


def _disturbances(points: np.ndarray, stroke: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cholesky factors (K, K) of the covariance of the points' straying, and of the pressure's correlation.

    Points close on the paper stray together, so that a loop stays closed and strokes stay joined; points close along
    one stroke do so once more, so that a line bends and does not break.
    """
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    along = np.exp(-(((way[:, None] - way[None]) / WOBBLE_REACH) ** 2) / 2) * (stroke[:, None] == stroke[None])
    field = np.exp(-((apart / FIELD_REACH) ** 2) / 2)
    tiny = 1e-6 * np.eye(len(points))
    return np.linalg.cholesky(FIELD**2 * field + WOBBLE**2 * along + tiny), np.linalg.cholesky(along + tiny)


def _catmull_rom(points: np.ndarray) -> np.ndarray:
    """The matrix (P, K) that takes K points to P samples of the centripetal Catmull-Rom spline through them.

    For fixed knots the spline is linear in its points; the knots come from the undisturbed path.
    Source: Yuksel, Schaefer & Keyser 2011, "Parameterization and applications of Catmull-Rom curves".
    """
    chord = np.linalg.norm(np.diff(points, axis=0), axis=1)
    step = np.sqrt(chord)
    knots = np.concatenate([[0.0], np.cumsum(step)])
    unit = np.eye(len(points))
    slope = np.diff(unit, axis=0) / step[:, None]  # (K-1, K)
    tangent = np.empty_like(unit)
    tangent[1:-1] = (slope[:-1] * step[1:, None] + slope[1:] * step[:-1, None]) / (step[:-1] + step[1:])[:, None]
    tangent[0], tangent[-1] = slope[0], slope[-1]
    if len(points) > 2:  # ends that bend on, as a quadratic through the end would
        tangent[0], tangent[-1] = 1.5 * slope[0] - 0.5 * tangent[1], 1.5 * slope[-1] - 0.5 * tangent[-2]
    counts = np.maximum(np.ceil(chord / SPACING).astype(int), 1)
    at = [np.linspace(knots[i], knots[i + 1], n, endpoint=False) for i, n in enumerate(counts)]
    return CubicHermiteSpline(knots, unit, tangent)(np.concatenate([*at, knots[-1:]]))
