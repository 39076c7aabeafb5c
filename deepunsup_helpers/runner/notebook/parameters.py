"""The parameters of a notebook: read from its tagged cell, checked before a kernel starts."""

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CommandError, nearest
from .files import Notebook, source_of, tags_of

PATH_PREFIXES = ("folder:", "csv:", "npz:")
ONE_OF = re.compile(r"(?:^|[;,.])\s*one of:\s*(.+)$", flags=re.IGNORECASE)
OPEN_CHOICE = re.compile(r"([a-z]+:)[A-Z_.]+$")  # 'folder:PATH' stands for every value that starts with 'folder:'


@dataclass(frozen=True)
class Parameter:
    """One line `name = default  # meaning; one of: a, b` of the parameters cell."""

    name: str
    default: Any
    meaning: str = ""
    choices: tuple | None = None

    @property
    def kind(self) -> str:
        """What a value must be, in words."""
        if self.default is None:
            return "any literal"
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        words |= {list: "a list such as [1, 2]", tuple: "a list such as [1, 2]", dict: 'a table such as {"a": 1}'}
        return words[type(self.default)]


def read_parameters(notebook: Notebook) -> dict[str, Parameter]:
    """The parameters of a notebook, by name, in order; empty when no cell is tagged `parameters`.

    Raises:
        CommandError: two cells are tagged, or a line is not `name = literal`.
    """
    cells = [cell for cell in notebook.cells if cell.get("cell_type") == "code" and "parameters" in tags_of(cell)]
    if len(cells) > 1:
        raise CommandError(f"{notebook.name} has {len(cells)} cells tagged 'parameters'; expected one.")
    if not cells:
        return {}
    try:
        return parse_parameters(source_of(cells[0]))
    except (SyntaxError, ValueError) as error:
        raise CommandError(f"the parameters cell of {notebook.name} cannot be read: {error}") from error


def parse_parameters(source: str) -> dict[str, Parameter]:
    """Parse the text of a parameters cell.

    Raises:
        SyntaxError, ValueError: a line is not `name = literal  # meaning`.
    """
    comments = {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for statement in ast.parse(source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
            raise ValueError(f"line {statement.lineno} is not `name = literal`.")
        name = targets[0].id
        if name in found:
            raise ValueError(f"line {statement.lineno} assigns {name!r} again.")
        try:
            default = ast.literal_eval(value)
        except ValueError as error:
            raise ValueError(f"line {statement.lineno}: the value of {name!r} is not a literal.") from error
        lines = range(statement.end_lineno, statement.lineno - 1, -1)
        comment = next((comments[line] for line in lines if line in comments), "")
        found[name] = _parameter(name, default, comment)
    return found


def _parameter(name: str, default: Any, comment: str) -> Parameter:
    """Split a comment into meaning and choices."""
    if not isinstance(default, bool | int | float | str | list | tuple | dict | None):
        raise ValueError(f"the default of {name!r} is a {type(default).__name__}; expected a plain literal.")
    match = ONE_OF.search(comment)
    if not match:
        return Parameter(name=name, default=default, meaning=comment)
    plain = Parameter(name=name, default=default, meaning=comment[: match.start()].strip())
    choices = tuple(from_text(plain, choice.strip().strip("'\"")) for choice in match[1].rstrip(".").split(","))
    return Parameter(name=name, default=default, meaning=plain.meaning, choices=choices)


def from_text(parameter: Parameter, text: str) -> Any:
    """The value that `-p name=text` means, of the default's type.

    Raises:
        CommandError: the text is not of that type.
    """
    default = parameter.default
    if isinstance(default, str):
        return text
    words = {"true": True, "false": False}
    if default is None:
        words |= {"none": None, "null": None}
        value = words[text.lower()] if text.lower() in words else _literal(text, otherwise=text)
    elif isinstance(default, bool):
        value = words.get(text.lower(), text)
    elif isinstance(default, int | float):
        value = _number(text, whole=isinstance(default, int))
    else:
        value = _literal(text, otherwise=text)
    return checked_type(parameter, value)


def _number(text: str, *, whole: bool) -> Any:
    """A number, or the text unchanged where it is none."""
    for kind in (int,) if whole else (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _literal(text: str, *, otherwise: Any) -> Any:
    """A JSON or Python literal, else `otherwise`."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)  # JSON's NaN and Infinity

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return otherwise


def checked_type(parameter: Parameter, value: Any) -> Any:
    """`value` as the default's type: a whole number does for a number, a list for a tuple; nothing else is bent.

    Raises:
        CommandError: wrong type, or a number that is not finite.
    """
    default = parameter.default
    wrong = CommandError(f"parameter {parameter.name!r}: expected {parameter.kind}, got {value!r}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong
    if default is None:
        return value
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, list | tuple):
        if not isinstance(value, list | tuple):
            raise wrong
        return type(default)(_checked_items(parameter, value))
    if type(value) is not type(default):
        raise wrong
    return value


def _checked_items(parameter: Parameter, values: Iterable) -> list:
    """Items of a list parameter; they have the type of the default's items where those agree."""
    kinds = {type(item) for item in parameter.default}
    if kinds == {int, float}:
        kinds = {float}
    if len(kinds) != 1:
        return list(values)
    item = Parameter(name=parameter.name, default=kinds.pop()())
    return [checked_type(item, value) for value in values]


def check_choice(parameter: Parameter, value: Any) -> None:
    """Raise a CommandError when the value is outside the declared choices."""
    if parameter.choices is None or any(value == choice for choice in parameter.choices):
        return
    if isinstance(value, str):
        openings = (OPEN_CHOICE.match(choice) for choice in parameter.choices if isinstance(choice, str))
        if value.startswith(PATH_PREFIXES) or any(value.startswith(match[1]) for match in openings if match):
            return
    shown = ", ".join(str(choice) for choice in parameter.choices)
    hint = nearest(value, map(str, parameter.choices)) if isinstance(value, str) else "."
    hint = hint if hint.startswith("; did") else "."
    raise CommandError(f"parameter {parameter.name!r}: expected one of {shown}, got {value!r}{hint}")


def absolute(value: Any, cwd: Path) -> Any:
    """A value that names a file (`folder:`, `csv:`, `npz:`) made absolute against the cwd's folder.

    Raises:
        CommandError: there is no such file or folder.
    """
    if not isinstance(value, str) or not value.startswith(PATH_PREFIXES):
        return value
    prefix, _, path = value.partition(":")
    full = (cwd / Path(path).expanduser()).resolve()
    if not full.exists():
        raise CommandError(f"{value}: there is no {'folder' if prefix == 'folder' else 'file'} {full}.")
    return f"{prefix}:{full}"


def split_assignments(texts: Iterable[str]) -> dict[str, str]:
    """`-p name=value` texts as a table; the last of a repeated name counts.

    Raises:
        CommandError: a text has no `=` or no name.
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise CommandError(f"-p {text!r}: expected name=value.")
        pairs[name.strip()] = value
    return pairs


def chosen_values(notebook: Notebook, preset: str | None, assignments: dict[str, str], cwd: Path) -> dict[str, Any]:
    """The parameter values to inject: the preset's, overridden by `-p`, all checked; defaults are left out.

    Raises:
        CommandError: unknown preset or name, wrong type, a value outside the choices, a path that is not there.
    """
    parameters = read_parameters(notebook)
    values: dict[str, Any] = {}
    if preset is not None:
        if preset not in notebook.presets:
            raise CommandError(f"{notebook.name} has no preset {preset!r}{nearest(preset, notebook.presets)}")
        for name, value in notebook.presets[preset].items():
            values[name] = checked_type(known(notebook, parameters, name, f"preset {preset!r}: "), value)
    for name, text in assignments.items():
        values[name] = from_text(known(notebook, parameters, name), text)
    for name, value in values.items():
        check_choice(parameters[name], value)
        values[name] = absolute(value, cwd)
    return values


def known(notebook: Notebook, parameters: dict[str, Parameter], name: str, where: str = "") -> Parameter:
    """The parameter of that name, or a CommandError that suggests the nearest."""
    if name not in parameters:
        raise CommandError(f"{where}{notebook.name} has no parameter {name!r}{nearest(name, parameters)}")
    return parameters[name]
