"""The exercises of notebook 07: the AUROC, the distance to the nearest neighbours, a threshold that keeps its promise."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, fits, number, require, tensor

# --- auroc ----------------------------------------------------------------------------------------------------------


def auroc_reference(scores: np.ndarray, strange: np.ndarray) -> float:
    """Share of pairs of one strange and one normal example in which the strange one has the higher score; ties are half.

    Args:
        scores: (N,), high for what is strange.
        strange: (N,) booleans, at least one of each.
    Returns:
        from 0 to 1.
    Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    above = scores[strange][:, None] - scores[~strange][None, :]  # (m, n)
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def _scored(m: int, n: int, seed: int, levels: int | None, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of m strange and n normal examples in mixed order; of few `levels` they have ties."""
    scores = draw(m + n, seed=seed).double().numpy()
    scores[:m] += shift
    if levels:
        scores = np.round(scores * levels / 3)
    order = torch.randperm(m + n, generator=torch.Generator().manual_seed(seed)).numpy()
    return scores[order], (np.arange(m + n) < m)[order]


def _check_auroc(auroc: Callable) -> Result:
    cases = (
        (7, 23, 71, None, 0.6),
        (40, 9, 72, None, 0.6),
        (12, 30, 73, 4, 0.6),
        (25, 8, 74, 2, 0.6),
        (14, 21, 75, 3, -0.9),
    )
    for m, n, seed, levels, shift in cases:
        scores, strange = _scored(m, n, seed, levels, shift)
        if n == 9:
            scores *= 1e-9  # the unit does not matter
        with fits(
            f"{m} strange and {n} normal scores stop it: compare each with each, s[:, None] > t, and fix no size"
        ):
            found = number(call(auroc, scores, strange), "one number from 0 to 1")
        above = scores[strange][:, None] - scores[~strange][None, :]
        won, tied = (above > 0).mean(), (above == 0).mean()
        right = won + 0.5 * tied
        place = scores.argsort(kind="stable").argsort() + 1
        mistakes = {
            "a value below 0.5 is turned into one above: it says that normal examples look stranger, so keep it": (
                max(right, 1 - right)
            ),
            "scores that are merely close count as ties: a tie is equality": (
                ((above > 0) & ~np.isclose(above, 0)).mean() + 0.5 * np.isclose(above, 0).mean()
            ),
            "scores that are close count as won and as half: a tie is equality": won
            + 0.5 * np.isclose(above, 0).mean(),
            "ties are broken by their places in the array: they are worth one half": (
                (place[strange].sum() - m * (m + 1) / 2) / (m * n)
            ),
            "this runs from -1 to 1: a pair lost counts 0, not -1": 2 * right - 1,
            "this is a per cent: leave it as a share": 100 * right,
            "strange scores are compared with all scores: compare them with normal ones": (
                (scores[strange][:, None] > scores).mean()
            ),
            "it is turned round: count the pairs in which the *strange* score is the higher one": 1 - right,
            "ties count nothing here: add one half for each": won,
            "ties count as won here: they are worth one half": won + tied,
            "this is the number of pairs: divide by m n": right * m * n,
            "this divides by all pairs of examples: divide by m n, strange times normal": right * m * n / (m + n) ** 2,
            "this divides by the number of strange scores alone: divide by m n": right * n,
            "this divides by the number of normal scores alone: divide by m n": right * m,
            "this compares with the middle of the normal scores: compare every pair": (
                scores[strange] > scores[~strange].mean()
            ).mean(),
            "this compares with a middle value of the normal scores, their median: compare every pair": (
                scores[strange] > np.median(scores[~strange])
            ).mean(),
            "this compares the i-th strange score with the i-th normal one only: compare every pair": (
                scores[strange][: min(m, n)] > scores[~strange][: min(m, n)]
            ).mean(),
        }
        said = f"it gives {found:.3f}, where {m} strange and {n} normal scores have {right:.3f}"
        expect(found, right, mistakes, said)
    sure = number(auroc(np.array([3.0, 1.0, 2.0]), np.array([True, False, False])))
    require(close(sure, 1.0), "a strange score above all normal ones should have 1")
    return Result(True, "Every pair counts once, ties one half, and 0.5 is a coin.")


# --- knn_score ------------------------------------------------------------------------------------------------------


def knn_score_reference(normal: Tensor, x: Tensor, k: int) -> Tensor:
    """Mean Euclidean distance of each row of x to its k nearest rows of `normal`.

    Args:
        normal: (M, D), M at least k.
        x: (N, D).
        k: at least 1.
    Returns:
        (N,), at least 0.
    Source: Angiulli & Pizzuti 2002, doi:10.1007/3-540-45681-3_2.
    """
    distances = torch.cdist(x, normal, compute_mode="donot_use_mm_for_euclid_dist")  # (N, M)
    return distances.topk(k, dim=1, largest=False).values.mean(1)


def _check_knn_score(knn_score: Callable) -> Result:
    for m, n, dimension, k, seed in ((30, 12, 3, 4, 81), (9, 20, 5, 1, 82), (15, 15, 2, 6, 83)):
        normal, x = draw(m, dimension, seed=seed), 1.5 * draw(n, dimension, seed=seed + 10)
        x[0] = normal[2]  # at distance 0, which counts
        with fits(
            f"{m} normal and {n} new rows of {dimension} numbers stop it: set each against each, x[:, None] - normal or "
            "cdist, and fix no size"
        ):
            found = call(knn_score, normal, x, k)
        hints = {
            (m,): f"one score for each of the {m} normal rows came back: x, of {n} rows, is what is scored",
            (n, k): "these are the k distances themselves: average them",
            (): "one number came back: one for each row of x is asked for",
            (k,): "the rows are averaged away: average over each row's k neighbours, dim=1",
            (n, 1): f"expected shape ({n},); this returned ({n}, 1)",
        }
        found = tensor(found, (n,), hints)
        every = x[:, None] - normal[None]
        d = torch.cdist(x.double(), normal.double(), compute_mode="donot_use_mm_for_euclid_dist").sort(1).values
        near = d[:, :k]
        to_x = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist").sort(1).values
        squares = near.square()
        mistakes = {
            "the distances are squared: take the root before the mean": squares.mean(1),
            "this is the root of the mean squared distance: average the distances themselves": squares.mean(1).sqrt(),
            "this adds the k distances: take their mean": near.sum(1),
            "this is the distance to the k-th neighbour alone: take the mean over the first k": near[:, -1],
            "this is the distance to the nearest alone: take the mean over the first k": near[:, 0],
            "these are the k *farthest*: take the nearest": d[:, -k:].mean(1),
            "this is the mean over all normal rows: take the k nearest": d.mean(1),
            "the nearest one is left out: here no row is its own neighbour, all k count": d[:, 1 : k + 1].mean(1),
            "the neighbours are searched among x itself: search `normal`": to_x[:, :k].mean(1),
            "the neighbours are searched among x, without the row itself: search `normal`": to_x[:, 1 : k + 1].mean(1),
            "this is the median of the k distances: take their mean": near.median(1).values,
            "the sign is turned: far away means strange, and a high score": -near.mean(1),
            "these distances are sums of absolute differences: take the Euclidean ones": (
                every.abs().sum(2).sort(1).values[:, :k].mean(1)
            ),
            "only the largest difference of a row counts: take Euclidean distances": (
                every.abs().amax(2).sort(1).values[:, :k].mean(1)
            ),
            "this is the distance to the middle of the k nearest: take each one's, then the mean": (
                (x - normal[every.norm(dim=2).argsort(1)[:, :k]].mean(1)).norm(dim=1)
            ),
            "these are the first k normal rows, not the nearest: sort the distances": every.norm(dim=2)[:, :k].mean(1),
            "this takes one neighbour too many: k count": d[:, : k + 1].mean(1),
            "the distances are divided by the root of the number of columns": near.mean(1) / dimension**0.5,
            "rows at distance 0 are left out: they count": (
                torch.where(d < 1e-6, torch.inf, d).sort(1).values[:, :k].mean(1)
            ),
        }
        if k == 1:
            mistakes = {text: value for text, value in mistakes.items() if not close(value, near.mean(1), atol=5e-3)}
        expect(found, near.mean(1), mistakes, f"with k = {k} it is not the mean distance to the k nearest", atol=5e-3)
    normal = draw(40, 8, seed=84)
    itself = call(knn_score, normal, normal, 1)
    require(
        close(tensor(itself, (40,)), torch.zeros(40), atol=5e-3),
        "scored by themselves, rows leave themselves out: every row of `normal` counts, so with k = 1 each has 0. (The "
        "root of a square that rounding put below 0 is NaN, which is sorted last: clamp at 0 first)",
    )
    return Result(True, "The mean distance to the k nearest normal examples: far from all of them is strange.")


# --- threshold ------------------------------------------------------------------------------------------------------


def threshold_reference(normal_scores: np.ndarray, alpha: float) -> float:
    """The score above which a new normal one lies with a chance of at most alpha, from n scores set aside.

    Args:
        normal_scores: (n,), of examples that the detector was not fitted on, exchangeable with those to come.
        alpha: above 0, below 1.
    Returns:
        the score of rank ceil((n + 1)(1 - alpha)), or infinity where n is too small for that.
    Source: Vovk et al. 2005, doi:10.1007/b106715; arXiv:2107.07511.
    """
    ranked = np.sort(normal_scores)
    place = math.ceil((len(ranked) + 1) * (1 - alpha))
    return float(ranked[place - 1]) if place <= len(ranked) else math.inf


def _check_threshold(threshold: Callable) -> Result:
    for n, alpha, seed in (
        (57, 0.1, 91),
        (240, 0.05, 92),
        (33, 0.25, 93),
        (500, 0.01, 94),
        (19, 0.05, 96),
        (39, 0.1, 97),
    ):
        scores = 3 * draw(n, seed=seed).double().numpy() ** 2
        if n == 240:
            scores = np.round(scores, 1)  # ties
        if n == 33:
            scores -= 20  # below 0
        ranked = np.sort(scores)
        with fits(f"{n} scores stop it: an index is a whole number, math.ceil(...), and rank 1 stands at index 0"):
            found = number(call(threshold, scores, alpha), "one score")
        place = math.ceil((n + 1) * (1 - alpha))
        right = ranked[place - 1]
        if not close(found, right, rtol=1e-6):
            _name_the_threshold(found, ranked, place, alpha)
    few = 2 + draw(10, seed=95).double().numpy()
    with fits("10 scores with alpha = 0.05 stop it: the rank is 11, and the threshold infinite"):
        found = call(threshold, few, 0.05)
    nothing = isinstance(found, (float, np.ndarray, Tensor)) and bool(np.isnan(found).any())
    require(not nothing, "with 10 scores and alpha = 0.05 NaN came back: the threshold is infinite, math.inf")
    found = number(found, "one score")
    require(
        found != float(few.max()),
        "with 10 scores and alpha = 0.05 the largest one came back; 1 of 11 new ones lies above it, more than 5 %: "
        "the threshold is infinite",
    )
    require(found == math.inf, "with 10 scores and alpha = 0.05 the rank is 11: there is none, so return math.inf")
    return Result(True, "The promise holds for any law of the scores, and is not made where n is too small.")


def _name_the_threshold(found: float, ranked: np.ndarray, place: int, alpha: float) -> None:
    n = len(ranked)
    different = np.unique(ranked)
    of_different = min(math.ceil((len(different) + 1) * (1 - alpha)), len(different))
    require(
        found != math.inf,
        f"with {n} scores and alpha = {alpha:g} infinity came back, but the rank is {place}, and a score has it. (A whole "
        "(n + 1)(1 - alpha) is the rank as it is; equal scores count each)",
    )
    mistakes = {
        "equal scores are counted once: each counts": different[min(place, len(different)) - 1],
        "equal scores are counted once: each score counts": different[of_different - 1],
        "the sign is taken off the scores: they may lie below 0": np.sort(np.abs(ranked))[place - 1],
        "this is the quantile of the scores, which NumPy interpolates: take the score of rank ceil((n + 1)(1 - alpha))": (
            np.quantile(ranked, 1 - alpha)
        ),
        "the scores are counted from the largest: a threshold this low alarms at nearly everything": ranked[n - place],
        "this is the quantile alpha: it alarms at nearly everything. 1 - alpha of the scores should lie below": (
            np.quantile(ranked, alpha)
        ),
        "this is the rank, not the score that has it": place,
        "the rank is one too high: rank 1 is at index 0, and a whole (n + 1)(1 - alpha) is not rounded up": ranked[
            min(place, n - 1)
        ],
        "this is the largest score: that alarms more rarely than was asked": ranked[-1],
        "this is the mean plus two deviations, which promises nothing for scores that are not Gaussian": (
            ranked.mean() + 2 * ranked.std()
        ),
        "this is the mean plus three deviations, which promises nothing for scores that are not Gaussian": (
            ranked.mean() + 3 * ranked.std()
        ),
    }
    ranks = (math.floor((n + 1) * (1 - alpha)), math.ceil(n * (1 - alpha)), math.floor(n * (1 - alpha)))
    low = [ranked[rank - 1] for rank in ranks if rank != place]
    for text, value in mistakes.items():
        require(not close(found, value, rtol=1e-6), text)
    require(
        not any(close(found, value, rtol=1e-6) for value in low),
        "the rank is one too low, and the promise is broken: it is ceil((n + 1)(1 - alpha)), rounded up, with n + 1",
    )
    require(
        False,
        f"with {n} scores and alpha = {alpha:g} the score of rank {place} is asked for; this returned {found:.4g}",
    )


auroc = Exercise("auroc", auroc_reference, _check_auroc, float)
knn_score = Exercise("knn_score", knn_score_reference, _check_knn_score, torch.as_tensor)
threshold = Exercise("threshold", threshold_reference, _check_threshold, float)
