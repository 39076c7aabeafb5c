"""Labels: classes or measurements, and never the one taken for the other."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from deepunsup_helpers.data.csv_files import is_number
from deepunsup_helpers.data.dataset import DataError, plain_text, require_finite
from deepunsup_helpers.data.image_files import natural

LABEL_TYPES = ("classes", "numbers")
FEW = 4  # rows in which no two have the same label by chance
MANY = 20  # different whole numbers or texts, from which on it is asked whether they are classes


def encode_labels(
    values: np.ndarray, what: str, *, label_type: str | None = None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Labels as codes 0..K-1 with their K names in sorted order, or measurements as they are, with None.

    Text becomes classes, fractions stay measurements, whole numbers become classes unless there are so many that they
    look like prices or counts: then the user must say which they are.

    Args:
        values: (N,), numbers, text or bytes.
        what: the labels' name in messages, "csv:t.csv: the label 'price'".
        label_type: "classes", "numbers" (measurements), or None: as above.
    Raises:
        DataError: NaN or infinity, text where numbers are asked for, too many classes to be sure.
    """
    if values.dtype.kind not in "biuf":
        given = values.tolist()
        texts = {value: plain_text(_decoded(value)).strip() for value in dict.fromkeys(given)}
        numbers = {value: float(text) for value, text in texts.items() if _is_plain_number(text)}
        if len(numbers) < len(texts):
            if label_type == "numbers":
                text = next(text for value, text in texts.items() if value not in numbers)
                raise DataError(f"{what} holds text, such as {text!r}; label_type='numbers' needs numbers")
            return _classes(np.array([texts[value] for value in given], object), what, label_type)
        values = np.array([numbers[value] for value in given])
    require_finite(values, what)
    whole = (values == np.round(values)).all()
    if label_type == "numbers" or (label_type is None and not whole):
        return values.astype(np.float64), None
    if values.dtype.kind == "f" and whole:
        values = values.astype(np.int64)
    return _classes(values, what, label_type)


def _classes(values: np.ndarray, what: str, label_type: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if values.dtype == object:
        kinds = sorted(sorted(set(values)), key=natural)
        codes = {kind: code for code, kind in enumerate(kinds)}
        encoded = np.array([codes[value] for value in values], np.int64)
        spread = 0
    else:
        kinds, encoded = np.unique(values, return_inverse=True)
        spread = float(kinds[-1]) - float(kinds[0]) + 1
    n, k = len(values), len(kinds)
    scattered = spread > 4 * k and n < 50 * k  # codes of classes lie close together
    if label_type is None and (n == k > FEW or (k > MANY and (n < 3 * k or scattered))):
        kind = "texts" if values.dtype == object else "whole numbers"
        ways = "label_type='classes'" + ("" if kind == "texts" else " or label_type='numbers' (a measurement)")
        raise DataError(
            f"{what} holds {k} different {kind} in {n} rows, such as {str(kinds[0])!r}: hardly classes; "
            f"say what they are with {ways}"
        )
    return encoded.reshape(-1), tuple(map(str, kinds))


def _decoded(value) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")  # in which every byte is a letter


def _is_plain_number(text: str) -> bool:
    """Whether a text is a number and nothing else: "007" is a name."""
    return is_number(text) and not (len(text.lstrip("+-")) > 1 and text.lstrip("+-")[0] == "0" and "." not in text)


def nearest(word: str, known: Sequence[str]) -> str:
    """'did you mean X?' for the nearest known word, or a list of the known ones."""
    lower = {str(other).lower(): str(other) for other in known}
    close = difflib.get_close_matches(str(word).lower(), list(lower), n=1, cutoff=0.5)
    names = f"known: {', '.join(map(str, known[:20]))}" + (", ..." if len(known) > 20 else "")
    return f"did you mean {lower[close[0]]!r}? ({names})" if close else names
