"""Tables: scikit-learn's, and CSV files with labels, identifiers, times, groups, gaps and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from deepunsup_helpers.data.csv_files import GAPS, open_csv, parse_numbers, read_columns
from deepunsup_helpers.data.dataset import DataError, Dataset, listed, plain_text, warn
from deepunsup_helpers.data.features import as_float32, feature_names, fit_features, rows_with_gaps, to_features
from deepunsup_helpers.data.labels import encode_labels, nearest
from deepunsup_helpers.data.splits import split, split_groups

if TYPE_CHECKING:
    import pandas

SKLEARN_TABLES = ("wine", "iris", "breast_cancer", "diabetes")
TEXT = ("drop", "onehot")


class Roles(NamedTuple):
    """Columns that are no features, and what they are for instead."""

    label: str | None = None
    id: str | None = None
    time: str | None = None
    group: str | None = None
    ignore: tuple[str, ...] = ()

    def named(self) -> list[str]:
        return [column for column in (self.label, self.id, self.time, self.group) if column is not None]


def load_sklearn(name: str, *, train_size: int | None, test_size: int | None, seed: int) -> Dataset:
    """A table that comes with scikit-learn, in its own units; the target of `diabetes` is a measurement (y float32)."""
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    classes = tuple(map(str, table.target_names)) if "target_names" in table else None
    n = len(table.data)
    parts = split(None if classes is None else table.target, n, train_size, test_size, name=name, seed=seed)
    names = tuple(table.feature_names)
    return table_dataset(table.data, table.target, parts, name=name, feature_names=names, class_names=classes)


def load_csv(
    path: str,
    *,
    roles: Roles,
    label_type: str | None,
    missing: str,
    text: str,
    order: str,
    train_size: int | None,
    test_size: int | None,
    seed: int,
) -> Dataset:
    """A CSV file with a line of column names; `load` says what its arguments mean.

    Raises:
        DataError: no such file or column, gaps where `missing` is "error", no column of numbers, entries that are
            neither numbers nor text throughout, infinity, identifiers among the features, no rows.
    """
    name = f"csv:{path}"
    file = open_csv(Path(path).expanduser(), name)
    roles = _known(roles, file.columns, name)
    frame, messages = read_columns(file, left_out=roles.ignore, as_text=roles.named())
    columns = _features(frame, roles, text, name, messages)
    if roles.label is not None:
        _read_label(frame, roles.label, name, messages)
    out = _rows_left_out(frame, roles, columns, missing, name, messages)
    ids = (np.arange(len(frame)) if roles.id is None else frame[roles.id].to_numpy(object))[~out]
    frame = frame[~out].reset_index(drop=True)
    if roles.time is not None:
        sorting = np.argsort(_times(frame[roles.time], name), kind="stable")
        frame, ids, order = frame.iloc[sorting].reset_index(drop=True), ids[sorting], "kept"
    y, classes = None, None
    if roles.label is not None:
        what = f"{name}: the label {roles.label!r}"
        y, classes = encode_labels(frame[roles.label].to_numpy(object), what, label_type=label_type)
    if roles.group is not None:
        groups = frame[roles.group].to_numpy(object).astype(str)
        train, test = split_groups(groups, train_size, test_size, name=name, seed=seed)
    else:
        labels = None if classes is None else y
        train, test = split(labels, len(frame), train_size, test_size, name=name, seed=seed, order=order)
    for message in messages:
        warn(f"{name}: {message}")
    fitted = fit_features(frame.loc[train, columns], missing=missing, name=name)
    known = [*roles.named(), *roles.ignore, *(column for column in frame.columns if column not in columns)]
    return table_dataset(
        to_features(frame, fitted, name=name),
        y,
        (train, test),
        name=name,
        feature_names=feature_names(fitted),
        class_names=classes,
        ids=ids,
        preprocessing={**fitted, "id": roles.id, "left_out": list(dict.fromkeys(known))},
    )


def _known(roles: Roles, columns: Sequence[str], name: str) -> Roles:
    """The roles with their columns as the file spells them. Raises DataError for a column that is not there."""
    given = [*roles.named(), *roles.ignore]
    spelt = {column: " ".join(plain_text(column).split()) for column in given}
    for column in spelt.values():
        if column not in columns:
            raise DataError(f"{name} has no column {column!r}; {nearest(column, columns)}")
    twice = [repr(column) for column, count in Counter(spelt[c] for c in given).items() if count > 1]
    if twice:
        raise DataError(f"{name}: column {listed(twice)} is named for two things; name it for one")
    if roles.time is not None and roles.group is not None:
        raise DataError(f"{name}: time= and group= would both decide which rows test; give one of them")
    single = {role: spelt.get(getattr(roles, role)) for role in ("label", "id", "time", "group")}
    return Roles(**single, ignore=tuple(spelt[column] for column in roles.ignore))


def _features(frame: pandas.DataFrame, roles: Roles, text: str, name: str, messages: list[str]) -> list[str]:
    """The columns to use: all of numbers, and those of text if they become one-hot columns; told which are left out."""
    columns = [column for column in frame.columns if column not in roles.named()]
    empty = [column for column in columns if frame[column].isna().all()]
    if empty:
        columns = [column for column in columns if column not in empty]
        messages.append(f"left out, as there is nothing in them: {listed(list(map(repr, empty)))}")
    words = [column for column in columns if frame[column].dtype == object]
    shown = listed([f"{column!r} (such as {str(frame[column].dropna().iloc[0])[:30]!r})" for column in words])
    if text == "drop" and words:
        columns = [column for column in columns if column not in words]
        if columns:
            messages.append(f"columns of text are left out: {shown}; text='onehot' makes columns of 0 and 1 of them")
    if not columns:
        beside = f", only text in {shown}" if words else ""
        raise DataError(f"{name} has no column of numbers beside {listed(roles.named()) or 'its text'}{beside}")
    return columns


def _read_label(frame: pandas.DataFrame, label: str, name: str, messages: list[str]) -> None:
    """Plain numbers and gaps in the label column: NA is a gap among numbers, and a class among words."""
    kinds = frame[label].dropna().drop_duplicates()
    gaps = kinds.str.lower().isin(GAPS)
    words = kinds[~gaps]
    numbers, kind = parse_numbers(words, f"{name}: the label {label!r}")
    plain = {}
    if kind:
        messages.append(f"the label {label!r} is read with {kind}, such as {words.iloc[0]!r}")
        plain = dict(zip(words, map(str, numbers)))
    if kind or (numbers.notna().all() and not words.str.lower().isin(["true", "false"]).any()):
        plain |= dict.fromkeys(kinds[gaps])
    if plain:
        frame[label] = frame[label].map(lambda text: plain.get(text, text)).astype(object)


def _rows_left_out(
    frame: pandas.DataFrame, roles: Roles, columns: list[str], missing: str, name: str, messages: list[str]
) -> np.ndarray:
    """True for rows without a label, a time or a group, and for those with gaps if `missing` is "drop", (N,)."""
    needed = frame[roles.named()]
    without = needed.isna().any(axis=1).to_numpy()
    if without.any() and missing != "drop":
        counts = ", ".join(f"{column!r} ({count})" for column, count in needed.isna().sum().items() if count)
        raise DataError(
            f"{name} has missing values in {counts}, which cannot be filled in; missing='drop' leaves those rows out"
        )
    out = without | rows_with_gaps(frame[columns], missing=missing, name=name)
    if out.any():
        messages.append(f"{out.sum()} of {len(out)} rows have gaps and are left out: {listed(np.flatnonzero(out))}")
    return out


def _times(values: pandas.Series, name: str) -> np.ndarray:
    """Times to sort by: numbers, or dates as ISO 8601 writes them."""
    import pandas

    numbers = pandas.to_numeric(values, errors="coerce")
    if numbers.notna().all():
        return numbers.to_numpy(np.float64)
    times = pandas.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
    if times.isna().any():
        raise DataError(
            f"{name}: the time {values.name!r} holds {values[times.isna()].iloc[0]!r}; expected numbers, or dates such as "
            "2024-03-31 or 2024-03-31 14:30"
        )
    return times.to_numpy()


def table_dataset(
    x: np.ndarray,
    y: np.ndarray | None,
    parts: tuple[np.ndarray, np.ndarray],
    *,
    name: str,
    feature_names: tuple[str, ...] | None,
    class_names: tuple[str, ...] | None,
    ids: np.ndarray | None = None,
    preprocessing: dict | None = None,
) -> Dataset:
    """A table (N, D) and its labels in two parts, given by their rows; `ids` are the rows' numbers by default."""
    train, test = parts
    rows = torch.from_numpy(as_float32(x, name, feature_names))
    ids = np.arange(len(rows)) if ids is None else ids
    if y is not None:
        y = torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32 if class_names is None else np.int64))
    return Dataset(
        name=name,
        x_train=rows[train],
        y_train=None if y is None else y[train],
        x_test=rows[test],
        y_test=None if y is None else y[test],
        value_range=None,
        feature_names=feature_names,
        class_names=class_names,
        ids_train=ids[train],
        ids_test=ids[test],
        preprocessing=preprocessing,
    )
