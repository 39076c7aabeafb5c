"""Exercises of notebook 00: the loss of "always the mean", the test on eight images, a diagnosis from two curves."""

import math

import numpy as np

from deepunsup_helpers.exercises import Exercise, Result


def _baseline_loss(x) -> float:
    """The squared error of answering every image with the average image, (N, ...) to one number: the total variance."""
    return float((x - x.mean(0)).square().flatten(1).sum(1).mean())


def _check_baseline_loss(mine) -> Result:
    import torch

    g = torch.Generator().manual_seed(1)
    x = torch.rand(7, 1, 3, 5, generator=g, dtype=torch.float64) * torch.linspace(0.2, 3, 15).reshape(1, 3, 5)
    got, want = float(mine(x)), _baseline_loss(x)

    def same(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=1e-4)

    if not same(float(mine(x + 10)), got):
        return Result(
            False,
            "adding 10 to every pixel changed your answer: measure the distance to the average image, not to zero",
        )
    if not same(float(mine(torch.cat([x, x]))), got):
        if same(float(mine(torch.cat([x, x]))), 2 * got):
            return Result(False, "every image twice doubled your answer: this sums over the images; average over them")
        return Result(
            False, "every image twice changed your answer: this divides by N - 1; an average over images divides by N"
        )
    if same(got * 15, want):
        return Result(False, "this averages over pixels; the loss sums over the pixels of an image")
    if same(got, float((x - x.flatten(1).mean(1).reshape(-1, 1, 1, 1)).square().flatten(1).sum(1).mean())):
        return Result(
            False, "this takes the mean within each image; the average image is a mean over images, at each pixel"
        )
    if same(got, float(x.std(0, unbiased=False).sum())):
        return Result(False, "this sums standard deviations; squared error needs variances")
    if not same(got, want):
        return Result(False, f"expected the total variance, {want:.4f} on a test batch, got {got:.4f}")
    return Result(True, "It is the total variance: blind to a shift, the same for every image twice.")


baseline_loss = Exercise("baseline_loss", _baseline_loss, _check_baseline_loss)


def _overfits(step, batch, steps: int = 400) -> bool:
    """Whether `steps` updates on this one batch bring its loss below half of the batch's own baseline."""
    for _ in range(steps):
        loss = float(step(batch)["loss"])
    return loss < 0.5 * _baseline_loss(batch)


def _planted(bug: str):
    """A small network on eight examples, and its step with one bug in it. Draws from generators of its own only."""
    import torch
    from torch import nn

    g = torch.Generator().manual_seed(2)
    x = torch.rand(8, 1, 2, 3, generator=g)
    linear = lambda n_in, n_out: nn.utils.skip_init(nn.Linear, n_in, n_out)  # draws nothing from the global generator
    layers = nn.Sequential(linear(6, 32), nn.Tanh(), linear(32, 3), linear(3, 6))
    with torch.no_grad():
        for p in layers.parameters():
            p.copy_(0.4 * torch.randn(p.shape, generator=g))
    elsewhere = bug == "the optimizer holds other parameters"
    moved = [nn.Parameter(torch.zeros(3))] if elsewhere else list(layers.parameters())
    optimizer = torch.optim.Adam(moved, lr=1e-6 if bug == "slow" else 0.01)
    calls = []

    def step(batch):
        calls.append(batch)
        target = batch.flatten(1)
        inputs = torch.zeros_like(target) if bug == "the input never arrives" else target
        if bug == "pictures and answers are shuffled apart":
            target = target[torch.randperm(len(target), generator=g)]
        loss = (layers(inputs) - target).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        if bug != "no step is taken":
            optimizer.step()
        return {"loss": loss.detach()}

    return step, x, calls


BUGS = (
    "the input never arrives",
    "pictures and answers are shuffled apart",
    "no step is taken",
    "the optimizer holds other parameters",
)


def _check_overfits(mine) -> Result:
    import torch

    step, x, calls = _planted("none")
    verdict = mine(step, x)
    if len(calls) < 50:
        return Result(False, f"it took {len(calls)} steps; eight images need some hundred to be learned by heart")
    if any(seen is not x and not torch.equal(seen, x) for seen in calls):
        return Result(False, "the step must see the same whole batch every time")
    if not verdict:
        return Result(
            False,
            "a healthy network was rejected: its loss ends near zero. Look at the last loss, "
            "not at all of them, and ask for a good part of the batch's baseline, not for zero",
        )
    for bug in BUGS:
        step, x, _ = _planted(bug)
        if mine(step, x):
            return Result(
                False,
                f"it missed a planted bug ({bug}): a falling loss is not enough, even a network that ignores "
                "its input falls to the baseline of the batch. Compare with baseline_loss(batch)",
            )
    return Result(True, f"The healthy network passes, and {len(BUGS)} planted bugs are found.")


overfits = Exercise("overfits", _overfits, _check_overfits)


def _diagnose(train, val) -> str:
    """ "diverged", "flat", "memorised" or "healthy", from the losses before training and after each epoch."""
    train, val = np.asarray(train, dtype=float), np.asarray(val, dtype=float)
    if not (np.isfinite(train).all() and np.isfinite(val).all()) or train[-1] > 1.1 * train[0]:
        return "diverged"
    if train[-1] > 0.95 * train[0]:
        return "flat"
    if val[-1] > 1.1 * val.min():
        return "memorised"
    return "healthy"


CURVES = {  # name: (train, val, expected)
    "a healthy pair": ([50, 40, 30, 26, 25], [50, 41, 32, 29, 28.0], "healthy"),
    "a pair with a constant gap": ([50, 30, 20, 12, 10], [50, 38, 33, 31, 30.0], "healthy"),
    "a validation curve that wiggles by 2 %": ([50, 40, 30, 26, 25], [50, 40, 31, 30, 30.6], "healthy"),
    "a rate too high": ([50, 80, 95, 93, 94], [50, 82, 90, 95, 93.0], "diverged"),
    "a flat pair": ([50, 49.9, 49.8, 49.8, 49.7], [50, 49.9, 49.9, 49.8, 49.8], "flat"),
    "a memorised pair": ([50, 30, 15, 8, 4], [50, 40, 38, 44, 49.0], "memorised"),
}


def _check_diagnose(mine) -> Result:
    for position in ("train", "val"):
        for bad in (math.nan, math.inf):
            train, val = [50.0, 40, 30, 20], [50.0, 41, 33, 30]
            (train if position == "train" else val)[-1] = bad
            if mine(train, val) != "diverged":
                return Result(
                    False,
                    f"a {bad} at the end of {position} must be "
                    "'diverged': "
                    "every comparison with NaN is False, so ask first",
                )
    for name, (train, val, want) in CURVES.items():
        got = mine(list(train), list(val))
        if got != want:
            hint = {
                "memorised": "compare the last validation loss with its own minimum",
                "healthy": "a gap between the curves or a wiggle of a few percent is no disease; "
                "memorising is validation that rises",
                "flat": "a fall of less than five percent of the start is no learning",
                "diverged": "the loss ends above where it began",
            }[want]
            return Result(False, f"{name} came out as {got!r}, expected {want!r}: {hint}")
    for name, (train, val, want) in CURVES.items():
        for factor in (1e-3, 1e3):
            if mine([factor * v for v in train], [factor * v for v in val]) != want:
                return Result(
                    False,
                    f"{name} times {factor:g} got another diagnosis: compare with the curve's own start, "
                    "not with a fixed number; the unit of a loss is arbitrary",
                )
    return Result(True, "Six curves at three scales, NaN and infinity included.")


diagnose = Exercise("diagnose", _diagnose, _check_diagnose)
