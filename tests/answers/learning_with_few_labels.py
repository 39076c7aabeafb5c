"""Right and wrong answers to the exercises of notebook 08."""

import math

import numpy as np
import torch
from scipy.spatial import KDTree
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin
from sklearn.neighbors import NearestNeighbors

# --- representatives ---


def rows_by_loop(x, centres):
    rows = []
    for centre in centres:
        distances = [sum((a - b) ** 2 for a, b in zip(row, centre)) for row in x]
        rows.append(distances.index(min(distances)))
    return rows


def rows_by_torch(x, centres):
    return torch.cdist(torch.as_tensor(centres), torch.as_tensor(x)).argmin(1)


def rows_by_products(x, centres):
    squared = (x**2).sum(1)[:, None] - 2 * np.einsum("nd,kd->nk", x, centres) + (centres**2).sum(1)
    return np.argsort(squared, axis=0)[0]


def writes_x(x, centres):
    x -= centres[0]
    return ((x[:, None] - (centres - centres[0])[None]) ** 2).sum(2).argmin(0)


def one_each(x, centres):
    """Every centre takes the nearest row that is still free."""
    free, rows = list(range(len(x))), []
    for centre in centres:
        best = min(free, key=lambda n: np.linalg.norm(x[n] - centre))
        free.remove(best)
        rows.append(best)
    return rows


def by_angle(x, centres):
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    return (unit(x) @ unit(centres).T).argmax(0)


def sixty_rows(x, centres):
    distances = np.zeros((60, len(centres)))
    distances[:] = pairwise_distances(x, centres)
    return distances.argmin(0)


RIGHT_ROWS = {
    "floats": lambda x, centres: pairwise_distances(x, centres).argmin(0).astype(float),
    "a loop": rows_by_loop,
    "torch": rows_by_torch,
    "scikit-learn": lambda x, centres: pairwise_distances_argmin(centres, x),
    "NearestNeighbors": lambda x, centres: NearestNeighbors(n_neighbors=1).fit(x).kneighbors(centres)[1][:, 0],
    "KDTree": lambda x, centres: KDTree(x).query(centres)[1],
    "products": rows_by_products,
    "norm": lambda x, centres: np.array([np.linalg.norm(x - c, axis=1).argmin() for c in centres]),
}
WRONG_ROWS = {
    "scaled": (lambda x, centres: rows_by_loop(x / x.std(0), centres / x.std(0)), "scaled first"),
    "a hole": (lambda x, centres: len(centres) * [None], "None"),
    "each row's centre": (lambda x, centres: pairwise_distances(x, centres).argmin(1), "one number a row"),
    "first rows' centres": (
        lambda x, centres: pairwise_distances(x, centres).argmin(1)[: len(centres)],
        "indices of centres, not of rows",
    ),
    "distances": (lambda x, centres: pairwise_distances(x, centres), "all the distances"),
    "pairs": (lambda x, centres: pairwise_distances(centres, x), "table of all pairs"),
    "the rows": (lambda x, centres: x[rows_by_loop(x, centres)], "indices"),
    "farthest": (lambda x, centres: pairwise_distances(x, centres).argmax(0), "*farthest*"),
    "dot product": (lambda x, centres: (x @ centres.T).argmax(0), "dot product"),
    "angle": (by_angle, "angle"),
    "city block": (lambda x, centres: pairwise_distances(x, centres, metric="l1").argmin(0), "absolute"),
    "largest column": (lambda x, centres: pairwise_distances(x, centres, metric="chebyshev").argmin(0), "largest"),
    "signed": (lambda x, centres: (x[:, None] - centres).sum(2).argmin(0), "cancel"),
    "sum, then square": (lambda x, centres: ((x[:, None] - centres).sum(2) ** 2).argmin(0), "cancel"),
    "first column": (lambda x, centres: abs(x[:, :1] - centres[:, 0]).argmin(0), "first column"),
    "sorted": (lambda x, centres: sorted(rows_by_loop(x, centres)), "sorted"),
    "from one": (lambda x, centres: np.array(rows_by_loop(x, centres)) + 1, "indices begin at 0"),
    "second nearest": (lambda x, centres: pairwise_distances(x, centres).argsort(0)[1], "second"),
    "one each": (one_each, "choose freely"),
    "constant": (lambda x, centres: np.zeros(len(centres), int), "away"),
    "sixty rows": (sixty_rows, "is a size fixed"),
    "seven centres": (lambda x, centres: rows_by_loop(x, centres[[*range(7)]]), "is a size fixed"),
    "writes x": (writes_x, "`x` itself was changed"),
    "least distances": (lambda x, centres: pairwise_distances(x, centres).min(0), "fractions"),
}

# --- propagate ---


def labels_by_loop(cluster, chosen, y_chosen):
    out = []
    for c in cluster:
        mine = [y for row, y in zip(chosen, y_chosen) if cluster[row] == c]
        out.append(int(mine[0]) if mine else -1)
    return out


def labels_by_dict(cluster, chosen, y_chosen):
    of = dict(zip(cluster[chosen].tolist(), y_chosen.tolist()))
    return np.array([of.get(c, -1) for c in cluster.tolist()])


def labels_by_masks(cluster, chosen, y_chosen):
    out = -np.ones(len(cluster))
    for row, y in zip(chosen, y_chosen):
        out[cluster == cluster[row]] = y
    return out


def labels_by_table(cluster, chosen, y_chosen):
    same = cluster[:, None] == cluster[chosen][None]
    return np.where(same.any(1), y_chosen[same.argmax(1)], -1)


def labels_by_torch(cluster, chosen, y_chosen):
    cluster, chosen, y_chosen = map(torch.as_tensor, (cluster, chosen, y_chosen))
    of = torch.full((int(cluster.max()) + 1,), -1)
    of[cluster[chosen]] = y_chosen
    return of[cluster]


def only_chosen(cluster, chosen, y_chosen):
    out = np.full(len(cluster), -1)
    out[chosen] = y_chosen
    return out


def unknown_as(value):
    def propagate(cluster, chosen, y_chosen):
        out = labels_by_dict(cluster, chosen, y_chosen)
        return np.where(out == -1, value, out)

    return propagate


def ten_labels(cluster, chosen, y_chosen):
    return np.minimum(labels_by_dict(cluster, chosen, y_chosen), 9)


def writes_cluster(cluster, chosen, y_chosen):
    out = labels_by_dict(cluster, chosen, y_chosen)
    cluster[:] = out
    return cluster


def six_clusters(cluster, chosen, y_chosen):
    of = np.full(6, -1)
    of[cluster[chosen]] = y_chosen
    return of[cluster]


def only_labelled(cluster, chosen, y_chosen):
    order = np.argsort(cluster[chosen])
    return y_chosen[order][cluster]


def by_sorted_rows(cluster, chosen, y_chosen):
    """Takes the chosen rows, sorted by index, for clusters 0, 1, ..."""
    return y_chosen[np.argsort(chosen)][np.minimum(cluster, len(chosen) - 1)]


RIGHT_LABELS = {
    "a loop": labels_by_loop,
    "a dict": labels_by_dict,
    "masks, floats": labels_by_masks,
    "a table": labels_by_table,
    "torch": labels_by_torch,
}
WRONG_LABELS = {
    "zero is none": (lambda c, chosen, y: [v or -1 for v in labels_by_loop(c, chosen, y)], "label 0"),
    "NaN": (unknown_as(math.nan), "NaN"),
    "label k to cluster k": (lambda c, chosen, y: y[np.minimum(c, len(y) - 1)], "in any order"),
    "only the chosen": (only_chosen, "only the chosen rows"),
    "the clusters": (lambda c, chosen, y: c.copy(), "clusters' numbers"),
    "positions": (lambda c, chosen, y: np.argsort(c[chosen])[np.minimum(c, len(y) - 1)], "positions"),
    "row indices": (
        lambda c, chosen, y: chosen[np.argsort(c[chosen])][np.minimum(c, len(y) - 1)] % 10,
        "the chosen row",
    ),
    "one a cluster": (lambda c, chosen, y: y[np.argsort(c[chosen])], "one label a cluster"),
    "commonest": (lambda c, chosen, y: np.full(len(c), np.bincount(y).argmax()), "same label"),
    "unknown is zero": (unknown_as(0), "nobody labelled cluster 1"),
    "unknown is the commonest": (unknown_as(7), "nobody labelled cluster 1"),
    "all are labelled": (only_labelled, "mark the rows of the third"),
    "the chosen rows": (lambda c, chosen, y: chosen[np.argsort(c[chosen])][np.minimum(c, len(y) - 1)], "as they came"),
    "rows sorted": (by_sorted_rows, "labelled"),
    "ten labels": (ten_labels, "chosen row has label"),
    "six clusters": (six_clusters, "is a size fixed"),
    "one-hot": (lambda c, chosen, y: np.eye(int(c.max()) + 1)[c], "rows and clusters"),
    "writes": (writes_cluster, "`cluster` itself was changed"),
    "constant": (lambda c, chosen, y: np.full(len(c), -1), "labelled"),
}

# --- paired_difference ---


def difference_by_loop(a, b):
    d = [int(p) - int(q) for p, q in zip(a, b)]
    m = sum(d) / len(d)
    return m, math.sqrt(sum((v - m) ** 2 for v in d) / len(d) ** 2)


def difference_by_counts(a, b):
    """From the two kinds of disagreement alone, as McNemar's test has it."""
    n, only_a, only_b = len(a), np.sum((a == 1) & (b == 0)), np.sum((a == 0) & (b == 1))
    m = (only_a - only_b) / n
    return m, np.sqrt(((only_a + only_b) / n - m**2) / n)


def difference_by_torch(a, b):
    d = torch.as_tensor(a - b).double()
    return d.mean(), d.std() / len(d) ** 0.5


def difference_by_covariance(a, b):
    cov = np.cov(a, b)
    return a.mean() - b.mean(), np.sqrt((cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]) / len(a))


def apart(a, b):
    return (a - b).mean(), np.sqrt(a.var() / len(a) + b.var() / len(b))


def writes_a(a, b):
    a -= b
    return a.mean(), a.std() / np.sqrt(len(a))


def with_error(error):
    return lambda a, b: ((a - b).mean(), error(a, b))


RIGHT_DIFFERENCES = {
    "a loop": difference_by_loop,
    "counts": difference_by_counts,
    "torch, n - 1": difference_by_torch,
    "covariance, n - 1": difference_by_covariance,
    "n - 1": with_error(lambda a, b: (a - b).std(ddof=1) / np.sqrt(len(a))),
    "an array": lambda a, b: np.array(difference_by_loop(a, b)),
    "floats, a list": lambda a, b: list(difference_by_loop(a.astype(float), b.astype(float))),
}
WRONG_DIFFERENCES = {
    "no sign": (lambda a, b: (abs((a - b).mean()), difference_by_loop(a, b)[1]), "sign is dropped"),
    "n - 1 twice": (with_error(lambda a, b: (a - b).std(ddof=1) / np.sqrt(len(a) - 1)), "stands twice"),
    "independent": (apart, "both saw the same rows"),
    "no root": (with_error(lambda a, b: (a - b).std()), "one row"),
    "divided by N": (with_error(lambda a, b: (a - b).std() / len(a)), "*root* of N"),
    "variance": (with_error(lambda a, b: (a - b).var()), "this is the variance:"),
    "variance of the mean": (with_error(lambda a, b: (a - b).var() / len(a)), "variance of the mean"),
    "of a": (with_error(lambda a, b: a.std() / np.sqrt(len(a))), "a's accuracy alone"),
    "of b": (with_error(lambda a, b: b.std() / np.sqrt(len(a))), "b's accuracy alone"),
    "summed": (with_error(lambda a, b: (a.std() + b.std()) / np.sqrt(len(a))), "adds the two errors"),
    "interval": (with_error(lambda a, b: 1.96 * (a - b).std() / np.sqrt(len(a))), "95 %"),
    "two errors": (with_error(lambda a, b: 2 * (a - b).std() / np.sqrt(len(a))), "return one"),
    "not centred": (with_error(lambda a, b: np.sqrt(((a - b) ** 2).mean() / len(a))), "subtract the mean"),
    "disagreement's": (with_error(lambda a, b: np.abs(a - b).std() / np.sqrt(len(a))), "count as -1"),
    "turned": (lambda a, b: difference_by_loop(b, a), "sign"),
    "count": (lambda a, b: ((a - b).sum(), (a - b).std() / len(a) ** 0.5), "divide by their number"),
    "per cent": (lambda a, b: (100 * (a - b).mean(), 100 * (a - b).std() / len(a) ** 0.5), "per cent"),
    "disagreement": (lambda a, b: (np.abs(a - b).mean(), (a - b).std() / len(a) ** 0.5), "disagree"),
    "swapped": (lambda a, b: difference_by_loop(a, b)[::-1], "stands first"),
    "difference alone": (lambda a, b: (a - b).mean(), "two numbers"),
    "rows": (lambda a, b: a - b, "one number a test row"),
    "three": (lambda a, b: (a.mean(), b.mean(), 0.0), "expected two numbers"),
    "400 rows": (lambda a, b: ((a - b).sum() / 400, (a - b).std() / 20), "difference of the accuracies"),
    "writes": (writes_a, "`a` itself was changed"),
    "t value": (lambda a, b: ((a - b).mean(), (a - b).mean() / ((a - b).std() / len(a) ** 0.5)), "this says"),
    "divides by the error": (
        lambda a, b: (
            np.divide((a - b).mean() * difference_by_loop(a, b)[1], difference_by_loop(a, b)[1]),
            difference_by_loop(a, b)[1],
        ),
        "NaN",
    ),
}
RIGHT = {"representatives": RIGHT_ROWS, "propagate": RIGHT_LABELS, "paired_difference": RIGHT_DIFFERENCES}
WRONG = {"representatives": WRONG_ROWS, "propagate": WRONG_LABELS, "paired_difference": WRONG_DIFFERENCES}
