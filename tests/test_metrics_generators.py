"""Kernel distance, density, coverage, extrapolation: torchmetrics on the same features, slow loops, closed forms."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from deepunsup_helpers.metrics import (
    at_infinity,
    coverage,
    density,
    expected_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)


def clouds(n: int, m: int, d: int, *, shift: float = 0.0, scale: float = 1.0, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(n, d, generator=g, dtype=torch.float64)
    return a, shift + scale * torch.randn(m, d, generator=g, dtype=torch.float64)


class Given(nn.Module):
    """Stands in for Inception: the "images" are the features themselves, with two axes of length 1."""

    def __init__(self, d: int):
        super().__init__()
        self.num_features = d

    def forward(self, x):
        return x.flatten(1)


def torchmetrics_scores(a, b):
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    d, n = a.shape[1], len(a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fid = FrechetInceptionDistance(feature=Given(d), normalize=True).set_dtype(torch.float64)
        kid = KernelInceptionDistance(feature=Given(d), subsets=1, subset_size=n, normalize=True)
    for metric in (fid, kid):
        for part in a.split(97):
            metric.update(part[:, :, None, None].float(), real=True)
        for part in b.split(97):
            metric.update(part[:, :, None, None].float(), real=False)
    return float(fid.compute()), float(kid.compute()[0])


@pytest.mark.parametrize("shift, scale", [(0.0, 1.0), (0.3, 1.0), (0.1, 1.4)])
def test_equal_to_torchmetrics_on_the_same_features(shift, scale):
    a, b = clouds(400, 400, 12, shift=shift, scale=scale)
    a, b = a @ torch.linspace(0.5, 2, 12, dtype=torch.float64).diag(), b
    fid, kid = torchmetrics_scores(a, b)
    assert frechet_distance(a.float(), b.float()) == pytest.approx(fid, rel=1e-3)
    assert kernel_distance(a.float(), b.float()) == pytest.approx(kid, rel=1e-3)


def test_kernel_distance_agrees_with_a_slow_loop():
    a, b = clouds(7, 9, 4, shift=0.4)
    k = lambda x, y: (float(x @ y) / 4 + 1) ** 3
    within = lambda c: np.mean([k(x, y) for i, x in enumerate(c) for j, y in enumerate(c) if i != j])
    want = within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(want, rel=1e-12)


def test_kernel_distance_has_no_bias_and_frechet_has():
    """Small clouds of one law: the mean over many is 0 within its error, at any size; the Frechet distance's is not."""
    for n in (5, 20):
        found = [clouds(n, n, 3, seed=seed) for seed in range(400)]
        kernel = np.array([kernel_distance(*pair) for pair in found])
        assert abs(kernel.mean()) < 4 * kernel.std() / 20
        assert np.mean([frechet_distance(*pair) for pair in found[:50]]) > 0.2


def test_kernel_distance_of_known_clouds_in_closed_form():
    """One dimension, all examples of a cloud equal: k(0, 0) + k(c, c) - 2 k(0, c) = 1 + (c^2 + 1)^3 - 2."""
    a, b = torch.zeros(6, 1), torch.full((4, 1), 0.5)
    assert kernel_distance(a, b) == pytest.approx(1 + 1.25**3 - 2, rel=1e-12)


def test_density_and_coverage_agree_with_a_slow_loop():
    real, fake = clouds(40, 30, 3, shift=0.5)
    radius = [sorted((r - other).norm().item() for other in real)[4] for r in real]  # the first is itself
    hits = np.array([[(r - f).norm().item() <= radius[i] for f in fake] for i, r in enumerate(real)])
    assert density(real, fake, k=4) == pytest.approx(hits.sum() / (4 * 30))
    assert coverage(real, fake, k=4) == pytest.approx(hits.any(1).mean())
    assert precision_recall(real, fake, k=4).precision == pytest.approx(hits.any(0).mean())


def test_coverage_of_equal_laws_is_what_is_expected_whatever_the_law():
    want = expected_coverage(60, 40, k=5)
    for law in (lambda x: x, torch.exp, lambda x: x**3):
        found = [coverage(*(law(c) for c in clouds(60, 40, 2, seed=seed))) for seed in range(150)]
        assert np.mean(found) == pytest.approx(want, abs=4 * np.std(found) / 150**0.5)
    assert expected_coverage(10_000, 10_000, k=5) == pytest.approx(1 - 1 / 2**5, abs=1e-4)
    assert expected_coverage(6, 1, k=5) == pytest.approx(1 - 1 / 6)


def test_one_stray_real_example_buys_precision_but_no_density():
    """Real points in a clump and one far away; samples all around the stray one."""
    g = torch.Generator().manual_seed(0)
    real = torch.cat([torch.randn(300, 2, generator=g), torch.tensor([[30.0, 0.0]])])
    fake = torch.tensor([30.0, 0.0]) + 5 * torch.randn(200, 2, generator=g)
    assert precision_recall(real, fake, k=5).precision > 0.95
    assert density(real, fake) == pytest.approx(1 / 5, abs=0.02) and coverage(real, fake) < 0.01


@pytest.mark.slow
def test_prdc_of_two_equal_gaussians_in_a_thousand_dimensions():
    """The published figures (github.com/clovaai/generative-evaluation-prdc): precision .477, recall .471, coverage .974."""
    real, fake = clouds(10_000, 10_000, 1000)
    near = precision_recall(real, fake, k=5)
    assert near.precision == pytest.approx(0.477, abs=0.02) and near.recall == pytest.approx(0.471, abs=0.02)
    assert density(real, fake) == pytest.approx(1.056, abs=0.1)
    assert coverage(real, fake) == pytest.approx(expected_coverage(10_000, 10_000), abs=0.02)


def test_the_bias_of_the_frechet_distance_is_what_the_docstring_says_and_is_gone_at_infinity():
    d, sizes = 8, [200, 400, 800]
    found = np.array([[frechet_distance(*clouds(n, n, d, seed=s)) for n in sizes] for s in range(40)])
    want = (d * d + 5 * d) / 2 / np.array(sizes)
    np.testing.assert_allclose(found.mean(0), want, rtol=0.06)
    left = [at_infinity(sizes, row) for row in found]
    assert abs(np.mean(left)) < 4 * np.std(left) / 40**0.5 + 0.002


def test_at_infinity_is_the_intercept():
    sizes = np.array([100, 200, 500])
    assert at_infinity(sizes, 3 + 70 / sizes) == pytest.approx(3)
    values = np.array([2.0, 1.7, 1.1])
    assert at_infinity(sizes, values) == pytest.approx(np.polyfit(1 / sizes, values, 1)[1])


Z = torch.zeros


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: kernel_distance(Z(5, 2), Z(5, 3)), "2 and 3 features"),
        (lambda: kernel_distance(Z(1, 2), Z(5, 2)), "at least 2"),
        (lambda: density(Z(5, 2), Z(5, 2)), "more than k = 5"),
        (lambda: coverage(Z(9, 2), Z(5, 3)), "2 and 3 features"),
        (lambda: coverage(Z(9, 2), Z(5, 2), k=0), "at least 1"),
        (lambda: expected_coverage(5, 5, k=5), "n above k"),
        (lambda: at_infinity([10, 10], [1, 2]), "two different"),
        (lambda: at_infinity([10, 20], [1, 2, 3]), "as many"),
    ],
)
def test_wrong_input_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
