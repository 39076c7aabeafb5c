"""A folder of one's own images, loaded whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError, Dataset, MixedSizes, image_preprocessing, warn
from deepunsup_helpers.data.decode import Decoded, brightest_by_bits, decode_all, memory, white_levels
from deepunsup_helpers.data.image_files import ImageFile
from deepunsup_helpers.data.images import check_channels, check_image_size
from deepunsup_helpers.data.parts import find_parts, told_unreadable
from deepunsup_helpers.data.splits import split, stratified_order, take


class Plan(NamedTuple):
    """Which files make which part, and how they become arrays."""

    train: list[ImageFile]  # `wanted_train` of them, then spares for those that cannot be decoded
    wanted_train: int
    test: list[ImageFile]
    classes: tuple[str, ...] | None
    size: tuple[int, int] | None  # (H, W); None where the images are of several sizes
    channels: int
    unreadable: list[str]
    messages: list[str]


def load_folder(
    path: str,
    *,
    train_size: int | None,
    test_size: int | None,
    seed: int,
    image_size,
    channels: int | None,
    order: str,
) -> Dataset:
    """Images from a folder, with subfolders as classes.

    `train/` and `test/` inside it are the two parts (also Training, Testing, ...; `val/` is the test part where there
    is no other); otherwise 20 % become the test part, seeded and stratified. With `image_size` images of other shapes
    are scaled and cropped at the centre, never stretched; without it they keep their sizes. What is transparent
    becomes white. Hidden files are passed over; unreadable files and whatever else is left out is told.

    Raises:
        DataError: no such folder, no readable images, more asked for than there are, or more than half of the memory.
    """
    name = f"folder:{path}"
    plan = plan_folder(
        path,
        train_size=train_size,
        test_size=test_size,
        seed=seed,
        image_size=image_size,
        channels=channels,
        order=order,
    )
    _check_memory(plan, name)
    parts = [(plan.test, len(plan.test)), (plan.train, plan.wanted_train)]
    (test, train), white = decode_parts(
        parts, size=plan.size, channels=plan.channels, known={}, name=name, messages=plan.messages
    )
    messages = plan.messages + told_unreadable(plan.unreadable + test.unreadable + train.unreadable)
    short = len(train.files) < plan.wanted_train if train_size is not None else not train.files
    if short:
        raise DataError(f"{name}: {len(train.files)} readable images for training are too few. {' '.join(messages)}")
    for message in messages:
        warn(f"{name}: {message}")
    shape = None if plan.size is None else (plan.channels, *plan.size)
    return Dataset(
        name=name,
        x_train=to_tensor(train.pixels, shape, white, name),
        y_train=class_codes(train.files, plan.classes),
        x_test=to_tensor(test.pixels, shape, white, name),
        y_test=class_codes(test.files, plan.classes),
        value_range=(0.0, 1.0),
        class_names=plan.classes,
        ids_train=file_ids(train.files),
        ids_test=file_ids(test.files),
        preprocessing=image_preprocessing(shape, white, channels=plan.channels),
    )


def plan_folder(
    path: str | Path,
    *,
    train_size: int | None,
    test_size: int | None,
    seed: int,
    image_size,
    channels: int | None,
    order: str = "shuffled",
) -> Plan:
    """Find the files, read their headers, and decide on parts, shape and colours."""
    name, root = f"folder:{path}", Path(path).expanduser().absolute()
    check_channels(channels)
    size = check_image_size(image_size)
    found = find_parts(root, name)
    everything = found.train + (found.test or [])
    sizes = {file.header.size for file in everything}
    size = size or (sizes.pop() if len(sizes) == 1 else None)
    if channels is None:
        channels = _common_channels(everything, found.messages)
    if found.test is not None:
        given = {"name": name, "seed": seed, "order": order}
        train = _chosen(found.train, train_size, argument="train_size", **given)
        test = _chosen(found.test, test_size, argument="test_size", **given)[:test_size]
        wanted = len(train) if train_size is None else train_size
    else:
        files, n = found.train, len(found.train)
        labels = [file.label for file in files] if found.classes else None
        first, last = split(labels, n, train_size, test_size, name=name, seed=seed, order=order)
        if order == "kept":
            spares = np.arange(len(first), n - len(last))
        else:
            spares = stratified_order(labels, n, seed)[len(last) + len(first) :]
        train, test = [files[i] for i in [*first, *spares]], [files[i] for i in last]
        wanted = len(first)
    return Plan(train, wanted, test, found.classes, size, channels, found.unreadable, found.messages)


def decode_parts(
    parts: Sequence[tuple[list[ImageFile], int]],
    *,
    size: tuple[int, int] | None,
    channels: int,
    known: dict[str, int],
    name: str,
    messages: list[str],
) -> tuple[list[Decoded], dict[str, int]]:
    """Decodes lists of files (and how many are wanted of each); says which value is white in all of them together."""
    decoded = [decode_all(files, wanted, size=size, channels=channels) for files, wanted in parts]
    white = white_levels(brightest_by_bits(decoded), known, name, messages)
    if white.get("8") == 1:  # once more: to scale 0 and 1 as bytes would round every shade between them
        decoded = [decode_all(files, wanted, size=size, channels=channels, white=1) for files, wanted in parts]
    return decoded, white


def to_tensor(
    pixels: list[np.ndarray], shape: tuple[int, int, int] | None, white: dict[str, int], name: str
) -> Tensor | MixedSizes:
    """Decoded images as float32 in [0, 1], (N, C, H, W), or one by one where `shape` is None."""
    if shape is None:
        return MixedSizes([torch.from_numpy(scaled(image, white)) for image in pixels], name)
    x = np.empty((len(pixels), *shape), np.float32)
    for row, image in zip(x, pixels):
        row[:] = image
    deep = np.array([image.dtype == np.float32 for image in pixels], bool)
    for kind, divisor in ((deep, white.get("16", 65535)), (~deep, 255)):
        if kind.all():
            np.divide(x, np.float32(divisor), out=x)
        elif kind.any():
            x[kind] /= np.float32(divisor)
    return torch.from_numpy(x)


def scaled(image: np.ndarray, white: dict[str, int]) -> np.ndarray:
    """One decoded image as float32 in [0, 1]; black and white bytes are 0 and 255 by now."""
    return image.astype(np.float32) / np.float32(white.get("16", 65535) if image.dtype == np.float32 else 255)


def class_codes(files: list[ImageFile], classes: tuple[str, ...] | None) -> Tensor | None:
    """Labels int64 (N,), or None when these files have none."""
    if classes is None or any(file.label is None for file in files):
        return None
    codes = {label: code for code, label in enumerate(classes)}
    return torch.tensor([codes[file.label] for file in files], dtype=torch.int64)


def file_ids(files: list[ImageFile]) -> np.ndarray:
    return np.array([file.id for file in files], object)


def _chosen(
    files: list[ImageFile], size: int | None, *, argument: str, name: str, seed: int, order: str
) -> list[ImageFile]:
    """All files as they come, or when a size is given in a seeded, stratified order, spares at the end."""
    labels = None if files[0].label is None else [file.label for file in files]
    take(labels, len(files), size, argument=argument, name=name, seed=seed)  # not more than there are
    kept = size is None or order == "kept"
    return files if kept else [files[i] for i in stratified_order(labels, len(files), seed)]


def _common_channels(files: list[ImageFile], messages: list[str]) -> int:
    """1 or 3, as most images have; a message when there are both."""
    counts = Counter("grey" if file.header.grey else "colour" for file in files)
    colour, count = counts.most_common(1)[0]
    if len(counts) > 1:
        messages.append(
            f"its images are grey and in colour; all become {colour}, as {count} of {len(files)} are; "
            "choose with channels="
        )
    return 1 if colour == "grey" else 3


def _check_memory(plan: Plan, name: str) -> None:
    """Raises DataError when the images would fill more than half of the memory."""
    files = plan.test + plan.train[: plan.wanted_train]
    sizes = [plan.size or file.header.size for file in files]
    needed = 5 * plan.channels * sum(height * width for height, width in sizes)  # a byte, then a float32
    if needed > memory() / 2:
        height, width = max(sizes)
        raise DataError(
            f"{name}: {len(files)} images of up to {height}x{width} need {needed / 2**30:.1f} GB, more than half of the "
            "memory; pass a smaller image_size or train_size, or stream them: Streaming(FolderImages(path))"
        )
