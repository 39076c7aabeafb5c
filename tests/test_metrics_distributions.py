"""Frechet distance against closed forms; precision and recall on sets whose answer is known."""

import pytest
import torch

from deepunsup_helpers.metrics.distributions import frechet_distance, precision_recall


def cloud(n: int, mean, scale, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    return torch.tensor(mean, dtype=torch.float64) + torch.tensor(scale, dtype=torch.float64) * torch.randn(
        n, len(mean), generator=g, dtype=torch.float64
    )


def whitened(n: int, d: int, seed: int = 0):
    """A cloud whose sample mean is 0 and sample covariance the identity, exactly."""
    x = cloud(n, [0.0] * d, [1.0] * d, seed)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T


def test_frechet_distance_of_two_gaussians_in_closed_form():
    """Axis-parallel Gaussians: |m_a - m_b|^2 + sum (s_a - s_b)^2."""
    a = whitened(500, 3) * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor([0.0, 1.0, -1.0])
    b = whitened(400, 3, seed=1) * torch.tensor([3.0, 1.0, 0.5]) + torch.tensor([2.0, 1.0, 0.0])
    assert frechet_distance(a, b) == pytest.approx((4 + 0 + 1) + (4 + 1 + 0), rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_distance_with_correlations_agrees_with_scipy():
    from scipy.linalg import sqrtm

    g = torch.Generator().manual_seed(3)
    draw = lambda n: torch.randn(n, 5, generator=g, dtype=torch.float64)
    a, b = draw(300) @ draw(5), draw(300) @ draw(5)
    root = torch.from_numpy(sqrtm((torch.cov(a.T) @ torch.cov(b.T)).numpy()).real)
    want = (a.mean(0) - b.mean(0)).square().sum() + torch.trace(torch.cov(a.T) + torch.cov(b.T) - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(want.item(), rel=1e-6)


def test_frechet_distance_of_a_cloud_to_itself_is_zero_even_where_the_covariance_is_singular():
    flat = torch.cat([cloud(50, [0.0, 1.0], [1.0, 2.0]), torch.zeros(50, 3, dtype=torch.float64)], dim=1)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(flat, flat + 1) == pytest.approx(5, rel=1e-6)


def test_precision_and_recall_of_identical_and_disjoint_sets():
    a = cloud(60, [0.0, 0.0], [1.0, 1.0])
    assert precision_recall(a, a) == (1.0, 1.0)
    assert precision_recall(a, a + 100) == (0.0, 0.0)


def test_a_collapsed_generator_has_precision_without_recall_and_noise_the_reverse():
    left, right = cloud(200, [0.0, 0.0], [0.1, 0.1]), cloud(200, [10.0, 0.0], [0.1, 0.1], seed=1)
    real = torch.cat([left, right])
    collapsed = precision_recall(real, cloud(400, [0.0, 0.0], [0.1, 0.1], seed=2))
    assert collapsed.precision > 0.9 and collapsed.recall == pytest.approx(0.5, abs=0.08)
    spread = precision_recall(real, cloud(400, [5.0, 0.0], [20.0, 20.0], seed=3))
    assert spread.precision < 0.1 and spread.recall > 0.9


def test_precision_agrees_with_a_slow_loop():
    real, fake = cloud(40, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]), cloud(30, [0.5, 0.0, 0.0], [1.0, 2.0, 1.0], seed=1)
    inside = 0
    for f in fake:
        inside += any((f - r).norm() <= sorted((r - other).norm() for other in real)[3] for r in real)
    assert precision_recall(real, fake, k=3).precision == pytest.approx(inside / 30)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: frechet_distance(torch.zeros(5, 2), torch.zeros(5, 3)), "2 and 3 features"),
        (lambda: frechet_distance(torch.zeros(1, 2), torch.zeros(5, 2)), "at least 2"),
        (lambda: precision_recall(torch.zeros(3, 2), torch.zeros(9, 2)), "at least 4"),
        (lambda: precision_recall(torch.zeros(9, 2), torch.zeros(9, 2), k=0), "at least 1"),
        (lambda: frechet_distance(torch.zeros(5), torch.zeros(5)), r"\(N, D\)"),
    ],
)
def test_wrong_clouds_are_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
