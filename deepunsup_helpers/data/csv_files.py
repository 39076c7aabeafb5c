"""A CSV file as columns of numbers or text: separator, header, comments, gaps, decimal commas."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepunsup_helpers.data.dataset import DataError, listed, plain_text

if TYPE_CHECKING:
    import pandas

SEPARATORS = ",;\t|"
GAPS = ("na", "n/a", "nan", "null", "none", "#n/a", "#n/v")  # in columns of numbers, in any case; empty in all columns
LOOKED_AT = 30  # records that show which separator it is
BEGINNING = 1 << 20  # characters in which they are looked for
PLAIN = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
POINT_THOUSANDS = r"[+-]?\d{1,3}(\.\d{3})+"  # 1.234.567
COMMA_THOUSANDS = r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?"  # 1,234,567.8
COMMA_DECIMAL = rf"([+-]?\d*,\d+(e[+-]?\d+)?|[+-]?\d+|{POINT_THOUSANDS}(,\d*)?)"


class CsvFile(NamedTuple):
    """A file's text from its header on (from its first row, where the header was a comment), and how to read it."""

    name: str  # csv:PATH
    text: str
    separator: str
    columns: tuple[str, ...]  # "" where the header has no name
    has_header: bool


def open_csv(path: Path, name: str) -> CsvFile:
    """Find separator and column names; comment lines (#) and a first line `sep=;` are passed over.

    Raises:
        DataError: no such file, not UTF-8 (or UTF-16 with its mark), no header, a name twice.
    """
    if not path.is_file():
        raise DataError(f"{name}: there is no such file (looked for {path.resolve()}); give its path, csv:PATH")
    content = path.read_bytes()
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{name} is not a text file in UTF-8; save it as CSV UTF-8") from None
    told = re.match(r'"?sep=(.)"?[^\S\n]*\r?\n', text, re.IGNORECASE)
    if told:
        text = text[told.end() :]
    comments = re.match(r"(?:[^\S\n]*(?:#[^\n]*)?\n)*", text).group()
    body = text[len(comments) :]
    separator = told.group(1) if told else _separator(body[:BEGINNING])
    first = next(_records(body[:BEGINNING], separator), [])
    last_comment = next((line for line in reversed(comments.splitlines()) if line.strip()), "")
    commented = next(_records(last_comment.strip(), separator), [])
    has_header = not (len(commented) == len(first) > 1 and any(map(is_number, first)))
    names = first if has_header else [commented[0].lstrip("#").strip() or "#", *commented[1:]]
    columns = tuple(" ".join(plain_text(column).split()) for column in names)
    twice = [column for column, count in Counter(columns).items() if count > 1 and column]
    if twice:
        raise DataError(
            f"{name} has more than one column named {listed([repr(column) for column in twice])}; rename all but one"
        )
    if columns and all(map(is_number, columns)):
        raise DataError(f"{name} begins with numbers ({','.join(first)[:40]}); {_EXPECTED}")
    skipped = "\n" * (comments.count("\n") + (told is not None))  # so that line numbers in errors are the file's
    return CsvFile(name, skipped + _without_comments(body, separator, len(columns)), separator, columns, has_header)


_EXPECTED = "expected a line of column names, then rows of numbers, separated by commas, semicolons or tabs"


def _records(text: str, separator: str):
    """The file's records that are not blank."""
    with_breaks = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        yield from (record for record in with_breaks if record)
    except csv.Error:  # a field of more than 128 kB, for instance
        return


def _separator(text: str) -> str:
    """The one that cuts most of the first records into as many pieces as the header, and into the most."""

    def score(separator: str) -> tuple[int, int]:
        sizes = [len(record) for record in islice(_records(text, separator), LOOKED_AT)]
        return (sum(size == sizes[0] for size in sizes), sizes[0]) if sizes and sizes[0] > 1 else (0, 0)

    return max(SEPARATORS, key=score)


def _without_comments(text: str, separator: str, columns: int) -> str:
    """The text without lines that begin with # and have not as many values as a row."""
    if "\n#" not in text:
        return text
    kept, inside_quotes = [], False
    for line in text.splitlines(keepends=True):
        is_row = inside_quotes or not line.startswith("#") or len(next(_records(line, separator), [])) == columns
        if is_row:
            inside_quotes ^= line.count('"') % 2 == 1
        kept.append(line if is_row else "\n")
    return "".join(kept)


def read_columns(
    file: CsvFile, *, left_out: Collection[str] = (), as_text: Collection[str] = ()
) -> tuple[pandas.DataFrame, list[str]]:
    """The columns as float64 with NaN for gaps, or as text with None for gaps; and what is worth saying.

    Gaps are empty cells; in columns of numbers also NA, N/A, NaN, null, None. Numbers may have decimal commas (1,5) or
    separated thousands (1,234,567) where that can be told for sure.

    Args:
        left_out: columns not to look at. as_text: columns to keep as text, "007" and "NA" included.
    Raises:
        DataError: no rows, rows longer than the header, a column of numbers with other entries among them.
    """
    import pandas

    unnamed = {f"column {i + 1}": i for i, column in enumerate(file.columns) if not column}
    names = [column or f"column {i + 1}" for i, column in enumerate(file.columns)]
    frame = _parse(file, names, as_text)
    messages = _drop_unnamed(frame, list(unnamed), file.name)
    frame = frame.drop(columns=list(left_out), errors="ignore")
    with_commas, columns = [], {}
    for column in frame.columns:
        values = frame[column]
        if column in as_text:
            columns[column] = values.map(str.strip, na_action="ignore").astype(object).where(values.notna(), None)
        elif values.dtype.kind in "biuf":
            columns[column] = values.astype(np.float64)
        else:
            columns[column], kind = _numbers_or_text(values, f"{file.name}: column {column!r}")
            if kind == "decimal commas":
                with_commas.append(column)
            if kind:
                messages.append(f"column {column!r} is read with {kind}, such as {values.dropna().iloc[0]!r}")
    if with_commas:
        _refuse_points(file, names, [c for c in columns if c not in with_commas], with_commas[0])
    return pandas.DataFrame(columns), messages


def _parse(file: CsvFile, names: list[str], as_text: Collection[str] | None) -> pandas.DataFrame:
    """The table as pandas reads it; `as_text` None reads all as text."""
    import pandas

    too_long = f"{file.name} has rows with more values than there are column names; {_EXPECTED}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            frame = pandas.read_csv(
                io.StringIO(file.text, newline=""),
                sep=file.separator,
                header=0 if file.has_header else None,
                names=names,
                index_col=False,  # or the first values of rows that are too long become the rows' names
                dtype=str if as_text is None else {column: str for column in as_text},
                keep_default_na=False,  # or a class named NA is a gap
                na_values=[""],
                skipinitialspace=True,
                low_memory=False,
            )
    except pandas.errors.ParserWarning:
        raise DataError(too_long) from None
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, ValueError, OverflowError) as error:
        why = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise DataError(
            f"{file.name} cannot be read as a table ({why}); expected a line of column names, "
            "then rows with as many values"
        ) from None
    if frame.empty:
        raise DataError(f"{file.name} has no rows; {_EXPECTED}")
    if len(names) == 1 and as_text is not None and names[0] not in as_text and frame.dtypes.iloc[0].kind not in "biuf":
        raise DataError(f"{file.name} has the single column {names[0]!r}, of text; {_EXPECTED}")
    return frame


def _drop_unnamed(frame: pandas.DataFrame, unnamed: Sequence[str], name: str) -> list[str]:
    """Drops columns without a name that are empty or count the rows; what to say about it."""
    messages = []
    for column in unnamed:
        values = frame.pop(column)
        if values.isna().all():
            continue
        if not any(values.map(str).tolist() == [str(i + start) for i in range(len(values))] for start in (0, 1)):
            raise DataError(f"{name}: {column} has no name in the header; give it one")
        messages.append(f"{column}, which has no name and counts the rows, is left out")
    return messages


def parse_numbers(texts: pandas.Series, where: str) -> tuple[pandas.Series, str | None]:
    """Texts as numbers, NaN for what is none, and how they are written if not plainly.

    Raises:
        DataError: 1,234 could be read in two ways.
    """
    import pandas

    lower = texts.str.lower().str.replace("\u2212", "-")  # the typographer's minus
    if len(texts) and lower.isin(["true", "false"]).all():
        return (lower == "true").astype(float), None
    numbers = pandas.to_numeric(lower, errors="coerce").astype(np.float64)
    if numbers.notna().all():
        return numbers, None
    decimal = lower.str.fullmatch(COMMA_DECIMAL).all()
    thousands = lower.str.fullmatch(f"({COMMA_THOUSANDS}|{PLAIN})").all()
    if decimal and thousands:
        example = texts[numbers.isna()].iloc[0]
        raise DataError(f"{where} holds {example!r}: decimal commas or separated thousands? Write plain numbers, 1.5")
    if decimal:
        plain = lower.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        return pandas.to_numeric(plain).astype(np.float64), "decimal commas"
    if thousands:
        return pandas.to_numeric(lower.str.replace(",", "", regex=False)).astype(np.float64), "separated thousands"
    return numbers, None


def _numbers_or_text(values: pandas.Series, where: str) -> tuple[pandas.Series, str | None]:
    """A column of text as float64 where all its entries are numbers, and how they are written if not plainly."""
    import pandas

    codes, kinds = pandas.factorize(values)  # a text is looked at once; a gap has the code -1
    texts = pandas.Series(list(map(str, kinds)), dtype=object).str.strip()
    parsed, kind = parse_numbers(texts[~texts.str.lower().isin(["", *GAPS])], where)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    bad = parsed.index[parsed.isna()]
    if not len(bad):
        numbers = np.append(parsed.reindex(texts.index), np.nan)  # the last one is for gaps
        return pandas.Series(numbers[codes], values.index), kind
    if 2 * counts[bad].sum() > counts[parsed.index].sum():
        words = np.append(texts.to_numpy(object), None)
        return pandas.Series(words[codes], values.index, dtype=object), None
    raise DataError(
        f"{where} holds numbers, but also {listed([repr(text) for text in texts[bad[:5]]])} "
        f"({counts[bad].sum()} of {counts[parsed.index].sum()}); gaps are empty cells or NaN: write them so, "
        "or leave the column out with ignore="
    )


def _refuse_points(file: CsvFile, names: list[str], others: Sequence[str], with_commas: str) -> None:
    """Raises DataError where one column has decimal commas and another numbers with points."""
    frame = _parse(file, names, None)
    for column in others:
        texts = frame[column].dropna().str.strip()
        pointed = texts[texts.str.fullmatch(PLAIN) & texts.str.contains(".", regex=False)]
        if len(pointed):
            raise DataError(
                f"{file.name}: column {with_commas!r} has decimal commas, but column {column!r} has points, such as "
                f"{pointed.iloc[0]!r}; write all numbers with decimal points and without separated thousands"
            )


def is_number(text) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
