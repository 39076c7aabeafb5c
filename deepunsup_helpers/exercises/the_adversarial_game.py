"""The exercises of notebook 14: the best judge, the generator's loss, one step of the game."""

import math
from collections.abc import Callable
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor, nn

from deepunsup_helpers import losses
from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.training import update

_wrong = partial(Result, False)


def _recognise(found: Tensor, known: dict[str, Tensor]) -> str | None:
    """The message whose wrong answer this is, if any."""
    for message, wrong in known.items():
        if found.shape == wrong.shape and torch.allclose(found, wrong, rtol=1e-4, atol=1e-6):
            return message
    return None


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
    draw = torch.Generator().manual_seed(0)
    p, q = (0.05 + torch.rand(6, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    p, q = 3 * p, 0.5 * q  # densities may be above 1
    found = torch.as_tensor(d_star(p.clone(), q.clone()))
    if found.shape != p.shape:
        return _wrong(f"expected one answer for each point, shape {tuple(p.shape)}; got {tuple(found.shape)}")
    if not torch.isfinite(found).all():
        return _wrong("the answers are not all finite")
    ratio, of_sums = p / q, p.sum() / (p + q).sum()
    known = {
        "this is the probability of *fake*: the density of the data belongs above the line": q / (p + q),
        "p / q are odds, from 0 to infinity: a probability divides by both densities, p + q": ratio,
        "log(p / q) is the logit of the answer: pass it through a sigmoid": ratio.log(),
        "the sigmoid wants log p - log q, not p - q": torch.sigmoid(p - q),
        "sigmoid(p / q) is never below 1/2: the sigmoid wants log(p / q)": torch.sigmoid(ratio),
        "p / (p + q) of the sums over all points: each point has an answer of its own": of_sums.expand_as(p),
        "(p + q) / 2 is the density of the mixture, which belongs below the line": (p + q) / 2,
        "half of the answer: real and fake each have weight 1/2 above the line *and* below": 0.5 * p / (p + q),
        "squaring the densities overstates the judge's certainty": p.square() / (p.square() + q.square()),
        "this is all or nothing: where both densities are above zero, nobody can be sure": (p > q).to(p),
    }
    if message := _recognise(found.detach(), known):
        return _wrong(message)
    if not torch.allclose(found, p / (p + q), rtol=1e-4):
        a, b = float(p[0, 0]), float(q[0, 0])
        real = f"where p = {a:.2f} and q = {b:.2f}, {a / (a + b):.2f} of all points are real"
        return _wrong(f"{real}; this answers {float(found[0, 0]):.2f}")
    return Result(True, "It is 1/2 where the densities agree, and no other judge has a lower loss.")


def generator_loss_reference(fake_logits: Tensor) -> Tensor:
    """-E log sigmoid(logit): the non-saturating loss, finite for any finite logit. (N,) to a 0-d tensor, nats."""
    return losses.generator_loss(fake_logits)


def _check_generator_loss(generator_loss: Callable) -> Result:
    draw = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(7, generator=draw, dtype=torch.float64) - 0.5
    logits.requires_grad_()
    found = generator_loss(logits)
    if not isinstance(found, Tensor):
        return _wrong(f"expected a tensor that can be differentiated, got {type(found).__name__}")
    if found.shape == logits.shape:
        return _wrong("one loss for each sample came back: take the mean over the batch")
    if found.ndim != 0:
        return _wrong(f"expected one number, a 0-d tensor; got shape {tuple(found.shape)}")
    d = logits.detach().sigmoid()
    caught = (1 - d).log().mean()
    known = {
        "this sums over the batch: take the mean, or the step grows with the batch size": -d.log().sum(),
        "the sign is turned: this teaches the generator to be caught": d.log().mean(),
        "this is the minimax loss, whose gradient vanishes where the judge is sure: -log D instead of log(1 - D)": caught,
        "this is the *judge's* loss on fakes: the generator wants them labelled 'real'": -caught,
        "the logits are used as they are: log D needs D = sigmoid(logit)": -logits.detach().mean(),
        "this is 1 - D, not -log D: its gradient vanishes where the judge is sure": (1 - d).mean(),
        "this is -D, not -log D: its gradient vanishes where the judge is sure": -d.mean(),
        "the sigmoid is taken twice: the helper takes logits and applies it itself": -d.sigmoid().log().mean(),
    }
    if message := _recognise(found.detach(), known):
        return _wrong(message)
    expected = -d.log().mean()
    if not torch.allclose(found.detach(), expected, atol=1e-4):
        return _wrong(f"-E log D is {float(expected):.4f} nats on random logits; this gives {found.item():.4f}")
    return _far_logits(generator_loss)


def _far_logits(generator_loss: Callable) -> Result:
    for logit in (-100.0, -200.0):  # sigmoid(-100) is 0 on most CPUs, sigmoid(-200) on all
        far = torch.full((4,), logit, requires_grad=True)
        value = generator_loss(far)
        if not value.requires_grad:
            return _wrong("no gradient reaches the logits: is something detached?")
        value.backward()
        if not torch.isfinite(value):
            return _wrong(
                f"at logit {logit:.0f} it is infinite: sigmoid(logit) rounds to 0 before the log. "
                "Take softplus(-logit), which never forms the tiny number"
            )
        if abs(value.item() + logit) > 0.01:
            return _wrong(
                f"at logit {logit:.0f} it is {value.item():.1f}, not {-logit:.0f}: an epsilon or a "
                "clamp inside the logarithm hides how far the generator is. Take softplus(-logit)"
            )
        slope = far.grad.sum().item()
        if not math.isclose(slope, -1, abs_tol=1e-3):
            return _wrong(f"at logit {logit:.0f} the value is right but its slope is {slope:.2g}, not -1")
    return Result(True, "Finite at logit -100, with the full slope there: a generator that loses badly still learns.")


def gan_step_reference(real: Tensor, G: nn.Module, D: nn.Module, opt_g, opt_d) -> dict[str, Tensor]:
    """One step: the judge's update, complete, then the generator's against the judge as it now is.

    Args:
        real: a batch of data, (N, ...).
        G: generator with `latent_dim`; G(z) maps (N, latent_dim) to samples.
        D: discriminator; D(x) returns logits.
        opt_g, opt_d: their optimizers.
    Returns:
        both losses, 0-d, named "discriminator" and "generator".
    Source: Goodfellow and others 2014, arXiv:1406.2661, algorithm 1, with one judge's update a step.
    """
    fake = G(torch.randn(len(real), G.latent_dim, device=real.device))
    d = losses.discriminator_loss(D(real), D(fake.detach()))
    update(opt_d, d)
    g = losses.generator_loss(D(fake))
    update(opt_g, g)
    return {"discriminator": d, "generator": g}


class _Point(nn.Module):
    """A generator whose every sample is theta, whatever the noise: its updates can be computed on paper."""

    latent_dim = 3

    def __init__(self, theta: float):
        super().__init__()
        self.theta, self.shapes = nn.Parameter(torch.tensor(theta, dtype=torch.float64)), []

    def forward(self, z: Tensor) -> Tensor:
        self.shapes.append(tuple(z.shape))
        return self.theta * torch.ones(len(z), 1, dtype=torch.float64)


class _Slope(nn.Module):
    """A judge of one number: D(x) = psi x."""

    def __init__(self, psi: float):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (self.psi * x).squeeze(1)


_REAL, _RATE = (0.5, 1.1, 0.2), 0.3


def _sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def _slopes(theta: float, psi: float) -> tuple[float, float, float]:
    """d loss_D / d psi, d loss_G / d theta and d loss_G / d psi, by hand."""
    on_real = sum(-x * _sigmoid(-psi * x) for x in _REAL) / len(_REAL)
    caught = _sigmoid(-psi * theta)
    return on_real + theta * _sigmoid(psi * theta), -psi * caught, -theta * caught


def _play(order: Callable, theta: float, psi: float, steps: int) -> list[tuple[float, float]]:
    """Where an order of updates leads, step by step."""
    return list(accumulate(range(steps), lambda at, _: order(*at), initial=(theta, psi)))[1:]


def _judge_alone(theta, psi):
    return theta, psi - _RATE * _slopes(theta, psi)[0]


def _right(theta, psi):
    theta, psi = _judge_alone(theta, psi)
    return theta - _RATE * _slopes(theta, psi)[1], psi


def _at_once(theta, psi):
    d, g, _ = _slopes(theta, psi)
    return theta - _RATE * g, psi - _RATE * d


def _generator_first(theta, psi):
    return _judge_alone(theta - _RATE * _slopes(theta, psi)[1], psi)


def _mixed(theta, psi):  # both backward passes, then both steps: the judge also follows the generator's loss
    d, g, g_to_psi = _slopes(theta, psi)
    return theta - _RATE * g, psi - _RATE * (d + g_to_psi)


def _reversed(theta, psi):  # as _mixed, and fake not detached: the judge's loss reaches theta too
    d, g, g_to_psi = _slopes(theta, psi)
    return theta - _RATE * (g + psi * _sigmoid(psi * theta)), psi - _RATE * (d + g_to_psi)


def _judge_twice(theta, psi):
    return _right(*_judge_alone(theta, psi))


def _swapped(theta, psi):  # discriminator_loss(fake, real)
    psi = psi - _RATE * (-theta * _sigmoid(-psi * theta) + sum(x * _sigmoid(psi * x) for x in _REAL) / len(_REAL))
    return theta - _RATE * _slopes(theta, psi)[1], psi


def _minimax(theta, psi):
    theta, psi = _judge_alone(theta, psi)
    return theta + _RATE * psi * _sigmoid(psi * theta), psi


_WRONG_ORDERS = {
    "both players moved at once: finish the judge's update, then ask D(fake) again for the generator's loss": _at_once,
    "the generator moved first: here the judge's update is complete before the generator's begins": _generator_first,
    "the judge moved along the generator's loss too: its gradient was not cleared. Use `update` for both": _mixed,
    "the judge's loss reached the generator and pushed it the wrong way: detach fake for the judge": _reversed,
    "the judge moved twice: one update for each player": _judge_twice,
    "real and fake are swapped in the judge's loss: it takes the real logits first": _swapped,
    "the generator follows the minimax loss: use `generator_loss`": _minimax,
    "the generator did not move: D(fake.detach()) in its loss cuts it off, or its update is missing": _judge_alone,
    "the judge did not move: its update is missing": lambda theta, psi: (theta - _RATE * _slopes(theta, psi)[1], psi),
}


def _close(path, other) -> bool:
    return all(math.isclose(a, b, abs_tol=1e-9) for here, there in zip(path, other) for a, b in zip(here, there))


def _check_gan_step(gan_step: Callable) -> Result:
    theta, psi, steps = -0.8, 0.6, 3
    G, D = _Point(theta), _Slope(psi)
    opt_g, opt_d = torch.optim.SGD(G.parameters(), _RATE), torch.optim.SGD(D.parameters(), _RATE)
    real, path = torch.tensor(_REAL, dtype=torch.float64)[:, None], []
    with torch.random.fork_rng(devices=[]):
        for _ in range(steps):
            try:
                terms = gan_step(real, G, D, opt_g, opt_d)
            except NotImplementedError:  # a blank; it is a RuntimeError, too
                raise
            except RuntimeError as error:
                return _wrong(_explain(error))
            path.append((G.theta.item(), D.psi.item()))
    right = _play(_right, theta, psi, steps)
    if not _close(path, right):
        return _wrong(_name_the_order(path, right, theta, psi))
    if set(G.shapes) != {(len(_REAL), G.latent_dim)}:
        given = f"the generator was given noise of shape {G.shapes[0]}"
        return _wrong(f"{given}: expected one row for each real example, ({len(_REAL)}, G.latent_dim)")
    if not (isinstance(terms, dict) and set(terms) == {"discriminator", "generator"}):
        return _wrong('return both losses as {"discriminator": d, "generator": g}: `fit` draws them')
    return Result(True, "The judge's update is complete, then the generator answers it; no gradient strays.")


def _name_the_order(path, right, theta: float, psi: float) -> str:
    for message, order in _WRONG_ORDERS.items():
        if _close(path, _play(order, theta, psi, len(path))):
            return message
    if _close(path[:1], right[:1]):
        return "the first step is right, the second is not: gradients pile up. Clear them as `update` does"
    on_paper, here = (f"theta {theta:.3f} and psi {psi:.3f}" for theta, psi in (right[-1], path[-1]))
    return f"on paper three steps lead to {on_paper}; this went to {here}"


def _explain(error: RuntimeError) -> str:
    text = str(error)
    if "second time" in text:
        return "the judge's backward pass used up the generator's graph: give the judge fake.detach()"
    if "inplace" in text:
        return "the generator's loss was computed before the judge moved: ask D(fake) again after the judge's update"
    return f"it raised {text.splitlines()[0]}"


d_star = Exercise("d_star", d_star_reference, _check_d_star)
generator_loss = Exercise("generator_loss", generator_loss_reference, _check_generator_loss)
gan_step = Exercise("gan_step", gan_step_reference, _check_gan_step)
