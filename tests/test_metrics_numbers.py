"""Metrics of numbers far from zero, of other types, of too little: the same value, or an error that says why."""

import math

import numpy as np
import pytest
import torch

from deepunsup_helpers import metrics
from deepunsup_helpers.metrics._arrays import float64_device
from deepunsup_helpers.metrics.likelihood import fit_probabilistic_pca, ppca_log_likelihood, ppca_posterior

FAR = 1e8


def exact(*shape, seed=0):
    """Normal numbers in steps of 1/1024: adding 1e8 to them loses nothing in float64."""
    return (
        torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).mul(1024).round() / 1024
    )


A, B, Y = exact(150, 4), exact(120, 4, seed=1) + 0.5, torch.arange(150) % 3
A[Y == 1] += 1.5
PPCA = {"mean": lambda m: m.mean, "W": lambda m: m.W, "sigma": lambda m: m.sigma}
SHIFTED = {
    "knn_predict": lambda shift: metrics.knn_predict(A + shift, Y, B + shift),
    "knn_accuracy": lambda shift: metrics.knn_accuracy(A + shift, Y, A[:50].flip(1) + shift, Y[:50]),
    "linear_probe": lambda shift: metrics.linear_probe(A + shift, Y, A.flip(1) + shift, Y),
    "precision_recall": lambda shift: metrics.precision_recall(A + shift, B + shift),
    "frechet_distance": lambda shift: metrics.frechet_distance(A + shift, B + shift),
    "mode_coverage": lambda shift: metrics.mode_coverage(A + shift, B[:7] + shift, 0.3),
    "active_units": lambda shift: metrics.active_units(A * torch.tensor([1.0, 0.5, 0.05, 0.0]) + shift),
    "mse": lambda shift: metrics.mse(A + shift, A.flip(0) + shift),
    "ppca": lambda shift: ppca_log_likelihood(fit_probabilistic_pca(A + shift, 2), A + shift),
    "ppca_posterior": lambda shift: ppca_posterior(fit_probabilistic_pca(A + shift, 2), A + shift)[0].abs(),
}


@pytest.mark.parametrize("name", SHIFTED)
@pytest.mark.parametrize("shift", [FAR, -FAR, torch.tensor([FAR, 0.0, -FAR, 1e6], dtype=torch.float64)])
def test_an_offset_changes_nothing(name, shift):
    near, far = (torch.as_tensor(SHIFTED[name](value), dtype=torch.float64) for value in (0.0, shift))
    torch.testing.assert_close(far, near, rtol=1e-6, atol=1e-6)


def test_one_example_far_away_costs_the_others_no_digits():
    far = torch.full((1, 4), 1e9, dtype=torch.float64)
    a, b = torch.cat([far, A]), B
    predicted = metrics.knn_predict(a, torch.cat([torch.tensor([9]), Y]), b)
    assert torch.equal(predicted, metrics.knn_predict(A, Y, B))


def test_whole_numbers_and_foreign_byte_orders_are_the_numbers_they_are():
    x = np.random.default_rng(0).integers(0, 255, (40, 3))
    same = {np.dtype(kind).str: x.astype(kind) for kind in ("u1", "i2", "<u2", ">u2", ">i4", ">f4", ">f8", "f2")}
    y = np.arange(40) % 2
    for kind, values in same.items():
        assert metrics.mse(values, values[::-1]) == metrics.mse(x, x[::-1]), kind
        assert torch.equal(metrics.knn_predict(values, y.astype(kind), values), metrics.knn_predict(x, y, x)), kind


def test_a_weight_of_zero_counts_as_zero():
    log_weights = torch.tensor([[0.0, -math.inf, 1.0], [-math.inf, -math.inf, 2.0]], dtype=torch.float64)
    log_p = metrics.importance_log_likelihood(log_weights)
    truth = (log_weights.exp().mean(0)).log()
    torch.testing.assert_close(log_p, truth)
    assert log_p[1] == -math.inf
    weights = log_weights.exp()[:, [0, 2]]
    expected = weights.sum(0).square() / weights.square().sum(0)
    size = metrics.effective_sample_size(log_weights)
    torch.testing.assert_close(size[[0, 2]], expected)
    assert size[1] == 0
    for wrong in (math.nan, math.inf):
        for measure in (metrics.importance_log_likelihood, metrics.effective_sample_size):
            with pytest.raises(ValueError, match=r"holds NaN or \+inf"):
                measure([[0.0, wrong]])


CALLS = {
    "knn_predict": lambda x: metrics.knn_predict(x, Y, A),
    "linear_probe": lambda x: metrics.linear_probe(x, Y, A, Y),
    "precision_recall": lambda x: metrics.precision_recall(A, x),
    "frechet_distance": lambda x: metrics.frechet_distance(x, A),
    "mode_coverage": lambda x: metrics.mode_coverage(x, A, 1.0),
    "active_units": metrics.active_units,
    "mse": lambda x: metrics.mse(x, x),
    "psnr": lambda x: metrics.psnr(x, x, 1.0),
    "squared_error_per_example": lambda x: metrics.squared_error_per_example(x, x),
    "clustering_accuracy": lambda x: metrics.clustering_accuracy(x, x),
    "fit_probabilistic_pca": lambda x: fit_probabilistic_pca(x, 1),
    "importance_log_likelihood": metrics.importance_log_likelihood,
}
WRONG = {
    "empty": (torch.zeros(0, 4), "is empty|expected at least"),
    "NaN": (torch.full((150, 4), math.nan), "holds NaN"),
    "words": (np.array([["a"] * 4] * 150), "expected numbers"),
    "objects": (np.array([[None] * 4] * 150), "expected numbers"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_number_is_said(name, kind):
    x, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        CALLS[name](x)


@pytest.mark.parametrize("name", ["precision_recall", "frechet_distance", "active_units", "fit_probabilistic_pca"])
def test_one_example_is_too_few(name):
    with pytest.raises(ValueError, match="at least"):
        CALLS[name](A[:1])


def test_float64_is_never_asked_of_a_device_without_it():
    class OnApple(torch.Tensor):
        device = torch.device("mps")

    assert float64_device(torch.zeros(1).as_subclass(OnApple)) == torch.device("cpu")
    assert float64_device(np.zeros(1)) == float64_device(torch.zeros(1)) == torch.device("cpu")
