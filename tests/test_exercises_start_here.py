"""The checks of notebook 00 accept the reference and name each plausible mistake."""

import numpy as np
import pytest
import torch

from deepunsup_helpers.exercises import run_check
from deepunsup_helpers.exercises import start_here as exercises


def total_variance(x):
    return x.flatten(1).var(0, unbiased=False).sum().item()


def last_below_first(step, batch):
    losses = [float(step(batch)["loss"]) for _ in range(400)]
    return losses[-1] < losses[0]


def one_step(step, batch):
    return float(step(batch)["loss"]) < 0.5 * total_variance(batch)


def to_zero(step, batch):
    return [float(step(batch)["loss"]) for _ in range(400)][-1] == 0


def mean_of_all(step, batch):
    return np.mean([float(step(batch)["loss"]) for _ in range(400)]) < 0.02 * total_variance(batch)


def half_batches(step, batch):
    return [float(step(batch[k % 2 :: 2])["loss"]) for k in range(400)][-1] < 0.5 * total_variance(batch)


def nan_blind(train, val):
    if train[-1] > 1.1 * train[0]:
        return "diverged"
    if train[-1] > 0.95 * train[0]:
        return "flat"
    return "memorised" if val[-1] > 1.1 * min(val) else "healthy"


def safe(rule):
    return lambda train, val: "diverged" if not np.isfinite([*train, *val]).all() else rule(train, val)


def absolute(train, val):
    if train[-1] > 55:
        return "diverged"
    if train[-1] > 47:
        return "flat"
    return "memorised" if val[-1] > 1.1 * min(val) else "healthy"


WRONG = [
    ("baseline_loss", lambda x: x.square().flatten(1).sum(1).mean().item(), "average image, not to zero"),
    ("baseline_loss", lambda x: (x - x.mean(0)).square().mean().item(), "averages over pixels"),
    ("baseline_loss", lambda x: (x - x.mean(0)).square().sum().item(), "sums over the images"),
    ("baseline_loss", lambda x: x.flatten(1).var(0).sum().item(), "divides by N - 1"),
    ("baseline_loss", lambda x: x.flatten(1).std(0, unbiased=False).sum().item(), "standard deviations"),
    ("baseline_loss", lambda x: x.flatten(1).var(1, unbiased=False).mean().item() * x[0].numel(), "within each image"),
    ("overfits", one_step, "took 1 steps"),
    ("overfits", last_below_first, "falling loss is not enough"),
    ("overfits", to_zero, "healthy network was rejected"),
    ("overfits", mean_of_all, "healthy network was rejected"),
    ("overfits", half_batches, "same whole batch"),
    ("overfits", lambda step, batch: [step(batch) for _ in range(60)] and True, "missed a planted bug"),
    ("diagnose", nan_blind, "must be 'diverged'"),
    ("diagnose", safe(absolute), "another diagnosis"),
    ("diagnose", safe(lambda t, v: "healthy" if t[-1] < 0.95 * t[0] else nan_blind(t, v)), "expected 'memorised'"),
    (
        "diagnose",
        safe(lambda t, v: "memorised" if v[-1] > 1.2 * t[-1] and t[-1] < 0.9 * t[0] else nan_blind(t, v)),
        "gap",
    ),
    (
        "diagnose",
        safe(lambda t, v: "memorised" if v[-1] > min(v) and t[-1] < 0.9 * t[0] else nan_blind(t, v)),
        "wiggle",
    ),
    (
        "diagnose",
        safe(lambda t, v: "healthy" if t[-1] < t[0] and v[-1] <= 1.1 * min(v) else nan_blind(t, v)),
        "no learning",
    ),
]


@pytest.mark.parametrize("name", ["baseline_loss", "overfits", "diagnose"])
def test_the_reference_passes_and_the_global_generator_rests(name):
    exercise = getattr(exercises, name)
    before = torch.get_rng_state()
    result = run_check(exercise.reference, exercise)
    assert result.passed, result.message
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name, mine, words", WRONG)
def test_a_plausible_mistake_is_named(name, mine, words):
    result = run_check(mine, getattr(exercises, name))
    assert not result.passed and words in result.message


def test_a_slow_network_is_told_from_a_dead_one_by_more_steps_only():
    step, batch, _ = exercises._planted("slow")
    assert not exercises.overfits.reference(step, batch)


def test_baseline_is_what_a_constant_network_reaches():
    x = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    constant = torch.zeros(1, 4, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([constant], max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = (x - constant).square().flatten(1).sum(1).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert closure().item() == pytest.approx(exercises.baseline_loss.reference(x), rel=1e-9)
