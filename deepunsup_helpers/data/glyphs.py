"""How hands write the ten digits: the pen's path of each allograph, as a few control points.

Coordinates are hundredths of half a digit's height: x to the right, y downwards, the top at -100 and the bottom
at 100. A mark `!` after a point makes it a corner; everywhere else the pen runs through smoothly. Each string is one
stroke, from pen down to pen up, in the order in which people draw it.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicHermiteSpline

SPACING = 0.05  # distance between neighbouring samples of a path, in half heights: about 0.45 pixel


class Glyph(NamedTuple):
    """One allograph: K control points in S strokes and the matrix that makes P curve samples of them."""

    share: float  # how often this form occurs among the images of its digit
    points: np.ndarray  # (K, 2), half heights
    stroke: np.ndarray  # (K,) integers, the stroke each point belongs to
    curve: np.ndarray  # (P, K): samples = curve @ points; rows sum to 1, at most four are not zero


# digit -> (share, strokes) of each allograph
ALLOGRAPHS = {
    0: (
        (0.6, ("14,-94 -20,-90 -48,-48 -54,8 -40,66 -4,98 34,76 52,20 46,-42 24,-82 -6,-96",)),
        (0.4, ("26,-72 0,-98 -34,-66 -50,-8 -42,58 -8,98 32,78 50,18 44,-44 16,-90 -14,-84",)),
    ),
    1: (
        (0.6, ("3,-100 1,-34 -1,33 -2,100",)),
        (0.25, ("-34,-58 -12,-76 8,-100! 6,-34 4,33 2,100",)),
        (0.15, ("-32,-62 -12,-78 6,-100! 5,-34 3,33 2,98", "-44,100 0,97 44,98")),
    ),
    2: (
        (0.4, ("-44,-62 -30,-90 4,-100 36,-78 36,-36 12,8 -20,52 -50,92! -4,88 50,92",)),
        (0.4, ("-46,-66 -24,-94 14,-97 36,-66 26,-16 -6,36 -36,80 -58,88 -56,64 -28,60 6,80 34,94 62,84",)),
        (0.2, ("-42,-76 -10,-98 28,-88 40,-52 20,-6 -18,46 -52,90! -26,74 6,80 34,94 58,84",)),
    ),
    3: (
        (0.45, ("-42,-78 -12,-99 26,-88 34,-54 12,-20 -18,-6! 22,4 46,38 34,78 -4,100 -46,82",)),
        (0.35, ("-44,-80 -8,-100 30,-86 32,-50 4,-18 -20,-4 -16,-20 12,-8 42,20 44,62 14,96 -24,98 -48,78",)),
        (0.2, ("-42,-96 0,-95 42,-98! 16,-58 -8,-22! 28,-12 46,24 36,74 -4,100 -46,80",)),
    ),
    4: (
        (0.45, ("-36,-92 -44,-44 -44,-4! 0,2 48,-6", "36,-96 30,-30 24,36 20,100")),
        (0.35, ("-34,-90 -46,-46 -30,-8 8,-8 34,-44 42,-90! 34,-26 22,38 14,100",)),
        (0.2, ("22,-98 -14,-44 -56,16! 0,16 54,12", "24,-98! 22,-34 20,34 18,100")),
    ),
    5: (
        (0.5, ("-26,-92 -34,-50 -36,-14! 4,-24 38,6 40,54 6,96 -46,82", "-26,-92 12,-94 50,-98")),
        (0.5, ("48,-96 6,-96 -26,-88! -34,-30! 8,-18 38,14 34,66 0,98 -46,86",)),
    ),
    6: (
        (0.6, ("26,-98 -8,-68 -34,-22 -44,28 -36,76 0,99 34,78 40,38 14,8 -18,22 -40,56",)),
        (0.4, ("8,-100 -16,-52 -34,0 -38,56 -10,97 26,82 34,42 8,18 -22,40 -34,72",)),
    ),
    7: (
        (0.55, ("-48,-84 -6,-88 46,-94! 26,-40 8,26 -8,100",)),
        (0.25, ("-46,-86 -4,-90 44,-95! 24,-40 6,26 -10,100", "-24,6 10,2 44,-6")),
        (0.2, ("-50,-58 -48,-90! -2,-90 44,-96! 22,-40 2,26 -8,100",)),
    ),
    8: (
        (0.7, ("36,-76 8,-99 -28,-80 -28,-44 2,-12 32,24 36,68 2,99 -36,74 -32,30 0,-8 30,-42 38,-74 14,-96",)),
        (0.3, ("2,-12 -30,-44 -24,-84 8,-99 34,-74 26,-36 -2,-8 -32,28 -34,72 0,99 34,72 32,26 2,-10 -16,-26",)),
    ),
    9: (
        (0.45, ("36,-72 8,-97 -28,-82 -40,-46 -18,-16 16,-26 38,-66! 36,-8 30,48 26,100",)),
        (0.25, ("36,-72 8,-97 -28,-82 -40,-44 -16,-12 20,-24 38,-66! 40,-6 36,54 8,96 -32,86",)),
        (0.3, ("30,-88 -6,-96 -36,-62 -20,-26 18,-42 36,-86! 26,-24 12,38 -4,100",)),
    ),
}


@lru_cache(maxsize=1)
def glyphs() -> dict[int, tuple[Glyph, ...]]:
    """All allographs, digit -> forms, their curve matrices computed."""
    return {digit: tuple(_glyph(share, strokes) for share, strokes in forms) for digit, forms in ALLOGRAPHS.items()}


def _glyph(share: float, strokes: tuple[str, ...]) -> Glyph:
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
    return Glyph(share, points, np.array(owner), curve)


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
