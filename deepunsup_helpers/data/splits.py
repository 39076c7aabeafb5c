"""Which examples train and which test: seeded, stratified, in the order of the file, or by groups."""

from __future__ import annotations

import numpy as np

from deepunsup_helpers.data.dataset import DataError

ORDERS = ("shuffled", "kept")


def check_size(size: int | None, argument: str, *, least: int) -> None:
    """Raises DataError unless `size` is None or a whole number of at least `least`."""
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < least:
        raise DataError(f"{argument}={size!r} must be a whole number of at least {least}, or None for the default")


def stratified_order(labels, n: int, seed: int) -> np.ndarray:
    """A seeded order of 0..n-1 in which every beginning (and every end) holds the classes in their proportions.

    Each example gets the quantile of its random rank within its class; sorting by it interleaves the classes. So
    smaller subsets lie inside larger ones. Without labels it is a plain permutation.

    Args:
        labels: (n,) class labels, or None.
    Returns:
        int64, (n,).
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    if labels is None:
        return order
    labels = np.asarray(labels)[order]
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    grouped = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.empty(n)
    rank[grouped] = np.arange(n) - np.repeat(starts, counts)
    quantile = (rank + rng.random(len(counts))[codes]) / counts[codes]  # one offset a class: no class always first
    return order[np.argsort(quantile, kind="stable")]


def take(
    labels, n: int, size: int | None, *, argument: str, name: str, seed: int, order: str = "shuffled"
) -> np.ndarray:
    """Indices of `size` of the `n` examples of one part: all in their own order, or a seeded, stratified subset.

    With `order="kept"` the subset is the first ones.

    Raises:
        DataError: more are asked for than there are.
    """
    if size is not None and size > n:
        raise DataError(f"{argument}={size} asks for more than the {n} examples that {name} has; ask for at most {n}")
    if size is None or order == "kept":
        return np.arange(n)[:size]
    return stratified_order(labels, n, seed)[:size]


def split(
    labels, n: int, train_size: int | None, test_size: int | None, *, name: str, seed: int, order: str = "shuffled"
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test indices of a set that comes in one piece: disjoint; seeded, and stratified when labelled.

    The test part is 20 % unless `test_size` says otherwise, and does not depend on `train_size` as long as both
    fit; the training part is the rest, or its first `train_size` examples. With `order="kept"` nothing is shuffled:
    the first examples train, the last ones test.

    Raises:
        DataError: fewer than two examples, or more asked for than there are.
    """
    train, test = _sizes(n, train_size, test_size, name)
    if order == "kept":
        return np.arange(train), np.arange(n - test, n)
    shuffled = stratified_order(labels, n, seed)
    return shuffled[test : test + train], shuffled[:test]


def _sizes(n: int, train_size: int | None, test_size: int | None, name: str) -> tuple[int, int]:
    if n < 2:
        raise DataError(f"{name} has {n} example(s); at least 2 are needed for a training and a test part")
    test = test_size
    if test is None:
        test = max(1, round(0.2 * n))
        if train_size is not None:
            test = min(test, max(1, n - train_size))
    train = max(1, n - test) if train_size is None else train_size
    if train + test > n and test_size is None:
        raise DataError(
            f"train_size={train} asks for more than {name} can give: of its {n} examples at least one is for testing; "
            "ask for fewer, or set test_size=0"
        )
    if train + test > n:
        raise DataError(
            f"train_size={train} and test_size={test} ask for {train + test} examples, but {name} has {n}; "
            "ask for fewer (test_size=0 gives an empty test part)"
        )
    return train, test


def split_groups(
    groups: np.ndarray, train_size: int | None, test_size: int | None, *, name: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `split`, where all examples of a group go into the same part.

    Whole groups, in seeded order, become the test part as long as they fit into its 20 % (one group at least). Where
    `test_size` or `train_size` is given, that many of the part's examples are drawn.

    Args:
        groups: (n,), the group of each example.
    Raises:
        DataError: fewer than two groups, or more asked for than the groups can give.
    """
    kinds, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(kinds) < 2:
        raise DataError(
            f"{name}: all rows are of one group, {str(kinds[0])!r}; group= needs at least two, one for each part"
        )
    _, wanted = _sizes(len(groups), train_size, test_size, name)
    rng = np.random.default_rng(seed)
    chosen, total = [], 0
    for group in rng.permutation(len(kinds)):
        if total + counts[group] <= wanted:
            chosen.append(group)
            total += counts[group]
    if test_size is not None and total < wanted or (wanted and not chosen):
        chosen.append(min(set(range(len(kinds))) - set(chosen), key=lambda group: (counts[group], group)))
    in_test = np.isin(codes, chosen)
    parts = []
    for part, size, least in ((~in_test, train_size, 1), (in_test, test_size, 0)):
        members = rng.permutation(np.flatnonzero(part))
        needed = least if size is None else size
        if len(members) < needed:
            raise DataError(
                f"{name}: no group is split over the parts, which leaves {len(members)} rows where {needed} are asked "
                "for; ask for fewer"
            )
        parts.append(members[:size])
    return parts[0], parts[1]
