"""What can be loaded, and how it becomes batches.

data = load("strokes", train_size=4_000)
for x, y in Batches(data.x_train, data.y_train, batch_size=128): ...
"""

from __future__ import annotations

import os

from deepunsup_helpers.data import images, toys
from deepunsup_helpers.data.batches import Batches, Streaming
from deepunsup_helpers.data.dataset import DataError, Dataset, DataWarning, check_size
from deepunsup_helpers.data.folder import FolderImages, load_folder
from deepunsup_helpers.data.tables import SKLEARN_TABLES, load_csv, load_npz, load_sklearn, nearest

__all__ = ["Batches", "DataError", "DataWarning", "Dataset", "FolderImages", "Streaming", "load", "toys"]

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
) -> Dataset:
    """Load a data set by name.

    Args:
        name: images: `strokes` (generated, no download), `mnist`, `fashion_mnist`, `kmnist` (from DEEPUNSUP_DATA or
            the user's cache, downloaded when missing), `digits` (scikit-learn, 8x8), `folder:PATH`, `npz:PATH`.
            Tables: `wine`, `iris`, `breast_cancer`, `diabetes`, `csv:PATH`, `npz:PATH`.
            Points in the plane: `ring`, `grid`, `gaussians`, `moons`, `swiss_roll`.
            Relative paths start at the current directory.
        train_size, test_size: number of examples; None is all, or the default of what is generated. What does not
            come in two parts is split 80/20. Subsets are seeded and keep the classes' proportions.
        seed: of what is generated, split or chosen.
        image_size: side in pixels, or (H, W); None keeps the size.
        channels: 1 grey, 3 colour; None keeps them.
        label: the label column of a CSV file.
    Raises:
        DataError: with one line that says what was wrong, what was expected and what to do.
    """
    _check_arguments(name, train_size, test_size, seed, image_size, channels, label)
    sizes = {"train_size": train_size, "test_size": test_size, "seed": seed}
    kind, _, path = name.partition(":")
    if name in toys.TOYS:
        return toys.load_toy(name, **sizes)
    if name in SKLEARN_TABLES:
        return load_sklearn(name, **sizes)
    if kind == "csv":
        return load_csv(path, label=label, **sizes)
    shape = {"image_size": image_size, "channels": channels}
    if kind == "npz":
        return load_npz(path, **sizes, **shape)
    if name == "strokes":
        return images.load_strokes(**sizes, **shape)
    if name == "digits":
        return images.load_digits(**sizes, **shape)
    if name in TORCHVISION:
        return images.load_torchvision(name, **sizes, **shape)
    return load_folder(path, **sizes, **shape)


def _check_arguments(name, train_size, test_size, seed, image_size, channels, label) -> None:
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
    check_size(train_size, "train_size", least=1)
    check_size(test_size, "test_size", least=0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise DataError(f"seed={seed!r} must be a whole number from 0 to {2**32 - 1}")
    if label is not None and not name.startswith("csv:"):
        raise DataError(f"label={label!r} names a column of a CSV file, and {name} is none; leave it out")
    is_table = name in SKLEARN_TABLES or name in toys.TOYS or name.startswith("csv:")
    if is_table and (image_size is not None or channels is not None):
        raise DataError(f"{name} holds no images, so image_size and channels do not apply; leave them out")
