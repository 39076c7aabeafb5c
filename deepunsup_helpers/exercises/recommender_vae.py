"""The exercises of notebook 25: the grade of a ranking, the closed-form linear recommender, the multinomial likelihood."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    call,
    close,
    draw,
    expect,
    expect_gradients,
    fits,
    number,
    require,
    tensor,
)

# --- ndcg -----------------------------------------------------------------------------------------------------------


def ndcg_reference(scores: np.ndarray, hidden: np.ndarray, k: int) -> float:
    """NDCG@k of one user.

    Args:
        scores: (I,), high is first.
        hidden: (I,) booleans, at least one true.
        k: places that count, at least 1.
    Returns:
        from 0 to 1.
    Source: Jarvelin & Kekalainen 2002, doi:10.1145/582415.582418; cut as in arXiv:1802.05814.
    """
    order = np.argsort(-scores)[:k]
    gains = 1 / np.log2(np.arange(len(order)) + 2)
    return float(gains[hidden[order]].sum() / gains[: hidden.sum()].sum())


def _check_ndcg(ndcg: Callable) -> Result:
    for items, n, k, seed in ((30, 6, 10, 11), (40, 12, 5, 52), (25, 3, 25, 13), (18, 4, 60, 14), (50, 20, 8, 55)):
        scores = draw(items, seed=seed).double().numpy()
        hidden = np.zeros(items, bool)
        hidden[torch.randperm(items, generator=torch.Generator().manual_seed(seed))[:n].numpy()] = True
        scores[hidden] += 0.8
        if seed == 11:
            scores -= 3  # so that none comes after 0
            scores[np.flatnonzero(~hidden)[:4]] = -np.inf  # what was shown
        with fits(f"{items} items, {n} of them hidden, and k = {k} stop it: fix no size; k may be beyond the items"):
            found = number(call(ndcg, scores, hidden, k), "one number from 0 to 1")
        order, upward = np.argsort(-scores), np.argsort(scores)
        place = np.arange(items)
        gains = 1 / np.log2(place + 2)
        hit = hidden[order]
        dcg, many = (hit * gains)[:k].sum(), min(n, k)
        best = gains[:many].sum()
        right = dcg / best
        mistakes = {
            "it is turned round: high scores come first": (hidden[upward] * gains)[:k].sum() / best,
            "this is the sum of gains, the DCG: divide by the best possible one": dcg,
            "the best sum runs over all hidden items: only min(n, k) have a place": dcg / gains[:n].sum(),
            "the best sum runs over all k places: with n hidden items only min(n, k) of them can hit": (
                dcg / gains[:k].sum()
            ),
            "all places count, beyond k too: cut the list after k": (hit * gains).sum() / gains[:n].sum(),
            "all places count in the sum, beyond k too: cut the list after k": (hit * gains).sum() / best,
            "the sum runs over k + 1 places: cut it after k": (hit * gains)[: k + 1].sum() / best,
            "the sum runs over k - 1 places: cut it after k": (hit * gains)[: k - 1].sum() / best,
            "the logarithm is the natural one in the sum and log2 in the best sum": dcg / math.log(2) / best,
            "every hit counts 1: a gain falls with its place, 1 / log2(1 + r)": hit[:k].sum() / many,
            "this is the share of hits among k places, the precision": hit[:k].sum() / k,
            "gains are 1 / r: they are 1 / log2(1 + r)": (hit / (place + 1))[:k].sum() / (1 / (place[:many] + 1)).sum(),
            "places count from 0 in log2(2 + r): the first place has r = 1 and gains 1": (
                (hit / np.log2(place + 3))[:k].sum() / best
            ),
            "places begin at 2 in both sums: the first place has r = 1 and gains 1": (
                (hit / np.log2(place + 3))[:k].sum() / (1 / np.log2(place + 3))[:many].sum()
            ),
            "this is a per cent: leave it as a share": 100 * right,
            "the items are taken in the order of the array: rank them by their scores": (hidden * gains)[:k].sum()
            / best,
        }
        said = f"it gives {found:.3f}, where {n} hidden of {items} items and k = {k} have {right:.3f}"
        expect(found, right, mistakes, said)
    return Result(True, "High scores come first, gains fall with the place, and a perfect list has 1 for any n and k.")


# --- ease -----------------------------------------------------------------------------------------------------------


def ease_reference(G: np.ndarray, penalty: float) -> np.ndarray:
    """EASE's weights.

    Args:
        G: (I, I), X^T X.
        penalty: above 0.
    Returns:
        B, (I, I), with a diagonal of zeros.
    Source: Steck 2019, arXiv:1905.03375.
    """
    P = np.linalg.inv(G + penalty * np.eye(len(G)))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    return B


def _check_ease(ease: Callable) -> Result:
    for users, items, penalty, seed in ((40, 7, 3.0, 21), (25, 12, 0.7, 22), (15, 20, 10.0, 23)):
        X = (draw(users, items, seed=seed, low=0) < 0.35).double().numpy()
        G = X.T @ X
        with fits(f"counts of {items} items stop it: fix no size"):
            found = call(ease, G, penalty)
        found = tensor(found, (items, items)).double().numpy()
        P = np.linalg.inv(G + penalty * np.eye(items))
        right = ease_reference(G, penalty)

        def no_diagonal(B):
            B = np.array(B)
            np.fill_diagonal(B, 0)
            return B

        small = np.linalg.pinv(G)
        ridge = np.eye(items) - penalty * P
        mistakes = {
            "rows are divided, not columns: B_ij = -P_ij / P_jj": no_diagonal(-P / np.diag(P)[:, None]),
            "this is B transposed: columns are divided by their own diagonal entry": right.T,
            "the sign is turned: B_ij = -P_ij / P_jj": -right,
            "the diagonal is not zero: an item must not foretell itself": -P / np.diag(P),
            "the diagonal is 1: an item must not foretell itself, set it to 0": right + np.eye(items),
            "this is ridge regression, whose items foretell themselves: divide by the diagonal of P": ridge,
            "this is ridge regression with its diagonal cut out: the best B under the constraint divides by P_jj": (
                no_diagonal(ridge)
            ),
            "this is P with its diagonal cut out: divide by the diagonal, with a minus": no_diagonal(P),
            "this is -P with its diagonal cut out: divide each column by P_jj": no_diagonal(-P),
            "the penalty is missing: invert G + lambda I": no_diagonal(-small / np.diag(small)),
            "the penalty is squared": ease_reference(G, penalty**2),
            "the penalty is added to every entry: it belongs on the diagonal, times the identity": (
                ease_reference(G + penalty * (1 - np.eye(items)), penalty)
            ),
            "G itself is divided by its diagonal: invert first": no_diagonal(-G / np.diag(G).clip(1e-9)),
            "G with the penalty is divided by its diagonal: invert first": (
                no_diagonal(-(G + penalty * np.eye(items)) / (np.diag(G) + penalty))
            ),
        }
        off = float(np.abs(np.diag(found)).max())
        said = f"the diagonal reaches {off:.2g}: it must be 0" if off > 1e-6 else "the weights are not the best ones"
        expect(found, right, mistakes, said)
    return Result(True, "Items do not foretell themselves, and each column is the best one under the penalty.")


# --- multinomial_log_prob -------------------------------------------------------------------------------------


def multinomial_reference(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of each list under one multinomial, up to the constant of its orders.

    Args:
        logits: (N, I).
        x: (N, I), counts, or 0 and 1.
    Returns:
        (N,), in nats, at most 0.
    Source: Liang et al. 2018, arXiv:1802.05814, equation 2.
    """
    return (x * torch.log_softmax(logits, dim=1)).sum(1)


def _check_multinomial(log_likelihood: Callable) -> Result:
    for n, items, scale, seed in ((6, 11, 1.0, 31), (13, 5, 2.0, 32), (8, 8, 1.5, 33), (4, 9, 300.0, 34)):
        logits, x = scale * draw(n, items, seed=seed), (draw(n, items, seed=seed + 9, low=0) < 0.4).float()
        x[0] = 0
        x[1, :3] = 2  # bought twice
        with fits(f"{n} lists of {items} items stop it: fix no size"):
            found = call(log_likelihood, logits, x)
        hints = {
            (): "one number came back: one for each list is asked for, summed over its items, dim=1",
            (items,): "it is summed over the lists: sum over the items of each list, dim=1",
            (n, items): "these are the terms of the sum: sum over the items, dim=1",
            (n, 1): f"expected shape ({n},); this returned ({n}, 1)",
        }
        if scale > 100:
            raw = torch.as_tensor(found).detach()
            require(bool(torch.isfinite(raw).all()), "large logits overflow: use log_softmax, not the log of a softmax")
        found = tensor(found, (n,), hints, slopes=True)
        f, y = logits.double(), x.double()
        logs, across = torch.log_softmax(f, 1), torch.log_softmax(f, 0)
        right, total = (y * logs).sum(1), y.sum(1)
        log_sigmoid = torch.nn.functional.logsigmoid(f)
        mistakes = {
            "the sign is turned: this is a likelihood, not a loss": -right,
            "the softmax runs over the lists: it runs over the items of each list, dim=1": (y * across).sum(1),
            "this averages over the items: sum": right / items,
            "this averages over what is liked: sum, so that long lists count for more": right / total.clamp(min=1),
            "each item stands alone here, with a sigmoid: the items must share one probability, softmax": (
                y * log_sigmoid
            ).sum(1),
            "this is the Bernoulli log-likelihood, zeros included: the multinomial is x log softmax": (
                y * log_sigmoid + (1 - y) * torch.nn.functional.logsigmoid(-f)
            ).sum(1),
            "the logarithm is missing: this sums probabilities": (y * logs.exp()).sum(1),
            "the logits are not normalised: subtract their log-sum-exp, or use log_softmax": (y * f).sum(1),
            "the log-sum-exp is subtracted once: once for each liked item": (y * f).sum(1) - torch.logsumexp(f, 1),
            "items that are not liked count too: multiply by x": logs.sum(1),
            "a count of 2 is taken for 1: multiply by x as it is": ((y > 0) * logs).sum(1),
            "the logarithm has base 2: nats are asked for": right / math.log(2),
            "the constant that counts the orders is in it, as in Multinomial.log_prob: leave the constant out": (
                right + torch.lgamma(total + 1) - torch.lgamma(y + 1).sum(1)
            ),
        }
        said = "the values are not those of x log softmax, summed over the items; are probabilities clamped?"
        expect(found, right, mistakes, said, atol=1e-4)
    given = {"logits": draw(5, 7, seed=41)}
    lists = (draw(5, 7, seed=42, low=0) < 0.4).float()
    expect_gradients(lambda f: log_likelihood(f, lists), lambda f: multinomial_reference(f, lists), given)
    require(
        close(log_likelihood(torch.zeros(2, 8), torch.ones(2, 8)), torch.full((2,), -8 * math.log(8))), "equal logits"
    )
    return Result(True, "Items share one unit of probability, and large logits do not overflow.")


ndcg = Exercise("ndcg", ndcg_reference, _check_ndcg, float)
ease = Exercise("ease", ease_reference, _check_ease, np.asarray)
multinomial_log_prob = Exercise("multinomial_log_prob", multinomial_reference, _check_multinomial)
