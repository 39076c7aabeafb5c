"""Which files of a folder train and which test: train/ and test/ where they are there, by any usual name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from deepunsup_helpers.data.dataset import DataError, listed, plain_text
from deepunsup_helpers.data.image_files import SUFFIXES, Found, ImageFile, find_images, natural, subfolders, visible

NAMES = {  # in any case
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}


class Parts(NamedTuple):
    train: list[ImageFile]
    test: list[ImageFile] | None  # None: to be split off the training part
    classes: tuple[str, ...] | None
    unreadable: list[str]
    messages: list[str]


def find_parts(root: Path, name: str) -> Parts:
    """The files of both parts, their classes, what cannot be read, and what is worth saying.

    Raises:
        DataError: no folder, no readable image in a part, or two folders for one part.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{name}: {root} {what}; expected a folder of images")
    folders, messages = _part_folders(root, name)
    unreadable, parts = [], []
    for folder in folders:
        found = find_images(folder, root)
        prefix = "" if folder == root else f"{plain_text(folder.name)}/"
        messages += left_out(found, prefix)
        unreadable += [prefix + text for text in found.unreadable]
        if not found.images:
            said = told_unreadable(unreadable) + messages + [f"expected files named *{', *'.join(SUFFIXES)}"]
            raise DataError(f"{name}: no readable image in {folder} or its subfolders; {'; '.join(said)}")
        labels = {file.label for file in found.images}
        if len(labels) == 1 and all(len(file.path.relative_to(folder).parts) > 2 for file in found.images):
            only = folder / labels.pop()
            messages.append(f"if the subfolders of {only.name}/ are the classes, load folder:{only}")
        parts.append(found.images)
    labels = [{file.label for file in part} for part in parts]
    classes = tuple(sorted(sorted(set().union(*labels) - {None}), key=natural)) or None
    if len(parts) == 2 and classes:
        messages += _unlike_labels(folders, labels)
    return Parts(parts[0], parts[1] if len(parts) == 2 else None, classes, unreadable, messages)


def told_unreadable(unreadable: list[str]) -> list[str]:
    return [f"left out, as they cannot be read: {listed(unreadable)}"] if unreadable else []


def _part_folders(root: Path, name: str) -> tuple[list[Path], list[str]]:
    """The folders of the training and the test part, or the one to be split; what is worth saying about it."""
    below = subfolders(root)
    found: dict[str, Path] = {}
    for folder in below:
        part = next((part for part, names in NAMES.items() if folder.name.lower() in names), None)
        if part in found:
            raise DataError(
                f"{name} has both {plain_text(found[part].name)}/ and {plain_text(folder.name)}/; "
                f"expected one folder for the {'training' if part == 'train' else part} part: load them apart or join them"
            )
        if part:
            found[part] = folder
    others = [folder for folder in below if folder not in found.values()]
    if "train" not in found:
        if {"test", "val"} <= set(found) and not others:
            raise DataError(f"{name} has {_named(found.values())} but no train/; expected train/ beside them")
        return [root], []
    train, test, val = found["train"], found.get("test"), found.get("val")
    if test is None and val is None and others:
        return [root], [f"{_named([train])} is taken for a class like {_named(others)}, as there is no test/ beside it"]
    messages = []
    if test is None and val is not None:
        messages.append(f"there is no test/: {_named([val])} is the test part")
    elif test is None:
        messages.append(f"it has {_named([train])} but no test/: some of it becomes the test part")
    elif val is not None:
        others.append(val)
    others += [path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and visible(path.name)]
    if others:
        parts = [folder for folder in (train, test or val) if folder]
        messages.append(f"left out, as beside {_named(parts)}: {_named(others)}")
    return [folder for folder in (train, test or val) if folder], messages


def _named(paths) -> str:
    return listed([plain_text(path.name) + ("/" if path.is_dir() else "") for path in paths])


def left_out(found: Found, prefix: str) -> list[str]:
    """What to say about files of a folder that are not taken."""
    told = {
        "left out as no images by their names": [prefix + text for text in found.others],
        "left out, as they lie beside the class folders": [file.id for file in found.beside],
        "left out, as there are no images in them": [prefix + text for text in found.empty],
        "animated, of which the first picture alone is taken": [prefix + text for text in found.animated],
    }
    return [f"{what}: {listed(names)}" for what, names in told.items() if names]


def _unlike_labels(folders: list[Path], labels: list[set]) -> list[str]:
    """What to say where the two parts' classes differ."""
    for mine, other in ((0, 1), (1, 0)):
        if labels[other] == {None}:
            with_classes, without = _named([folders[mine]]), _named([folders[other]])
            return [f"{without} has no class folders as {with_classes} has: its images have no labels"]
    return [
        f"{listed(sorted(labels[mine] - labels[other]))}: in {_named([folders[mine]])} only; a class is compared by its "
        "folder's name, capitals count"
        for mine, other in ((0, 1), (1, 0))
        if labels[mine] - labels[other]
    ]
