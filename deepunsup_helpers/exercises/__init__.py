"""Exercises that check themselves: a blank, a check of properties, a reference to go on with.

In a notebook the learner writes a function, and `mine = checked(mine, exercises.mine)` says whether it has the properties
that the idea asks for. A blank never stops the notebook: the reference takes its place, and one line says so. The last
cell, `exercises_passed(exercises)`, says how many of the notebook's exercises have passed.
"""

import functools
import os
import sys
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

WIDTH = 88  # characters of a line of feedback: a laptop's cell shows it whole
GREEN, ORANGE, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[0m"

_passed: dict[str, bool] = {}  # name of an exercise to what its last check in this process found


class Result(NamedTuple):
    """What a check found: `passed`, and one sentence that names the mistake or what was verified."""

    passed: bool
    message: str


class Exercise(NamedTuple):
    """A reference solution and the check of its properties. `check(mine)` may raise; `run_check` never does.

    A right answer may return a NumPy number, a 0-d tensor, an array: `result`, for example `float`, makes of it what the
    cells that follow compute with.
    """

    name: str
    reference: Callable
    check: Callable[[Callable], Result]
    result: Callable | None = None


def run_check(mine: Callable, exercise: Exercise) -> Result:
    """The result of the exercise's check on `mine`; an exception in the learner's code is a result too, not a traceback.

    The global random generators are left as they were.
    """
    from deepunsup_helpers.exercises import errors, toolkit  # loads torch

    with toolkit.generators_kept():
        try:
            return exercise.check(mine)
        except toolkit.Wrong as wrong:
            return Result(False, str(wrong))
        except Exception as error:  # the learner's code may do anything
            return Result(False, "not written yet" if errors.is_blank(error) else errors.told(error, mine))


def checked(mine: Callable, exercise: Exercise) -> Callable:
    """`mine` if it passes the exercise's check, the reference otherwise; prints which, and why.

    `baseline_loss = checked(baseline_loss, exercises.baseline_loss)`

    Raises:
        AssertionError: under nbgrader, which grades by errors, where the check is not passed.
    """
    result = run_check(mine, exercise)
    _passed[exercise.name] = result.passed
    if result.passed:
        _say(f"✓ {exercise.name}: passed. {result.message}", GREEN)
        return mine if exercise.result is None else _with_result(mine, exercise.result)
    _say(f"✗ {exercise.name}: not yet. {result.message[0].upper() + result.message[1:].rstrip('.')}.", ORANGE)
    if os.environ.get("NBGRADER_EXECUTION"):
        sys.modules["IPython"].get_ipython().user_ns[exercise.name] = exercise.reference  # for the cells that follow
        raise AssertionError(f"{exercise.name}: {result.message}")
    print("  The notebook goes on with the reference solution.")
    return exercise.reference


def _with_result(mine: Callable, result: Callable) -> Callable:
    @functools.wraps(mine)
    def as_the_notebook_expects(*given, **options):
        return result(mine(*given, **options))

    return as_the_notebook_expects


def exercises_passed(exercises: ModuleType) -> None:
    """Print how many exercises of a module have passed in this process, and which are still to do.

    `exercises_passed(exercises)` prints "2 of 3 exercises passed. Not yet: whiten."
    """
    names = [thing.name for thing in vars(exercises).values() if isinstance(thing, Exercise)]
    waiting = [name for name in names if not _passed.get(name)]
    to_do = f" Not yet: {', '.join(waiting)}." if waiting else ""
    _say(f"{len(names) - len(waiting)} of {len(names)} exercises passed.{to_do}", ORANGE if waiting else GREEN)


def _say(text: str, colour: str) -> None:
    """Print, wrapped at words; in a notebook in colour."""
    lines = textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    ipython = sys.modules.get("IPython")  # a running kernel has loaded it
    in_notebook = ipython is not None and ipython.get_ipython() is not None
    print(f"{colour}{lines}{PLAIN}" if in_notebook else lines)
