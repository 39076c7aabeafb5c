"""A notebook's parameters and presets as text."""

from .files import Notebook
from .parameters import read_parameters


def parameter_lines(notebook: Notebook) -> list[str]:
    """Name, default, and comment (meaning, bounds, choices) of each parameter, then the presets."""
    parameters = read_parameters(notebook)
    rows = [(name, repr(parameter.default), parameter.comment) for name, parameter in parameters.items()]
    lines = [f"{notebook.name}: {notebook.title}", "", *(columns(rows) if rows else ["no parameters"])]
    if rows and notebook.presets:
        presets = [
            (preset, ", ".join(f"{name}={value!r}" for name, value in values.items()) or "the defaults")
            for preset, values in notebook.presets.items()
        ]
        lines += ["", "presets:", *columns(presets)]
    return lines


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines in which each column but the last is as wide as its longest text."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
