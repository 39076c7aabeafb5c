"""How pure the top of a ranking is."""

import numpy as np


def average_precision(scores, positive, weight=None) -> float:
    """Precision averaged over the thresholds at which one more positive is found: `average_precision(p, y == 1)`.

    Precision is the share of positives among what scores at least the threshold. Equal scores are passed together. Chance
    has the share of positives. It agrees with scikit-learn's and is fast enough for thousands of bootstrap samples.

    Args:
        scores: (N,), high for what is positive.
        positive: (N,), true or 1 for positives.
        weight: (N,), how often each example counts, at least 0; None counts each once.
    Returns:
        from 0 to 1.
    Raises:
        ValueError: sizes differ, a score is not finite, or no positive counts.
    """
    given = (scores, positive, np.ones(len(scores)) if weight is None else weight)
    arrays = [np.asarray(v.detach().cpu() if hasattr(v, "detach") else v, np.float64) for v in given]
    scores, positive, weight = arrays
    if not scores.shape == positive.shape == weight.shape or scores.ndim != 1:
        raise ValueError(f"shapes {scores.shape}, {positive.shape}, {weight.shape}; expected (N,) for each")
    if not np.isfinite(arrays).all():
        raise ValueError("a score or a weight is not finite; expected finite numbers")
    order = np.argsort(-scores, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(scores[order])), len(order) - 1]  # the last one of each score
    found, passed = (np.cumsum(values[order])[ends] for values in (positive * weight, weight))
    if found[-1] <= 0:
        raise ValueError("no positive counts here; expected at least one")
    precision = np.divide(found, passed, out=np.zeros_like(found), where=passed > 0)
    return float((np.diff(found, prepend=0) * precision).sum() / found[-1])
