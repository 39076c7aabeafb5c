"""The exercises of notebook 05: salt and pepper, the denoising loss, one Langevin step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    Wrong,
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


def _sizes(message: str, case: int) -> AbstractContextManager:
    """The first case's errors speak for themselves; what only a later one stops was made for the sizes of the first."""
    return fits(message) if case > 1 else nullcontext()


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
    for shape, share, seed in (((40, 1, 20, 20), 0.35, 1), ((50, 3, 10, 12), 0.6, 2), ((400, 500), 0.8, 3)):
        x = draw(*shape, seed=70 + seed, low=0.2, high=0.8)
        with _sizes(f"images of shape {shape} stop it", seed):
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
    require(not bool(changed.all()), "not one value is as it was in x: leave those that are not spoiled as they are")
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
    _drawn_one_by_one(x, changed.double(), white - black)
    hit = float(changed.double().mean())
    near = 5 * (share * (1 - share) / x.numel()) ** 0.5
    require(
        abs(hit - 2 * share) > near or share > 0.5, f"twice the share is spoiled: {hit:.2f} {sizes}; half of it each"
    )
    require(abs(hit - share / 2) > near, f"half of the share is spoiled: {hit:.2f} {sizes}")
    require(abs(hit - share) < near, f"{hit:.3f} of the values are spoiled, where {share:g} was asked for")
    part = float(black.mean())
    require(abs(part - share / 2) < near, f"{part:.3f} of the values are black, where half of {share:g} was asked for")


def _drawn_one_by_one(x: Tensor, changed: Tensor, colour: Tensor) -> None:
    """Whether a value is spoiled, and how (1, -1; 0 where it is not), tells nothing about its neighbours' and its own value."""
    axes = ("images", "channels", "rows", "columns") if x.ndim == 4 else ("rows", "columns")
    hit = changed - changed.mean()
    colour = colour - changed * (colour.sum() / changed.sum())

    def tie(a: Tensor, b: Tensor) -> float:
        """In standard errors of a mean of products."""
        return abs(float((a * b).mean())) / float((a * b).square().mean() / a.numel()) ** 0.5

    ties = {axis: tie(hit, hit.roll(1, axis)) for axis, size in enumerate(x.shape) if size > 2}
    axis, most = max(ties.items(), key=lambda pair: pair[1])
    together = f"the {axes[axis]} are spoiled together" if axis else f"all {axes[0]} are spoiled at the same places"
    require(most < 5, f"{together}: draw for every value")
    pattern = max(tie(colour, colour.roll(1, axis)) for axis in ties)
    require(pattern < 5, "black and white follow a pattern: draw the colour anew for every value")
    middle = x - x.mean()
    require(tie(hit, middle) < 5, "bright values are not spoiled as often as dark ones: draw without regard to x")
    require(tie(colour, middle) < 5, "the value decides whether it turns black or white: draw that, too")


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
    """A network of one number and a spoiler that keep what they were given; both take batches of images like x only."""

    def __init__(self, x: Tensor, seed: int):
        self.x, self.weight = x, torch.tensor(0.7, requires_grad=True)
        self.noise = torch.Generator().manual_seed(seed)
        self.given, self.spoils = [], []

    def _batch(self, name: str, given: object) -> Tensor:
        kind = type(given).__name__
        require(isinstance(given, Tensor), f"`{name}` is given a {kind}: it takes a tensor, and r takes spoil(x)")
        like = given.shape[1:] == self.x.shape[1:]
        require(like, f"`{name}` takes images as they are: flatten the error, not what goes in")
        return given

    def r(self, x: Tensor) -> Tensor:
        self.given.append(self._batch("r", x).detach().clone())
        return self.weight.to(x.dtype) * x

    def spoil(self, x: Tensor) -> Tensor:
        self.spoils.append(self._batch("spoil", x) + torch.randn(x.shape, generator=self.noise))
        return self.spoils[-1].clone()

    def bad(self) -> Tensor:
        """The spoiled examples, whether they were asked for at once or one by one; Wrong if r was given others."""
        require(bool(self.spoils), "`spoil` is never called: r sees clean images, and has nothing to repair")
        bad = torch.cat(self.spoils)
        twice = "`spoil` is called twice, with new noise each time: spoil once, and ask for the clean x"
        require(len(bad) <= len(self.x), twice)
        require(bool(self.given), "`r` is never called")
        seen = any(close(given, bad) for given in (*self.given, torch.cat(self.given)))
        require(seen, "r is not given the spoiled images: call r(spoil(x))")
        return bad.detach()

    def asked(self) -> str:
        """What r was asked too much."""
        if any(close(given, self.x) for given in self.given):
            return ": r sees the clean images as well, ask it for spoil(x) only"
        return ": r is called again on what it returned" if len(torch.cat(self.given)) > len(self.x) else ""


def _check_denoising_loss(denoising_loss: Callable) -> Result:
    for shape, seed in (((6, 1, 4, 5), 1), ((4, 3, 3, 3), 2), ((9, 7), 3)):
        x = draw(*shape, seed=seed, low=0)
        machine = _Machine(x, seed)
        with _sizes(f"a batch of shape {shape} stops it: flatten(1) takes images and rows alike", seed):
            found = call(denoising_loss, machine.r, x, machine.spoil)
        each = {(shape[0],): "this is one error an image: average them over the batch"}
        found = tensor(found, (), each, slopes=True)
        bad, weight = machine.bad(), machine.weight.detach()
        rest = (weight * bad - x).flatten(1)
        expect(found, rest.square().sum(1).mean(), *_losses(rest, bad, x, machine.asked()))
        _expect_the_slope(found, machine.weight, (2 * rest * bad.flatten(1)).sum(1).mean())
    return Result(True, "r sees the spoiled images, is asked for the clean ones, and learns from the error.")


def _losses(rest: Tensor, bad: Tensor, x: Tensor, asked: str) -> tuple[dict[str, Tensor], str]:
    """What the likely mistakes give, and what else to say; `rest` is what r returns less x, flat."""
    count, pixels = rest.shape
    true = rest.square().sum(1).mean()
    copied, of_noise = (rest + (x - target).flatten(1) for target in (bad, bad - x))
    said = (
        f"on a batch of {count} images of {pixels} values it is not the squared error of r(spoil(x)) against x{asked}"
    )
    return {
        "the target is the spoiled image: r would learn to copy it. Ask for the clean x": copied.square().sum(1).mean(),
        "the target is the noise: ask for the clean x": of_noise.square().sum(1).mean(),
        "this averages over the pixels as well: sum over each image, then average": true / pixels,
        "this sums over the batch: average over the images": true * count,
        "this sums over the batch and averages over the pixels: it is the other way round": true * count / pixels,
        "this is half of the squared error: leave the factor 1/2 out": true / 2,
        "this takes the root of each image's error: leave the squares": rest.norm(dim=1).mean(),
        "this sums the absolute differences: square them": rest.abs().sum(1).mean(),
        "this sums the differences, and those of unlike sign cancel: square them first": rest.sum(1).mean(),
    }, said


def _expect_the_slope(found: Tensor, weight: Tensor, right: Tensor) -> None:
    require(weight.grad is None, "backward() is called inside: return the loss, the training step does the rest")
    cut = "no right gradient reaches r: is something detached?"
    require(found.requires_grad, f"{cut} (detach(), no_grad(), item())")
    try:
        found.backward()
    except RuntimeError:
        raise Wrong(cut) from None
    require(weight.grad is not None and close(weight.grad, right), cut)


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
        asked = []

        def score(x: Tensor, asked: list = asked) -> Tensor:
            asked.append(torch.as_tensor(x).detach())
            return 9.0 * torch.sin(torch.as_tensor(x)) + 1.5

        with _sizes(f"{len(x)} points of {dimension} numbers stop it", seed):
            found = tensor(call(langevin_step, x, score, eta), tuple(x.shape))
            again = tensor(
                langevin_step(x, score, eta), tuple(x.shape)
            )  # call() may leave the generators where they were
        require(
            not close(found, again), "two calls give the same: there is no noise in it, or a generator is seeded inside"
        )
        spread = (found - again).std(dim=0)
        require(float(spread.min()) > 1e-6, "all points share one z: draw as many numbers as there are entries")
        where = all(close(points, x) for points in asked if points.shape == x.shape)
        require(where, "the score is not taken at x: first s(x), then the step")
        _name_the_move(found.double() - x, again.double() - x, x.double(), score(x).double(), eta)
        size = float((found - again).double().std()) / 2**0.5 / (2 * eta) ** 0.5  # 1, were it right
        _name_the_size(size, eta)
        drift = x.double() + eta * score(x).double()
        noise, second = ((step.double() - drift) / (2 * eta) ** 0.5 for step in (found, again))
        expect_standard_normal(noise, second, "z")
    origin = torch.zeros(20_000, 2)  # where no rounding hides that two numbers are one
    bare = (tensor(langevin_step(origin, torch.zeros_like, 0.5), (20_000, 2)) for _ in range(2))
    expect_standard_normal(*bare, "z")
    return Result(True, "The arrow is followed by eta, and the noise has variance 2 eta, drawn anew for every number.")


def _name_the_move(first: Tensor, second: Tensor, x: Tensor, score: Tensor, eta: float) -> None:
    """The mean of two moves is a sum of the score, of x and of a constant, the mean of the noise."""
    parts = torch.stack([score.flatten(), x.flatten(), torch.ones(x.numel(), dtype=x.dtype)], dim=1)
    move = (first + second).flatten()[:, None] / 2
    along, kept, _ = torch.linalg.lstsq(parts, move).solution[:, 0].tolist()
    near = 5 * ((first - second).var() / 4 * torch.inverse(parts.T @ parts).diagonal()).sqrt()
    starts = f"the step starts from x: x + eta s(x) + ..., here x counts {1 + kept:.2f} times"
    require(abs(kept) < max(near[1], 0.04), starts)
    require(abs(along) > 0.1 * eta, "the score at each point plays no part: add eta times s(x)")
    require(along > 0, "it walks downhill: add the score, do not subtract it")
    said = f"it follows the arrows by {along:.4f} where eta = {eta:g} was asked for"
    mistakes = {" (2 eta)": 2 * eta, " (eta / 2)": eta / 2, " (eta is left out)": 1.0, " (its root)": eta**0.5}
    named = next((name for name, value in mistakes.items() if abs(along - value) < 0.1 * value), "")
    require(abs(along - eta) < near[0], said + named)
    require(abs(kept) < near[1], starts)


def _name_the_size(size: float, eta: float) -> None:
    mistakes = {
        "the noise has variance eta: its factor is the root of 2 eta": 0.5**0.5,
        "the noise is multiplied by eta: its factor is the root of 2 eta": eta / (2 * eta) ** 0.5,
        "the noise is multiplied by 2 eta: take the root": (2 * eta) ** 0.5,
        "the noise is not scaled: its factor is the root of 2 eta": 1 / (2 * eta) ** 0.5,
        "the noise's factor is 2 sqrt(eta): it is sqrt(2 eta)": 2**0.5,
        "the noise's factor is sqrt(2) eta: eta stands under the root, too": eta**0.5,
        "eta multiplies the noise as well: it belongs to the score alone": eta,
        "z is uniform on [0, 1]: it needs the standard normal, randn, not rand": 12**-0.5,
        "z is uniform from -1 to 1: it needs the standard normal, randn": 3**-0.5,
    }
    named = (message for message, value in mistakes.items() if abs(size - value) < 0.03 * value)
    if abs(size - 1) > 0.03:
        require(False, next(named, f"the noise is {size:.2f} times as large as sqrt(2 eta) z"))


salt_and_pepper = Exercise("salt_and_pepper", salt_and_pepper_reference, _check_salt_and_pepper, torch.as_tensor)
denoising_loss = Exercise("denoising_loss", denoising_loss_reference, _check_denoising_loss)
langevin_step = Exercise("langevin_step", langevin_step_reference, _check_langevin_step, torch.as_tensor)
