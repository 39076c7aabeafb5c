"""Right and wrong answers to the exercises of notebook 07."""

import math

import numpy as np
import torch
from scipy.stats import mannwhitneyu, rankdata
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

# --- auroc ---


def auroc_by_loops(scores, strange):
    odd, ok = scores[strange].tolist(), scores[~strange].tolist()
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in odd for b in ok) / (len(odd) * len(ok))


def auroc_by_ranks(scores, strange):
    m, n = strange.sum(), (~strange).sum()
    return (rankdata(scores)[strange].sum() - m * (m + 1) / 2) / (m * n)


def auroc_in_torch(scores, strange):
    s, odd = torch.from_numpy(scores), torch.from_numpy(strange)
    above = s[odd][:, None] - s[~odd]
    return (torch.sign(above) + 1).mean() / 2


def pairs(value):
    """An auroc by a function of the differences."""
    return lambda scores, strange: value(scores[strange][:, None] - scores[~strange][None, :])


def ranks_without_ties(scores, strange):
    place = np.empty(len(scores))
    place[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    m, n = strange.sum(), (~strange).sum()
    return (place[strange].sum() - m * (m + 1) / 2) / (m * n)


def sorts_in_place(scores, strange):
    value = auroc_by_loops(scores, strange)
    scores.sort()
    return value


RIGHT_AUROC = {
    "searched": lambda scores, strange: (
        sum(np.searchsorted(np.sort(scores[~strange]), scores[strange], side) for side in ("left", "right")).mean()
        / (2 * (~strange).sum())
    ),
    "loops": auroc_by_loops,
    "ranks": auroc_by_ranks,
    "torch": auroc_in_torch,
    "scikit-learn": lambda scores, strange: roc_auc_score(strange, scores),
    "SciPy": lambda scores, strange: (
        mannwhitneyu(scores[strange], scores[~strange]).statistic / (strange.sum() * (~strange).sum())
    ),
    "heaviside": pairs(lambda above: np.heaviside(above, 0.5).mean()),
    "float32": pairs(lambda above: np.float32(((above > 0) + 0.5 * (above == 0)).mean())),
}
WRONG_AUROC = {
    "never below 0.5": (lambda s, odd: max(auroc_by_loops(s, odd), 1 - auroc_by_loops(s, odd)), "keep it"),
    "close is tied": (pairs(lambda above: (above > 1e-6).mean() + 0.5 * (abs(above) <= 1e-6).mean()), "equality"),
    "from -1": (pairs(lambda above: np.sign(above).mean()), "from -1 to 1"),
    "turned": (pairs(lambda above: (above < 0).mean() + 0.5 * (above == 0).mean()), "turned round"),
    "ties nothing": (pairs(lambda above: (above > 0).mean()), "ties count nothing"),
    "ties won": (pairs(lambda above: (above >= 0).mean()), "ties count as won"),
    "a sum": (pairs(lambda above: (above > 0).sum() + 0.5 * (above == 0).sum()), "divide by m n"),
    "over m": (pairs(lambda above: ((above > 0).sum() + 0.5 * (above == 0).sum()) / len(above)), "number of strange"),
    "over n": (
        pairs(lambda above: ((above > 0).sum() + 0.5 * (above == 0).sum()) / above.shape[1]),
        "number of normal",
    ),
    "over all pairs": (
        lambda scores, strange: (scores[strange][:, None] > scores[~strange]).sum() / len(scores) ** 2,
        "all pairs of examples",
    ),
    "the mean": (lambda scores, strange: (scores[strange] > scores[~strange].mean()).mean(), "the middle of"),
    "the median": (
        lambda scores, strange: (scores[strange] > np.median(scores[~strange])).mean(),
        "compare every pair",
    ),
    "a zip": (
        lambda scores, strange: np.mean([a > b for a, b in zip(scores[strange], scores[~strange])]),
        "every pair",
    ),
    "ranks, ties by place": (ranks_without_ties, "broken by their places"),
    "one a strange": (pairs(lambda above: (above > 0).mean(1)), "expected one number"),
    "changes its input": (sorts_in_place, "`scores` itself was changed"),
    "always a coin": (lambda scores, strange: 0.5, "where 7 strange"),
}

# --- knn_score ---


def knn_by_loops(normal, x, k):
    return torch.stack([torch.stack([(row - other).norm() for other in normal]).sort().values[:k].mean() for row in x])


def knn_in_numpy(normal, x, k):
    d = np.sqrt(((x.numpy()[:, None] - normal.numpy()[None]) ** 2).sum(2))
    return np.sort(d, axis=1)[:, :k].mean(axis=1)


def knn_by_scikit(normal, x, k):
    return NearestNeighbors(n_neighbors=k).fit(normal.numpy()).kneighbors(x.numpy())[0].mean(1)


def nearest_by(distance, pick=lambda d, k: d[:, :k], reduce=lambda near: near.mean(1)):
    """A wrong or right knn_score."""
    return lambda normal, x, k: reduce(pick(distance(x, normal).sort(1).values, k))


def euclid(x, normal):
    return torch.cdist(x, normal, compute_mode="donot_use_mm_for_euclid_dist")


RIGHT_KNN = {
    "loops": knn_by_loops,
    "NumPy": knn_in_numpy,
    "scikit-learn": knn_by_scikit,
    "sort": nearest_by(euclid),
    "the product": nearest_by(torch.cdist),
    "double": lambda normal, x, k: nearest_by(euclid)(normal.double(), x.double(), k),
}
WRONG_KNN = {
    "not itself": (
        lambda n, x, k: nearest_by(euclid)(n, x, k) if len(n) != len(x) or (n != x).any() else euclid(x, n).sum(1),
        "leave themselves out",
    ),
    "the middle": (
        lambda n, x, k: (x - n[euclid(x, n).topk(k, largest=False).indices].mean(1)).norm(dim=1),
        "the middle of the k",
    ),
    "squared": (nearest_by(lambda x, n: euclid(x, n).square()), "squared"),
    "root mean square": (nearest_by(euclid, reduce=lambda near: near.square().mean(1).sqrt()), "root of the mean"),
    "a sum": (nearest_by(euclid, reduce=lambda near: near.sum(1)), "take their mean"),
    "the k-th": (nearest_by(euclid, reduce=lambda near: near[:, -1]), "k-th neighbour alone"),
    "the first": (nearest_by(euclid, reduce=lambda near: near[:, 0]), "nearest alone"),
    "the farthest": (nearest_by(euclid, pick=lambda d, k: d[:, -k:]), "farthest"),
    "all of them": (nearest_by(euclid, pick=lambda d, k: d), "mean over all"),
    "without the nearest": (nearest_by(euclid, pick=lambda d, k: d[:, 1 : k + 1]), "left out"),
    "among x": (lambda normal, x, k: euclid(x, x).sort(1).values[:, :k].mean(1), "among x itself"),
    "among x without itself": (
        lambda normal, x, k: euclid(x, x).sort(1).values[:, 1 : k + 1].mean(1),
        "without the row itself",
    ),
    "swapped": (lambda normal, x, k: nearest_by(euclid)(x, normal, k), "normal rows"),
    "the wrong axis": (lambda normal, x, k: euclid(x, normal).sort(0).values[:k].mean(0), "normal rows"),
    "absolute": (nearest_by(lambda x, n: (x[:, None] - n[None]).abs().sum(2)), "absolute"),
    "negative": (nearest_by(euclid, reduce=lambda near: -near.mean(1)), "sign is turned"),
    "the distances": (nearest_by(euclid, reduce=lambda near: near), "average them"),
    "one number": (nearest_by(euclid, reduce=lambda near: near.mean()), "one for each row"),
}

# --- threshold ---


def threshold_by_partition(normal_scores, alpha):
    n = len(normal_scores)
    rank = int(np.ceil((n + 1) * (1 - alpha)))
    return np.inf if rank > n else np.partition(normal_scores, rank - 1)[rank - 1]


def threshold_by_lists(normal_scores, alpha):
    ranked = sorted(float(score) for score in normal_scores) + [math.inf]
    return ranked[math.ceil(len(ranked) * (1 - alpha)) - 1]


def threshold_in_torch(normal_scores, alpha):
    s = torch.from_numpy(normal_scores)
    rank = math.ceil((len(s) + 1) * (1 - alpha))
    return s.kthvalue(rank).values if rank <= len(s) else torch.tensor(math.inf)


def threshold_by_quantile(normal_scores, alpha):
    with_infinity = np.append(normal_scores, 1e30)
    value = np.quantile(with_infinity, 1 - alpha, method="inverted_cdf")
    return math.inf if value == 1e30 else value


def threshold_from_above(normal_scores, alpha):
    allowed = math.floor((len(normal_scores) + 1) * alpha)  # as many may lie at or above it
    return float(np.sort(normal_scores)[::-1][allowed - 1]) if allowed else math.inf


def at_rank(rank, above=math.inf):
    """A wrong or right threshold by its rank."""

    def threshold(normal_scores, alpha):
        place = rank(len(normal_scores), alpha)
        return float(np.sort(normal_scores)[place - 1]) if place <= len(normal_scores) else above

    return threshold


def largest_of_few(normal_scores, alpha):
    n = len(normal_scores)
    return np.sort(normal_scores)[min(math.ceil((n + 1) * (1 - alpha)), n) - 1]


def threshold_in_place(normal_scores, alpha):
    normal_scores.sort()
    return at_rank(lambda n, a: math.ceil((n + 1) * (1 - a)))(normal_scores, alpha)


RIGHT_THRESHOLD = {
    "partition": threshold_by_partition,
    "lists": threshold_by_lists,
    "torch": threshold_in_torch,
    "a quantile of n + 1": threshold_by_quantile,
    "from above": threshold_from_above,
    "float32": lambda scores, alpha: np.float32(threshold_by_partition(scores, alpha)),
}
WRONG_THRESHOLD = {
    "floor and one": (at_rank(lambda n, a: math.floor((n + 1) * (1 - a)) + 1), "the rank as it is"),
    "the last is none": (
        lambda s, a: np.append(np.sort(s)[:-1], math.inf)[min(math.ceil((len(s) + 1) * (1 - a)), len(s)) - 1],
        "infinity came back",
    ),
    "no sign": (lambda s, a: threshold_by_partition(abs(s), a), "sign is taken off"),
    "each score once": (lambda s, a: threshold_by_partition(np.unique(s), a), "counted once"),
    "a quantile": (lambda scores, alpha: np.quantile(scores, 1 - alpha), "interpolates"),
    "rounded down": (at_rank(lambda n, a: math.floor((n + 1) * (1 - a))), "one too low"),
    "n for n + 1": (lambda scores, alpha: at_rank(lambda n, a: math.floor(n * (1 - a)))(scores, alpha), "one too low"),
    "from the largest": (
        lambda scores, alpha: np.sort(scores)[::-1][math.ceil((len(scores) + 1) * (1 - alpha)) - 1],
        "counted from the largest",
    ),
    "alpha": (lambda scores, alpha: np.quantile(scores, alpha), "quantile alpha"),
    "the rank": (lambda scores, alpha: math.ceil((len(scores) + 1) * (1 - alpha)), "not the score"),
    "one too high": (
        lambda scores, alpha: np.sort(scores)[min(math.ceil((len(scores) + 1) * (1 - alpha)), len(scores) - 1)],
        "one too high",
    ),
    "the largest": (lambda scores, alpha: scores.max(), "largest score"),
    "two deviations": (lambda scores, alpha: scores.mean() + 2 * scores.std(), "two deviations"),
    "three deviations": (lambda scores, alpha: scores.mean() + 3 * scores.std(), "three deviations"),
    "the largest of too few": (largest_of_few, "threshold is infinite"),
    "none of too few": (at_rank(lambda n, a: math.ceil((n + 1) * (1 - a)), above=0.0), "math.inf"),
    "changes its input": (threshold_in_place, "itself was changed"),
}

RIGHT = {"auroc": RIGHT_AUROC, "knn_score": RIGHT_KNN, "threshold": RIGHT_THRESHOLD}
WRONG = {"auroc": WRONG_AUROC, "knn_score": WRONG_KNN, "threshold": WRONG_THRESHOLD}
