"""The exercises of notebook 05: salt and pepper, the denoising loss, one Langevin step."""

from collections.abc import Callable

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    call,
    close,
    draw,
    expect,
    expect_standard_normal,
    fits,
    require,
    sets_a_seed,
    tensor,
)

# --- salt_and_pepper ------------------------------------------------------------------------------------------------


def salt_and_pepper_reference(x: Tensor, share: float) -> Tensor:
    """x with a share of its values at 0 or 1, half of them each, drawn anew in each call.

    Args:
        x: values in [0, 1], any shape.
        share: from 0 to 1.
    """
    chance = torch.rand_like(x)
    spoiled = torch.where(chance < share / 2, torch.zeros_like(x), x)
    return torch.where(chance > 1 - share / 2, torch.ones_like(x), spoiled)


def _check_salt_and_pepper(salt_and_pepper: Callable) -> Result:
    for shape, share, seed in (((40, 1, 20, 20), 0.3, 1), ((50, 3, 10, 12), 0.6, 2), ((400, 30), 0.1, 3)):
        x = draw(*shape, seed=70 + seed, low=0.2, high=0.8)
        with fits(f"images of shape {shape} stop it"):
            found, again = (tensor(call(salt_and_pepper, x, share), shape) for _ in range(2))
        _name_the_damage(x, found.to(x.dtype), again.to(x.dtype), share)
    require(
        not sets_a_seed(lambda: salt_and_pepper(x, 0.5)), "a seed is set inside: draw without one, anew in every call"
    )
    x = draw(30, 40, seed=74, low=0.2, high=0.8)
    require(close(tensor(salt_and_pepper(x, 0.0), (30, 40)), x), "with a share of 0 nothing should change")
    everything = tensor(salt_and_pepper(x, 1.0), (30, 40))
    require(bool(((everything == 0) | (everything == 1)).all()), "with a share of 1 every value should be 0 or 1")
    return Result(True, "Half of the share is black, half is white, the rest is untouched, and each call draws anew.")


def _name_the_damage(x: Tensor, found: Tensor, again: Tensor, share: float) -> None:
    black, white = (found == 0).double(), (found == 1).double()
    changed = ~torch.isclose(found, x, atol=1e-6)
    sizes = f"of a share of {share:g}"
    require(bool(changed.any()), "nothing is changed")
    stuck = ((found == 0) | (found == 1))[changed]
    require(
        float(stuck.double().mean()) > 0.999,
        "some changed values are neither 0 nor 1: set them to 0 or 1, and leave the others as they are",
    )
    require(float(white.mean()) > 0, f"{sizes} nothing is set to 1: half should be white")
    require(float(black.mean()) > 0, f"{sizes} nothing is set to 0: half should be black")
    require(
        not torch.equal(changed, ~torch.isclose(again, x, atol=1e-6)),
        "the same values are spoiled in every call: draw anew",
    )
    flat = changed.flatten(1)
    require(not bool((flat == flat[:1]).all()), "all images are spoiled at the same places: draw for every value")
    if x.ndim == 4 and x.shape[1] > 1:
        require(not bool((changed == changed[:, :1]).all()), "the channels are spoiled together: draw for every value")
    hit = float(changed.double().mean())
    near = 5 * (share / x.numel()) ** 0.5
    require(
        abs(hit - 2 * share) > near or share > 0.5, f"twice the share is spoiled: {hit:.2f} {sizes}; half of it each"
    )
    require(abs(hit - share / 2) > near, f"half of the share is spoiled: {hit:.2f} {sizes}")
    require(abs(hit - share) < near, f"{hit:.3f} of the values are spoiled, where {share:g} was asked for")
    part = float(black.mean())
    require(abs(part - share / 2) < near, f"{part:.3f} of the values are black, where half of {share:g} was asked for")


# --- denoising_loss -------------------------------------------------------------------------------------------------


def denoising_loss_reference(r: Callable, x: Tensor, spoil: Callable) -> Tensor:
    """Squared error of r's answer to spoiled examples against the clean ones: summed over an example, averaged over the batch.

    Args:
        r: from a batch like x to one of its shape.
        x: clean examples, (N, ...).
        spoil: from a batch like x to one of its shape.
    Returns:
        0-d tensor; gradients reach the parameters of r.
    """
    return (r(spoil(x)) - x).flatten(1).square().sum(1).mean()


class _Machine:
    """A network of one number and a spoiler that count how often they are called and keep what they were given."""

    def __init__(self, seed: int):
        self.weight = torch.tensor(0.7, requires_grad=True)
        self.noise = torch.Generator().manual_seed(seed)
        self.given, self.spoils = [], []

    def r(self, x: Tensor) -> Tensor:
        self.given.append(x.detach().clone())
        return self.weight * x

    def spoil(self, x: Tensor) -> Tensor:
        self.spoils.append(x + torch.randn(x.shape, generator=self.noise))
        return self.spoils[-1].clone()


def _check_denoising_loss(denoising_loss: Callable) -> Result:
    for shape, seed in (((6, 1, 4, 5), 1), ((4, 3, 3, 3), 2), ((9, 7), 3)):
        x, machine = draw(*shape, seed=seed, low=0), _Machine(seed)
        with fits(f"a batch of shape {shape} stops it: flatten(1) takes images and rows alike"):
            found = call(denoising_loss, machine.r, x, machine.spoil)
        each = {(shape[0],): "this is one error an image: average them over the batch"}
        found = tensor(found, (), each, slopes=True)
        require(bool(machine.spoils), "`spoil` is never called: r sees clean images, and has nothing to repair")
        require(
            len(machine.spoils) == 1,
            "`spoil` is called twice, with new noise each time: spoil once, and ask for the clean x",
        )
        require(bool(machine.given), "`r` is never called")
        require(
            any(close(given, machine.spoils[0]) for given in machine.given),
            "r is not given the spoiled images: call r(spoil(x))",
        )
        bad, weight, pixels = machine.spoils[0], machine.weight.detach(), x[0].numel()
        true = (weight * bad - x).flatten(1).square().sum(1).mean()
        mistakes = {
            "the target is the spoiled image: r would learn to copy it. Ask for the clean x": (
                (weight * bad - bad).flatten(1).square().sum(1).mean()
            ),
            "the target is the noise: ask for the clean x": (
                (weight * bad - (bad - x)).flatten(1).square().sum(1).mean()
            ),
            "this averages over the pixels as well: sum over each image, then average": true / pixels,
            "this sums over the batch: average over the images": true * shape[0],
            "this is half of the squared error: leave the factor 1/2 out": true / 2,
            "this takes the root of each image's error: leave the squares": (
                (weight * bad - x).flatten(1).norm(dim=1).mean()
            ),
            "this sums the absolute differences: square them": (weight * bad - x).flatten(1).abs().sum(1).mean(),
        }
        said = (
            f"on a batch of {shape[0]} images of {pixels} values it is not the squared error of r(spoil(x)) against x"
        )
        expect(found, true, mistakes, said)
        found.backward()
        slope = machine.weight.grad
        expected = (2 * (weight * bad - x) * bad).flatten(1).sum(1).mean()
        require(slope is not None and close(slope, expected), "no right gradient reaches r: is something detached?")
    return Result(True, "r sees the spoiled images, is asked for the clean ones, and learns from the error.")


# --- langevin_step --------------------------------------------------------------------------------------------------


def langevin_step_reference(x: Tensor, score: Callable, eta: float) -> Tensor:
    """One step of a walk whose visits follow the density, for small steps: x + eta s(x) + sqrt(2 eta) z.

    Args:
        x: (N, D).
        score: from (N, D) to the slope of log p there, (N, D).
        eta: size of the step, above 0.
    Returns:
        (N, D); z is drawn anew in each call.
    Source: Roberts & Tweedie 1996, doi:10.2307/3318418.
    """
    return x + eta * score(x) + (2 * eta) ** 0.5 * torch.randn_like(x)


def _check_langevin_step(langevin_step: Callable) -> Result:
    for eta, dimension, seed in ((0.02, 3, 1), (0.3, 2, 2)):
        x = draw(20_000, dimension, seed=70 + seed, low=-2, high=2)

        def score(x: Tensor) -> Tensor:
            return 3.0 * torch.sin(x) + 0.5

        with fits(f"{len(x)} points of {dimension} numbers stop it"):
            found, again = (tensor(call(langevin_step, x, score, eta), tuple(x.shape)) for _ in range(2))
        drift = eta * score(x)
        require(
            not close(found, again), "two calls give the same: there is no noise in it, or a generator is seeded inside"
        )
        spread = (found - again).std(dim=0)
        require(float(spread.min()) > 1e-6, "all points share one z: draw as many numbers as there are entries")
        move = (found + again).double() / 2 - x.double()
        along = float((move * score(x).double()).sum() / score(x).double().square().sum())  # eta, were it right
        noise = (found.double() - x.double() - drift.double()) / (2 * eta) ** 0.5
        _name_the_move(along, eta)
        size = float((found - again).double().std()) / 2**0.5 / (2 * eta) ** 0.5  # 1, were it right
        _name_the_size(size, eta)
        second = (again.double() - x.double() - drift.double()) / (2 * eta) ** 0.5
        expect_standard_normal(noise, second, "z")
    return Result(True, "The arrow is followed by eta, and the noise has variance 2 eta, drawn anew for every number.")


def _name_the_move(along: float, eta: float) -> None:
    require(abs(along) > 0.1 * eta, "the score plays no part: add eta times it")
    require(along > 0, "it walks downhill: add the score, do not subtract it")
    said = f"it follows the arrows by {along:.3f} where eta = {eta:g} was asked for"
    mistakes = {" (2 eta)": 2 * eta, " (eta / 2)": eta / 2, " (eta is left out)": 1.0, " (its root)": eta**0.5}
    named = next((name for name, value in mistakes.items() if abs(along - value) < 0.1 * value), "")
    require(abs(along - eta) < 0.1 * eta, said + named)


def _name_the_size(size: float, eta: float) -> None:
    mistakes = {
        "the noise has variance eta: its factor is the root of 2 eta": 0.5**0.5,
        "the noise is multiplied by eta: its factor is the root of 2 eta": eta / (2 * eta) ** 0.5,
        "the noise is multiplied by 2 eta: take the root": (2 * eta) ** 0.5,
        "the noise is not scaled: its factor is the root of 2 eta": 1 / (2 * eta) ** 0.5,
        "the noise's factor is 2 sqrt(eta): it is sqrt(2 eta)": 2**0.5,
    }
    named = (message for message, value in mistakes.items() if abs(size - value) < 0.03 * value)
    if abs(size - 1) > 0.03:
        require(False, next(named, f"the noise is {size:.2f} times as large as sqrt(2 eta) z"))


salt_and_pepper = Exercise("salt_and_pepper", salt_and_pepper_reference, _check_salt_and_pepper, torch.as_tensor)
denoising_loss = Exercise("denoising_loss", denoising_loss_reference, _check_denoising_loss)
langevin_step = Exercise("langevin_step", langevin_step_reference, _check_langevin_step, torch.as_tensor)
