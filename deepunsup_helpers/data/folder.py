"""A folder of one's own images: loaded whole, or read one by one while training."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError, Dataset, DataWarning, check_size, split, stratified_order, take
from deepunsup_helpers.data.image_files import SUFFIXES, ImageFile, decode, decode_all, find_images, natural
from deepunsup_helpers.data.images import check_channels, check_image_size, images_dataset


class Plan(NamedTuple):
    """Which files make which part, and how they become arrays."""

    train: list[ImageFile]  # `wanted_train` of them, then spares for those that cannot be decoded
    wanted_train: int
    test: list[ImageFile]
    classes: tuple[str, ...] | None
    size: tuple[int, int]  # (H, W)
    channels: int
    unreadable: list[str]
    messages: list[str]


def load_folder(
    path: str, *, train_size: int | None, test_size: int | None, seed: int, image_size, channels
) -> Dataset:
    """Images from a folder, with subfolders as classes.

    `train/` and `test/` inside it are the two parts; otherwise 20 % become the test part, seeded and stratified.
    Images of other shapes are scaled and cropped at the centre, never stretched; what is transparent becomes white.
    Hidden files are passed over. Unreadable files, mixed sizes and mixed colours are told by a DataWarning.

    Raises:
        DataError: no such folder, no readable images, more asked for than there are, or more than half of the memory.
    """
    name = f"folder:{path}"
    plan = plan_folder(
        path, train_size=train_size, test_size=test_size, seed=seed, image_size=image_size, channels=channels
    )
    _check_memory(plan, name)
    shape = {"size": plan.size, "channels": plan.channels}
    x_test, test_files, failed_test = decode_all(plan.test, len(plan.test), **shape)
    x_train, train_files, failed_train = decode_all(plan.train, plan.wanted_train, **shape)
    messages = plan.messages + _left_out(plan.unreadable + failed_test + failed_train)
    short = len(x_train) < plan.wanted_train if train_size is not None else not len(x_train)
    if short:
        raise DataError(f"{name}: {len(x_train)} readable images for training are too few. {' '.join(messages)}")
    for message in messages:
        warnings.warn(f"{name}: {message}", DataWarning, stacklevel=3)
    return images_dataset(
        torch.from_numpy(x_train),
        _codes(train_files, plan.classes),
        torch.from_numpy(x_test),
        _codes(test_files, plan.classes),
        name=name,
        class_names=plan.classes,
        image_size=None,
        channels=None,
    )


class FolderImages(torch.utils.data.Dataset):
    """The same folder as a torch Dataset that reads an image when it is asked for: for `Streaming`.

    Items are x, float32 (C, H, W) in [0, 1], or pairs (x, label) when there are classes. An image that cannot be
    decoded gives None and a DataWarning; `Streaming` leaves it out. The parts are those of `load("folder:PATH")`.

    Args:
        path: the folder; relative paths start at the current directory.
        train: the training part, or else the test part.
        train_size, test_size, seed, image_size, channels: as for `load`.
    Attributes:
        image_shape: (C, H, W). class_names: names of the labels, or None.
    Raises:
        DataError: as `load`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        train: bool = True,
        train_size: int | None = None,
        test_size: int | None = None,
        seed: int = 0,
        image_size: int | tuple[int, int] | None = None,
        channels: int | None = None,
    ):
        check_size(train_size, "train_size", least=1)
        check_size(test_size, "test_size", least=0)
        plan = plan_folder(
            path, train_size=train_size, test_size=test_size, seed=seed, image_size=image_size, channels=channels
        )
        for message in plan.messages + _left_out(plan.unreadable):
            warnings.warn(f"folder:{path}: {message}", DataWarning, stacklevel=2)
        self.files = plan.train[: plan.wanted_train] if train else plan.test
        self.labels = _codes(self.files, plan.classes)
        self.class_names = plan.classes
        self.image_shape = (plan.channels, *plan.size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor | tuple[Tensor, int] | None:
        path = self.files[index].path
        try:
            pixels = decode(path, self.image_shape[1:], self.image_shape[0])
        except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
            warnings.warn(f"{path} cannot be read and is left out ({error})", DataWarning, stacklevel=2)
            return None
        x = torch.from_numpy(pixels).float().div_(255)
        return x if self.labels is None else (x, int(self.labels[index]))


def plan_folder(
    path: str | Path, *, train_size: int | None, test_size: int | None, seed: int, image_size, channels
) -> Plan:
    """Find the files, read their headers, and decide on parts, shape and colours."""
    name, root = f"folder:{path}", Path(path).expanduser().absolute()
    check_channels(channels)
    size = check_image_size(image_size)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{name}: {root} {what}; expected a folder of images")
    parts, unreadable, messages = _parts(root, name)
    everything = [file for part in parts for file in part]
    size = size or _common("sizes", [file.size for file in everything], "image_size", messages)
    if channels is None:
        colours = ["grey" if file.grey else "colour" for file in everything]
        channels = 1 if _common("colours", colours, "channels", messages) == "grey" else 3
    classes = tuple(sorted({file.label for file in everything} - {None}, key=natural)) or None
    if len(parts) == 2:
        train = _chosen(parts[0], train_size, argument="train_size", name=name, seed=seed)
        test = _chosen(parts[1], test_size, argument="test_size", name=name, seed=seed)
        wanted = len(train) if train_size is None else train_size
        return Plan(train, wanted, test[:test_size], classes, size, channels, unreadable, messages)
    labels = [file.label for file in parts[0]] if classes else None
    first, last = split(labels, len(parts[0]), train_size, test_size, name=name, seed=seed)
    order = stratified_order(labels, len(parts[0]), seed)
    train, test = [parts[0][i] for i in order[len(last) :]], [parts[0][i] for i in last]
    return Plan(train, len(first), test, classes, size, channels, unreadable, messages)


def _parts(root: Path, name: str) -> tuple[list[list[ImageFile]], list[str], list[str]]:
    """The files of the two parts, or of the one to be split; what cannot be read; what is worth saying."""
    messages, unreadable, parts = [], [], []
    folders = [root / part for part in ("train", "test") if (root / part).is_dir()]
    if folders == [root / "train"]:
        messages.append("it has train/ but no test/: some of train/ becomes the test part")
    elif len(folders) < 2:
        folders = [root]
    for folder in folders:
        found = find_images(folder)
        if found.others:
            messages.append(f"left out as no images by their names: {_listed(found.others)}")
        if found.beside:
            messages.append(f"left out, as they lie beside the class folders: {_listed(found.beside)}")
        if not found.images:
            said = " ".join(_left_out(found.unreadable) + messages) or f"expected files named *{', *'.join(SUFFIXES)}"
            raise DataError(f"{name}: no readable image in {folder} or its subfolders; {said}")
        labels = {file.label for file in found.images}
        if len(labels) == 1 and all(len(file.path.relative_to(folder).parts) > 2 for file in found.images):
            only = f"folder:{folder / labels.pop()}"
            messages.append(f"all images are of one class; if its subfolders are the classes, load {only}")
        parts.append(found.images)
        unreadable += found.unreadable
    return parts, unreadable, messages


def _chosen(files: list[ImageFile], size: int | None, *, argument: str, name: str, seed: int) -> list[ImageFile]:
    """All files as they come, or when a size is given in a seeded, stratified order, spares at the end."""
    labels = None if files[0].label is None else [file.label for file in files]
    take(labels, len(files), size, argument=argument, name=name, seed=seed)  # not more than there are
    return files if size is None else [files[i] for i in stratified_order(labels, len(files), seed)]


def _common(what: str, values: list, argument: str, messages: list[str]):
    """The most common value, with a message when there are several."""
    counts = Counter(values)
    value, count = counts.most_common(1)[0]
    if len(counts) > 1:
        text = "{}x{} (height x width)".format(*value) if isinstance(value, tuple) else value
        messages.append(
            f"its images have {len(counts)} {what}; all become {text}, as {count} of {len(values)} are; "
            f"choose with {argument}="
        )
    return value


def _codes(files: list[ImageFile], classes: tuple[str, ...] | None) -> Tensor | None:
    """Labels int64 (N,), or None when these files have none."""
    if classes is None or any(file.label is None for file in files):
        return None
    codes = {label: code for code, label in enumerate(classes)}
    return torch.tensor([codes[file.label] for file in files], dtype=torch.int64)


def _left_out(unreadable: list[str]) -> list[str]:
    if not unreadable:
        return []
    return [f"left out, as they cannot be read: {_listed(unreadable)}"]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _check_memory(plan: Plan, name: str) -> None:
    """Raises DataError when the images would fill more than half of the memory (of 8 GB where it cannot be known)."""
    n, pixels = plan.wanted_train + len(plan.test), plan.channels * plan.size[0] * plan.size[1]
    needed = 5 * n * pixels  # a byte, then a float32
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 8 << 30
    if needed > memory / 2:
        raise DataError(
            f"{name}: {n} images of {plan.size[0]}x{plan.size[1]} need {needed / 2**30:.1f} GB, more than half of the "
            "memory; pass a smaller image_size or train_size, or stream them: Streaming(FolderImages(path))"
        )
