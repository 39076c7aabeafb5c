"""Arrays X and y in an NPZ file, as a table or as images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from deepunsup_helpers.data.dataset import DataError, Dataset, require_finite, warn
from deepunsup_helpers.data.decode import white_levels
from deepunsup_helpers.data.images import images_dataset
from deepunsup_helpers.data.labels import encode_labels
from deepunsup_helpers.data.splits import split
from deepunsup_helpers.data.tables import table_dataset


def load_npz(
    path: str,
    *,
    image_size,
    channels: int | None,
    label_type: str | None,
    order: str,
    train_size: int | None,
    test_size: int | None,
    seed: int,
) -> Dataset:
    """Arrays `X` and, if there, `y` in an NPZ file (numpy.savez).

    X of shape (N, D) is a table. (N, H, W), (N, C, H, W) and (N, H, W, C) with C 1 or 3 are images: bytes, which are
    divided by 255, 16 bits, or floats in [0, 1].

    Raises:
        DataError: no such file, no `X`, other shapes or types, NaN or infinity.
    """
    name = f"npz:{path}"
    x, y = read_npz(Path(path).expanduser(), name)
    classes = None
    if y is not None:
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.shape != (len(x),):
            raise DataError(f"{name}: y has shape {y.shape}; expected one label for each of the {len(x)} rows of X")
        y, classes = encode_labels(y, f"{name}: y", label_type=label_type)
    if x.ndim == 2 and (image_size is not None or channels is not None):
        raise DataError(
            f"{name} is a table (X has shape {x.shape}), so image_size and channels do not apply; leave them out"
        )
    images, white = (None, {}) if x.ndim == 2 else as_images(x, name, {})
    labels = y if classes else None
    train, test = split(labels, len(x), train_size, test_size, name=name, seed=seed, order=order)
    if images is None:
        return table_dataset(x, y, (train, test), name=name, feature_names=None, class_names=classes)
    return images_dataset(
        images[train],
        None if y is None else y[train],
        images[test],
        None if y is None else y[test],
        name=name,
        class_names=classes,
        image_size=image_size,
        channels=channels,
        ids=(train, test),
        white=white,
    )


def read_npz(path: Path, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """X and y, or None, in this machine's byte order."""
    if not path.is_file():
        raise DataError(f"{name}: there is no such file (looked for {path.resolve()}); give its path, npz:PATH")
    try:
        arrays = np.load(path, allow_pickle=False)
        if isinstance(arrays, np.ndarray):
            raise DataError(f"{name} holds one bare array; save it with numpy.savez(path, X=..., y=...)")
        with arrays:
            if "X" not in arrays.files:
                raise DataError(
                    f"{name} has no array 'X' (it has {', '.join(arrays.files) or 'none'}); "
                    "save it with numpy.savez(path, X=..., y=...)"
                )
            x, y = arrays["X"], arrays["y"] if "y" in arrays.files else None
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{name} does not fit into this machine's memory ({error}); save fewer rows in it") from None
    except Exception as error:  # NumPy and zipfile raise errors of many kinds on damaged files
        if "pickle" in str(error):
            raise DataError(
                f"{name} holds Python objects instead of plain arrays; save numbers: "
                "numpy.savez(path, X=X.astype(float), y=y.astype(str))"
            ) from None
        raise DataError(
            f"{name} is truncated or is no NPZ file of plain arrays ({error}); "
            "save it with numpy.savez(path, X=..., y=...)"
        ) from None
    if x.dtype.kind not in "biuf" or x.size == 0 or x.ndim < 2:
        raise DataError(
            f"{name}: X is {x.dtype} of shape {x.shape}; expected real numbers, (N, D) for a table or (N, H, W) and "
            "the like for images, at least one an example"
        )
    return x.astype(x.dtype.newbyteorder("="), copy=False), None if y is None else y.astype(
        y.dtype.newbyteorder("="), copy=False
    )


def as_images(x: np.ndarray, name: str, known: dict[str, int]) -> tuple[torch.Tensor, dict[str, int]]:
    """Images (N, C, H, W), uint8 or float32 in [0, 1], and which value was white (decode.py)."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise DataError(
            f"{name}: X has shape {x.shape}; expected (N, D) for a table, or (N, H, W), (N, C, H, W) or "
            "(N, H, W, C) with C 1 or 3 for images"
        )
    if x.dtype in (np.uint8, np.uint16):
        messages: list[str] = []
        deep = x.dtype == np.uint16
        white = white_levels({"16" if deep else "8": float(x.max())}, known, name, messages)
        for message in messages:
            warn(f"{name}: {message}")
        level = white["16" if deep else "8"]
        whole = level == 255 and not deep
        divided = np.ascontiguousarray(x) if whole else np.ascontiguousarray(x, dtype=np.float32) / np.float32(level)
        return torch.from_numpy(divided), white
    require_finite(x, name)
    images = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    if images.min() < 0 or images.max() > 1:
        raise DataError(
            f"{name}: images run from {images.min():g} to {images.max():g}; "
            "expected bytes (uint8), 16 bits (uint16) or floats in [0, 1]: divide them first"
        )
    return images, dict(known)
