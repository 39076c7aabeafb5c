"""A distance between samples as it would be between infinitely large ones."""

import numpy as np


def at_infinity(sizes, distances) -> float:
    """The value at 1/N = 0 of the straight line through (1/N, distance), by least squares.

    The bias of a Frechet distance of N examples falls like 1/N: for two samples of one Gaussian with equal variance v in D
    directions it is v (D^2 + 5 D) / (2 N), up to terms of 1/N^2.

    Args:
        sizes: numbers of examples N, above 0, at least two different ones.
        distances: of these sizes, (len(sizes),).
    Returns:
        in the unit of the distances; may be slightly below 0 where they are equal distributions.
    Raises:
        ValueError: the lengths differ, a size is not above 0, or all sizes are equal.
    Source: Chong & Forsyth 2020, arXiv:1911.07023.

    at_infinity([250, 500, 1000], [12.4, 8.1, 6.0])
    """
    sizes, distances = np.asarray(sizes, dtype=np.float64), np.asarray(distances, dtype=np.float64)
    if sizes.shape != distances.shape or sizes.ndim != 1:
        raise ValueError(f"sizes {sizes.shape} and distances {distances.shape}; expected as many of both")
    if not (sizes > 0).all() or len(np.unique(sizes)) < 2:
        raise ValueError(f"sizes {sizes.tolist()}; expected at least two different ones, all above 0")
    inverse = 1 / sizes
    slope = np.cov(inverse, distances)[0, 1] / inverse.var(ddof=1)
    return float(distances.mean() - slope * inverse.mean())
