"""The exercises of notebook 08: whom to ask about, how a label spreads in its cluster, how sure a comparison is."""

import contextlib
from collections.abc import Callable

import numpy as np

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import Wrong, call, close, draw, fits, number, require, tensor

# --- representatives ------------------------------------------------------------------------------------------------


def representatives_reference(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Of each centre the row nearest to it, by Euclidean distance.

    Args:
        x: rows, (N, D).
        centres: (K, D).
    Returns:
        indices of rows, whole numbers, (K,).
    """
    squared = np.square(x[:, None] - centres[None]).sum(axis=2)  # (N, K)
    return squared.argmin(axis=0)


def _whole(found, count: int, below: int, hints: dict, what: str) -> np.ndarray:
    """`count` whole numbers below `below` as an array."""
    with contextlib.suppress(TypeError, ValueError, RuntimeError):  # what no array can hold
        if np.asarray(found).dtype.kind in "iufbO":
            found = np.array(found, float)  # None becomes NaN
            require(not np.isnan(found).any(), f"expected {what}; NaN or None stands among them")
    found = tensor(found, (count,), hints)
    values = found.detach().double().numpy()
    require(bool((values == np.round(values)).all()), f"expected {what}, whole numbers; some have fractions")
    require(
        bool((values < below).all()) and bool((values >= -1).all()),
        f"expected {what}; {values[(values >= below) | (values < -1)][:1]} is none",
    )
    return values.astype(int)


def _check_representatives(representatives: Callable) -> Result:
    for seed, (n, k, d) in ((10, (60, 7, 5)), (41, (31, 4, 3))):
        spread = np.linspace(0.5, 1.6, d)  # columns of unlike deviation
        x = spread * draw(n, d, seed=seed).numpy().astype(float) + 3
        centres = spread * draw(k, d, seed=seed + 10).numpy().astype(float) + 3
        distance = np.linalg.norm(x[:, None] - centres[None], axis=2)  # (n, k)
        hints = {
            (n,): "this is one number a row, the centre nearest to it: turn it round, one row for each centre",
            (n, k): "these are all the distances: return where in each column the least one stands",
            (k, d): "these are the rows themselves: return their *indices*, so that we know whom to ask about",
            (): "this is one place in the whole table: argmin down each centre's column, axis=0",
            (k, n): "this is a table of all pairs: return one index for each centre",
        }
        with fits(f"{n} rows, {k} centres of {d} numbers stop it: is a size fixed, or x[:, None] forgotten?"):
            found = call(representatives, x, centres)
        found = _whole(found, k, n, hints, f"indices of rows, 0 to {n - 1}")
        nearest = distance.argmin(0)
        own = np.where(distance.argmin(1)[:, None] == np.arange(k), distance, np.inf).argmin(0)
        require(
            (found == nearest).all() or (found != own).any(),
            "this looks among each centre's own rows: the nearest row may lie nearer still to another centre",
        )
        _name_the_row(found, x, centres, distance)
    same = np.tile([[1.0, 2.0]], (2, 1))
    rows = np.array([[9.0, 9.0], [1.0, 2.1], [1.0, 5.0]])
    with fits("two centres at one place stop it: each looks among all rows, not those of its own"):
        both = _whole(call(representatives, rows, same), 2, 3, {}, "indices of rows")
    require(list(both) == [1, 1], "two centres at one place have the same nearest row: let each choose freely")
    return Result(True, "It finds the row nearest to each centre, whatever the sizes.")


def _name_the_row(found: np.ndarray, x: np.ndarray, centres: np.ndarray, distance: np.ndarray) -> None:
    if (found == distance.argmin(0)).all():
        return
    inside, apart = distance.argmin(1), x[:, None] - centres  # each row's centre; (N, K, D)
    farthest_member = np.array([np.where(inside == k, distance[:, k], -1).argmax() for k in range(len(centres))])
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)  # noqa: E731
    named = {
        "these rows are the *farthest* from the centres: take the least distance": distance.argmax(0),
        "these are each cluster's farthest members: take the nearest row": farthest_member,
        "similarity by dot product depends on where zero is: use the distance": (x @ centres.T).argmax(0),
        "similarity by angle depends on where zero is: use the distance": (unit(x) @ unit(centres).T).argmax(0),
        "this adds up absolute differences: sum their *squares*": np.abs(apart).sum(2).argmin(0),
        "this takes the largest difference of one column: sum the squares of all": np.abs(apart).max(2).argmin(0),
        "the columns are scaled first: take them as they are": np.square(apart / x.std(0)).sum(2).argmin(0),
        "differences of unlike sign cancel: square before you sum": apart.sum(2).argmin(0),
        "differences of unlike sign cancel: square each before you sum": np.abs(apart.sum(2)).argmin(0),
        "this looks at the first column only: sum over all": np.abs(apart[:, :, 0]).argmin(0),
        "these are indices of centres, not of rows: look down each centre's column": inside[: len(centres)],
        "the indices are sorted: keep the order of the centres, or they belong to others": np.sort(distance.argmin(0)),
        "these count from 1: indices begin at 0": distance.argmin(0) + 1,
        "this is the second nearest row: was the first left out?": distance.argsort(0)[1],
    }
    for message, rows in named.items():
        require(not (found == rows).all(), message)
    k = int(np.flatnonzero(found != distance.argmin(0))[0])
    require(
        False,
        f"for centre {k} it names row {found[k]}, {distance[found[k], k]:.2f} away; row {distance[:, k].argmin()} is "
        f"only {distance[:, k].min():.2f} away",
    )


# --- propagate ------------------------------------------------------------------------------------------------------


def propagate_reference(cluster: np.ndarray, chosen: np.ndarray, y_chosen: np.ndarray) -> np.ndarray:
    """The label of every row: that of its cluster's chosen row, or -1 where the cluster has none.

    Args:
        cluster: the cluster of each row, whole numbers from 0, (N,).
        chosen: indices of the rows that were labelled, at most one a cluster, in any order, (K,).
        y_chosen: their labels, whole numbers, (K,).
    Returns:
        labels, (N,).
    """
    label_of = np.full(cluster.max() + 1, -1)
    label_of[cluster[chosen]] = y_chosen
    return label_of[cluster]


def _clusters(n: int, k: int, seed: int, labels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters of n rows, a chosen row of each of k clusters in no order, and labels."""
    cluster = draw(n, seed=seed, low=0, high=k).long().numpy()
    cluster[:k] = np.arange(k)
    members = [np.flatnonzero(cluster == c) for c in range(k)]
    order = draw(k, seed=seed + 1).argsort().numpy()
    chosen = np.array([members[c][len(members[c]) // 2] for c in order])
    return cluster, chosen, draw(k, seed=seed + 2, low=0, high=labels).long().numpy()


def _check_propagate(propagate: Callable) -> Result:
    for seed, n, k, labels in ((4, 80, 6, 10), (5, 45, 9, 40)):
        cluster, chosen, y_chosen = _clusters(n, k, seed, labels)
        y_chosen = np.append(0, y_chosen[1:] + 3 * (labels == 40))
        hints = {
            (k,): f"this is one label a cluster, {k} of them: give every one of the {n} rows its cluster's",
            (n, k): "this is a table of rows and clusters: return one label a row",
        }
        with fits(f"{n} rows in {k} clusters stop it: is a size fixed?"):
            found = call(propagate, cluster, chosen, y_chosen)
        found = _whole(found, n, labels + 3, hints, "labels as they came in `y_chosen`, -1 for unknown")
        _name_the_label(found, cluster, chosen, y_chosen)
    for cluster, empty in (([0, 0, 1, 1, 2, 2, 2], 1), ([0, 0, 2, 2, 1, 1, 1], 2)):
        cluster, stops = (
            np.array(cluster),
            "three clusters of which two are labelled stop it: mark the rows of the third with -1",
        )
        try:
            with fits(stops):
                found = call(propagate, cluster, np.array([5, 0]), np.array([7, 4]))
        except KeyError:
            raise Wrong(stops) from None
        found = _whole(found, 7, 8, {}, "labels, -1 for unknown")
        nobody = f"nobody labelled cluster {empty}, and its rows got {found[2]}: mark them with -1, which means unknown"
        require((found[2:4] == -1).all(), nobody)
        require(
            list(found) == [4, 4, -1, -1, 7, 7, 7],
            f"expected 4 4 -1 -1 7 7 7 for a small case; this gave {found}. (Row 0 is a row, and cluster 0 a cluster)",
        )
    return Result(True, "Every row has the label of its cluster's chosen row, in any order; the rest are -1.")


def _name_the_label(found: np.ndarray, cluster: np.ndarray, chosen: np.ndarray, y_chosen: np.ndarray) -> None:
    right = propagate_reference(cluster, chosen, y_chosen)
    if (found == right).all():
        return
    alone = np.full(len(cluster), -1)
    alone[chosen] = y_chosen
    named = {
        "label number k was given to cluster number k: the chosen rows come in any order, so look up *their* clusters": (
            y_chosen[cluster]
        ),
        "label 0 was taken for no label: `or` and `if label:` do that": np.where(right == 0, -1, right),
        "only the chosen rows have a label: give it to all members of their cluster": alone,
        "these are the clusters' numbers: give each row the *label* of its cluster's chosen row": cluster,
        "these are the positions of the chosen rows among `chosen`: look up their labels in `y_chosen`": np.argsort(
            cluster[chosen]
        )[cluster],
        "every row has the same label, the commonest: each cluster has its own": np.full(
            len(cluster), np.bincount(y_chosen).argmax()
        ),
    }
    for message, labels in named.items():
        require(not (found == labels).all(), message)
    n = int(np.flatnonzero(found != right)[0])
    asked = found[chosen]
    own = f"the chosen row {chosen[0]} was labelled {y_chosen[0]}, and gets {asked[0]}"
    require(asked[0] == y_chosen[0], own)
    require(
        False, f"row {n} of cluster {cluster[n]} gets {found[n]}, where that cluster's chosen row has label {right[n]}"
    )


# --- paired_difference ----------------------------------------------------------------------------------------------


def paired_difference_reference(right_a: np.ndarray, right_b: np.ndarray) -> tuple[float, float]:
    """By how much a's accuracy on the same test rows exceeds b's, and the standard error of that.

    Args:
        right_a, right_b: 1 where the answer was right, 0 where it was wrong, (N,) each, in the same order.
    Returns:
        the difference of the accuracies, and its standard error.
    """
    differences = right_a - right_b  # 1, 0 or -1 for each test row
    return differences.mean(), differences.std() / np.sqrt(len(differences))


def _check_paired_difference(paired_difference: Callable) -> Result:
    for seed, n in ((6, 400), (7, 150)):
        base = (draw(n, seed=seed, low=0) < 0.8).numpy().astype(int)
        flipped = (draw(n, seed=seed + 1, low=0) < 0.12).numpy()
        a, b = base, np.where(flipped, 1 - base, base)
        a, b = (a, b) if n == 400 else (b, a)  # a negative difference, too
        with fits(f"{n} test rows stop it: is a size fixed?"):
            found = call(paired_difference, a, b)
        mean, error = _pair(found, n)
        _name_the_difference(mean, a, b)
        _name_the_error(error, a, b)
    with fits("two classifiers that agree everywhere stop it"):
        mean, error = _pair(call(paired_difference, a, a.copy()), n)
    require(
        mean == 0 and abs(error) < 1e-9,
        f"two classifiers that agree on every row differ by {mean:g} +- {error:.3g}: expected 0 and 0",
    )
    return Result(True, "Rows on which both agree add nothing; the error falls with the root of their number.")


def _pair(found, n: int) -> tuple[float, float]:
    single = not isinstance(found, (tuple, list)) and getattr(found, "ndim", 0) == 0
    require(not single, "expected two numbers, `return difference, standard_error`; this returned one")
    require(len(found) != n, "this is one number a test row: average them")
    require(len(found) == 2, f"expected two numbers, the difference and its standard error; this returned {len(found)}")
    return number(found[0], "a number for the difference"), number(found[1], "a number for the standard error")


def _name_the_difference(mean: float, a: np.ndarray, b: np.ndarray) -> None:
    true, n = float((a - b).mean()), len(a)
    named = {
        "the sign is dropped: where b is better, the difference is negative": abs(true),
        "this counts the rows that a alone has right: those that b alone has right count -1": (a > b).mean(),
        "this divides by b's accuracy: take the difference itself": true / b.mean(),
        "the sign is turned: it is a's accuracy minus b's": -true,
        "this counts test rows: divide by their number": true * n,
        "this is a difference in per cent: leave it as a share": 100 * true,
        "this is how often the two disagree: rows that speak for b count as -1": float(np.abs(a - b).mean()),
        "this is a's accuracy alone": float(a.mean()),
        "this is b's accuracy alone": float(b.mean()),
        "the standard error stands first: return the difference, then its error": float((a - b).std() / n**0.5),
    }
    for message, value in named.items():
        require(close(mean, true) or not close(mean, value), message)
    require(close(mean, true), f"the difference of the accuracies is {true:.4f}; this says {mean:.4f}")


def _name_the_error(error: float, a: np.ndarray, b: np.ndarray) -> None:
    n, d, root = len(a), (a - b).astype(float), np.sqrt(len(a))
    true, unpaired = d.std() / root, np.hypot(a.std(), b.std()) / root
    right = close(error, true, rtol=1e-6) or close(error, d.std(ddof=1) / root, rtol=1e-6)
    named = {
        "this takes the two for independent, but both saw the same rows: take the deviation of a - b": unpaired,
        "this is the standard error of a's accuracy alone: take the deviation of a - b": a.std() / root,
        "this is the standard error of b's accuracy alone: take the deviation of a - b": b.std() / root,
        "n - 1 stands twice: std(ddof=1) / sqrt(n), or std() / sqrt(n - 1)": d.std(ddof=1) / np.sqrt(n - 1),
        "this looks at the rows on which they disagree alone: agreement is a difference of 0, and counts": (
            d[d != 0].std() / np.sqrt((d != 0).sum())
        ),
        "the root is taken of the deviation too: only N stands under the root": np.sqrt(d.std() / n),
        "this is the deviation of a + b: take that of a - b": (a + b).std() / root,
        "this multiplies by the root of N: divide": d.std() * root,
        "this is the standard deviation of one row: the mean of N rows varies less, by the root of N": d.std(),
        "this is the variance: its root, divided by the root of N, is the standard error": d.var(),
        "this divides by N: the error falls with the *root* of N": d.std() / n,
        "this is the variance of the mean: take its root": d.var() / n,
        "this adds the two errors: rows on which both agree must add nothing": (a.std() + b.std()) / root,
        "this is half of a 95 % interval: return the standard error itself": 1.96 * true,
        "this is two standard errors: return one": 2 * true,
        "this forgets to subtract the mean: the deviation is around the mean difference": np.sqrt((d**2).mean() / n),
        "this is the deviation of |a - b|: rows that speak for b count as -1": np.abs(d).std() / root,
        "this is a per cent: leave it as a share": 100 * true,
    }
    for message, value in named.items():
        require(right or not close(error, value, rtol=1e-4), message)
    require(
        right,
        f"on {n} test rows the deviation of a - b is {d.std():.4f}, so the standard error is {true:.6f}; this says "
        f"{error:.6f}",
    )


_integers, _floats = lambda a: np.asarray(a).astype(int), lambda pair: (float(pair[0]), float(pair[1]))
representatives = Exercise("representatives", representatives_reference, _check_representatives, _integers)
propagate = Exercise("propagate", propagate_reference, _check_propagate, _integers)
paired_difference = Exercise("paired_difference", paired_difference_reference, _check_paired_difference, _floats)
