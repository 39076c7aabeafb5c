"""Every exercise: right answers pass, wrong ones fail with a sentence that names the mistake; a blank never stops a notebook."""

import importlib
import math
import pkgutil
import random
import sys

import numpy as np
import pytest
import torch

from deepunsup_helpers import exercises
from deepunsup_helpers.exercises import Exercise, Result, checked, exercises_passed, run_check

MODULES = {
    module.name: importlib.import_module(f"{exercises.__name__}.{module.name}")
    for module in pkgutil.iter_modules(exercises.__path__)
    if module.name not in ("toolkit", "errors", "judge", "smallest_game")
}
ALL = [
    (module, thing)
    for module, found in MODULES.items()
    for thing in vars(found).values()
    if isinstance(thing, Exercise)
]
ANSWERS = {module: importlib.import_module(f"answers.{module}") for module in MODULES}
every_exercise = pytest.mark.parametrize("module, exercise", ALL, ids=[f"{m}-{e.name}" for m, e in ALL])
pytestmark = pytest.mark.filterwarnings("ignore")  # wrong answers divide by zero


def cases(kind):
    return [
        pytest.param(exercise, answer, id=f"{exercise.name}: {name}")
        for module, exercise in ALL
        for name, answer in getattr(ANSWERS[module], kind)[exercise.name].items()
    ]


@every_exercise
def test_there_are_enough_answers(module, exercise):
    assert len(ANSWERS[module].RIGHT[exercise.name]) >= 5 and len(ANSWERS[module].WRONG[exercise.name]) >= 8


@every_exercise
def test_the_reference_passes_and_leaves_the_global_generators_alone(module, exercise):
    before = torch.get_rng_state(), np.random.get_state()[2], random.getstate()
    result = run_check(exercise.reference, exercise)
    assert result.passed and result.message, result.message
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[2], random.getstate())


@pytest.mark.parametrize("exercise, mine", cases("RIGHT"))
def test_a_right_answer_passes(exercise, mine):
    result = run_check(mine, exercise)
    assert result.passed, result.message


@pytest.mark.parametrize("exercise, wrong", cases("WRONG"))
def test_a_wrong_answer_is_named(exercise, wrong):
    mine, words = wrong
    result = run_check(mine, exercise)
    assert not result.passed
    assert words in result.message, result.message
    for torchs in ("did not match", "Expected", "found dtype"):
        assert torchs not in result.message, f"in torch's words: {result.message}"


@every_exercise
def test_a_blank_is_called_a_blank(module, exercise):
    def blank(*args, **kwargs):
        raise NotImplementedError("replace this line with your answer")

    assert run_check(blank, exercise) == Result(False, "not written yet")
    assert not run_check(lambda *_, **__: 1 / 0, exercise).passed
    assert "without `return`" in run_check(lambda *_, **__: None, exercise).message or exercise.name in (
        "gan_step",
        "ema_update",  # what they do counts, not what they return
    )


def test_every_notebook_has_three():
    assert len(MODULES) >= 7 and all(sum(m == name for m, _ in ALL) == 3 for name in MODULES)


# --- the mechanism ---


def check_double(mine):
    return Result(True, "doubles") if mine(3) == 6 else Result(False, "this does not double")


double = Exercise("double", lambda x: 2 * x, check_double)


def raises(error):
    def mine(x):
        raise error

    return mine


def misspelt(x):
    y = 2 * x
    return y + undefined_name  # noqa: F821


def test_what_a_right_answer_returns_becomes_what_the_notebook_computes_with():
    whole = double._replace(result=float)
    mine = checked(lambda x: np.float32(x + x), whole)
    assert type(mine(4)) is float and mine(4) == 8
    transform, inverse = checked(ANSWERS["preprocessing"].by_torch, MODULES["preprocessing"].fit_scaler)(np.eye(3))
    assert isinstance(transform(np.eye(3)), np.ndarray)


def test_a_right_answer_is_used(capsys):
    mine = lambda x: x + x
    assert checked(mine, double) is mine
    assert "double: passed." in capsys.readouterr().out


@pytest.mark.parametrize(
    "mine, words",
    [
        (lambda x: x, "does not double"),
        (raises(NotImplementedError("replace this line")), "double: not yet. Not written yet."),
        (raises(ValueError("bad\nnews")), "ValueError: bad"),
        (lambda: None, "TypeError"),
        (None, "TypeError"),
        (misspelt, "`return y + undefined_name"),
    ],
)
def test_a_wrong_one_is_named_and_the_reference_goes_on(mine, words, capsys):
    assert checked(mine, double) is double.reference
    out = capsys.readouterr().out
    assert words in out and "reference" in out and "Traceback" not in out
    assert not run_check(mine, double).passed


def test_the_line_of_a_misspelt_name_is_told():
    line = misspelt.__code__.co_firstlineno + 2
    assert run_check(misspelt, double).message.startswith(f"line {line}, `return y + undefined_name")


ONES, TRUE = torch.ones(3), torch.ones(3) > 0
SLIPS = {  # what a learner writes: the words that say what it means
    "whole numbers averaged": (lambda: torch.arange(3).mean(), "make them .float()"),
    "whole numbers' deviation": (lambda: torch.arange(3).std(), "make them .float()"),
    "whole numbers compared": (lambda: torch.nn.functional.mse_loss(torch.arange(3), torch.arange(3)), "make them .float()"),
    "truth values subtracted": (lambda: TRUE - TRUE, "truth values cannot be subtracted"),
    "truth values subtracted, NumPy": (lambda: TRUE.numpy() - TRUE.numpy(), "truth values cannot be subtracted"),
    "truth values negated": (lambda: -TRUE, "use ~ and ^"),
    "a number to torch": (lambda: torch.log10(3), "torch.tensor(2.0)"),
    "a tensor to math": (lambda: math.exp(ONES), "several numbers stand"),
    "an array to math": (lambda: math.exp(np.ones(3)), "several numbers stand"),
    "a list to math": (lambda: math.exp([1.0]), "several numbers stand"),
    "item of many": (lambda: ONES.item(), "several numbers stand"),
    "a pair from max": (lambda: torch.rand(3, 4).max(1).exp(), "take .values"),
    "a pair from topk": (lambda: ONES.topk(2) + 1, "take .values"),
    "a dimension too many": (lambda: ONES.sum(1), "fewer dimensions"),
    "an axis too many": (lambda: np.ones(3).sum(1), "fewer dimensions"),
    "if of many": (lambda: 1 if TRUE else 0, "take one truth value"),
    "if of many, NumPy": (lambda: 1 if TRUE.numpy() else 0, "take one truth value"),
    "NumPy amid gradients": (lambda: torch.ones(3, requires_grad=True).numpy(), "stay with torch's functions"),
    "inner sizes": (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "inner sizes"),
    "inner sizes, NumPy": (lambda: np.ones(3) @ np.ones(4), "inner sizes"),
    "a product of vectors": (lambda: ONES @ torch.ones(4), "two shapes"),
    "unlike rows stacked": (lambda: torch.stack([ONES, torch.ones(2)]), "two shapes"),
    "a row missing its dimension": (lambda: torch.cat([torch.ones(2, 3), ONES]), "adds a dimension"),
    "values as an index": (lambda: ONES[torch.rand(2)], "must be whole numbers"),
    "a pair from qr": (lambda: torch.linalg.qr(torch.eye(2)).exp(), "take .Q"),
    "a slope that is cut": (lambda: ONES.sum().backward(), "no gradient leads here"),
    "a function not called": (lambda: 2 * torch.sin, "call it"),
    "a shape not filled": (lambda: ONES.view(2, 2), "do not fill the shape"),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_in_the_words_of_the_course(slip):
    run, words = SLIPS[slip]
    result = run_check(lambda x: run(), double)
    assert not result.passed and words in result.message, result.message


@pytest.mark.parametrize("text", ["", "replace this line with your answer"])
def test_only_a_blank_is_called_a_blank(text):
    assert run_check(raises(NotImplementedError(text)), double).message == "not written yet"
    assert "to do" in run_check(raises(NotImplementedError("to do")), double).message


def test_feedback_wraps_at_words(capsys):
    long = Exercise("long", lambda: 0, lambda mine: Result(False, "many words " * 40))
    checked(None, long)
    checked(None, long._replace(check=lambda mine: Result(True, "many words " * 40)))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10 and max(map(len, lines)) <= exercises.WIDTH
    assert all(word in ("many", "words", "words.", "Many") for line in lines[1:5] for word in line.split())


def test_the_last_cell_counts(capsys):
    module = MODULES["variational_autoencoders"]
    checked(module.hidden_beta.reference, module.hidden_beta)
    checked(lambda *_: 0, module.active_units)
    capsys.readouterr()
    exercises_passed(module)
    assert capsys.readouterr().out.split("\n")[0] == "1 of 3 exercises passed. Not yet: negative_elbo, active_units."


def test_nbgrader_sees_an_error_where_a_check_is_not_passed(monkeypatch):
    class Shell:
        user_ns: dict = {}

    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(Shell)}))
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AssertionError, match="double: this does not double"):
        checked(lambda x: x, double)
    assert Shell.user_ns["double"] is double.reference, "the cells that follow still run"
    checked(double.reference, double)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("module, name", [("latent_variables", "reparameterize"), ("latent_variables", "elbo"),
                                          ("the_adversarial_game", "gan_step")])  # fmt: skip
def test_the_verdict_does_not_depend_on_chance(module, name, seed):
    exercise = getattr(MODULES[module], name)

    def mine(*arguments):  # draws other numbers than the check's own seed would give
        torch.rand(seed)
        return exercise.reference(*arguments)

    assert run_check(mine, exercise).passed
