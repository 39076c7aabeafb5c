"""How a notebook says its numbers: a table, a spread over seeds, the answer to a guess. Imports nothing heavy."""

import html
import math
import statistics
import sys
from collections.abc import Iterable, Mapping
from typing import Any


def spread(values: Iterable[float], *, digits: int = 3) -> str:
    """Mean and range over seeds in one text: `spread([12.9, 13.1, 13.6])` is "13.2 (12.9 to 13.6)".

    Args:
        values: at least one number; tensors of one element are numbers too.
        digits: significant digits.
    """
    values = [float(value) for value in values]
    low, mean, high = (number(v, digits) for v in (min(values), statistics.fmean(values), max(values)))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def number(value: Any, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent where it is read more easily; text as it is."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value) or not value:
        return str(value) if value else "0"
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size <= 9:
        return f"{value:.{digits - 1}e}"
    return f"{round(value, digits - 1 - size):,.{max(0, digits - 1 - size)}f}"


def show_table(rows: Iterable[Mapping] | Mapping[Any, Mapping], *, caption: str = "", digits: int = 3) -> None:
    """Show a small table: text in a terminal and in tests, HTML in a notebook and in reports.

        show_table({"PCA": {"error": 19.94, "numbers": 30}, "network": {"error": 21.4, "numbers": 30}})

    Args:
        rows: a list of {column: value}, or {name of the row: {column: value}}. A column that a row lacks is left blank.
        caption: written above.
        digits: significant digits of fractions; whole numbers are written whole, text as it is.
    Raises:
        ValueError: no rows.
    """
    if isinstance(rows, Mapping):
        rows = [{"": name, **row} for name, row in rows.items()]
    rows = list(rows)
    if not rows:
        raise ValueError("show_table was given no rows: write show_table([{column: value}]).")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[number(row.get(column), digits) for column in columns] for row in rows]
    numeric = [all(not isinstance(row.get(column), str) for row in rows) for column in columns]
    text = _as_text(list(map(str, columns)), cells, numeric, caption)
    if not _displayed({"text/plain": text, "text/html": _as_html(columns, cells, numeric, caption)}):
        print(text)


def _as_text(columns: list[str], cells: list[list[str]], numeric: list[bool], caption: str) -> str:
    widths = [max(map(len, column)) for column in zip(columns, *cells)]
    lines = [
        "  ".join(cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(row, widths, numeric)).rstrip()
        for row in (columns, *cells)
    ]
    return "\n".join([*filter(None, [caption]), *lines])


def _as_html(columns: list, cells: list[list[str]], numeric: list[bool], caption: str) -> str:
    def row(kind: str, texts: Iterable) -> str:
        sides = ("right" if right else "left" for right in numeric)
        inside = (f'<{kind} style="text-align: {s}">{html.escape(str(t))}</{kind}>' for s, t in zip(sides, texts))
        return f"<tr>{''.join(inside)}</tr>"

    title = f'<caption style="text-align: left">{html.escape(caption)}</caption>' if caption else ""
    body = "\n".join(row("td", texts) for texts in cells)
    return f"<table>{title}<thead>{row('th', columns)}</thead><tbody>\n{body}\n</tbody></table>"


def guessed(guess: Any) -> float | None:
    """A learner's guess as a number, however it was written; None for no guess, or for what is no number.

    `guessed("1,5")` is 1.5, `guessed("12 %")` is 12.0, `guessed("many")` is None.
    """
    if guess is None or isinstance(guess, bool):
        return None
    if isinstance(guess, str):
        guess = guess.strip().rstrip("%").strip().replace("\u2212", "-")
        guess = guess.replace(",", ".") if guess.count(",") == 1 and "." not in guess else guess.replace(",", "")
    try:
        value = float(guess)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return value if math.isfinite(value) else None


def answer(guess: Any, truth: float, unit: str = "", *, digits: int = 3) -> None:
    """Print what was guessed beside what is: "You guessed 12; it is 30 components."

    Args:
        guess: whatever the learner wrote: None, a number, a text. What is no number is said to be none.
        truth: what this run found.
        unit: written after the number.
        digits: significant digits of the truth.
    """
    value, end = guessed(guess), f"it is {number(truth, digits)}{' ' * bool(unit)}{unit}."
    if value is not None:
        print(f"You guessed {value:g}; {end}")
    elif guess is None:
        print(f"No guess this time; {end}")
    else:
        print(f"Your guess {str(guess)[:40]!r} is no number, so it is not drawn; {end}")


def _displayed(bundle: dict[str, Any]) -> bool:
    """Display a bundle of MIME types if a Jupyter kernel runs this; elsewhere nothing is shown."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "kernel"):
        return False
    from IPython.display import display

    display(bundle, raw=True)
    return True
