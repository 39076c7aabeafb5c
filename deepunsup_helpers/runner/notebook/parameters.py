"""The parameters of a notebook: read from its tagged cell, checked before a kernel starts."""

import ast
import io
import json
import operator
import os
import re
import tokenize
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import CommandError, nearest
from .files import Notebook, source_of, tags_of
from .syntax import parse_python

PATH_PREFIXES = ("folder:", "csv:", "npz:")
OPEN_CHOICE = re.compile(r"([a-z][a-z0-9]*:)[A-Z_.]+$")  # 'folder:PATH' stands for every value that starts so
ONE_OF = re.compile(r"(?:^|[;,.])\s*one of:\s*([^;]+)", flags=re.IGNORECASE)
COMPARE = {"above": operator.gt, "at least": operator.ge, "at most": operator.le, "below": operator.lt}
NUMBER = r"(-?\d[\d.]*(?:e-?\d+)?)"
BOUND = re.compile(rf"({'|'.join(COMPARE)}) {NUMBER}")
BETWEEN = re.compile(rf"between {NUMBER} and {NUMBER}")
DECLARED = {"a whole number": int, "a number": float}
SPOKEN = {"true": True, "false": False, "none": None, "null": None}
WORDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list such as [1, 2]",
    tuple: "a list such as [1, 2]", dict: 'a table such as {"a": 1}', None: "any literal",
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One line `name = default  # meaning; at least 1; one of: a, b` of the parameters cell."""

    name: str
    default: Any
    comment: str = ""  # the whole of it
    meaning: str = ""  # what is left of the comment without the rules
    choices: tuple | None = None  # allowed values, or items of a list; 'folder:PATH' stands for all that begin like it
    bounds: tuple[tuple[str, float], ...] = ()  # such as ("at least", 1), for a number or each item of a list
    declared: type | None = None  # where the default is None and the comment says "a whole number" or "a number"

    @property
    def type(self) -> type | None:
        """What a value must be; None where anything may be."""
        return self.declared if self.default is None else type(self.default)

    @property
    def kind(self) -> str:
        """What a value must be, in words."""
        return WORDS[self.type] + (" or None" if self.default is None and self.type else "")

    @property
    def item(self) -> "Parameter":
        """What an item of a list must be: of the type that the default's items share, where they do."""
        kinds = {type(item) for item in self.default}
        kind = float if kinds == {int, float} else kinds.pop() if len(kinds) == 1 else type(None)
        return Parameter(self.name, kind())


def read_parameters(notebook: Notebook) -> dict[str, Parameter]:
    """The parameters of a notebook, in order; a CommandError where two cells are tagged `parameters`, or one is wrong."""
    sources = [source_of(cell) for cell in notebook.code_cells if "parameters" in tags_of(cell)]
    if len(sources) > 1:
        raise CommandError(f"{notebook.name} has {len(sources)} cells tagged 'parameters'; expected one.")
    try:
        return parse_parameters("".join(sources))
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError, CommandError) as error:
        raise CommandError(f"the parameters cell of {notebook.name} cannot be read: {error}") from error


def parse_parameters(source: str) -> dict[str, Parameter]:
    """Parse the text of a parameters cell; a SyntaxError or ValueError where a line is not `name = literal`."""
    statements = parse_python(source).body
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT}
    found: dict[str, Parameter] = {}
    for statement in statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
            raise ValueError(f"line {statement.lineno} is not `name = literal`.")
        name = targets[0].id
        if name in found:
            raise ValueError(f"line {statement.lineno} assigns {name!r} again.")
        try:
            default = ast.literal_eval(value)
        except (ValueError, TypeError):
            default = value  # a piece of syntax
        if not is_plain(default):
            raise ValueError(
                f"line {statement.lineno}: the value of {name!r} is no literal: a number, text, list or table."
            )
        lines = range(statement.end_lineno, statement.lineno - 1, -1)
        found[name] = _parameter(name, default, next(filter(None, map(comments.get, lines)), ""))
    return found


def _parameter(name: str, default: Any, comment: str) -> Parameter:
    """Split a comment into meaning, bounds, type and choices."""
    meaning, bounds, declared = [], [], None
    for clause in map(str.strip, ONE_OF.sub("", comment).split(";")):
        rules = re.split(", | and ", BETWEEN.sub(r"at least \1 and at most \2", clause))
        limits = [BOUND.fullmatch(rule) for rule in rules if rule not in DECLARED]
        if None in limits:
            meaning.append(clause)
            continue
        bounds += [(limit[1], float(limit[2])) for limit in limits]
        declared = next((DECLARED[rule] for rule in rules if rule in DECLARED), declared)
    plain = Parameter(name, default, comment, "; ".join(filter(None, meaning)), None, tuple(bounds), declared)
    if not (listed := ONE_OF.search(comment)):
        return plain
    chosen = plain.item if isinstance(default, list | tuple) else plain
    choices = tuple(from_text(chosen, choice.strip(" '\"")) for choice in listed[1].rstrip(". ").split(","))
    return replace(plain, choices=choices)


def is_plain(value: Any) -> bool:
    """Whether JSON can hold it: finite numbers, texts, lists, tables."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        return True
    except (TypeError, ValueError, RecursionError):
        return False


def from_text(parameter: Parameter, text: str) -> Any:
    """The value that `-p name=text` means, of the default's type; a CommandError where the text is not of that type."""
    word = text.strip()
    if isinstance(parameter.default, str):
        return checked_type(parameter, text)
    if word.lower() in SPOKEN:
        return checked_type(parameter, SPOKEN[word.lower()])
    for read in (json.loads, lambda literal: ast.literal_eval(parse_python(literal, "eval"))):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return checked_type(parameter, read(word))
    return checked_type(parameter, text)


def checked_type(parameter: Parameter, value: Any) -> Any:
    """`value` as the default's type, a whole number as a number, a list as a tuple; else, or not finite: a CommandError."""
    kind = parameter.type
    if is_plain(value):
        if kind in (list, tuple) and isinstance(value, list | tuple):
            return kind(checked_type(parameter.item, item) for item in value)
        if kind in (None, type(value)) or (value is None and parameter.default is None):
            return value
        if kind is float and type(value) is int and abs(value) < 1e300:
            return float(value)
    raise CommandError(f"parameter {parameter.name!r}: expected {parameter.kind}, got {value!r:.80}.")


def check_choice(parameter: Parameter, value: Any) -> None:
    """Raise a CommandError when the value, or an item of a list, is outside the declared choices or bounds."""
    for item in value if isinstance(value, list | tuple) else [] if value is None else [value]:
        number = isinstance(item, int | float) and not isinstance(item, bool)
        if not all(number and COMPARE[word](item, limit) for word, limit in parameter.bounds):
            limits = " and ".join(f"{word} {limit:g}" for word, limit in parameter.bounds)
            raise CommandError(f"parameter {parameter.name!r}: expected {limits}, got {item!r:.80}.")
        if parameter.choices is not None:
            _check_listed(parameter, item)


def _check_listed(parameter: Parameter, value: Any) -> None:
    """Raise a CommandError when the value is none of the choices."""
    if any(value == choice and type(value) is type(choice) for choice in parameter.choices):
        return
    listed, text = list(map(str, parameter.choices)), value if isinstance(value, str) else ""
    openings = [match[1] for match in map(OPEN_CHOICE.match, listed) if match]
    if openings and text.startswith((*openings, *PATH_PREFIXES)):
        return
    hint = nearest(text, listed)
    if openings and is_path(text):
        kind = f"{Path(text).suffix.lower()[1:]}:"
        hint = f"; for your own data write -p {parameter.name}={kind if kind in openings else openings[0]}{text}"
    elif not hint.startswith("; did"):
        hint = "."
    raise CommandError(f"parameter {parameter.name!r}: expected one of {', '.join(listed)}, got {value!r:.80}{hint}")


def is_path(text: str) -> bool:
    """Whether a text looks like the path of a file or folder, or is one."""
    return text.startswith(("~", ".")) or "/" in text or "\\" in text or os.path.exists(text)


def absolute(value: Any, cwd: Path) -> Any:
    """A value that names a file (`folder:`, `csv:`, `npz:`) made absolute; a CommandError where there is no such file."""
    if not isinstance(value, str) or not value.startswith(PATH_PREFIXES):
        return value
    prefix, _, path = value.partition(":")
    full = (cwd / Path(path).expanduser()).resolve()
    kind, there = ("folder", full.is_dir()) if prefix == "folder" else ("file", full.is_file())
    if not there:
        reason = f"{full} is no {kind}" if full.exists() else f"there is no {kind} {full}"
        raise CommandError(f"{value}: {reason}.")
    return f"{prefix}:{full}"


def split_assignments(texts: Iterable[str]) -> dict[str, str]:
    """`-p name=value` texts as a table, of a repeated name the last; a CommandError where one has no `=` or no name."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            example = f"-p {text}=VALUE" if text.isidentifier() else "-p epochs=10"
            if is_path(text) and not equals:
                example = f"-p dataset=folder:{text} for a folder of your own images"
            raise CommandError(f"-p {text!r}: expected name=value in one word; write {example}.")
        pairs[name.strip()] = value
    return pairs


def chosen_values(notebook: Notebook, preset: str | None, assignments: dict[str, str], cwd: Path) -> dict[str, Any]:
    """The parameter values to inject: the preset's, overridden by `-p`, all checked; defaults are left out.

    Raises:
        CommandError: unknown preset or name, wrong type, a value outside the choices or bounds, a path that is not there.
    """
    parameters = read_parameters(notebook)
    if preset is not None and preset not in notebook.presets:
        raise CommandError(f"{notebook.name} has no preset {preset!r}{nearest(preset, notebook.presets)}")
    values: dict[str, Any] = {}
    for name, value in notebook.presets.get(preset, {}).items():
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
