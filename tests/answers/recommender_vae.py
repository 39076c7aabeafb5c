"""Right and wrong answers to the exercises of notebook 25."""

import math

import numpy as np
import torch
from sklearn.metrics import ndcg_score

# --- ndcg ---


def ndcg_by_loop(scores, hidden, k):
    order = sorted(range(len(scores)), key=lambda item: -scores[item])
    gain = sum(1 / math.log2(r + 1) for r, item in enumerate(order[:k], start=1) if hidden[item])
    return gain / sum(1 / math.log2(r + 1) for r in range(1, min(int(hidden.sum()), k) + 1))


def ndcg_by_scikit(scores, hidden, k):
    lowest = scores[np.isfinite(scores)].min() - 1
    return ndcg_score(hidden[None].astype(float), np.where(np.isfinite(scores), scores, lowest)[None], k=k)


def ndcg_in_torch(scores, hidden, k):
    top = torch.from_numpy(scores).topk(min(k, len(scores))).indices
    gains = 1 / torch.log2(torch.arange(2.0, len(scores) + 2, dtype=torch.float64))
    return (torch.from_numpy(hidden)[top] * gains[: len(top)]).sum() / gains[: min(k, int(hidden.sum()))].sum()


def ndcg_by_places(scores, hidden, k):
    place = (-scores).argsort().argsort()[hidden] + 1
    return np.float32((1 / np.log2(1 + place[place <= k])).sum() / sum(1 / np.log2(np.arange(min(k, len(place))) + 2)))


def ndcg_ideal_sorted(scores, hidden, k):
    dcg = lambda gains: (gains[:k] / np.log2(np.arange(len(gains[:k])) + 2)).sum()
    return dcg(hidden[np.argsort(-scores)]) / dcg(np.sort(hidden)[::-1])


def parts(value, upward=False):
    """An ndcg by a function of (hits in order, gains, n, k)."""

    def answer(scores, hidden, k):
        order = np.argsort(scores if upward else -scores)
        return value(hidden[order], 1 / np.log2(np.arange(len(scores)) + 2), int(hidden.sum()), k)

    return answer


def sorts_scores(scores, hidden, k):
    value = ndcg_by_loop(scores, hidden, k)
    scores.sort()
    return value


def rightly(h, g, n, k):
    return (h * g)[:k].sum() / g[: min(n, k)].sum()


RIGHT_NDCG = {
    "a loop": ndcg_by_loop,
    "scikit-learn": ndcg_by_scikit,
    "torch": ndcg_in_torch,
    "places": ndcg_by_places,
    "ideal sorted": ndcg_ideal_sorted,
    "arrays": parts(rightly),
}
WRONG_NDCG = {
    "turned round": (parts(rightly, upward=True), "turned round"),
    "no ideal": (parts(lambda h, g, n, k: (h * g)[:k].sum()), "the DCG"),
    "ideal over n": (parts(lambda h, g, n, k: (h * g)[:k].sum() / g[:n].sum()), "min(n, k)"),
    "ideal over k": (parts(lambda h, g, n, k: (h * g)[:k].sum() / g[:k].sum()), "min(n, k)"),
    "no k": (parts(lambda h, g, n, k: (h * g).sum() / g[:n].sum()), "beyond k"),
    "no k above": (parts(lambda h, g, n, k: (h * g).sum() / g[: min(n, k)].sum()), "beyond k"),
    "k + 1": (parts(lambda h, g, n, k: (h * g)[: k + 1].sum() / g[: min(n, k)].sum()), "k + 1 places"),
    "k - 1": (parts(lambda h, g, n, k: (h * g)[: k - 1].sum() / g[: min(n, k)].sum()), "k - 1 places"),
    "recall": (parts(lambda h, g, n, k: h[:k].sum() / min(n, k)), "falls with its place"),
    "precision": (parts(lambda h, g, n, k: h[:k].mean() * min(k, len(h)) / k), "precision"),
    "reciprocal": (
        parts(lambda h, g, n, k: (h / np.arange(1, len(h) + 1))[:k].sum() / (1 / np.arange(1, min(n, k) + 1)).sum()),
        "1 / r",
    ),
    "per cent": (parts(lambda h, g, n, k: 100 * rightly(h, g, n, k)), "per cent"),
    "unsorted": (
        lambda s, hidden, k: (
            (hidden / np.log2(np.arange(len(s)) + 2))[:k].sum()
            / (1 / np.log2(np.arange(min(k, hidden.sum())) + 2)).sum()
        ),
        "order of the array",
    ),
    "sorts": (sorts_scores, "`scores` itself was changed"),
    "a list": (parts(lambda h, g, n, k: (h * g)[:k]), "one number"),
    "fixed size": (parts(lambda h, g, n, k: (h[:20] * g[:20]).sum() / g[: min(n, 20)].sum()), "beyond k"),
}

# --- ease ---


def ease_by_loop(G, penalty):
    P = np.linalg.inv(G + penalty * np.eye(len(G)))
    B = np.zeros_like(P)
    for i in range(len(P)):
        for j in range(len(P)):
            if i != j:
                B[i, j] = -P[i, j] / P[j, j]
    return B


def ease_by_columns(G, penalty):
    """Ridge regression of each item on all others."""
    B = np.zeros(G.shape)
    for j in range(len(G)):
        rest = np.arange(len(G)) != j
        B[rest, j] = np.linalg.solve(G[np.ix_(rest, rest)] + penalty * np.eye(rest.sum()), G[rest, j])
    return B


def ease_in_torch(G, penalty):
    P = torch.linalg.inv(torch.from_numpy(G) + penalty * torch.eye(len(G), dtype=torch.float64))
    return (-P / P.diagonal()).fill_diagonal_(0)


def ease_by_solving(G, penalty):
    P = np.linalg.solve(G + penalty * np.eye(len(G)), np.eye(len(G)))
    return np.eye(len(G)) - P @ np.diag(1 / np.diag(P))


def ease_masked(G, penalty):
    P = np.linalg.inv(G + np.diag(np.full(len(G), penalty)))
    return np.where(np.eye(len(G), dtype=bool), 0, P / -P.diagonal())


def from_p(value):
    """An answer by a function of P, its diagonal emptied."""

    def answer(G, penalty):
        B = np.array(value(np.linalg.inv(G + penalty * np.eye(len(G)))))
        np.fill_diagonal(B, 0)
        return B

    return answer


def changes_counts(G, penalty):
    G[np.diag_indices(len(G))] += penalty
    return from_p(lambda P: -P / np.diag(P))(G, 0.0)


RIGHT_EASE = {
    "loops": ease_by_loop,
    "columns": ease_by_columns,
    "torch": ease_in_torch,
    "solve": ease_by_solving,
    "mask": ease_masked,
    "float32": lambda G, penalty: ease_by_loop(G, penalty).astype(np.float32),
}
WRONG_EASE = {
    "rows": (from_p(lambda P: -P / np.diag(P)[:, None]), "rows are divided"),
    "sign": (from_p(lambda P: P / np.diag(P)), "sign is turned"),
    "diagonal": (lambda G, p: from_p(lambda P: -P / np.diag(P))(G, p) - np.eye(len(G)), "diagonal is not zero"),
    "ones": (lambda G, p: ease_by_loop(G, p) + np.eye(len(G)), "diagonal is 1"),
    "ridge": (lambda G, p: np.linalg.solve(G + p * np.eye(len(G)), G), "ridge regression"),
    "ridge cut": (
        lambda G, p: np.linalg.solve(G + p * np.eye(len(G)), G) * (1 - np.eye(len(G))),
        "ridge regression with its diagonal cut",
    ),
    "P": (from_p(lambda P: P), "divide by the diagonal"),
    "minus P": (from_p(lambda P: -P), "divide each column"),
    "squared": (lambda G, p: ease_by_loop(G, p**2), "squared"),
    "everywhere": (
        lambda G, p: from_p(lambda P: -P / np.diag(P))(G + p * (1 - np.eye(len(G))), p),
        "every entry",
    ),
    "not inverted": (
        lambda G, p: -(G + p * np.eye(len(G))) / (np.diag(G) + p) * (1 - np.eye(len(G))),
        "invert first",
    ),
    "in place": (changes_counts, "`G` itself was changed"),
    "fixed": (lambda G, p: ease_by_loop(G[:7, :7], p), "expected shape"),
}

# --- multinomial_log_prob ---


def by_log_sum_exp(logits, x):
    return (x * logits).sum(1) - x.sum(1) * torch.logsumexp(logits, dim=1)


def by_loop(logits, x):
    return torch.stack([(row * (f - f.logsumexp(0))).sum() for f, row in zip(logits, x)])


def by_einsum(logits, x):
    return torch.einsum("ni,ni->n", x, torch.log_softmax(logits, 1))


def by_distribution(logits, x):
    return (x * torch.distributions.Categorical(logits=logits).logits).sum(1)


def by_shift(logits, x):
    f = logits - logits.max(1, keepdim=True).values
    return (x * (f - f.exp().sum(1, keepdim=True).log())).sum(1)


def logs(value, dim=1):
    return lambda logits, x: value(torch.log_softmax(logits, dim), x)


def with_constant(logits, x):
    rows = zip(logits, x)
    return torch.stack([torch.distributions.Multinomial(int(n.sum()), logits=f).log_prob(n) for f, n in rows])


RIGHT_MULTINOMIAL = {
    "log-sum-exp": by_log_sum_exp,
    "a loop": by_loop,
    "einsum": by_einsum,
    "distribution": by_distribution,
    "shifted": by_shift,
    "float64": lambda logits, x: (x * torch.log_softmax(logits.double(), 1)).sum(1),
    "cross entropy": lambda logits, x: torch.nn.functional.cross_entropy(logits, x, reduction="none") * -1,
}
WRONG_MULTINOMIAL = {
    "a loss": (logs(lambda log, x: -(x * log).sum(1)), "sign is turned"),
    "over lists": (logs(lambda log, x: (x * log).sum(1), dim=0), "runs over the lists"),
    "mean": (logs(lambda log, x: (x * log).mean(1)), "averages over the items"),
    "mean of liked": (logs(lambda log, x: (x * log).sum(1) / x.sum(1).clamp(min=1)), "averages over what is liked"),
    "one number": (logs(lambda log, x: (x * log).sum(1).mean()), "one number came back"),
    "terms": (logs(lambda log, x: x * log), "terms of the sum"),
    "wrong sum": (logs(lambda log, x: (x * log).sum(0)), "summed over the lists"),
    "sigmoid": (
        lambda logits, x: (x * torch.nn.functional.logsigmoid(logits)).sum(1),
        "stands alone",
    ),
    "Bernoulli": (
        lambda logits, x: -torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1),
        "Bernoulli",
    ),
    "no logarithm": (logs(lambda log, x: (x * log.exp()).sum(1)), "logarithm is missing"),
    "overflow": (lambda logits, x: (x * (logits.exp() / logits.exp().sum(1, keepdim=True)).log()).sum(1), "overflow"),
    "not normalised": (lambda logits, x: (x * logits).sum(1), "not normalised"),
    "all items": (logs(lambda log, x: log.sum(1)), "not liked count too"),
    "its constant": (with_constant, "leave the constant out"),
    "binary": (logs(lambda log, x: ((x > 0) * log).sum(1)), "taken for 1"),
    "detached": (logs(lambda log, x: (x * log).sum(1).detach()), "no gradient"),
    "clamped": (
        lambda logits, x: (x * torch.softmax(logits, 1).clamp(min=1e-6).log()).sum(1),
        "clamped",
    ),
}

RIGHT = {"ndcg": RIGHT_NDCG, "ease": RIGHT_EASE, "multinomial_log_prob": RIGHT_MULTINOMIAL}
WRONG = {"ndcg": WRONG_NDCG, "ease": WRONG_EASE, "multinomial_log_prob": WRONG_MULTINOMIAL}
