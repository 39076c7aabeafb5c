"""Exercises of notebook 00: the loss of "always the mean", the test on eight images, a diagnosis from two curves."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, number, require

# --- baseline_loss ---------------------------------------------------------------------------------------------------


def baseline_loss_reference(x: Tensor) -> float:
    """The squared error of answering every image with the average image: the total variance.

    Args:
        x: images, (N, ...).
    Returns:
        in squared units of x, summed over an image, averaged over the images.
    """
    return float((x - x.mean(0)).square().flatten(1).sum(1).mean())


def _check_baseline_loss(baseline_loss: Callable) -> Result:
    for seed, shape in ((1, (7, 3, 2, 5)), (2, (4, 3, 4, 4))):
        x = draw(*shape, seed=seed, low=-1, high=2) * torch.linspace(0.2, 3, shape[-1])  # each column its own variance
        found = number(call(baseline_loss, x))
        _name_the_loss(found, x)
        twice, shifted = number(call(baseline_loss, torch.cat([x, x]))), number(call(baseline_loss, x + 1))
        require(close(twice, found), "the same images given twice have another loss: average over the images")
        require(close(shifted, found), "adding 1 to every pixel changed the loss: measure from the average image")
    return Result(True, "It is the total variance: blind to a shift, the same for every image twice.")


def _name_the_loss(found: float, x: Tensor) -> None:
    n, rest = len(x), x - x.mean(0)
    true, variance = baseline_loss_reference(x), x.flatten(1).var(0, correction=0)
    within = (x - x.flatten(1).mean(1).reshape(-1, 1, 1, 1)).square().flatten(1).sum(1).mean()
    mistakes = {
        "this measures the distance to zero: measure it to the average image, not to zero": x.square().sum() / n,
        "this averages over the pixels; the loss of one image is a sum over its pixels": variance.mean(),
        "this sums over the images; average over them": rest.square().sum(),
        "this divides by N - 1; an average over images divides by N (`correction=0`)": variance.sum() * n / (n - 1),
        "this sums standard deviations; squared error needs variances": variance.sqrt().sum(),
        "this takes the mean within each image; the average image is a mean over images, at each pixel": within,
        "this measures from one grey value, the mean of everything; the average image has its own value at each pixel": (
            (x - x.mean()).square().sum() / n
        ),
        "this is half of the squared error: the loss here has no factor 1/2": true / 2,
        "this averages over the channels as well; sum over everything in one image": true / x.shape[1],
        "this takes absolute differences: square them": rest.abs().sum() / n,
        "this takes a square root at the end; leave the square": true**0.5,
        "the values are clamped to [0, 1]; take x as it is": baseline_loss_reference(x.clamp(0, 1)),
    }
    shape = " x ".join(map(str, x.shape[1:]))
    said = f"on a batch of {n} images of {shape} values the expected loss is {true:.4f}; this returned {found:.4f}"
    expect(found, true, mistakes, said)


# --- overfits --------------------------------------------------------------------------------------------------------


def overfits_reference(step: Callable, batch: Tensor, steps: int = 400) -> bool:
    """Whether `steps` updates on this one batch bring its loss below half of the batch's own baseline."""
    for _ in range(steps):
        loss = float(step(batch)["loss"])
    return loss < 0.5 * baseline_loss_reference(batch)


BUGS = {  # what is broken: the loss after k updates, in units of the batch's baseline
    "the input never arrives": lambda k: 1 + 2 * 0.98**k,
    "pictures and answers are shuffled apart": lambda k: 1.1 + 0.2 * math.sin(7 * k),
    "no step is taken": lambda k: 1.4,
    "the optimizer holds other parameters": lambda k: 3.0,
}


def _scripted(curve: Callable[[int], float], batch: Tensor) -> tuple[Callable, list]:
    """A step whose loss follows a curve in units of the batch's baseline, and the batches that it is given."""
    seen, unit = [], baseline_loss_reference(batch)

    def step(given: Tensor) -> dict[str, Tensor]:
        seen.append(given)
        return {"loss": torch.tensor(unit * curve(len(seen)))}

    return step, seen


def _healthy(batch: Tensor) -> tuple[Callable, list]:
    """The step of a real network, one linear layer, that learns the batch by heart; and the batches that it is given."""
    weights, seen = torch.zeros(batch[0].numel(), batch[0].numel(), requires_grad=True), []
    unit = float(batch.square().mean())

    def step(given: Tensor) -> dict[str, Tensor]:
        seen.append(given)
        x = given.flatten(1)
        loss = (x @ weights - x).square().sum(1).mean()
        (slope,) = torch.autograd.grad(loss, weights)
        weights.data -= 0.05 / unit * slope
        return {"loss": loss.detach()}

    return step, seen


def _verdict(overfits: Callable, step: Callable, batch: Tensor, steps: int = 400) -> bool:
    try:
        found = call(overfits, step, batch, steps=steps)
    except RuntimeError as error:
        require("does not require grad" not in str(error), "`step` was called under no_grad(): it must learn")
        raise
    value = found.item() if hasattr(found, "item") else found
    require(value in (True, False), f"return True or False; this returned {found}")
    return bool(value)


def _check_overfits(overfits: Callable) -> Result:
    batch = draw(8, 1, 2, 3, seed=2, low=0)
    step, seen = _healthy(batch)
    verdict = _verdict(overfits, step, batch)
    whole = all(given is batch or torch.equal(given, batch) for given in seen)
    require(whole, "the step must see the same whole batch every time")
    rejected = (
        "a healthy network was rejected: its loss ends near zero after some hundred updates. Look at the last loss, not "
        "at all of them, and ask for a good part of the batch's baseline, not for zero"
    )
    require(verdict, rejected)
    for bug, curve in BUGS.items():
        require(
            not _verdict(overfits, _scripted(curve, batch)[0], batch),
            f"it missed a planted bug ({bug}): a falling loss is not enough, even a network that ignores its input falls "
            "to the baseline of the batch. Compare with half of the baseline, baseline_loss(batch)",
        )
    return _check_the_threshold(overfits, batch)


def _check_the_threshold(overfits: Callable, batch: Tensor) -> Result:
    require(
        not _verdict(overfits, _scripted(lambda k: math.nan, batch)[0], batch),
        "a loss of NaN came out as learned: every comparison with NaN is False, so ask whether it is *below*",
    )
    for scale in (0.05, 20.0):  # the same network, images in another unit
        other = scale * batch
        learned = _verdict(overfits, _scripted(lambda k: 0.02 + 0.97**k, other)[0], other)
        broken = _verdict(overfits, _scripted(BUGS["the input never arrives"], other)[0], other)
        require(
            learned and not broken,
            f"images {scale:g} times as bright get another verdict: the unit of a loss is arbitrary, so compare with "
            "baseline_loss(batch), not with a fixed number",
        )
    for n in (8, 3):
        few = batch[:n]
        for end in (0.65, 0.4):
            verdict = _verdict(overfits, _scripted(lambda k, end=end: end + 2 * 0.95**k, few)[0], few)
            number_fixed = " Is the number of images fixed?" if n != 8 else ""
            require(
                verdict == (end < 0.5),
                f"on {n} images a loss that ends at {end:g} of their baseline came out as {verdict}: ask for less than "
                f"half of the baseline, the number of images being theirs.{number_fixed}",
            )
    step, seen = _scripted(BUGS["no step is taken"], batch)
    _verdict(overfits, step, batch, steps=30)
    require(30 <= len(seen) <= 31, f"`steps` is ignored: asked for 30 updates, it made {len(seen)}")
    return Result(True, f"The healthy network passes, and {len(BUGS)} planted bugs are found.")


# --- diagnose --------------------------------------------------------------------------------------------------------


def diagnose_reference(train: list[float], val: list[float]) -> str:
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
    "a longer memorised pair": (
        [50, 33, 22, 16, 11, 8, 6, 4, 3],
        [50, 39, 33, 30, 28, 28.5, 31, 34, 39.0],
        "memorised",
    ),
    "a longer pair that goes off late": (
        [50, 33, 22, 16, 14, 33, 78, 170],
        [50, 36, 25, 19, 17, 39, 83, 180.0],
        "diverged",
    ),
    "a short healthy pair": ([50, 25, 19], [50, 27, 23.0], "healthy"),
    "a pair that has fallen by 15 %": ([50, 48, 46, 44, 42.5], [50, 48, 46.5, 45, 43.5], "healthy"),
    "a pair whose validation loss ends 18 % above its minimum": (
        [50, 40, 30, 20, 15],
        [50, 40, 30, 32, 35.4],
        "memorised",
    ),
    "a pair that turns late": (
        [50, 44, 38, 33, 28, 24, 20, 17, 14, 12],
        [50, 45, 42, 39, 37, 35, 33, 30, 33, 36.0],
        "memorised",
    ),
}
HINTS = {
    "memorised": "compare the last validation loss with its own minimum",
    "healthy": "a gap between the curves or a wiggle of a few percent is no disease; memorising is validation that rises",
    "flat": "a fall of less than five percent of the start is no learning",
    "diverged": "the loss ends above where it began",
}


def _check_diagnose(diagnose: Callable) -> Result:
    def word(train: list[float], val: list[float]) -> str:
        found = call(diagnose, train, val)
        words = ", ".join(HINTS)
        require(isinstance(found, str) and found in HINTS, f"return one of the four words, {words}; this was {found!r}")
        return found

    for position in ("train", "val"):
        for bad in (math.nan, math.inf):
            train, val = [50.0, 40, 30, 20], [50.0, 41, 33, 30]
            (train if position == "train" else val)[-1] = bad
            said = (
                f"{bad} at the end of {position} must be 'diverged': every comparison with NaN is False, so ask first"
            )
            require(word(train, val) == "diverged", said)
    for factor in (1.0, 1e-3, 1e3):
        for name, (train, val, right) in CURVES.items():
            found = word([factor * v for v in train], [factor * v for v in val])
            scaled = (
                f"{name} times {factor:g} got another diagnosis: compare with the curve's own start, not with a fixed"
            )
            plain = f"{name} came out as {found!r}, expected {right!r}: {HINTS[right]}"
            require(found == right, plain if factor == 1 else f"{scaled} number; the unit of a loss is arbitrary")
    return Result(True, f"{len(CURVES)} pairs of curves at three scales, NaN and infinity included.")


baseline_loss = Exercise("baseline_loss", baseline_loss_reference, _check_baseline_loss, float)
overfits = Exercise("overfits", overfits_reference, _check_overfits, bool)
diagnose = Exercise("diagnose", diagnose_reference, _check_diagnose, str)
