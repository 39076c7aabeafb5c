"""New files and rows, read as those were that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.data.csv_files import open_csv, read_columns
from deepunsup_helpers.data.dataset import DataError, MixedSizes, listed, warn
from deepunsup_helpers.data.features import as_float32, feature_names, rows_with_gaps, to_features
from deepunsup_helpers.data.folder import decode_parts, file_ids, to_tensor
from deepunsup_helpers.data.image_files import find_images
from deepunsup_helpers.data.images import convert_images
from deepunsup_helpers.data.labels import nearest
from deepunsup_helpers.data.npz_files import as_images, read_npz
from deepunsup_helpers.data.parts import left_out, told_unreadable


class NewData(NamedTuple):
    """Examples that a trained model has not seen, without labels.

    Attributes:
        name: what was given to `load_new`.
        x: images (N, C, H, W) in `value_range` or a table (N, D), float32, as the training data were.
        ids: (N,), where each example came from, as `Dataset.ids_train`.
        value_range: (0, 1) for images, None for tables.
    """

    name: str
    x: Tensor | MixedSizes
    ids: np.ndarray
    value_range: tuple[float, float] | None


def load_new(name: str, preprocessing: Mapping) -> NewData:
    """New data for a trained model: `load_new("folder:scans", data.preprocessing).x`.

    Size, channels and value range of images, and columns, medians and one-hot columns of tables are those of the
    training data. Subfolders and further columns are no labels here.

    Args:
        name: `folder:PATH`, `npz:PATH` or `csv:PATH`; relative paths start at the current directory.
        preprocessing: of the training data, `Dataset.preprocessing`.
    Raises:
        DataError: not of the same kind, columns that are missing, images brighter than white was.
    """
    kind, _, path = name.partition(":")
    readers = {"folder": ("images", _folder), "npz": (preprocessing["kind"], _npz), "csv": ("table", _csv)}
    if kind not in readers or not path.strip():
        raise DataError(f"{name!r} names no new data; expected folder:PATH, npz:PATH or csv:PATH")
    expected, read = readers[kind]
    if expected != preprocessing["kind"]:
        ways = "folder:PATH or npz:PATH" if preprocessing["kind"] == "images" else "csv:PATH or npz:PATH"
        raise DataError(f"{name}: the model was trained on {_shape(preprocessing)}; expected new ones as {ways}")
    return read(name, Path(path).expanduser(), preprocessing)


def _shape(preprocessing: Mapping) -> str:
    if preprocessing["kind"] == "images":
        size = preprocessing["image_size"]
        return "images" if size is None else f"images of {size[0]}x{size[1]}"
    return f"a table of {_width(preprocessing)} columns"


def _width(preprocessing: Mapping) -> int:
    names = feature_names(preprocessing)
    return preprocessing["width"] if names is None else len(names)


def _folder(name: str, path: Path, preprocessing: Mapping) -> NewData:
    root = path.absolute()
    if not root.is_dir():
        raise DataError(
            f"{name}: {root} {'is a file' if root.exists() else 'does not exist'}; expected a folder of images"
        )
    found = find_images(root)
    files = found.images + found.beside
    messages = left_out(found._replace(beside=[], empty=[]), "")
    size, channels = preprocessing["image_size"], preprocessing["channels"]
    sizes = {"size": None if size is None else tuple(size), "channels": channels}
    [decoded], white = decode_parts(
        [(files, len(files))], **sizes, known=preprocessing["white"], name=name, messages=messages
    )
    messages += told_unreadable(found.unreadable + decoded.unreadable)
    if not decoded.files:
        raise DataError(f"{name}: no readable image in {root} or its subfolders. {' '.join(messages)}")
    for message in messages:
        warn(f"{name}: {message}")
    x = to_tensor(decoded.pixels, None if size is None else (channels, *size), white, name)
    return NewData(name, x, file_ids(decoded.files), (0.0, 1.0))


def _npz(name: str, path: Path, preprocessing: Mapping) -> NewData:
    x, _ = read_npz(path, name)
    if (x.ndim == 2) != (preprocessing["kind"] == "table"):
        raise DataError(f"{name}: X has shape {x.shape}, but the model was trained on {_shape(preprocessing)}")
    ids = np.arange(len(x))
    if x.ndim > 2:
        images, _ = as_images(x, name, preprocessing["white"])
        size = preprocessing["image_size"]
        size = None if size is None else tuple(size)
        return NewData(
            name, convert_images(images, image_size=size, channels=preprocessing["channels"]), ids, (0.0, 1.0)
        )
    if x.shape[1] != _width(preprocessing):
        raise DataError(f"{name}: X has {x.shape[1]} columns, but the model was trained on {_width(preprocessing)}")
    return NewData(name, torch.from_numpy(as_float32(x, name, feature_names(preprocessing))), ids, None)


def _csv(name: str, path: Path, preprocessing: Mapping) -> NewData:
    columns, file = preprocessing["columns"], open_csv(path, name)
    if columns is None:
        raise DataError(f"{name}: the model was trained on columns without names; expected new ones as npz:PATH")
    lacking = [column for column in columns if column not in file.columns]
    if lacking:
        said = f"; {nearest(lacking[0], file.columns)}" if len(lacking) == 1 else ""
        raise DataError(f"{name} lacks columns that the model was trained on: {listed(list(map(repr, lacking)))}{said}")
    further = [column for column in file.columns if column and column not in columns]
    surprising = [repr(column) for column in further if column not in preprocessing.get("left_out", [])]
    if surprising:
        warn(f"{name}: left out, as the model was not trained on them: {listed(surprising)}")
    id_column = preprocessing.get("id")
    id_column = id_column if id_column in further else None
    text = [*preprocessing.get("categories", {}), *([id_column] if id_column else [])]
    frame, messages = read_columns(file, left_out=[c for c in further if c != id_column], as_text=text)
    words = [repr(c) for c in columns if frame[c].dtype == object and c not in preprocessing.get("categories", {})]
    if words:
        raise DataError(f"{name} has text in {listed(words)}, where the model was trained on numbers")
    out = rows_with_gaps(frame[columns], missing=preprocessing.get("missing", "error"), name=name)
    if out.any():
        messages.append(f"{out.sum()} of {len(out)} rows have gaps and are left out: {listed(np.flatnonzero(out))}")
    for message in messages:
        warn(f"{name}: {message}")
    ids = np.arange(len(frame)) if id_column is None else frame[id_column].to_numpy(object)
    x = to_features(frame[~out], preprocessing, name=name)
    return NewData(name, torch.from_numpy(x), ids[~out], None)
