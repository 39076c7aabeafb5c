"""Right and wrong answers to the exercises of notebook 05."""

import math

import numpy as np
import torch
from torch.nn import functional

# --- salt_and_pepper ---


def salt_in_numpy(x, share):
    values = x.numpy().copy()
    hit = np.random.random(values.shape) < share
    values[hit] = np.random.randint(0, 2, hit.sum())
    return values


def salt_by_masks(x, share):
    hit = torch.rand(x.shape) < share
    return torch.where(hit, (torch.rand(x.shape) < 0.5).to(x.dtype), x)


def salt_on_a_clone(x, share):
    new, u = x.clone(), torch.rand_like(x)
    new[u < share / 2] = 0
    new[(u >= share / 2) & (u < share)] = 1
    return new


def salt_by_bernoulli(x, share):
    hit = torch.bernoulli(torch.full_like(x, share))
    return x * (1 - hit) + hit * torch.bernoulli(torch.full_like(x, 0.5))


def salt_by_multinomial(x, share):
    kind = torch.multinomial(torch.tensor([1 - share, share / 2, share / 2]), x.numel(), replacement=True).view(x.shape)
    return torch.where(kind == 0, x, (kind == 2).to(x.dtype))


def salt_exactly(x, share):
    """Not a coin for each value, but the share itself, wherever it falls."""
    new, places = x.flatten().clone(), torch.randperm(x.numel())[: round(share * x.numel())]
    new[places] = (torch.arange(len(places)) % 2).to(x.dtype)
    return new.view(x.shape)


def in_place(x, share):
    u = torch.rand_like(x)
    x[u < share / 2] = 0
    x[u > 1 - share / 2] = 1
    return x


def seeded(x, share):
    torch.manual_seed(0)
    return salt_by_masks(x, share)


def spoils(hit, value):
    """A wrong salt_and_pepper: where it hits, and what it writes there."""
    return lambda x, share: torch.where(hit(x, share).expand(x.shape), value(x).expand(x.shape), x)


def coins(x):
    return (torch.rand(x.shape) < 0.5).to(x.dtype)


RIGHT_SALT = {
    "NumPy": salt_in_numpy,
    "masks": salt_by_masks,
    "a clone": salt_on_a_clone,
    "Bernoulli": salt_by_bernoulli,
    "multinomial": salt_by_multinomial,
    "double": lambda x, share: salt_by_masks(x.double(), share),
    "exactly so many": salt_exactly,
}
WRONG_SALT = {
    "nothing": (lambda x, share: x.clone(), "nothing is changed"),
    "only salt": (spoils(lambda x, s: torch.rand(x.shape) < s, torch.ones_like), "nothing is set to 0"),
    "only pepper": (spoils(lambda x, s: torch.rand(x.shape) < s, torch.zeros_like), "nothing is set to 1"),
    "twice the share": (spoils(lambda x, s: torch.rand(x.shape) < 2 * s, coins), "twice the share"),
    "half the share": (spoils(lambda x, s: torch.rand(x.shape) < s / 2, coins), "half of the share"),
    "uniform values": (spoils(lambda x, s: torch.rand(x.shape) < s, torch.rand_like), "neither 0 nor 1"),
    "added": (lambda x, share: x + torch.randn_like(x) * (torch.rand(x.shape) < share), "neither 0 nor 1"),
    "one mask": (spoils(lambda x, s: torch.rand(x.shape[1:]) < s, coins), "all images are spoiled at the same places"),
    "channels together": (
        spoils(lambda x, s: torch.rand(x[:, :1].shape) < s if x.ndim == 4 else torch.rand(x.shape) < s, coins),
        "channels are spoiled together",
    ),
    "rows together": (spoils(lambda x, s: torch.rand(len(x), *[1] * (x.ndim - 1)) < s, coins), "spoiled together"),
    "in place": (in_place, "`x` itself was changed"),
    "seeded": (seeded, "a seed is set inside"),
    "three quarters white": (
        spoils(lambda x, s: torch.rand(x.shape) < s, lambda x: (torch.rand(x.shape) < 0.75).to(x.dtype)),
        "are black",
    ),
    "the same places": (
        lambda x, share: torch.where(
            torch.rand(x.shape, generator=torch.Generator().manual_seed(5)) < share, coins(x), x
        ),
        "the same values are spoiled",
    ),
    "fixed share": (spoils(lambda x, s: torch.rand(x.shape) < 0.25, coins), "was asked for"),
    "one twice, one after the other": (
        lambda x, s: torch.where(torch.rand(x.shape) < s / 2, 1.0, torch.where(torch.rand(x.shape) < s / 2, 0.0, x)),
        "where 0.35 was asked for",
    ),
    "two per cent more": (spoils(lambda x, s: torch.rand(x.shape) < 1.02 * s, coins), "where 0.8 was asked for"),
    "normal chance": (spoils(lambda x, s: torch.randn(x.shape) < s, coins), "where 0.35 was asked for"),
    "whole columns": (spoils(lambda x, s: torch.rand(*x.shape[:-1], 1) < s, coins), "the columns are spoiled together"),
    "one colour an image": (
        spoils(lambda x, s: torch.rand(x.shape) < s, lambda x: coins(x.flatten(1)[:, 0]).view(-1, *[1] * (x.ndim - 1))),
        "follow a pattern",
    ),
    "nearer end": (spoils(lambda x, s: torch.rand(x.shape) < s, lambda x: x.round()), "the value decides"),
    "the mask": (lambda x, s: (torch.rand(x.shape) < s).float(), "not one value is as it was"),
    "`and` of masks": (lambda x, s: x * (torch.rand(x.shape) < s and x > 0), "take one truth value"),
}

# --- denoising_loss ---


def loss_by_loop(r, x, spoil):
    answers = r(spoil(x))
    return sum(((a - b) ** 2).sum() for a, b in zip(answers, x)) / len(x)


def loss_by_einsum(r, x, spoil):
    rest = (r(spoil(x)) - x).flatten(1)
    return torch.einsum("nd,nd->n", rest, rest).mean()


def spoils_twice(r, x, spoil):
    return (r(spoil(x)) - spoil(x)).flatten(1).square().sum(1).mean()


def target_spoiled(r, x, spoil):
    bad = spoil(x)
    return (r(bad) - bad).flatten(1).square().sum(1).mean()


def target_noise(r, x, spoil):
    bad = spoil(x)
    return (r(bad) - (bad - x)).flatten(1).square().sum(1).mean()


def writes_x(r, x, spoil):
    x += spoil(x) - x
    return r(x).flatten(1).square().sum(1).mean()


def goes_back(r, x, spoil):
    loss = loss_by_loop(r, x, spoil)
    loss.backward()
    return loss


RIGHT_LOSS = {
    "a loop": loss_by_loop,
    "mse_loss": lambda r, x, spoil: functional.mse_loss(r(spoil(x)), x, reduction="sum") / len(x),
    "norm": lambda r, x, spoil: (r(spoil(x)) - x).flatten(1).norm(dim=1).pow(2).mean(),
    "einsum": loss_by_einsum,
    "clean minus answer": lambda r, x, spoil: (x - r(spoil(x))).square().sum() / len(x),
    "one by one": lambda r, x, spoil: sum((r(spoil(one[None])) - one).square().sum() for one in x) / len(x),
    "spoiled without gradients": lambda r, x, spoil: (r(spoil(x).detach()) - x).square().sum() / len(x),
    "mean times size": lambda r, x, spoil: (r(spoil(x)) - x).square().mean() * x[0].numel(),
}
WRONG_LOSS = {
    "target spoiled": (target_spoiled, "learn to copy it"),
    "target noise": (target_noise, "target is the noise"),
    "no spoiling": (lambda r, x, spoil: (r(x) - x).flatten(1).square().sum(1).mean(), "never called"),
    "spoiled twice": (spoils_twice, "called twice"),
    "r unused": (lambda r, x, spoil: (spoil(x) - x).flatten(1).square().sum(1).mean() + 0 * x.sum(), "never called"),
    "r sees clean": (
        lambda r, x, spoil: (r(x) - spoil(x)).flatten(1).square().sum(1).mean(),
        "not given the spoiled images",
    ),
    "mean": (lambda r, x, spoil: (r(spoil(x)) - x).square().mean(), "averages over the pixels"),
    "sum": (lambda r, x, spoil: (r(spoil(x)) - x).square().sum(), "sums over the batch"),
    "half": (lambda r, x, spoil: 0.5 * loss_by_loop(r, x, spoil), "factor 1/2"),
    "root": (lambda r, x, spoil: (r(spoil(x)) - x).flatten(1).norm(dim=1).mean(), "root"),
    "absolute": (lambda r, x, spoil: (r(spoil(x)) - x).abs().flatten(1).sum(1).mean(), "absolute"),
    "one an image": (lambda r, x, spoil: (r(spoil(x)) - x).flatten(1).square().sum(1), "one error an image"),
    "item": (lambda r, x, spoil: loss_by_loop(r, x, spoil).item(), "gradients can pass"),
    "detached": (
        lambda r, x, spoil: loss_by_loop(lambda z: r(z).detach() + 0 * r(z), x, spoil),
        "is something detached",
    ),
    "four axes": (lambda r, x, spoil: (r(spoil(x)) - x).square().sum((1, 2, 3)).mean(), "rows alike"),
    "writes x": (writes_x, "`x` itself was changed"),
    "no_grad": (torch.no_grad()(loss_by_loop), "is something detached"),
    "detached at the end": (lambda r, x, spoil: loss_by_loop(r, x, spoil).detach(), "is something detached"),
    "backward inside": (goes_back, "backward() is called inside"),
    "flattened before": (lambda r, x, spoil: loss_by_loop(r, x.flatten(1), spoil), "flatten the error"),
    "spoil not called": (lambda r, x, spoil: loss_by_loop(lambda z: r(spoil), x, spoil), "r takes spoil(x)"),
    "target r of clean": (lambda r, x, spoil: (r(spoil(x)) - r(x)).square().sum() / len(x), "sees the clean images"),
    "r twice": (lambda r, x, spoil: (r(r(spoil(x))) - x).square().sum() / len(x), "called again on what it returned"),
    "wrong axis": (lambda r, x, spoil: (r(spoil(x)) - x).flatten(1).square().sum(0).mean(), "the other way round"),
    "not squared": (lambda r, x, spoil: (r(spoil(x)) - x).flatten(1).sum(1).mean(), "square them first"),
}

# --- langevin_step ---


def langevin_in_two_lines(x, score, eta):
    z = torch.randn(x.shape, dtype=x.dtype)
    return x + score(x) * eta + math.sqrt(2 * eta) * z


def langevin_with(*, drift=lambda eta: eta, size=lambda eta: (2 * eta) ** 0.5, noise=torch.randn_like):
    """A wrong or right Langevin step."""
    return lambda x, score, eta: x + drift(eta) * score(x) + size(eta) * noise(x)


def walks_in_place(x, score, eta):
    x += eta * score(x) + (2 * eta) ** 0.5 * torch.randn_like(x)
    return x


def seeded_step(x, score, eta):
    torch.manual_seed(3)
    return langevin_in_two_lines(x, score, eta)


def halves(x):
    """Every number of z stands in it twice, once with the other sign."""
    half = torch.randn(len(x) // 2, x.shape[1])
    return torch.cat([half, -half])


def staggers_first(x, score, eta):
    moved = x + (2 * eta) ** 0.5 * torch.randn_like(x)
    return moved + eta * score(moved)


RIGHT_STEP = {
    "two draws": lambda x, score, eta: x + eta * score(x) + eta**0.5 * (torch.randn_like(x) + torch.randn_like(x)),
    "a list": lambda x, score, eta: langevin_in_two_lines(x, score, eta).tolist(),
    "two lines": langevin_in_two_lines,
    "NumPy": lambda x, score, eta: (
        x.numpy() + eta * score(x).numpy() + np.sqrt(2 * eta) * np.random.standard_normal(x.shape)
    ),
    "normal": lambda x, score, eta: torch.normal(x + eta * score(x), math.sqrt(2 * eta)),
    "a distribution": lambda x, score, eta: torch.distributions.Normal(x + eta * score(x), (2 * eta) ** 0.5).sample(),
    "double": lambda x, score, eta: langevin_in_two_lines(x.double(), score, eta),
    "its gradient cut": lambda x, score, eta: langevin_in_two_lines(x.detach().clone(), score, eta),
}
WRONG_STEP = {
    "no noise": (langevin_with(size=lambda eta: 0.0), "no noise in it"),
    "no score": (langevin_with(drift=lambda eta: 0.0), "plays no part"),
    "downhill": (langevin_with(drift=lambda eta: -eta), "downhill"),
    "no eta": (langevin_with(drift=lambda eta: 1.0), "left out"),
    "two eta": (langevin_with(drift=lambda eta: 2 * eta), "2 eta"),
    "root eta": (langevin_with(size=lambda eta: eta**0.5), "variance eta"),
    "eta times": (langevin_with(size=lambda eta: eta), "multiplied by eta"),
    "two eta times": (langevin_with(size=lambda eta: 2 * eta), "take the root"),
    "not scaled": (langevin_with(size=lambda eta: 1.0), "not scaled"),
    "two roots": (langevin_with(size=lambda eta: 2 * eta**0.5), "2 sqrt(eta)"),
    "uniform": (
        langevin_with(noise=lambda x: (torch.rand_like(x) - 0.5) * 12**0.5),
        "its law is not",
    ),
    "one a row": (langevin_with(noise=lambda x: torch.randn(len(x), 1)), "share one z"),
    "one a column": (langevin_with(noise=lambda x: torch.randn(1, x.shape[1])), "all points share one z"),
    "seeded": (seeded_step, "a seed is set inside"),
    "in place": (walks_in_place, "`x` itself was changed"),
    "halves": (langevin_with(noise=halves), "come up twice"),
    "rand": (langevin_with(noise=torch.rand_like), "randn, not rand"),
    "from -1 to 1": (langevin_with(noise=lambda x: 2 * torch.rand_like(x) - 1), "uniform from -1 to 1"),
    "eta for both": (lambda x, score, eta: x + eta * (score(x) + (2 * eta) ** 0.5 * torch.randn_like(x)), "as well"),
    "root of 2": (langevin_with(size=lambda eta: 2**0.5 * eta), "under the root, too"),
    "eight per cent more": (langevin_with(drift=lambda eta: 1.08 * eta), "it follows the arrows by"),
    "no x": (lambda x, score, eta: langevin_with()(x, score, eta) - x, "the step starts from x"),
    "kept in a box": (lambda x, score, eta: langevin_with()(x, score, eta).clamp(-2, 2), "the step starts from x"),
    "staggers first": (staggers_first, "the score is not taken at x"),
    "one z a point": (langevin_with(noise=lambda x: torch.randn(len(x))), "two shapes that do not fit"),
    "a root of a number": (langevin_with(size=lambda eta: torch.sqrt(2 * eta)), "torch.tensor(2.0)"),
}

RIGHT = {"salt_and_pepper": RIGHT_SALT, "denoising_loss": RIGHT_LOSS, "langevin_step": RIGHT_STEP}
WRONG = {"salt_and_pepper": WRONG_SALT, "denoising_loss": WRONG_LOSS, "langevin_step": WRONG_STEP}
