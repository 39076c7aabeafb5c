"""Columns as features: gaps, text as one-hot columns, float32; fitted on the training part, repeated on new tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepunsup_helpers.data.dataset import DataError, listed, warn

if TYPE_CHECKING:
    import pandas

MISSING = ("error", "drop", "median")
MOST_KINDS = 100  # texts of a column that one-hot columns may stand for


def fit_features(frame: pandas.DataFrame, *, missing: str, name: str) -> dict:
    """What turns columns into features, from the training rows: a dict that JSON holds.

    Args:
        frame: the columns to use, float64 with NaN or text with None for gaps.
        missing: "median" fills gaps with the median of these rows; a gap in a column of text is of no kind then.
    Raises:
        DataError: a column of text with more than a hundred kinds, or a column of gaps alone.
    """
    text = [column for column in frame.columns if frame[column].dtype == object]
    categories = {column: sorted(frame[column].dropna().unique()) for column in text}
    for column, kinds in categories.items():
        if len(kinds) > MOST_KINDS:
            raise DataError(
                f"{name}: column {column!r} holds {len(kinds)} different texts, too many for text='onehot'; "
                f"leave it out with ignore={[column]!r}"
            )
    medians = {}
    if missing == "median":
        medians = {column: float(frame[column].median()) for column in frame.columns if column not in categories}
        empty = [repr(column) for column, median in medians.items() if not np.isfinite(median)]
        if empty:
            raise DataError(
                f"{name}: there is nothing to take a median of in {listed(empty)}; leave it out with ignore="
            )
    columns = list(map(str, frame.columns))
    return {"kind": "table", "columns": columns, "categories": categories, "medians": medians, "missing": missing}


def feature_names(fitted: dict) -> tuple[str, ...] | None:
    """The names of the features, "colour=red" for a one-hot column."""
    if fitted["columns"] is None:
        return None
    kinds = fitted.get("categories", {})
    return tuple(
        name
        for column in fitted["columns"]
        for name in ([f"{column}={kind}" for kind in kinds[column]] if column in kinds else [column])
    )


def rows_with_gaps(frame: pandas.DataFrame, *, missing: str, name: str) -> np.ndarray:
    """True for the rows to be left out, (N,): all that have a gap if `missing` is "drop".

    Raises:
        DataError: there are gaps, and `missing` is "error".
    """
    gaps = frame.isna().sum()
    if missing == "error" and gaps.any():
        columns = [f"{column!r} ({count})" for column, count in gaps[gaps > 0].items()]
        raise DataError(
            f"{name} has missing values in {listed(columns)}; choose missing='drop' (those rows are left out) or "
            "missing='median' (of the training part), leave the columns out with ignore=, or fill the gaps in"
        )
    return frame.isna().any(axis=1).to_numpy() if missing == "drop" else np.zeros(len(frame), bool)


def to_features(frame: pandas.DataFrame, fitted: dict, *, name: str) -> np.ndarray:
    """The features, float32 (N, D); texts that were not met in training are of no kind, and told.

    Raises:
        DataError: infinity, or numbers that float32 cannot hold.
    """
    pieces, unknown = [np.empty((len(frame), 0))], []
    for column in fitted["columns"]:
        values = frame[column]
        if column in fitted.get("categories", {}):
            kinds = fitted["categories"][column]
            unknown += [f"{column}={text}" for text in values.dropna().unique() if text not in kinds]
            pieces.append(np.stack([(values == kind).to_numpy(float) for kind in kinds], 1))
            continue
        numbers = values.to_numpy(np.float64)
        if column in fitted.get("medians", {}):
            numbers = np.where(np.isnan(numbers), fitted["medians"][column], numbers)
        pieces.append(numbers[:, None])
    if unknown:
        warn(f"{name}: not met in the training part, so of no kind: {listed(unknown)}")
    return as_float32(np.concatenate(pieces, 1), name, feature_names(fitted))


def as_float32(x: np.ndarray, name: str, columns: tuple[str, ...] | None) -> np.ndarray:
    """A table (N, D) as float32.

    Raises:
        DataError: NaN, infinity, numbers beyond float32's range, or so far from zero that float32's seven digits cannot
            tell them apart.
    """
    with np.errstate(over="ignore"):  # told below
        rows = np.ascontiguousarray(x, dtype=np.float32)
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        where = "" if columns is None else f", column {columns[column]!r}"
        raise DataError(
            f"{name} holds NaN, infinity or a number too large for float32 in {(~np.isfinite(rows)).sum()} place(s), "
            f"first in example {row}{where}; replace such values before loading"
        )
    if x.dtype.kind in "iu" or x.dtype == np.float64:
        _check_digits(x, rows, name, columns)
    return rows


def _check_digits(x: np.ndarray, rows: np.ndarray, name: str, columns: tuple[str, ...] | None) -> None:
    """Raises DataError for columns so far from zero that float32 cannot tell their numbers apart; warns of whole ones."""
    refused, rounded = [], []
    for column in np.flatnonzero(np.abs(rows).max(0, initial=0) >= 2**24):
        kinds = np.unique(x[:, column])
        merged = np.flatnonzero(np.diff(kinds.astype(np.float32)) == 0)
        if not len(merged):
            continue
        pair = " and ".join(f"{kind:.15g}" for kind in kinds[merged[0] : merged[0] + 2])
        told = f"{(columns[column] if columns else int(column))!r} ({pair} become one)"
        if np.spacing(np.abs(rows[:, column]).max()) > 1e-3 * kinds.std():
            refused.append(told)
        elif (kinds == np.round(kinds)).all():
            rounded.append(told)
    if refused:
        raise DataError(
            f"{name}: float32, with its seven digits, cannot tell apart the numbers in column {listed(refused)}; "
            "if they identify rows, name the column with id=; if they are times, with time=; else leave it out with "
            "ignore=, or subtract a fixed number from it in the file"
        )
    if rounded:
        warn(f"{name}: float32 keeps seven digits, so some whole numbers fall together in column {listed(rounded)}")
