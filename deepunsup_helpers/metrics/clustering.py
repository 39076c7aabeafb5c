"""How well clusters found without labels agree with labels kept aside."""

import numpy as np

from deepunsup_helpers.metrics._arrays import labels


def clustering_accuracy(y_true, y_pred) -> float:
    """Fraction of examples in the right class under the best one-to-one naming of clusters by classes.

    With more clusters than classes the spare clusters count as wrong; with fewer, the spare classes do.

    Args:
        y_true: classes, whole numbers, (N,).
        y_pred: clusters, whole numbers whose names mean nothing, (N,).
    Returns:
        from 0 to 1; 1 only if the two partitions are the same. Chance is not 1/K: on finite data the best of all
        namings is a little above it.
    Raises:
        ValueError: the lengths differ, or labels are not whole numbers.
    Source: the assignment is Kuhn 1955 ("Hungarian method"), by scipy; as a score, Xie et al. 2016, arXiv:1511.06335.

    clustering_accuracy(y, KMeans(10).fit_predict(x))
    """
    counts, classes, clusters = _contingency(y_true, y_pred)
    rows, columns = _assign(counts)
    return float(counts[rows, columns].sum() / counts.sum())


def cluster_to_class(y_true, y_pred) -> dict[int, int]:
    """The naming behind `clustering_accuracy`: {cluster: class}; clusters left over are absent."""
    counts, classes, clusters = _contingency(y_true, y_pred)
    rows, columns = _assign(counts)
    return {int(clusters[column]): int(classes[row]) for row, column in zip(rows, columns, strict=True)}


def _assign(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(counts, maximize=True)


def _contingency(y_true, y_pred) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples of each class in each cluster, (classes, clusters), with the names of both axes."""
    y_true = labels(y_true, name="y_true")
    y_pred = labels(y_pred, name="y_pred", count=len(y_true))
    classes, row = np.unique(y_true.numpy(), return_inverse=True)
    clusters, column = np.unique(y_pred.numpy(), return_inverse=True)
    counts = np.zeros((len(classes), len(clusters)), dtype=np.int64)
    np.add.at(counts, (row, column), 1)
    return counts, classes, clusters
