"""What `deepunsup sweep -p name=...` means: several values of a parameter, or a range to draw from."""

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CommandError, describe_os_error
from ..notebook.files import Notebook
from ..notebook.parameters import (
    Parameter,
    absolute,
    check_choice,
    checked_type,
    chosen_values,
    from_text,
    known,
    read_parameters,
)

WHOLE_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
SPAN = re.compile(rf"({NUMBER}):({NUMBER})(:log)?")
MOST_VALUES = 100_000  # of one parameter, and trials of one sweep: more is a slip of the pen
CLOSING = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True)
class Span:
    """A range to draw from, both ends included; whole numbers where the parameter is one."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, fraction: float) -> float:
        """The value at `fraction`, 0 to 1, of the way from low to high; in orders of magnitude with `log`."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        if self.log:
            low = max(low, 0.5) if self.whole else low
            return self.inside(math.exp(math.log(low) + fraction * (math.log(high) - math.log(low))))
        return self.inside(low + fraction * (high - low))

    def inside(self, value: float) -> float:
        """The value rounded, to a whole number or to the six digits that can be typed again, and within the range."""
        value = min(max(round(value) if self.whole else float(f"{value:.6g}"), self.low), self.high)
        return int(value) if self.whole else value


@dataclass(frozen=True)
class Axes:
    """What a sweep varies, checked: `fixed` parameters have one value each, `swept` several, `drawn` a range."""

    fixed: dict[str, Any]
    swept: dict[str, list]
    drawn: dict[str, Span]

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of the swept values, with the fixed ones; the last name varies fastest."""
        names = list(self.swept)
        return [self.fixed | dict(zip(names, values)) for values in itertools.product(*self.swept.values())]


def read_axes(notebook: Notebook, *, preset: str | None, requested: Mapping[str, Any], cwd: Path) -> Axes:
    """Check every value that a sweep would use.

    Args:
        preset: its values are fixed where `requested` does not name them.
        requested: parameter to text in the command line's grammar, to one value, or to an iterable of values.
    Raises:
        CommandError: unknown name, wrong type, a value outside the choices, a missing file, an empty range, too many trials.
    """
    parameters = read_parameters(notebook)
    axes = Axes(fixed=chosen_values(notebook, preset, {}, cwd), swept={}, drawn={})
    for name, value in requested.items():
        parameter = known(notebook, parameters, name)
        axis = from_words(parameter, value) if isinstance(value, str) else from_values(parameter, value)
        for value in [axis.low, axis.high] if isinstance(axis, Span) else axis:
            check_choice(parameter, value)
        axes.fixed.pop(name, None)
        if isinstance(axis, Span):
            axes.drawn[name] = axis
            continue
        values = [absolute(value, cwd) for value in axis]
        values = list({json.dumps(value): value for value in values}.values())  # each once; True is not 1
        if len(values) > 1:
            axes.swept[name] = values
        else:
            axes.fixed[name] = values[0]
    trials = math.prod(map(len, axes.swept.values()))
    if trials > MOST_VALUES:
        raise CommandError(f"{trials:,} combinations are more than {MOST_VALUES:,}: give fewer values, or draw with "
                           "--sample N.")  # fmt: skip
    if axes.fixed.get("checkpoint") and (trials > 1 or axes.drawn):
        raise CommandError("checkpoint: all runs of the sweep would go on from the same file; leave it out (a sweep that "
                           "is started again does not repeat its finished runs).")  # fmt: skip
    return axes


def from_words(parameter: Parameter, text: str) -> list | Span:
    """The values that `-p name=text` means.

    Commas separate values; `2..5` is 2, 3, 4, 5; brackets hold a JSON list, which is one value; a quoted text is
    taken as it is; `1e-4:1e-2` (and `:log`) is a range to draw from.
    """
    span = SPAN.fullmatch(text.strip())
    if span and not isinstance(parameter.default, str):
        return _span(parameter, *span.groups())
    values = []
    for item in split_commas(parameter, text):
        if whole := WHOLE_RANGE.fullmatch(item):
            values += _whole_range(parameter, int(whole[1]), int(whole[2]))
        else:
            values.append(from_text(parameter, item[1:-1] if item[:1] in "'\"" else item))
    return values


def split_commas(parameter: Parameter, text: str) -> list[str]:
    """The text's parts between the commas outside of quotes and brackets."""
    parts, start, awaited = [], 0, []
    for position, letter in enumerate(text):
        if awaited and letter == awaited[-1]:
            awaited.pop()
        elif awaited and awaited[-1] in "'\"":
            continue
        elif letter in CLOSING:
            awaited.append(CLOSING[letter])
        elif letter in "'\"" and not text[start:position].strip():  # a quote inside a word is a letter
            awaited.append(letter)
        elif letter == "," and not awaited:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    if awaited:
        raise refused(parameter, f"{text!r} has no closing {awaited[-1]}")
    if "" in parts and parts != [""]:
        raise refused(parameter, f"{text!r} has an empty value between its commas.")
    return parts


def refused(parameter: Parameter, why: str) -> CommandError:
    """The error that names the parameter."""
    return CommandError(f"parameter {parameter.name!r}: {why}")


def _whole_range(parameter: Parameter, first: int, last: int) -> list:
    """first..last as values of the parameter's type."""
    if isinstance(parameter.default, str):
        raise refused(parameter, f"a text is expected, and {first}..{last} is a range of whole numbers: put it in quotes to "
                                 "mean the text.")  # fmt: skip
    if last < first:
        raise refused(parameter, f"a range counts upwards, so write {last}..{first}.")
    if last - first >= MOST_VALUES:
        raise refused(parameter, f"{first}..{last} has more than {MOST_VALUES:,} values.")
    return [checked_type(parameter, value) for value in range(first, last + 1)]


def _span(parameter: Parameter, low: str, high: str, log: str | None) -> Span:
    """low:high or low:high:log as a range of the parameter's type."""
    first, last = from_text(parameter, low), from_text(parameter, high)
    if not isinstance(first, int | float) or isinstance(first, bool):
        raise refused(parameter, f"expected {parameter.kind}, got the range {low}:{high}.")
    if not first < last:
        raise refused(parameter, f"the range {low}:{high} is empty; write the smaller number first.")
    if math.isinf(last - first):
        raise refused(parameter, f"the range {low}:{high} is wider than numbers reach.")
    if log and first <= 0:
        raise refused(parameter, f"a range with :log starts above 0, not at {low}.")
    return Span(low=first, high=last, log=bool(log), whole=parameter.type is int)


def from_values(parameter: Parameter, value: Any) -> list:
    """The values of a YAML file or of Python: one value, or an iterable of them.

    A parameter that is itself a list takes a list of lists for several values.
    """
    if hasattr(value, "tolist"):  # NumPy's
        value = value.tolist()
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    values = list(value) if several else [value]
    if isinstance(parameter.default, list | tuple) and not all(isinstance(value, list | tuple) for value in values):
        values = [values]
    if not values:
        raise refused(parameter, "there are no values; expected at least one.")
    words = not isinstance(parameter.default, str)  # YAML takes 1e-4 for text
    return [from_text(parameter, value) if words and isinstance(value, str) else checked_type(parameter, value)
            for value in values]  # fmt: skip


def read_parameter_file(path: Path) -> dict[str, Any]:
    """The values in a YAML (or JSON) file: `name: text in the command line's grammar`, a value, or a list of values."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content, tree = yaml.safe_load(text), yaml.compose(text)
    except OSError as error:
        raise CommandError(f"cannot read the parameter file: {describe_os_error(error)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CommandError(f"{path}: expected a table, one parameter a line, such as `latent_dim: [2, 8, 32]`.")
    names = [key.value for key, _ in tree.value]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise CommandError(f"{path}: {twice!r} stands there twice; write several values as a list, [2, 8, 32].")
    return content
