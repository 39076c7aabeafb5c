"""The exercises of notebook 14: the best discriminator, the generator's loss, one step of the game."""

import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from deepunsup_helpers import losses
from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.smallest_game import RATE, REAL, WRONG_ORDERS, Point, Slope, play, right_order
from deepunsup_helpers.exercises.toolkit import (
    Wrong,
    call,
    close,
    draw,
    expect,
    expect_standard_normal,
    fits,
    number,
    require,
    sets_a_seed,
    tensor,
)
from deepunsup_helpers.training import update


def d_star_reference(p: Tensor, q: Tensor) -> Tensor:
    """The probability that a point is real, when real and fake points are equally frequent.

    Args:
        p, q: densities of the data and of the generator at the same points, at least 0, any one shape.
    Returns:
        in [0, 1], of that shape.
    Source: Goodfellow and others 2014, arXiv:1406.2661, proposition 1.
    """
    return p / (p + q)


def _check_d_star(d_star: Callable) -> Result:
    for seed, shape in ((0, (6, 4)), (1, (5,)), (2, (3, 2, 7))):
        p, q = 3 * draw(*shape, seed=seed, low=0.05, high=1.05), 0.5 * draw(*shape, seed=seed + 9, low=0.05, high=1.05)
        apart = {(): f"expected one answer for each point, shape {shape}; this is one for all of them"}
        other = fits(f"points in another shape, {shape}, stop it: is a size fixed?")
        with other if seed else nullcontext():
            found = tensor(call(d_star, p, q), shape, apart)
        _name_the_answer(found.detach().double(), p.double(), q.double())
    one = torch.tensor([0.0, 0.4, 1.0]), torch.tensor([0.3, 0.0, 1.0])
    alone = tensor(call(d_star, *one), (3,))
    sure = "where only one of the densities is above zero, 0 and 1 are answers: do not clamp them"
    require(close(alone, torch.tensor([0.0, 1.0, 0.5])), sure)
    far = tensor(call(d_star, torch.tensor([2e-9]), torch.tensor([1e-9])), (1,))
    require(
        close(far, torch.tensor([2 / 3])),
        f"where p = 2e-9 and q = 1e-9, 2/3 are real; an epsilon makes it {float(far):.2f}",
    )
    return Result(True, "It is 1/2 where the densities agree, and no other discriminator has a lower loss.")


def _name_the_answer(found: Tensor, p: Tensor, q: Tensor) -> None:
    ratio, of_sums = p / q, p.sum() / (p + q).sum()
    mistakes = {
        "this is the probability of *fake*: the density of the data belongs above the line": q / (p + q),
        "p / q are odds, from 0 to infinity: a probability divides by both densities, p + q": ratio,
        "log(p / q) is the logit of the answer: pass it through a sigmoid": ratio.log(),
        "the sigmoid wants log p - log q, not p - q": torch.sigmoid(p - q),
        "sigmoid(p / q) is never below 1/2: the sigmoid wants log(p / q)": torch.sigmoid(ratio),
        "p / (p + q) of the sums over all points: each point has an answer of its own": of_sums.expand_as(p),
        "(p + q) / 2 is the density of the mixture, which belongs below the line": (p + q) / 2,
        "half of the answer: real and fake each have weight 1/2 above the line *and* below": 0.5 * p / (p + q),
        "squaring the densities overstates the discriminator's certainty": p.square() / (p.square() + q.square()),
        "this is all or nothing: where both densities are above zero, nobody can be sure": (p > q).to(p),
        "p is a density, no probability: divide it by the density of all points that turn up": p,
    }
    a, b = float(p.flatten()[0]), float(q.flatten()[0])
    real = f"where p = {a:.2f} and q = {b:.2f}, {a / (a + b):.2f} of all points are real"
    expect(found, p / (p + q), mistakes, f"{real}; this answers {float(found.flatten()[0]):.2f}", rtol=1e-4)


def generator_loss_reference(fake_logits: Tensor) -> Tensor:
    """-E log sigmoid(logit): the non-saturating loss, finite for any finite logit. (N,) to a 0-d tensor, nats."""
    return losses.generator_loss(fake_logits)


def _check_generator_loss(generator_loss: Callable) -> Result:
    for seed, n in ((1, 7), (2, 12)):
        logits = (2 * draw(n, seed=seed) - 0.5).requires_grad_()
        apart = {(n,): "one loss for each sample came back: take the mean over the batch"}
        found = tensor(call(generator_loss, logits), (), apart, slopes=True)
        _name_the_loss(found.detach().double(), logits.detach().double().sigmoid(), logits.detach().double())
    _check_far_logits(generator_loss)
    return Result(True, "Finite at logit -100, with the full slope there: a generator that loses badly still learns.")


def _name_the_loss(found: Tensor, d: Tensor, logits: Tensor) -> None:
    caught, right = (1 - d).log().mean(), -d.log().mean()
    mistakes = {
        "this sums over the batch: take the mean, or the step grows with the batch size": -d.log().sum(),
        "the sign is turned: this teaches the generator to be caught": -right,
        "this is the minimax loss, whose gradient vanishes where the discriminator is sure: -log D instead of log(1 - D)": caught,
        "this is the *discriminator's* loss on fakes: the generator wants them labelled 'real'": -caught,
        "the logits are used as they are: log D needs D = sigmoid(logit)": -logits.mean(),
        "this is 1 - D, not -log D: its gradient vanishes where the discriminator is sure": (1 - d).mean(),
        "this is -D, not -log D: its gradient vanishes where the discriminator is sure": -d.mean(),
        "this is the logarithm of the mean: take the mean of the logarithms": -d.mean().log(),
        "the sigmoid is taken twice: the helper takes logits and applies it itself": -d.sigmoid().log().mean(),
        "the logarithm is of base 2, so these are bits: nats need the natural one": right / math.log(2),
    }
    said = f"-E log D is {float(right):.4f} nats on random logits, a batch of {len(d)}; this gives {float(found):.4f}"
    expect(found, right, mistakes, said, rtol=1e-4)


def _check_far_logits(generator_loss: Callable) -> None:
    for logit in (-100.0, -200.0, -2000.0):  # sigmoid(-100) is 0 on most CPUs, sigmoid(-200) on all
        far = torch.full((4,), logit, requires_grad=True)
        value = call(generator_loss, far)
        require(value.requires_grad, "no gradient reaches the logits: is something detached?")
        value.backward()
        here, slope = f"at logit {logit:.0f} it is {value.item():.1f}, not {-logit:.0f}: ", far.grad.sum().item()
        require(bool(torch.isfinite(value)), f"{here}sigmoid(logit) rounds to 0 before the log. Take softplus(-logit)")
        hides = (
            f"{here}an epsilon or a clamp inside the logarithm hides how far the generator is. Take softplus(-logit)"
        )
        require(abs(value.item() + logit) < 0.01, hides)
        require(abs(slope + 1) < 1e-3, f"at logit {logit:.0f} the value is right but its slope is {slope:.2g}, not -1")


def gan_step_reference(real: Tensor, G: nn.Module, D: nn.Module, opt_g, opt_d) -> dict[str, Tensor]:
    """One step: the discriminator's update, complete, then the generator's against the discriminator as it now is.

    Args:
        real: a batch of data, (N, ...).
        G: generator with `latent_dim`; G(z) maps (N, latent_dim) to samples.
        D: discriminator; D(x) returns logits.
        opt_g, opt_d: their optimizers.
    Returns:
        both losses, 0-d, named "discriminator" and "generator".
    Source: Goodfellow and others 2014, arXiv:1406.2661, algorithm 1, with one discriminator's update a step.
    """
    fake = G(torch.randn(len(real), G.latent_dim, device=real.device))
    d = losses.discriminator_loss(D(real), D(fake.detach()))
    update(opt_d, d)
    g = losses.generator_loss(D(fake))
    update(opt_g, g)
    return {"discriminator": d, "generator": g}


def _check_gan_step(gan_step: Callable) -> Result:
    theta, psi, real = -0.8, 0.6, torch.tensor(REAL)[:, None]
    path, terms = [], []
    step, G, D = _table(gan_step, theta, psi, latent_dim=3)
    right = play(right_order, theta, psi, steps=3)
    for _ in right:
        try:
            terms.append(step(real))
        except RuntimeError as error:
            raise Wrong(_explain(error)) if _explain(error) else error from None
        path.append((G.theta.item(), D.psi.item()))
    if not close(path, right, rtol=0, atol=1e-5):
        raise Wrong(_name_the_order(path, right, theta, psi))
    _check_terms(terms, [(theta, psi), *right])
    _check_noise(gan_step, len(G.noise) // 3, theta, psi)
    return Result(True, "The discriminator's update is complete, then the generator answers it; no gradient strays.")


def _table(gan_step: Callable, theta: float, psi: float, latent_dim: int) -> tuple[Callable, Point, Slope]:
    """Two players at a table: a function that plays one step on a batch, and the players."""
    G, D = Point(theta, latent_dim), Slope(psi)
    opt_g, opt_d = torch.optim.SGD(G.parameters(), RATE), torch.optim.SGD(D.parameters(), RATE)

    def step(real: Tensor) -> object:
        before, seen = real.clone(), len(G.noise)
        terms = gan_step(real, G, D, opt_g, opt_d)
        require(torch.equal(real, before), "`real` itself was changed: the next epoch sees these points again")
        shapes = {tuple(z.shape) for z in G.noise[seen:]}
        expected = (len(real), latent_dim)
        require(
            shapes <= {expected},
            f"the generator was given noise of shape {next(iter(shapes - {expected}), ())}: expected one row for each real "
            f"example, (len(real), G.latent_dim), here {expected}",
        )
        return terms

    return step, G, D


def _check_terms(terms: list, places: list[tuple[float, float]]) -> None:
    """The losses that each step returns are those at the places where the players were, in float or tensor."""
    for found, (theta, psi), (_, moved) in zip(terms, places, places[1:]):
        named = isinstance(found, dict) and {"discriminator", "generator"} <= set(found)
        require(named, 'return both losses as {"discriminator": d, "generator": g}: `fit` draws them')
        d = sum(math.log1p(math.exp(-psi * x)) for x in REAL) / len(REAL) + math.log1p(math.exp(psi * theta))
        g = math.log1p(math.exp(-moved * theta))
        here = [number(found[name], f"one number named {name!r}") for name in ("discriminator", "generator")]
        require(
            not close(here, [g, d]), 'the names are swapped: "discriminator" is the loss of D, "generator" that of G'
        )
        said = f"the losses returned are {here[0]:.3f} and {here[1]:.3f}; those that were minimised are {d:.3f} and {g:.3f}"
        require(close(here, [d, g], rtol=1e-4), said)


def _check_noise(gan_step: Callable, draws: int, theta: float, psi: float) -> None:
    """Every batch of noise is normal, and new in each step."""
    step, G, _ = _table(gan_step, theta, psi, latent_dim=6)
    real = draw(6000, 1, seed=3)
    seeded = sets_a_seed(lambda: _table(gan_step, theta, psi, latent_dim=6)[0](real[:3]))
    require(not seeded, "a seed is set inside: every step and every later cell then draws the same numbers")
    for _ in range(2):
        step(real)
    for first, again in zip(G.noise[:draws], G.noise[draws:]):
        expect_standard_normal(first, again, name="the noise")


def _tensors(terms: dict) -> dict[str, Tensor]:
    return {name: torch.as_tensor(value) for name, value in terms.items()}


def _name_the_order(path, right, theta: float, psi: float) -> str:
    for message, order in WRONG_ORDERS.items():
        if close(path, play(order, theta, psi, len(path)), rtol=0, atol=1e-5):
            return message
    if close(path[:1], right[:1], rtol=0, atol=1e-5):
        return "the first step is right, the second is not: gradients pile up. Clear them as `update` does"
    on_paper, here = (f"theta {theta:.3f} and psi {psi:.3f}" for theta, psi in (right[-1], path[-1]))
    return f"on paper three steps lead to {on_paper}; this went to {here}"


def _explain(error: RuntimeError) -> str:
    meanings = {
        "second time": "the discriminator's backward pass used up the generator's graph: give the discriminator fake.detach()",
        "inplace": "the generator's loss was computed before the discriminator moved: ask D(fake) again after its update",
    }
    return next((meaning for sign, meaning in meanings.items() if sign in str(error)), "")


d_star = Exercise("d_star", d_star_reference, _check_d_star, torch.as_tensor)
generator_loss = Exercise("generator_loss", generator_loss_reference, _check_generator_loss)
gan_step = Exercise("gan_step", gan_step_reference, _check_gan_step, _tensors)
