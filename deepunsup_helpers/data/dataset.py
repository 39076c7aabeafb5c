"""What `load` returns, and what every loader shares: errors, checks, subsets and splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


class DataError(ValueError):
    """A data set cannot be loaded. The message is one line: what was wrong, what was expected, what to do."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


class DataWarning(UserWarning):
    """A data set was loaded, but not all of it or not as it lay on disk."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set in memory, in two parts.

    Attributes:
        name: what was given to `load`.
        x_train, x_test: images (N, C, H, W) float32 inside `value_range`, or tables (N, D) float32.
        y_train, y_test: labels (N,), int64 in 0..K-1 (float32 where a table's target is a measurement), or None.
        value_range: (lowest, highest) possible pixel; None for tables.
        factors_train, factors_test: the true factors behind each image, name to (N,), or None.
        feature_names: the D column names of a table, or None.
        class_names: the K names behind the labels, or None.
    """

    name: str
    x_train: Tensor
    y_train: Tensor | None
    x_test: Tensor
    y_test: Tensor | None
    value_range: tuple[float, float] | None
    factors_train: dict[str, Tensor] | None = None
    factors_test: dict[str, Tensor] | None = None
    feature_names: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def is_image(self) -> bool:
        return self.x_train.ndim == 4

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image.

        Raises:
            DataError: this is a table.
        """
        if not self.is_image:
            raise DataError(
                f"{self.name} is a table of {self.x_train.shape[1]} columns, not images; "
                "choose images, for example dataset=strokes"
            )
        return tuple(self.x_train.shape[1:])

    def __repr__(self) -> str:
        what = "x".join(map(str, self.x_train.shape[1:])) + (" images" if self.is_image else " columns")
        parts = [f"{len(self.x_train):,} training, {len(self.x_test):,} test", what]
        if self.value_range is not None:
            parts.append("values in [{:g}, {:g}]".format(*self.value_range))
        if self.class_names is not None:
            parts.append(f"{len(self.class_names)} classes")
        if self.factors_train is not None:
            parts.append("factors " + ", ".join(self.factors_train))
        return f"Dataset({self.name}: {'; '.join(parts)})"


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


def take(labels, n: int, size: int | None, *, argument: str, name: str, seed: int) -> np.ndarray:
    """Indices of `size` of the `n` examples of one part: all in their own order, or a seeded, stratified subset.

    Raises:
        DataError: more are asked for than there are.
    """
    if size is None:
        return np.arange(n)
    if size > n:
        raise DataError(f"{argument}={size} asks for more than the {n} examples that {name} has; ask for at most {n}")
    return stratified_order(labels, n, seed)[:size]


def split(
    labels, n: int, train_size: int | None, test_size: int | None, *, name: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test indices of a set that comes in one piece: seeded, disjoint, stratified when labelled.

    The test part is 20 % unless `test_size` says otherwise, and does not depend on `train_size` as long as both
    fit; the training part is the rest, or its first `train_size` examples.

    Raises:
        DataError: fewer than two examples, or more asked for than there are.
    """
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
    order = stratified_order(labels, n, seed)
    return order[test : test + train], order[:test]


def require_finite(x: np.ndarray, name: str, columns: tuple[str, ...] | None = None) -> None:
    """Raises DataError if `x`, (N,) or more dimensions, holds NaN or infinity; names the place."""
    if x.dtype.kind != "f" or np.isfinite(x).all():
        return
    bad = np.argwhere(~np.isfinite(x))
    column = "" if columns is None or x.ndim != 2 else f", column {columns[bad[0, 1]]!r}"
    raise DataError(
        f"{name} holds NaN or infinity in {len(bad)} place(s), first in example {bad[0, 0]}{column}; "
        "remove or replace such values before loading"
    )
