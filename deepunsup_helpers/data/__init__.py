"""What can be loaded, and how it becomes batches.

data = load("strokes", train_size=4_000)
for x, y in Batches(data.x_train, data.y_train, batch_size=128): ...
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from deepunsup_helpers.data import images, toys
from deepunsup_helpers.data.batches import Batches, Streaming
from deepunsup_helpers.data.dataset import DataError, Dataset, DataWarning, MixedSizes, warn
from deepunsup_helpers.data.features import MISSING
from deepunsup_helpers.data.folder import load_folder
from deepunsup_helpers.data.labels import LABEL_TYPES, nearest
from deepunsup_helpers.data.new import NewData, load_new
from deepunsup_helpers.data.npz_files import load_npz
from deepunsup_helpers.data.sanity import check_needs, few, oddities
from deepunsup_helpers.data.splits import ORDERS, check_size
from deepunsup_helpers.data.streams import FolderImages
from deepunsup_helpers.data.tables import SKLEARN_TABLES, TEXT, Roles, load_csv, load_sklearn

__all__ = [
    "Batches",
    "DataError",
    "DataWarning",
    "Dataset",
    "FolderImages",
    "MixedSizes",
    "NewData",
    "Streaming",
    "check_needs",
    "load",
    "load_new",
    "toys",
]

TORCHVISION = ("mnist", "fashion_mnist", "kmnist")
NAMES = ("strokes", *TORCHVISION, "digits", *SKLEARN_TABLES, *toys.TOYS)
PREFIXES = ("folder:", "csv:", "npz:")


def load(
    name: str,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    seed: int = 0,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    label: str | None = None,
    label_type: str | None = None,
    id: str | None = None,
    ignore: Sequence[str] = (),
    time: str | None = None,
    group: str | None = None,
    missing: str = "error",
    text: str = "drop",
    order: str = "shuffled",
) -> Dataset:
    """Load a data set by name: `load("folder:photos", image_size=64)`, `load("csv:wine.csv", label="grower")`.

    What a user brings is looked over once, and what is odd about it is told (sanity.py).

    Args:
        name: images: `strokes` (generated, no download), `mnist`, `fashion_mnist`, `kmnist` (from DEEPUNSUP_DATA or
            the user's cache, downloaded when missing), `digits` (scikit-learn, 8x8), `folder:PATH`, `npz:PATH`.
            Tables: `wine`, `iris`, `breast_cancer`, `diabetes`, `csv:PATH`, `npz:PATH`.
            Points in the plane: `ring`, `grid`, `gaussians`, `moons`, `swiss_roll`.
            Relative paths start at the current directory.
        train_size, test_size: number of examples; None is all, or the default of what is generated. What does not
            come in two parts is split 80/20. Subsets are seeded and keep the classes' proportions.
        seed: of what is generated, split or chosen.
        image_size: side in pixels, or (H, W); None keeps the size, or sizes (`MixedSizes`).
        channels: 1 grey, 3 colour; None keeps them.
        label: the label column of a CSV file: text and whole numbers become classes, fractions stay a measurement.
        label_type: "classes" or "numbers" (a measurement), where whole numbers could be either.
        id: a column that names the rows: it becomes `ids_train`, `ids_test`, and is no feature.
        ignore: columns to leave out.
        time: a column of numbers or ISO dates by which the rows are sorted; the last part is the test. No feature.
        group: a column whose groups (patients, sites) are never split over training and test. No feature.
        missing: what to do about gaps in a table (empty cells; in columns of numbers also NA, NaN, null): "error",
            "drop" (leave the row out) or "median" (of the training part).
        text: columns of text in a table are left out ("drop") or become columns of 0 and 1 ("onehot").
        order: "kept" leaves files or rows as they come: the first train, the last test. Or "shuffled".
    Raises:
        DataError: with one line that says what was wrong, what was expected and what to do.
    """
    _check_name(name)
    kind, _, path = name.partition(":")
    own = name.startswith(PREFIXES)
    is_table = name in SKLEARN_TABLES or name in toys.TOYS or kind == "csv"
    _check_sizes(train_size, test_size, seed)
    _check_choices(label_type, missing, text, order)
    ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    roles = Roles(label, id, time, group, ignore)
    if kind != "csv":
        told = {"label": label, "id": id, "ignore": ignore, "time": time, "group": group}
        told |= {"missing": missing != "error" and missing, "text": text != "drop" and text}
        for argument, value in told.items():
            _refuse_unless(not value, f"{argument}={value!r} is about the columns of a CSV file, and {name} is none")
    _refuse_unless(own or order == "shuffled", f"order={order!r} is for folder:, csv: and npz:, not for {name}")
    _refuse_unless(
        kind in ("csv", "npz") or label_type is None, f"label_type={label_type!r} is for csv: and npz:, not for {name}"
    )
    _refuse_unless(
        not is_table or (image_size is None and channels is None),
        f"{name} holds no images, so image_size and channels do not apply",
    )
    sizes = {"train_size": train_size, "test_size": test_size, "seed": seed}
    shape = {"image_size": image_size, "channels": channels}
    if name in toys.TOYS:
        return toys.load_toy(name, **sizes)
    if name in SKLEARN_TABLES:
        return load_sklearn(name, **sizes)
    if name == "strokes":
        return images.load_strokes(**sizes, **shape)
    if name == "digits":
        return images.load_digits(**sizes, **shape)
    if name in TORCHVISION:
        return images.load_torchvision(name, **sizes, **shape)
    if kind == "csv":
        data = load_csv(path, roles=roles, label_type=label_type, missing=missing, text=text, order=order, **sizes)
    elif kind == "npz":
        data = load_npz(path, label_type=label_type, order=order, **sizes, **shape)
    else:
        data = load_folder(path, order=order, **sizes, **shape)
    for oddity in (few(data) if train_size is None else []) + oddities(data):
        warn(f"{name}: {oddity}")
    return data


def _refuse_unless(condition: bool, line: str) -> None:
    if not condition:
        raise DataError(f"{line}; leave it out")


def _check_name(name) -> None:
    known = [*NAMES, *(prefix + "PATH" for prefix in PREFIXES)]
    if not isinstance(name, str):
        raise DataError(f"the name of a data set must be a string, not {name!r}; {nearest('', known)}")
    has_path = name.startswith(PREFIXES)
    if not has_path and name not in NAMES:
        if os.path.exists(name):
            raise DataError(f"{name!r} is a path; write folder:{name}, csv:{name} or npz:{name}, by what it holds")
        raise DataError(f"there is no data set {name!r}; {nearest(name, known)}")
    if has_path and not name.partition(":")[2].strip():
        raise DataError(f"{name!r} names no path; write {name}PATH")


def _check_sizes(train_size, test_size, seed) -> None:
    check_size(train_size, "train_size", least=1)
    check_size(test_size, "test_size", least=0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise DataError(f"seed={seed!r} must be a whole number from 0 to {2**32 - 1}")


def _check_choices(label_type, missing, text, order) -> None:
    choices = {
        "label_type": (label_type, (None, *LABEL_TYPES)),
        "missing": (missing, MISSING),
        "text": (text, TEXT),
        "order": (order, ORDERS),
    }
    for argument, (value, known) in choices.items():
        if value not in known:
            raise DataError(f"{argument}={value!r} must be one of {', '.join(map(repr, known))}")
