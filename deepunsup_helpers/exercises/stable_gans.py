"""The exercises of notebook 17: a price on slopes other than 1, the relativistic losses, a count of what is missed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    call,
    close,
    draw,
    expect,
    expect_gradients,
    fits,
    number,
    require,
    tensor,
)

# --- gradient_penalty ------------------------------------------------------------------------------------------------


def gradient_penalty_reference(D: Callable, real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    """(length of D's slope - 1)^2 for each example, at the point t of the way from the fake to the real one.

    Args:
        D: points (..., N, d) to logits (..., N, 1), each of its own point only.
        real, fake: (..., N, d).
        t: in [0, 1], (..., N, 1).
    Returns:
        (..., N, 1), differentiable in D's parameters.
    Source: Gulrajani and others 2017, arXiv:1704.00028, equation 3.
    """
    between = (t * real + (1 - t) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    return (slope.norm(dim=-1, keepdim=True) - 1).square()


class _Bowl(nn.Module):
    """D(x) = s (w . x) + |x|^2 / 2 for each point: its slope at x is s w + x, known without autograd."""

    def __init__(self, w: Tensor, s: float):
        super().__init__()
        self.w, self.s, self.shift = w, nn.Parameter(torch.tensor(s)), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.shift + self.s * (x * self.w).sum(-1, keepdim=True) + 0.5 * x.square().sum(-1, keepdim=True)


def _check_gradient_penalty(gradient_penalty: Callable) -> Result:
    for seed, shape in ((1, (7, 3)), (2, (2, 5, 4))):
        real, fake = draw(*shape, seed=seed), 2 + draw(*shape, seed=seed + 5)
        t, w = draw(*shape[:-1], 1, seed=seed + 9, low=0.0), draw(shape[-1], seed=seed + 7)
        D, rows = _Bowl(w, 0.7), (*shape[:-1], 1)
        hints = {
            (): "this is one number for all: return one for each example, the game takes the mean",
            shape: "this has one number for each coordinate: the length of a slope adds up its squares over the last axis",
            shape[:-1]: "the last axis is gone: keep it (keepdim=True), so that it fits D's logits",
        }
        try:
            found = call(gradient_penalty, D, real, fake, t)
        except RuntimeError as error:
            unused = "not have been used" in str(error) or "does not require grad" in str(error)
            require(not unused, "the points take no part in the graph: .detach().requires_grad_() before D sees them")
            require(
                isinstance(error, NotImplementedError), f"it fails for points of shape {tuple(real.shape)}: {error}"
            )
            raise
        found = tensor(found, rows, hints, slopes=True)
        require(D.s.item() == torch.tensor(0.7).item(), "the weights of D were changed: the penalty is only measured")
        _name_the_penalty(found.detach(), D, real, fake, t)
        again = call(gradient_penalty, D, real, fake, t)
        require(close(again, found), "the answer is random: t is given, draw nothing")
        _check_it_teaches(found, D, real, fake, t)
    return Result(
        True, "Slope 1 costs nothing, on the way from a fake to a real point, and the discriminator can learn it."
    )


def _name_the_penalty(found: Tensor, D: _Bowl, real: Tensor, fake: Tensor, t: Tensor) -> None:
    def price(x: Tensor) -> Tensor:
        return ((D.s.detach() * D.w + x).norm(dim=-1, keepdim=True) - 1).square()

    between = t * real + (1 - t) * fake
    slope = D.s.detach() * D.w + between
    length = slope.norm(dim=-1, keepdim=True)
    n = length.numel()
    mistakes = {
        "t and 1 - t are swapped: at t = 1 stands the real point": price(t * fake + (1 - t) * real),
        "this is the price at the real points: R1's place, not half way": price(real),
        "this is the price at the fakes: it is asked for at points between them and the real ones": price(fake),
        "this is the price half way, whatever t is": price((real + fake) / 2),
        "this is R1's price, the squared length: here the length 1 is free": length.square(),
        "this is the length of the slope: what it costs is its squared distance from 1": length,
        "the 1 is subtracted from the *squared* length: take the root first": (length.square() - 1).square(),
        "only slopes above 1 are charged: the formula charges flat places too": (length - 1).clamp(min=0).square(),
        "the distance from 1 is not squared": (length - 1).abs(),
        "this differentiates the *mean* logit: each slope is N times too small. Sum the logits": (
            length / n - 1
        ).square(),
        "the length is the root of the *sum* of squares, not of their mean": (
            slope.square().mean(-1, keepdim=True).sqrt() - 1
        ).square(),
        "this adds up absolute values: the length is the root of the sum of squares": (
            slope.abs().sum(-1, keepdim=True) - 1
        ).square(),
    }
    where = f"at {tuple(real.shape)} points the mean penalty is {price(between).mean():.3f}; this answers {found.mean():.3f}"
    expect(found, price(between), mistakes, where, rtol=1e-3, atol=1e-5)


def _check_it_teaches(found: Tensor, D: _Bowl, real: Tensor, fake: Tensor, t: Tensor) -> None:
    require(
        found.requires_grad,
        "no gradient reaches D's weights: create_graph=True lets the penalty be differentiated once more",
    )
    (mine,) = torch.autograd.grad(found.mean(), D.s, allow_unused=True)
    require(mine is not None, "no gradient reaches D's weights: create_graph=True, and no .detach() after the slope")
    (theirs,) = torch.autograd.grad(gradient_penalty_reference(D, real, fake, t).mean(), D.s)
    require(close(mine, theirs, rtol=1e-2), "the value is right, what D learns from it is not: a part is cut off")


# --- relativistic ----------------------------------------------------------------------------------------------------


def relativistic_reference(real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    """What the discriminator and what the generator pay for each pair of a real and a fake example, in nats.

    Args:
        real_logits, fake_logits: of any shape, the same.
    Returns:
        softplus(fake - real) and softplus(real - fake), of that shape.
    Source: Jolicoeur-Martineau 2018, arXiv:1807.00734, section 4.
    """
    return softplus(fake_logits - real_logits), softplus(real_logits - fake_logits)


def _check_relativistic(relativistic: Callable) -> Result:
    for seed, shape in ((1, (9, 1)), (2, (2, 5, 1)), (3, (6,))):
        real, fake = 2 * draw(*shape, seed=seed) + 0.5, 2 * draw(*shape, seed=seed + 5) - 0.5
        both = call(relativistic, real, fake)
        pair = isinstance(both, (tuple, list)) or (isinstance(both, Tensor) and both.shape == (2, *shape))
        require(pair and len(both) == 2, "expected two losses, `return of_d, of_g`: the discriminator's first")
        hints = {(): "this is one number for all pairs: return one for each, the game takes the mean"}
        of_d, of_g = (tensor(one, shape, hints, slopes=True) for one in both)
        _name_the_relativistic(of_d.detach(), of_g.detach(), real, fake)
        for k in (0, 1):
            expect_gradients(
                lambda a, b, k=k: relativistic(a, b)[k],
                lambda a, b, k=k: relativistic_reference(a, b)[k],
                {"real_logits": real, "fake_logits": fake},
            )
    hundred = torch.full((3, 1), 200.0)
    for real, fake in ((hundred, -hundred), (-hundred, hundred)):
        of_d, of_g = call(relativistic, real, fake)
        finite = bool(torch.isfinite(torch.as_tensor(of_d)).all() and torch.isfinite(torch.as_tensor(of_g)).all())
        require(finite, "at logits of 200 this is no longer finite: softplus(t) is log(1 + exp(t)) without overflow")
        expect(torch.maximum(of_d, of_g), torch.full((3, 1), 400.0), {}, "at logits of 200 and -200 one side pays 400")
    return Result(True, "Only the difference counts, and what one player gains the other loses.")


def _name_the_relativistic(of_d: Tensor, of_g: Tensor, real: Tensor, fake: Tensor) -> None:
    right_d, right_g = relativistic_reference(real, fake)
    require(
        not (close(of_d, right_g) and close(of_g, right_d)),
        "the two are swapped: the discriminator pays where a fake's logit is *above* the real one's",
    )
    whole = {
        "each logit is judged alone, as in the plain game: what counts is the difference of a pair": softplus(-real)
        + softplus(fake),
        "this subtracts the *mean* logit of the others (the average form): a pair has its own difference": softplus(
            fake.mean() - real
        )
        + softplus(fake - real.mean()),
    }
    expect(
        of_d,
        right_d,
        whole
        | {
            "this is the difference itself, without softplus": fake - real,
            "this is the discriminator's answer, sigmoid: what it costs is softplus": (fake - real).sigmoid(),
            "this is doubled": 2 * right_d,
            "this has the wrong sign: a loss is positive here, softplus": -right_d,
            "hinge in the place of softplus": (1 + fake - real).clamp(min=0),
            "this is relu in the place of softplus": (fake - real).clamp(min=0),
        },
        f"the discriminator should pay {right_d.mean():.3f} on average; this answers {of_d.mean():.3f}",
    )
    expect(
        of_g,
        right_g,
        {
            "the generator pays -log D of the plain game: it must overtake the real logit, not 0": softplus(-fake),
            "this is minus the discriminator's loss (minimax): the generator pays softplus of the turned difference": -right_d,
            "the generator pays the discriminator's loss: it would help its rival": right_d,
            "this is the difference itself, without softplus": real - fake,
        },
        f"the generator should pay {right_g.mean():.3f} on average; this answers {of_g.mean():.3f}",
    )


# --- match -----------------------------------------------------------------------------------------------------------


def match_reference(points: Tensor, means: Tensor, sigma: float) -> float:
    """Which part of the data is made rightly: good points count for their mode, up to the mode's fair share.

    Args:
        points: (N, d).
        means: centres of K equally likely modes, (K, d).
        sigma: a point is good at most 3 sigma from its nearest centre.
    Returns:
        the sum over the modes of min(good points there / N, 1 / K), 0 to 1.
    """
    distance, nearest = torch.cdist(points, means).min(1)
    share = torch.bincount(nearest[distance <= 3 * sigma], minlength=len(means)) / len(points)
    return share.clamp(max=1 / len(means)).sum().item()


def _cloud(seed: int, modes: int, d: int, n: int) -> tuple[Tensor, Tensor, float]:
    """Points of which some crowd on the first mode, some lie beyond 3 sigma, and the last mode has none."""
    means, sigma = 6 * draw(modes, d, seed=seed), 0.2
    which = (draw(n, seed=seed + 1, low=0.0) ** 2 * (modes - 1)).long()
    # lengths from 0 to 5 sigma, none near 3
    length = sigma * draw(n, seed=seed + 2, low=0.0, high=4.8)
    length = torch.where((length - 3 * sigma).abs() < 0.05 * sigma, 0.5 * length, length)
    way = draw(n, d, seed=seed + 3)
    return means[which] + length[:, None] * way / way.norm(dim=1, keepdim=True), means, sigma


def _check_match(match: Callable) -> Result:
    for seed, (modes, d, n) in enumerate(((7, 2, 900), (11, 3, 640), (3, 2, 150)), start=3):
        points, means, sigma = _cloud(10 * seed, modes, d, n)
        with fits(f"it does not work for {n} points and {modes} modes in {d} dimensions"):
            found = number(call(match, points, means, sigma), "one number between 0 and 1")
        _name_the_match(found, points, means, sigma)
    nothing = number(call(match, points + 1000, means, sigma))
    expect(nothing, 0.0, {}, f"where no point is good the match is 0; this answers {nothing:.3f}")
    each = number(call(match, means, means, 0.5))
    expect(each, 1.0, {}, f"one point on each centre is a match of 1; this answers {each:.3f}")
    return Result(True, "Bad points count nothing, a crowd counts once, and what is missing is missed.")


def _name_the_match(found: float, points: Tensor, means: Tensor, sigma: float) -> None:
    distance, nearest = torch.cdist(points, means).min(1)
    n, k = len(points), len(means)

    def counts(width: float) -> Tensor:
        return torch.bincount(nearest[distance <= width], minlength=k).double()

    good = counts(3 * sigma)
    fair, total = 1 / k, max(1.0, float(good.sum()))
    right = (good / n).clamp(max=fair).sum()
    mistakes = {
        "this is the share of good points: a crowd on one mode must not count beyond its fair share, 1 / K": good.sum()
        / n,
        "this is the share of modes reached: how many points lie there counts too": (good > 0).double().mean(),
        "bad points are counted too: a point is good at most 3 sigma from its nearest centre": (counts(1e9) / n)
        .clamp(max=fair)
        .sum(),
        "this divides by the good points alone: bad ones must cost something, divide by all": (good / total)
        .clamp(max=fair)
        .sum(),
        "a point is good within 3 sigma, not within 1": (counts(sigma) / n).clamp(max=fair).sum(),
        "a point is good within 3 sigma, not within 2": (counts(2 * sigma) / n).clamp(max=fair).sum(),
        "a point is good within 3 sigma, not within 3": (counts(3) / n).clamp(max=fair).sum(),
        "a point is good within 3 sigma, not within 3 sigma squared": (counts(3 * sigma**2) / n).clamp(max=fair).sum(),
        "the squared distance is compared: take the root, or square 3 sigma too": (counts((3 * sigma) ** 0.5) / n)
        .clamp(max=fair)
        .sum(),
        "this takes the *larger* of share and fair share: the smaller one is meant": (good / n).clamp(min=fair).sum(),
        "the fair share is 1 / K of *all* K modes, reached or not: bincount(..., minlength=len(means))": (good / n)
        .clamp(max=1 / (int(good.nonzero().max()) + 1) if good.any() else 1.0)
        .sum(),
        "the fair share is 1 / K, with K modes; here it is 1 / 25": (good / n).clamp(max=1 / 25).sum(),
        "this is a mean over the modes, K times too small: add them up": right / k,
        "this is a percentage: the match lies between 0 and 1": 100 * right,
        "this is what is missed: 1 minus the match": 1 - right,
        "this counts points: divide by how many there are": right * n,
        "this multiplies modes and share: a mode with one point would count as a whole one": (good > 0).double().mean()
        * good.sum()
        / n,
    }
    said = f"{n} points around {k} modes match to {float(right):.4f}; this answers {found:.4f}"
    expect(found, float(right), {name: float(value) for name, value in mistakes.items()}, said, atol=2e-5)


gradient_penalty = Exercise("gradient_penalty", gradient_penalty_reference, _check_gradient_penalty)
relativistic = Exercise("relativistic", relativistic_reference, _check_relativistic)
match = Exercise("match", match_reference, _check_match)
