"""Tables: scikit-learn's, a CSV file, arrays in an NPZ file."""

from __future__ import annotations

import difflib
import zipfile
from pathlib import Path

import numpy as np
import torch

from deepunsup_helpers.data.dataset import DataError, Dataset, require_finite, split
from deepunsup_helpers.data.images import images_dataset

SKLEARN_TABLES = ("wine", "iris", "breast_cancer", "diabetes")


def load_sklearn(name: str, *, train_size: int | None, test_size: int | None, seed: int) -> Dataset:
    """A table that comes with scikit-learn, in its own units; the target of `diabetes` is a measurement (y float32)."""
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    classes = tuple(map(str, table.target_names)) if "target_names" in table else None
    return table_dataset(
        table.data,
        table.target,
        name=name,
        feature_names=tuple(table.feature_names),
        class_names=classes,
        train_size=train_size,
        test_size=test_size,
        seed=seed,
    )


def load_csv(path: str, *, label: str | None, train_size: int | None, test_size: int | None, seed: int) -> Dataset:
    """A CSV file with a line of column names. Commas, semicolons or tabs separate.

    Args:
        path: relative paths start at the current directory.
        label: the column that holds the labels, or None. Text and whole numbers become classes, in sorted order;
            fractions stay a measurement (y float32).
    Raises:
        DataError: no such file or column, missing values, text in a column, NaN or infinity, no rows.
    """
    name = f"csv:{path}"
    frame = _read_csv(Path(path).expanduser(), name)
    if label is not None and label not in frame.columns:
        raise DataError(f"{name} has no column {label!r}; {nearest(label, list(frame.columns))}")
    missing = frame.isna().sum()
    if missing.any():
        columns = ", ".join(f"{column!r} ({count})" for column, count in missing[missing > 0].items())
        raise DataError(
            f"{name} has missing values in {columns}; fill them in or delete those rows or columns "
            "(pandas: fillna, dropna)"
        )
    target = None if label is None else frame.pop(label)
    text = [column for column in frame.columns if frame[column].dtype.kind not in "biuf"]
    if text:
        shown = ", ".join(f"{column!r} (such as {_first_text(frame[column])!r})" for column in text)
        raise DataError(
            f"{name} has text in {shown}; expected numbers with a decimal point: delete the column, turn it into "
            "numbers (pandas: get_dummies), or name it as label="
        )
    if not len(frame.columns):
        raise DataError(f"{name} has no column beside the label {label!r}; expected at least one column of numbers")
    y, classes = (None, None) if target is None else encode_labels(target.to_numpy(), name)
    return table_dataset(
        frame.to_numpy(np.float64),
        y,
        name=name,
        feature_names=tuple(map(str, frame.columns)),
        class_names=classes,
        train_size=train_size,
        test_size=test_size,
        seed=seed,
    )


def _read_csv(path: Path, name: str):
    import pandas

    if not path.is_file():
        raise DataError(f"{name}: there is no such file (looked for {path.resolve()}); give its path, csv:PATH")
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        frame = pandas.read_csv(path, sep=separator, encoding="utf-8-sig", skipinitialspace=True)
    except UnicodeDecodeError:
        raise DataError(f"{name} is not a text file in UTF-8; save it as CSV UTF-8") from None
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        raise DataError(
            f"{name} cannot be read as a table ({error}); expected a line of column names, "
            "then rows with as many values"
        ) from None
    names = [str(column) for column in frame.columns]
    if frame.empty:
        problem = "has no rows"
    elif all(map(_is_number, names)):
        problem = f"begins with numbers ({header.strip()[:40]})"
    elif not frame.index.equals(pandas.RangeIndex(len(frame))):
        problem = "has rows with more values than there are column names"
    elif any(column.startswith("Unnamed: ") for column in names):
        problem = "has a column without a name (delete it if it only counts the rows; pandas: to_csv(index=False))"
    elif len(names) == 1 and frame.dtypes.iloc[0].kind not in "biuf":
        problem = f"has the single column {names[0]!r}, of text"
    else:
        return frame
    raise DataError(
        f"{name} {problem}; expected a line of column names, then rows of numbers, "
        "separated by commas, semicolons or tabs"
    )


def _is_number(text) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_text(column) -> str:
    return next((str(value)[:30] for value in column if not _is_number(value)), str(column.iloc[0])[:30])


def load_npz(path: str, *, image_size, channels, train_size: int | None, test_size: int | None, seed: int) -> Dataset:
    """Arrays `X` and, if there, `y` in an NPZ file (numpy.savez).

    X of shape (N, D) is a table. (N, H, W), (N, C, H, W) and (N, H, W, C) with C 1 or 3 are images: bytes, which are
    divided by 255, or floats in [0, 1].

    Raises:
        DataError: no such file, no `X`, other shapes or types, NaN or infinity.
    """
    name = f"npz:{path}"
    x, y = _read_npz(Path(path).expanduser(), name)
    if y is not None and y.shape != (len(x),):
        raise DataError(f"{name}: y has shape {y.shape}; expected one label for each of the {len(x)} rows of X")
    y, classes = (None, None) if y is None else encode_labels(y, name)
    if x.ndim == 2:
        if image_size is not None or channels is not None:
            raise DataError(
                f"{name} is a table (X has shape {x.shape}), so image_size and channels do not apply; leave them out"
            )
        return table_dataset(
            x,
            y,
            name=name,
            feature_names=None,
            class_names=classes,
            train_size=train_size,
            test_size=test_size,
            seed=seed,
        )
    train, test = split(y if classes else None, len(x), train_size, test_size, name=name, seed=seed)
    images = _as_images(x, name)
    return images_dataset(
        images[train],
        None if y is None else y[train],
        images[test],
        None if y is None else y[test],
        name=name,
        class_names=classes,
        image_size=image_size,
        channels=channels,
    )


def _read_npz(path: Path, name: str) -> tuple[np.ndarray, np.ndarray | None]:
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
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zipfile.zlib.error) as error:
        raise DataError(
            f"{name} is truncated or is no NPZ file of plain arrays ({error}); "
            "save it with numpy.savez(path, X=..., y=...)"
        ) from None
    if x.dtype.kind not in "biuf" or x.size == 0:
        raise DataError(f"{name}: X is {x.dtype} of shape {x.shape}; expected real numbers, at least one an example")
    return x, y


def _as_images(x: np.ndarray, name: str) -> torch.Tensor:
    """uint8 (N, C, H, W), or float32 in [0, 1]."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise DataError(
            f"{name}: X has shape {x.shape}; expected (N, D) for a table, or (N, H, W), (N, C, H, W) or "
            "(N, H, W, C) with C 1 or 3 for images"
        )
    if x.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x))
    require_finite(x, name)
    images = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    if images.min() < 0 or images.max() > 1:
        raise DataError(
            f"{name}: images run from {images.min():g} to {images.max():g}; "
            "expected bytes (uint8) or floats in [0, 1]: divide them first"
        )
    return images


def encode_labels(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Labels as codes 0..K-1 with their K names in sorted order, or fractions as they are, with None."""
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        require_finite(values, f"{name} (its labels)")
        return values, None
    if values.dtype.kind == "f":
        values = values.astype(np.int64)
    if values.dtype.kind not in "biu":
        values = values.astype(str)
    names, codes = np.unique(values, return_inverse=True)
    return codes.reshape(-1), tuple(map(str, names))


def table_dataset(
    x: np.ndarray,
    y: np.ndarray | None,
    *,
    name: str,
    feature_names,
    class_names,
    train_size: int | None,
    test_size: int | None,
    seed: int,
) -> Dataset:
    """A table (N, D) split into its two parts, stratified when y are classes (`class_names` given)."""
    with np.errstate(over="ignore"):  # told below
        rows = np.ascontiguousarray(x, dtype=np.float32)
    require_finite(rows, f"{name} (as float32)", feature_names)
    rows = torch.from_numpy(rows)
    labels = None
    if y is not None:
        labels = torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32 if class_names is None else np.int64))
    train, test = split(None if class_names is None else y, len(rows), train_size, test_size, name=name, seed=seed)
    return Dataset(
        name=name,
        x_train=rows[train],
        y_train=None if y is None else labels[train],
        x_test=rows[test],
        y_test=None if y is None else labels[test],
        value_range=None,
        feature_names=feature_names,
        class_names=class_names,
    )


def nearest(word: str, known: list[str]) -> str:
    """'did you mean X?' for the nearest known word, or a list of the known ones."""
    lower = {str(other).lower(): str(other) for other in known}
    close = difflib.get_close_matches(str(word).lower(), list(lower), n=1, cutoff=0.5)
    listed = f"known: {', '.join(map(str, known[:20]))}" + (", ..." if len(known) > 20 else "")
    return f"did you mean {lower[close[0]]!r}? ({listed})" if close else listed
