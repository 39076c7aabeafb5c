"""Each check accepts the reference and rejects wrong answers, every one with a message of its own."""

import re

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

from deepunsup_helpers.exercises import deep_autoencoders as exercises
from deepunsup_helpers.exercises import run_check

ALL = [exercises.reconstruction_error, exercises.pca_reconstruct, exercises.knn_accuracy]

WRONG_ERRORS = {
    "mean over everything": (lambda x, y: (y - x).square().mean(), r"\*sum\* over its pixels"),
    "sum over everything": (lambda x, y: (y - x).square().sum(), "larger batch"),
    "axes swapped": (lambda x, y: (y - x).square().flatten(1).mean(1).sum(), "other way round"),
    "channels averaged": (lambda x, y: (y - x).square().sum((2, 3)).mean(), "channels"),
    "half": (lambda x, y: 0.5 * (y - x).square().flatten(1).sum(1).mean(), "factor 1/2"),
    "absolute": (lambda x, y: (y - x).abs().flatten(1).sum(1).mean(), "absolute"),
    "root": (lambda x, y: (y - x).flatten(1).norm(dim=1).mean(), "root"),
    "signed": (lambda x, y: (y - x).flatten(1).sum(1).mean(), "cancel"),
    "signed the other way": (lambda x, y: (x - y).flatten(1).sum(1).mean(), "cancel"),
    "one an image": (lambda x, y: (y - x).square().flatten(1).sum(1), "one error an image"),
    "item": (lambda x, y: (y - x).square().flatten(1).sum(1).mean().item(), "plain number"),
    "detached": (lambda x, y: (y.detach() - x).square().flatten(1).sum(1).mean(), "no gradient"),
    "in place": (lambda x, y: (y - x.sub_(1).add_(1.5)).square().flatten(1).sum(1).mean(), "were changed"),
    "batch size fixed": (lambda x, y: (y - x).square().sum() / 7, "true size"),
    "negative": (lambda x, y: -(y - x).square().flatten(1).sum(1).mean(), "definition gives"),
}


def pca(*, columns=lambda u, k: u.flip(1)[:, :k], centre=True, add_mean=True, fit_on="train", code=False):
    """A wrong or right pca_reconstruct."""

    def pca_reconstruct(x, k, train):
        rows = x if fit_on == "x" else train
        mean = rows.mean(0) if centre else torch.zeros_like(rows[0])
        u = columns(torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors, k)
        z = (x - mean) @ u
        return z if code else z @ u.T + mean * add_mean

    return pca_reconstruct


def shrinks(x, k, train):
    """Right on its training rows, but pulls other rows towards the mean."""
    y = pca()(x, k, train)
    return y if len(x) == len(train) else train.mean(0) + 0.9 * (y - train.mean(0))


WRONG_PCAS = {
    "smallest": (pca(columns=lambda u, k: u[:, :k]), "smallest"),
    "rows": (pca(columns=lambda u, k: u.flip(1)[:k].T), "columns"),
    "not centred": (pca(centre=False), "mean subtracted"),
    "mean left out": (pca(add_mean=False), "add the training mean"),
    "fitted on x": (pca(fit_on="x"), "rows beside it"),
    "the code": (pca(code=True), "coordinates"),
    "one too few": (pca(columns=lambda u, k: u.flip(1)[:, : k - 1]), "keeps 1 components"),
    "one too many": (pca(columns=lambda u, k: u.flip(1)[:, : k + 1]), "keeps 3 components"),
    "minus zero": (pca(columns=lambda u, k: u[:, -k:]), "k = 0"),
    "shrinks": (shrinks, "twice"),
    "identity": (lambda x, k, train: x, "tail|other eigenvalues"),
}


def knn(*, distance=torch.cdist, largest=False, vote=lambda y: y.mode(1).values, neighbours=lambda k: k):
    """A wrong or right knn_accuracy."""

    def knn_accuracy(z_train, y_train, z_test, y_test, k):
        nearest = distance(z_test, z_train).topk(neighbours(k), largest=largest).indices
        return (vote(y_train[nearest]) == y_test).double().mean().item()

    return knn_accuracy


def cosine(a, b):
    return 1 - functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T


def standardised(a, b):
    return torch.cdist((a - b.mean(0)) / b.std(0), (b - b.mean(0)) / b.std(0))


def on_the_test_part(z_train, y_train, z_test, y_test, k):
    return knn()(z_test, y_test, z_test, y_test, k)


WRONG_KNNS = {
    "farthest": (knn(largest=True), "largest=False"),
    "error": (lambda *a: 1 - knn()(*a), r"\*wrong\*"),
    "percent": (lambda *a: 100 * knn()(*a), "percentage"),
    "mean of labels": (knn(vote=lambda y: y.double().mean(1).round()), "vote"),
    "dot product": (knn(distance=lambda a, b: -a @ b.T), "move together"),
    "cosine": (knn(distance=cosine), "move together"),
    "standardised": (knn(distance=standardised), "[Tt]urning all"),
    "city block": (knn(distance=lambda a, b: torch.cdist(a, b, p=1)), "[Tt]urning all"),
    "one neighbour": (knn(neighbours=lambda k: 1), "all k vote"),
    "test on test": (on_the_test_part, "training part"),
    "constant": (lambda *a: 0.5, "well separated"),
    "list": (lambda *a: [0.9], "one number"),
}
WRONG = {
    exercises.reconstruction_error: WRONG_ERRORS,
    exercises.pca_reconstruct: WRONG_PCAS,
    exercises.knn_accuracy: WRONG_KNNS,
}


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
def test_a_wrong_answer_is_named(exercise, wrong, words):
    result = run_check(wrong, exercise)
    assert not result.passed and re.search(words, result.message), result.message


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_the_messages_differ(exercise):
    messages = {run_check(wrong, exercise).message for wrong, _ in WRONG[exercise].values()}
    assert len(messages) >= 8


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_a_blank_or_a_crash_is_a_result(exercise):
    def blank(*_):
        raise NotImplementedError

    assert run_check(blank, exercise).message == "not written yet"
    assert not run_check(lambda *_: 1 / 0, exercise).passed
    assert not run_check(lambda *_: None, exercise).passed


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_a_check_leaves_the_global_generator_alone(exercise):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run_check(exercise.reference, exercise)
    assert torch.equal(torch.rand(3), expected)


def test_the_reference_error_equals_a_slow_loop():
    generator = torch.Generator().manual_seed(5)
    x, y = torch.rand(2, 4, 3, 2, 5, generator=generator)
    slow = sum((a - b) ** 2 for a, b in zip(x.flatten().tolist(), y.flatten().tolist())) / len(x)
    assert float(exercises.reconstruction_error.reference(x, y)) == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("k", [0, 1, 3, 8])
def test_the_reference_pca_equals_scikit_learns(k):
    rng = np.random.default_rng(6)
    train, x = rng.normal(2, 1, size=(200, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(30, 8))
    theirs = PCA(k).fit(train)
    expected = theirs.inverse_transform(theirs.transform(x)) if k else np.broadcast_to(train.mean(0), x.shape)
    mine = exercises.pca_reconstruct.reference(torch.tensor(x), k, torch.tensor(train))
    np.testing.assert_allclose(mine.numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("k", [1, 7])
def test_the_reference_knn_equals_scikit_learns(k):
    rng = np.random.default_rng(7)
    y_train, y_test = rng.integers(0, 2, 300), rng.integers(0, 2, 100)  # two classes and an odd k: no ties
    z_train, z_test = rng.normal(size=(300, 4)) + y_train[:, None], rng.normal(size=(100, 4)) + y_test[:, None]
    expected = KNeighborsClassifier(k).fit(z_train, y_train).score(z_test, y_test)
    tensors = [torch.tensor(a) for a in (z_train, y_train, z_test, y_test)]
    assert exercises.knn_accuracy.reference(*tensors, k) == pytest.approx(expected)


def test_other_right_answers_pass():
    def error_by_mse_loss(x, x_hat):
        return functional.mse_loss(x_hat, x, reduction="sum") / len(x)

    def pca_by_svd(x, k, train):
        directions = torch.linalg.svd(train - train.mean(0), full_matrices=False).Vh[:k]
        return train.mean(0) + (x - train.mean(0)) @ directions.T @ directions

    def knn_by_scikit_learn(z_train, y_train, z_test, y_test, k=5):
        return KNeighborsClassifier(k).fit(z_train, y_train).score(z_test, y_test)

    for mine, exercise in [
        (error_by_mse_loss, exercises.reconstruction_error),
        (pca_by_svd, exercises.pca_reconstruct),
        (knn_by_scikit_learn, exercises.knn_accuracy),
    ]:
        assert run_check(mine, exercise).passed, run_check(mine, exercise).message
