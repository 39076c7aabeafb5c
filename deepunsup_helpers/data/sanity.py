"""What is odd about data that a user brings: few things, all of them certain, said before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError, Dataset, MixedSizes, listed

FEW = 10  # training examples
UNEQUAL = 100  # times as many of one class as of another
MANY_COLUMNS = 4  # rows of fewer agree by chance
DARK = 0.25  # the brightest pixel of all data is darker


def few(data: Dataset) -> list[str]:
    """A sentence where there are hardly any examples and nobody asked for so few."""
    n = len(data.x_train)
    return [f"it gives {n} training example{'s' * (n > 1)} only"] if n < FEW else []


def check_needs(
    data: Dataset, *, images: int | None = None, test_images: int | None = None, classes: int | None = None
) -> None:
    """Says at once, in one line, what a notebook needs and these data lack: `check_needs(data, images=256)`.

    Args:
        images, test_images: the least number of training and of test examples.
        classes: the least number of classes.
    Raises:
        DataError: there is less than that.
    """
    what = "images" if data.is_image else "rows"
    for needed, there, kind in (
        (images, len(data.x_train), f"training {what}"),
        (test_images, len(data.x_test), f"test {what}"),
        (classes, len(data.class_names or ()), "classes"),
    ):
        if needed is not None and there < needed:
            raise DataError(
                f"{data.name} gives {there} {kind}, and this notebook needs at least {needed}; bring more data"
            )


def oddities(data: Dataset) -> list[str]:
    """Sentences about what is odd; none where all is well."""
    said, constant = list(_about_labels(data)), []
    if data.is_image:
        constant, brightest = _constant_images(data)
        said += _about_images(constant, brightest, len(data.x_train) + len(data.x_test))
    else:
        said += _about_columns(data)
    if data.is_image or data.x_train.shape[1] >= MANY_COLUMNS:
        said += _about_repeats(data, without=set(constant))
    return said


def _about_labels(data: Dataset) -> Iterator[str]:
    if data.class_names is None or data.y_train is None:
        return
    counts = dict(zip(data.class_names, torch.bincount(data.y_train, minlength=len(data.class_names)).tolist()))
    if len(counts) == 1:
        yield f"all examples are of one class, {data.class_names[0]!r}"
        return
    lacking, single = ([name for name, count in counts.items() if count == n] for n in (0, 1))
    most, least = max(counts, key=counts.get), min(counts, key=counts.get)
    if lacking:
        yield f"the training part has no example of {listed(list(map(repr, lacking)))}"
    elif counts[most] >= UNEQUAL * counts[least]:
        yield f"the classes are very unequal: {counts[most]} of {most!r}, {counts[least]} of {least!r} in the training part"
    elif single:
        yield f"the training part has one example only of {listed(list(map(repr, single)))}"


def _constant_images(data: Dataset) -> tuple[list, float]:
    """The ids of images of one value throughout, and the brightest value of all images."""
    constant, brightest = [], 0.0
    for x, ids in ((data.x_train, data.ids_train), (data.x_test, data.ids_test)):
        for part, own in _in_blocks(x, ids):
            low, high = part.flatten(1).aminmax(dim=1)
            constant += own[(low == high).numpy()].tolist()
            brightest = max(brightest, high.max().item())
    return constant, brightest


def _in_blocks(x: Tensor | MixedSizes, ids: np.ndarray) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Images and their ids, many of one size at once."""
    if isinstance(x, MixedSizes):
        yield from ((image[None], ids[i : i + 1]) for i, image in enumerate(x))
    elif len(x):
        yield x, ids


def _about_images(constant: list, brightest: float, n: int) -> Iterator[str]:
    if len(constant) == n:
        yield f"every image is of one value throughout (the brightest is {brightest:.3g} of white): nothing can be learnt"
    elif constant:
        yield f"of one value throughout: {listed(constant)} ({len(constant)} of {n} images)"
    if 0 < brightest < DARK:
        yield (
            f"the brightest pixel of all images is {brightest:.3g} of white; "
            "if the files use part of their range only, stretch them first"
        )


def _about_columns(data: Dataset) -> Iterator[str]:
    names = data.feature_names or [f"column {i}" for i in range(data.x_train.shape[1])]
    constant = (data.x_train == data.x_train[:1]).all(0).tolist()
    if any(constant):
        yield f"constant in the training part: {listed([repr(name) for name, same in zip(names, constant) if same])}"


def _about_repeats(data: Dataset, without: set) -> Iterator[str]:
    """Examples that lie in both parts, value by value: their test is no test."""
    first = dict(zip(_digests(data.x_train)[::-1], data.ids_train[::-1]))
    both = [(own, first[key]) for key, own in zip(_digests(data.x_test), data.ids_test) if key in first]
    both = [(own, other) for own, other in both if own not in without]
    if both:
        own, other = both[0]
        yield (
            f"{len(both)} of {len(data.x_test)} test examples are in the training part too ({own} is the same as {other}): "
            "scores on the test part look better than they are"
        )


def _digests(x: Tensor | MixedSizes) -> list[bytes]:
    examples = [image.numpy() for image in x] if isinstance(x, MixedSizes) else x.numpy()
    return [hashlib.blake2b(np.ascontiguousarray(example), digest_size=16).digest() for example in examples]
