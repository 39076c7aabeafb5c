"""Each check accepts the reference and rejects wrong answers, every one with a message of its own."""

import re

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.model_selection import KFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from deepunsup_helpers.exercises import preprocessing as exercises
from deepunsup_helpers.exercises import run_check

ALL = [exercises.fit_scaler, exercises.whiten, exercises.honest_score]


def scaler(mean, deviation, inverse=None):
    """A wrong or right fit_scaler from two functions of the training table."""

    def fit(train):
        m, s = mean(train), deviation(train)
        return lambda x: (x - m) / s, inverse(m, s) if inverse else (lambda z: z * s + m)

    return fit


def columns(function):
    return lambda train: function(train, axis=0)


def own_rows(train):
    return (lambda x: (x - x.mean(0)) / np.where(x.std(0) > 1e-9, x.std(0), 1)), lambda z: z


def safe_deviation(train):
    return np.where(train.std(0) > 1e-9, train.std(0), 1)


WRONG_SCALERS = {
    "whole table": (scaler(np.mean, np.std), "one mean and one deviation"),
    "rows": (scaler(lambda t: 0, columns(np.std)), "subtract the mean"),
    "axis 1": (lambda train: ((lambda x: x - x.mean(1, keepdims=True)), lambda z: z), r"every \*row\*"),
    "variance": (scaler(columns(np.mean), columns(np.var)), "variance"),
    "epsilon": (scaler(columns(np.mean), lambda t: t.std(0) + 1e-4), "epsilon of that size"),
    "refits": (own_rows, "beside it"),
    "inverse": (scaler(columns(np.mean), safe_deviation, lambda m, s: lambda z: (z + m) * s), "undo the last step"),
    "division by zero": (scaler(columns(np.mean), columns(np.std)), "infinity"),
    "exact zero only": (scaler(columns(np.mean), lambda t: np.where(t.std(0) == 0, 1, t.std(0))), "rounded in binary"),
    "only transform": (lambda train: lambda x: (x - train.mean(0)) / train.std(0), "two functions"),
}


def eigen(x):
    return np.linalg.eigh(np.cov(x, rowvar=False))


def whiten_by_svd(x, eps):
    """An independent right answer: PCA whitening from the singular values, not turned back."""
    centred = x - x.mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    return centred @ vt.T / np.sqrt(s**2 / (len(x) - 1) + eps)


def whiten_with_sum(x, eps):
    centred = x - x.mean(0)
    values, u = np.linalg.eigh(centred.T @ centred)
    return centred @ u / np.sqrt(values + eps)


def whiten_in_eigenvectors(divide, centre=True):
    def whiten(x, eps):
        values, u = eigen(x)
        return (x - x.mean(0) * centre) @ u / divide(values, eps)

    return whiten


def transposed(x, eps):
    values, u = eigen(x)
    return (x - x.mean(0)) @ u.T / np.sqrt(values + eps)


WRONG_WHITENINGS = {
    "standardised": (lambda x, eps: (x - x.mean(0)) / x.std(0), "standardises"),
    "not divided": (whiten_in_eigenvectors(lambda v, e: 1), "keep the eigenvalues"),
    "no root": (whiten_in_eigenvectors(lambda v, e: v + e), "1/eigenvalue"),
    "sum": (whiten_with_sum, "divided by N"),
    "transposed": (transposed, "as columns"),
    "not centred": (whiten_in_eigenvectors(lambda v, e: np.sqrt(v + e), centre=False), "mean is not 0"),
    "no eps": (whiten_in_eigenvectors(lambda v, e: np.sqrt(v)), "changes nothing"),
    "eps after root": (whiten_in_eigenvectors(lambda v, e: np.sqrt(v) + e), "after the root"),
}


def select(X, y):
    return SelectKBest(f_classif, k=min(20, X.shape[1])).fit_transform(X, y)


WRONG_SCORES = {
    "selection leaks": (lambda X, y: cross_val_score(GaussianNB(), select(X, y), y).mean(), "in sight"),
    "training rows": (lambda X, y: GaussianNB().fit(select(X, y), y).score(select(X, y), y), "fitted on"),
    "always a half": (lambda X, y: 0.5, "anything learned"),
    "sorted folds": (lambda X, y: cross_val_score(GaussianNB(), X, y, cv=KFold(2)).mean(), "shuffled"),
    "five numbers": (lambda X, y: cross_val_score(GaussianNB(), X, y), "one number"),
}
WRONG = {exercises.fit_scaler: WRONG_SCALERS, exercises.whiten: WRONG_WHITENINGS, exercises.honest_score: WRONG_SCORES}


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_the_reference_passes(exercise):
    result = run_check(exercise.reference, exercise)
    assert result.passed, result.message


@pytest.mark.parametrize(
    "exercise, wrong, words",
    [
        pytest.param(exercise, *case, id=f"{exercise.name}-{name}")
        for exercise, cases in WRONG.items()
        for name, case in cases.items()
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_wrong_answer_is_named(exercise, wrong, words):
    result = run_check(wrong, exercise)
    assert not result.passed and re.search(words, result.message), result.message


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_messages_differ(exercise):
    messages = [run_check(wrong, exercise).message for wrong, _ in WRONG[exercise].values()]
    assert len(messages) >= 3 and len(set(messages)) == len(messages)


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_a_blank_or_a_crash_is_a_result(exercise):
    def blank(*_):
        raise NotImplementedError

    assert run_check(blank, exercise).message == "not written yet"
    assert not run_check(lambda *_: 1 / 0, exercise).passed
    assert not run_check(lambda *_: None, exercise).passed


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_a_check_leaves_the_global_generator_alone(exercise):
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    run_check(exercise.reference, exercise)
    assert np.random.rand() == expected


def test_the_reference_scaler_equals_scikit_learns():
    rng = np.random.default_rng(5)
    train, new = rng.normal(2, 9, size=(300, 6)), rng.normal(size=(20, 6))
    transform, inverse = exercises.fit_scaler.reference(train)
    np.testing.assert_allclose(transform(new), StandardScaler().fit(train).transform(new), rtol=1e-10)
    np.testing.assert_allclose(inverse(transform(new)), new, rtol=1e-10)


def test_the_reference_whitening_is_the_inverse_root_of_the_covariance():
    x = np.random.default_rng(6).normal(size=(500, 4)) @ np.random.default_rng(7).normal(size=(4, 4))
    root = np.linalg.inv(np.real(sqrtm(np.cov(x, rowvar=False))))
    np.testing.assert_allclose(exercises.whiten.reference(x, 0.0), (x - x.mean(0)) @ root, rtol=1e-6, atol=1e-9)


def test_other_right_answers_pass():
    right = scaler(columns(np.mean), lambda t: np.where(np.ptp(t, axis=0) == 0, 1, t.std(0, ddof=1)))
    assert run_check(right, exercises.fit_scaler).passed
    assert run_check(whiten_by_svd, exercises.whiten).passed
