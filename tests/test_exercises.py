"""The mechanism of the exercises: a check never raises, a blank never stops the notebook."""

import importlib
import pkgutil

import pytest

from deepunsup_helpers import exercises, record
from deepunsup_helpers.exercises import Exercise, Result, checked, run_check

ALL = [
    (module.name, name, thing)
    for module in pkgutil.iter_modules(exercises.__path__)
    for name, thing in vars(importlib.import_module(f"{exercises.__name__}.{module.name}")).items()
    if isinstance(thing, Exercise)
]


def check_double(mine):
    return Result(True, "doubles") if mine(3) == 6 else Result(False, "this does not double")


double = Exercise("double", lambda x: 2 * x, check_double)


def raises(error):
    def mine(x):
        raise error

    return mine


def test_a_right_answer_is_used(capsys):
    mine = lambda x: x + x
    assert checked(mine, double) is mine
    assert "double: passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "mine, words",
    [
        (lambda x: x, "does not double"),
        (raises(NotImplementedError("replace this line")), "Not written yet"),
        (raises(ValueError("bad\nnews")), "ValueError: bad"),
        (lambda: None, "TypeError"),
        (None, "TypeError"),
    ],
)
def test_a_wrong_one_is_named_and_the_reference_goes_on(mine, words, capsys):
    assert checked(mine, double) is double.reference
    out = capsys.readouterr().out
    assert words in out and "reference" in out and "Traceback" not in out
    assert not run_check(mine, double).passed


def test_every_notebook_has_exercises_here():
    assert len(ALL) >= 21


@pytest.mark.parametrize(
    "exercise", [exercise for _, _, exercise in ALL], ids=[f"{module}-{name}" for module, name, _ in ALL]
)
def test_a_blank_is_called_a_blank_in_every_exercise(exercise):
    def blank(*args, **kwargs):
        raise NotImplementedError("replace this line with your answer")

    assert run_check(blank, exercise) == Result(False, "not written yet")


@pytest.mark.parametrize(
    "value, message",
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        ("a", "one number"),
        ([1], "one number"),
    ],
)
def test_record_takes_finite_numbers_only(value, message):
    with pytest.raises(ValueError, match=rf"record\(loss=...\).*{message}"):
        record(loss=value)
    with pytest.raises(ValueError, match="no metric"):
        record()
