"""How well a ranking of items finds what a user liked: NDCG and recall among the first k, a number a user."""

import numpy as np
from scipy import sparse


def ndcg_at(scores: np.ndarray, hidden, k: int = 100) -> np.ndarray:
    """Normalised discounted cumulative gain of the first k of each row: `ndcg_at(scores, hidden, 100).mean()`.

    An item that was to be found gains 1 / log2(1 + its place, from 1). The sum is divided by the best one that any order
    could have: that of min(k, n) items at the first places, where n are to be found.

    Args:
        scores: (N, I); items that may not be suggested, the seen ones, have -inf, and gain nothing.
        hidden: (N, I), true or 1 for what was to be found, dense or sparse.
        k: places that count, at least 1; beyond I all count.
    Returns:
        (N,), from 0 to 1, float64; NaN for a row with nothing to be found.
    Raises:
        ValueError: the shapes differ, or k is below 1.
    Source: Jarvelin & Kekalainen 2002, doi:10.1145/582415.582418; cut as in Liang et al. 2018, arXiv:1802.05814.
    """
    hits, sizes = _hits(scores, hidden, k)
    gains = 1 / np.log2(np.arange(hits.shape[1]) + 2)
    best = np.r_[np.nan, gains.cumsum()][np.minimum(sizes, hits.shape[1])]
    return hits @ gains / best


def recall_at(scores: np.ndarray, hidden, k: int = 20) -> np.ndarray:
    """Share of what was to be found among the first k of each row, of min(k, n) where n are to be found.

    Arguments, returns and errors are those of `ndcg_at`. Source: Liang et al. 2018, arXiv:1802.05814, section 4.2.

    recall_at(scores, hidden, 20).mean()
    """
    hits, sizes = _hits(scores, hidden, k)
    return hits.sum(1) / np.where(sizes, np.minimum(sizes, k), np.nan)


def _hits(scores: np.ndarray, hidden, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, min(k, I)) float64, 1 where the item at that place was to be found; (N,), how many were."""
    scores = np.asarray(scores)
    hidden = hidden.toarray() if sparse.issparse(hidden) else np.asarray(hidden)
    if scores.ndim != 2 or scores.shape != hidden.shape:
        raise ValueError(f"scores have shape {scores.shape}, hidden {hidden.shape}; expected (N, I) for both")
    if k < 1:
        raise ValueError(f"k={k} must be at least 1")
    k = min(k, scores.shape[1])
    if k < scores.shape[1]:
        first = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    else:
        first = np.tile(np.arange(k), (len(scores), 1))
    value = np.take_along_axis(scores, first, 1)
    order = np.argsort(-value, axis=1, kind="stable")
    first, value = np.take_along_axis(first, order, 1), np.take_along_axis(value, order, 1)
    found = (np.take_along_axis(hidden, first, 1) > 0) & (value > -np.inf)
    return found.astype(np.float64), (hidden > 0).sum(1)
