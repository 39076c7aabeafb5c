"""Counting modes: what a Gaussian and uniform noise must score, and which samples count."""

import math

import numpy as np
import pytest
import torch

from deepunsup_helpers.data import toys
from deepunsup_helpers.metrics import mode_coverage


def test_hand_made_samples():
    means = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    samples = torch.tensor([[0.0, 2.9], [0.0, 3.1], [10.0, 3.0], [5.0, 5.0]])  # in, out, on the border, far
    assert mode_coverage(samples, means, 1.0) == (2, 0.5)
    assert mode_coverage(samples[3:], means, 1.0) == (0, 0.0)
    assert mode_coverage(samples.numpy(), means.numpy(), 1.0) == (2, 0.5)


def test_one_point_is_good_and_covers_one_mode():
    ring = toys.ring()
    assert mode_coverage(ring.means[:1].repeat(500, 1), ring.means, ring.sigma) == (1, 1.0)


def test_a_point_near_two_modes_counts_for_the_nearest_alone():
    means = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert mode_coverage(torch.tensor([[0.4, 0.0]]), means, 1.0) == (1, 1.0)


@pytest.mark.parametrize("mixture", [toys.ring(), toys.grid()], ids=["ring", "grid"])
def test_real_points_have_the_share_of_a_round_gaussian(mixture):
    modes, share = mode_coverage(mixture.sample(20_000, seed=0), mixture.means, mixture.sigma)
    assert modes == len(mixture.means)
    assert share == pytest.approx(1 - math.exp(-4.5), abs=0.004)  # radius in sigmas is Rayleigh distributed


def test_uniform_noise_covers_the_grid_but_is_rarely_good():
    """Each disc of radius 3 sigma is hit with probability pi 9 sigma^2 / area, so the expected count is known."""
    grid = toys.grid()
    hit = math.pi * 9 * 0.05**2 / 81
    random = np.random.default_rng(0)
    for n in (2_500, 10_000):
        scores = [mode_coverage(random.uniform(-4.5, 4.5, (n, 2)), grid.means, grid.sigma) for _ in range(20)]
        assert np.mean([modes for modes, _ in scores]) == pytest.approx(25 * (1 - (1 - hit) ** n), abs=0.6)
        assert np.mean([share for _, share in scores]) == pytest.approx(25 * hit, rel=0.05)


def test_order_scale_and_shift_do_not_matter():
    ring = toys.ring()
    samples = ring.sample(400, seed=1) + 0.2 * torch.randn(400, 2, generator=torch.Generator().manual_seed(2))
    found = mode_coverage(samples, ring.means, ring.sigma)
    assert 0 < found[1] < 1
    assert mode_coverage(samples.flip(0), ring.means.flip(0), ring.sigma) == found
    assert mode_coverage(8 * samples + 4, 8 * ring.means + 4, 8 * ring.sigma) == found


@pytest.mark.parametrize(
    "samples, means, sigma, message",
    [
        (torch.zeros(3, 2), torch.zeros(2, 3), 1.0, "same space"),
        (torch.zeros(3, 2), torch.zeros(2, 2), 0.0, "above 0"),
        (torch.zeros(0, 2), torch.zeros(2, 2), 1.0, "samples is empty"),
        (torch.full((3, 2), float("nan")), torch.zeros(2, 2), 1.0, "NaN"),
        (torch.zeros(3), torch.zeros(2, 2), 1.0, "expected one row"),
    ],
)
def test_wrong_arguments_are_said(samples, means, sigma, message):
    with pytest.raises(ValueError, match=message):
        mode_coverage(samples, means, sigma)
