"""What `load` returns, and what every loader shares: errors, warnings, names as text."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from torch import Tensor

from deepunsup_helpers.record import warn as show_warning


class DataError(ValueError):
    """A data set cannot be loaded. The message is one line: what was wrong, what was expected, what to do."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the line alone, since the lines that raised it are not the user's."""
        return [f"{type(self).__name__}: {self}"]


class DataWarning(UserWarning):
    """A data set was loaded, but not all of it, not as it lay on disk, or with something odd about it."""


def warn(text: str) -> None:
    """Shows a warning in the notebook, the terminal, run.json and the report; in a script it is a DataWarning."""
    show_warning(" ".join(text.split()), category=DataWarning)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set in memory, in two parts.

    Attributes:
        name: what was given to `load`.
        x_train, x_test: images (N, C, H, W) float32 inside `value_range`, or tables (N, D) float32; images of several
            sizes are a `MixedSizes`.
        y_train, y_test: labels (N,), int64 in 0..K-1 (float32 where a table's target is a measurement), or None.
        value_range: (lowest, highest) possible pixel; None for tables.
        factors_train, factors_test: the true factors behind each image, name to (N,), or None.
        feature_names: the D column names of a table, or None.
        class_names: the K names behind the labels, or None.
        ids_train, ids_test: NumPy arrays (N,), where each example came from: a file's path inside its folder
            ("cat/3.png", "stack.tif#2"), a row's number in its table, from 0, or its entry in the `id=` column; the
            number of the example where data are generated.
        preprocessing: what was done to the files, for `load_new` to do again; JSON holds it.
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
    ids_train: np.ndarray | None = None
    ids_test: np.ndarray | None = None
    preprocessing: dict | None = None

    def __post_init__(self):
        for part in ("train", "test"):
            x, ids = getattr(self, f"x_{part}"), getattr(self, f"ids_{part}")
            if ids is None:
                object.__setattr__(self, f"ids_{part}", np.arange(len(x)))
            elif len(ids) != len(x):
                raise ValueError(f"ids_{part} has {len(ids)} entries for {len(x)} examples")
        if self.preprocessing is None:
            columns = None if self.feature_names is None else list(self.feature_names)
            table = {"kind": "table", "columns": columns, "width": self.x_train.shape[-1]}
            own = image_preprocessing(self.image_shape, {}) if self.is_image else table
            object.__setattr__(self, "preprocessing", own)

    @property
    def is_image(self) -> bool:
        return isinstance(self.x_train, MixedSizes) or self.x_train.ndim == 4

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image.

        Raises:
            DataError: this is a table, or images of several sizes.
        """
        if not self.is_image:
            raise DataError(
                f"{self.name} is a table of {self.x_train.shape[1]} columns, not images; "
                "choose images, for example dataset=strokes"
            )
        return tuple(self.x_train.shape[1:])

    def __repr__(self) -> str:
        mixed = isinstance(self.x_train, MixedSizes)
        shape = "of several sizes" if mixed else "x".join(map(str, self.x_train.shape[1:]))
        what = f"images {shape}" if mixed else f"{shape} images" if self.is_image else f"{shape} columns"
        parts = [f"{len(self.x_train):,} training, {len(self.x_test):,} test", what]
        if self.value_range is not None:
            parts.append("values in [{:g}, {:g}]".format(*self.value_range))
        if self.class_names is not None:
            parts.append(f"{len(self.class_names)} classes")
        if self.factors_train is not None:
            parts.append("factors " + ", ".join(self.factors_train))
        return f"Dataset({self.name}: {'; '.join(parts)})"


def image_preprocessing(shape: tuple[int, int, int] | None, white: dict[str, int], channels: int | None = None) -> dict:
    """How images became tensors of `shape` (C, H, W), None if of several sizes; `white` is explained in decode.py."""
    size = None if shape is None else [int(shape[1]), int(shape[2])]
    return {"kind": "images", "image_size": size, "channels": int(shape[0]) if shape else channels, "white": white}


class MixedSizes(Sequence):
    """Images of several sizes: float32 (C, H, W) each, by index or in a loop.

    Whatever else a tensor can do raises a DataError that says how to get one: by `image_size=`.
    """

    def __init__(self, images: Sequence[Tensor], name: str):
        self._images, self._name = tuple(images), name

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int | slice) -> Tensor | MixedSizes:
        return MixedSizes(self._images[index], self._name) if isinstance(index, slice) else self._images[index]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._images)

    def __getattr__(self, attribute: str):
        if attribute.startswith("_"):  # Python and notebooks look for these
            raise AttributeError(attribute)
        raise DataError(one_size_needed(self._name, [tuple(image.shape[1:]) for image in self._images]))


def one_size_needed(name: str, sizes: Sequence[tuple[int, int]]) -> str:
    """The line that says that images (H, W) of several sizes must become one."""
    several = list(dict.fromkeys(sizes))
    shown = ", ".join(f"{height}x{width}" for height, width in several[:3]) + (", ..." if len(several) > 3 else "")
    return (
        f"{name} has images of {len(several)} sizes ({shown}, height x width), and one is needed here; "
        "choose a side in pixels with image_size=, for example image_size=28"
    )


def printable(path: str | PurePath) -> str:
    """A path as it can be shown and written: with a sign for bytes that are no UTF-8."""
    return os.fsencode(str(path)).decode("utf-8", "replace")


def plain_text(text: str | PurePath) -> str:
    """A name as it is compared: printable, with composed accents (NFC)."""
    return unicodedata.normalize("NFC", printable(text))


def listed(names: Sequence) -> str:
    """The first ten of them, and how many more."""
    return ", ".join(map(str, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def require_finite(x: np.ndarray, name: str, columns: Sequence[str] | None = None) -> None:
    """Raises DataError if `x`, (N,) or more dimensions, holds NaN or infinity; names the place."""
    if x.dtype.kind != "f" or np.isfinite(x).all():
        return
    bad = np.argwhere(~np.isfinite(x))
    column = "" if columns is None or x.ndim != 2 else f", column {columns[bad[0, 1]]!r}"
    raise DataError(
        f"{name} holds NaN or infinity in {len(bad)} place(s), first in example {bad[0, 0]}{column}; "
        "replace such values before loading"
    )
