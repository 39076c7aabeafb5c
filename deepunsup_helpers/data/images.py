"""Images: torchvision's MNIST family, scikit-learn's digits, and what turns any images into a Dataset."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError, Dataset, image_preprocessing
from deepunsup_helpers.data.decode import GREY
from deepunsup_helpers.data.downloads import CLASS_NAMES, torchvision_arrays
from deepunsup_helpers.data.splits import split, take


def load_strokes(*, train_size: int | None, test_size: int | None, seed: int, image_size, channels) -> Dataset:
    """Generated handwriting with its true factors: 12,000 training and 2,000 test images unless asked otherwise."""
    from deepunsup_helpers.data.strokes import strokes_dataset

    given = {"train_size": train_size, "test_size": test_size}
    made = strokes_dataset(**{key: size for key, size in given.items() if size is not None}, seed=seed)
    return images_dataset(
        made.train.images[:, None],
        made.train.labels,
        made.test.images[:, None],
        made.test.labels,
        name="strokes",
        class_names=tuple("0123456789"),
        image_size=image_size,
        channels=channels,
        factors=(made.train.factors, made.test.factors),
    )


def load_torchvision(
    name: str, *, train_size: int | None, test_size: int | None, seed: int, image_size, channels
) -> Dataset:
    """`mnist`, `fashion_mnist` or `kmnist`: 60,000 training and 10,000 test images, 28x28, grey."""
    parts, ids = [], []
    for part, size in (("train", train_size), ("test", test_size)):
        images, labels = torchvision_arrays(name, part)
        chosen = take(labels, len(images), size, argument=f"{part}_size", name=f"{name}'s {part} part", seed=seed)
        parts += [torch.from_numpy(images[chosen])[:, None], labels[chosen]]
        ids.append(chosen)
    return images_dataset(
        *parts, name=name, class_names=CLASS_NAMES[name], image_size=image_size, channels=channels, ids=tuple(ids)
    )


def load_digits(*, train_size: int | None, test_size: int | None, seed: int, image_size, channels) -> Dataset:
    """scikit-learn's 1,797 digits, 8x8, 17 grey levels, scaled to [0, 1]; seeded, stratified split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    train, test = split(digits.target, len(digits.target), train_size, test_size, name="digits", seed=seed)
    images = torch.from_numpy((digits.images / 16).astype(np.float32))[:, None]
    return images_dataset(
        images[train],
        digits.target[train],
        images[test],
        digits.target[test],
        name="digits",
        class_names=tuple("0123456789"),
        image_size=image_size,
        channels=channels,
        ids=(train, test),
    )


def images_dataset(
    x_train: Tensor,
    y_train,
    x_test: Tensor,
    y_test,
    *,
    name: str,
    class_names,
    image_size,
    channels,
    factors=(None, None),
    ids=(None, None),
    white: dict[str, int] | None = None,
) -> Dataset:
    """Images, uint8 or float in [0, 1], (N, C, H, W), and their labels (N,) as a Dataset of float32 in [0, 1]."""
    parts = [convert_images(x, image_size=image_size, channels=channels) for x in (x_train, x_test)]
    kind = torch.float32 if class_names is None else torch.int64  # measurements or classes
    labels = [None if y is None else torch.as_tensor(y).to(kind) for y in (y_train, y_test)]
    return Dataset(
        name=name,
        x_train=parts[0],
        y_train=labels[0],
        x_test=parts[1],
        y_test=labels[1],
        value_range=(0.0, 1.0),
        factors_train=factors[0],
        factors_test=factors[1],
        class_names=class_names,
        ids_train=ids[0],
        ids_test=ids[1],
        preprocessing=image_preprocessing(parts[0].shape[1:], white or {}),
    )


def convert_images(x: Tensor, *, image_size: int | tuple[int, int] | None, channels: int | None) -> Tensor:
    """Images as float32 in [0, 1], resized and in grey or colour.

    Args:
        x: (N, C, H, W), C 1 or 3, uint8 (divided by 255) or float in [0, 1].
        image_size: side of a square, or (H, W), in pixels; None leaves the size. Bilinear, anti-aliased.
        channels: 1 (weights of ITU-R BT.601), 3 (grey three times) or None, which leaves them.
    """
    size = check_image_size(image_size)
    check_channels(channels)
    x = x.float().div_(255) if x.dtype == torch.uint8 else x.float()
    if channels == 1 and x.shape[1] == 3:
        x = (x * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if size is not None and size != tuple(x.shape[2:]) and len(x):
        x = torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True).clamp_(0, 1)
    elif size is not None:
        x = x.new_zeros(0, x.shape[1], *size) if not len(x) else x
    if channels == 3 and x.shape[1] == 1:
        x = x.repeat(1, 3, 1, 1)
    return x


def check_image_size(image_size) -> tuple[int, int] | None:
    """(H, W), or None for None."""
    if image_size is None:
        return None
    sides = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2 or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in sides):
        raise DataError(f"image_size={image_size!r} must be a side in pixels, a pair (H, W), or None (as they are)")
    return tuple(sides)


def check_channels(channels) -> None:
    if channels is not None and (isinstance(channels, bool) or channels not in (1, 3)):
        raise DataError(f"channels={channels!r} must be 1 (grey), 3 (red, green, blue) or None (as they are)")
