"""A notebook's parameters and presets as text."""

from .files import Notebook
from .parameters import read_parameters


def parameter_lines(notebook: Notebook) -> list[str]:
    """Name, default, and comment (meaning, bounds, choices) of each parameter, then the presets."""
    rows = [(name, repr(parameter.default), parameter.comment) for name, parameter in read_parameters(notebook).items()]
    presets = [
        (preset, ", ".join(f"{name}={value!r}" for name, value in values.items()) or "the defaults")
        for preset, values in notebook.presets.items()
    ]
    lines = [f"{notebook.name}: {notebook.title}", "", *(columns(rows) or ["no parameters"])]
    return lines + (["", "presets:", *columns(presets)] if rows and presets else [])


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines in which each column but the last is as wide as its longest text."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
