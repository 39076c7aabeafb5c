"""Exercises that check themselves: a blank, a check of properties, a reference to go on with.

In a notebook the learner writes a function, and `mine = checked(mine, exercises.mine)` says whether it has the properties
that the idea asks for. A blank never stops the notebook: the reference takes its place, and one line says so.
"""

from collections.abc import Callable
from typing import NamedTuple


class Result(NamedTuple):
    """What a check found: `passed`, and one sentence that names the mistake or what was verified."""

    passed: bool
    message: str


class Exercise(NamedTuple):
    """A reference solution and the check of its properties. `check(mine)` may raise; `run_check` never does."""

    name: str
    reference: Callable
    check: Callable[[Callable], Result]


def run_check(mine: Callable, exercise: Exercise) -> Result:
    """The result of the exercise's check on `mine`; an exception in the learner's code is a result too, not a traceback."""
    try:
        return exercise.check(mine)
    except NotImplementedError:
        return Result(False, "not written yet")
    except Exception as error:  # the learner's code may do anything
        reason = str(error).strip().splitlines()
        return Result(False, f"it raised {type(error).__name__}" + (f": {reason[0]}" if reason else ""))


def checked(mine: Callable, exercise: Exercise) -> Callable:
    """`mine` if it passes the exercise's check, the reference otherwise; prints which, and why."""
    result = run_check(mine, exercise)
    if result.passed:
        print(f"{exercise.name}: passed. {result.message}")
        return mine
    print(
        f"{exercise.name}: not yet. {result.message[0].upper() + result.message[1:].rstrip('.')}.\n"
        "The notebook goes on with the reference solution."
    )
    return exercise.reference
