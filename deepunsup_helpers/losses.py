"""Losses: pure functions of tensors. They sum over what describes one example and average over the batch."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Squared error of a reconstruction, summed over all values of an example, averaged over the batch.

    Args:
        x_hat: reconstructions, (N, ...).
        x: originals, of the same shape.
    Returns:
        0-d tensor, in squared units of x.
    Raises:
        ValueError: the shapes differ.
    Source: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647 (figure 2 reports this number).
    """
    _require_same("squared_error", x_hat=x_hat, x=x)
    return (x_hat - x).square().flatten(1).sum(dim=1).mean()


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, diag exp(logvar)) || N(0, I)) of each example.

    Args:
        mu: posterior means, (N, D).
        logvar: log variances (not standard deviations), (N, D).
    Returns:
        nats, summed over D, (N,).
    Raises:
        ValueError: the shapes differ, or there is no latent axis.
    Source: Kingma & Welling 2013, arXiv:1312.6114, appendix B.
    """
    _require_same("gaussian_kl", mu=mu, logvar=logvar)
    if mu.ndim != 2:
        raise ValueError(f"gaussian_kl: mu is {tuple(mu.shape)}; expected one row of latents an example, (N, D).")
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(dim=1)


def reparameterize(mu: Tensor, logvar: Tensor) -> Tensor:
    """One sample z = mu + sigma eps of N(mu, diag exp(logvar)), eps ~ N(0, I) from the global generator.

    The randomness sits in eps, so that gradients reach mu and logvar.

    Args:
        mu: means, (N, D) or any shape.
        logvar: log variances, of the same shape.
    Returns:
        z, of the same shape.
    Raises:
        ValueError: the shapes differ.
    Source: Kingma & Welling 2013, arXiv:1312.6114, section 2.4.
    """
    _require_same("reparameterize", mu=mu, logvar=logvar)
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


def gaussian_log_likelihood(mean: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
    """log N(x; mean, sigma^2 I) of each example: a density, so it can be positive.

    Args:
        mean: what the decoder predicts, (N, ...).
        x: data, of the same shape.
        sigma: standard deviation in units of x, above 0: one number, or a tensor that broadcasts against x.
    Returns:
        nats, summed over what describes one example, (N,).
    Raises:
        ValueError: the shapes differ.
    """
    _require_same("gaussian_log_likelihood", mean=mean, x=x)
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    each = -0.5 * ((x - mean) / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)
    return each.reshape(len(x), -1).sum(dim=1)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log Bernoulli(x; sigmoid(logits)) of each example: a mass for x in {0, 1}, so at most 0.

    For grey x in (0, 1) this is the negative cross-entropy, no likelihood of anything: it has a ceiling below 0.

    Args:
        logits: what the decoder returns, (N, ...).
        x: data in [0, 1], of the same shape.
    Returns:
        nats, summed over what describes one example, (N,); finite for any finite logits.
    Raises:
        ValueError: the shapes differ.
    """
    _require_same("bernoulli_log_likelihood", logits=logits, x=x)
    if logits.device.type == "cpu":
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # autocast leaves bfloat16
        each = _BernoulliOnCPU.apply(logits, x.to(logits.dtype))
    else:
        each = -functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return each.reshape(len(x), -1).sum(dim=1)


class _BernoulliOnCPU(torch.autograd.Function):
    """l x - log(1 + e^l) with log in place of log1p, which costs a CPU ten times as much.

    Written as l (x - [l > 0]) - log(1 + e^-|l|), so that no large terms cancel; the log is off by at most 2^-24 in float32.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        return (x - (logits > 0).to(x.dtype)).mul_(logits).sub_(logits.abs().neg_().exp_().add_(1).log_())

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, x = ctx.saved_tensors
        return grad * (x - torch.sigmoid(logits)), grad * logits if ctx.needs_input_grad[1] else None


def continuous_bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log of the density C(l) e^(l x) / (1 + e^l) on [0, 1] of each example, with C(l) = l / tanh(l / 2).

    C makes the Bernoulli's formula integrate to one over grey values. The mean of this density is not sigmoid(l):
    `torch.distributions.ContinuousBernoulli(logits=l).mean`.

    Args:
        logits: what the decoder returns, (N, ...).
        x: data in [0, 1], of the same shape.
    Returns:
        nats, summed over what describes one example, (N,): a density, so it can be positive.
    Raises:
        ValueError: the shapes differ.
    Source: Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.
    """
    size = logits.abs()
    small = size < 0.05  # there 0 / 0 is near: the first terms of the series are exact to float32
    safe = torch.where(small, torch.ones_like(size), size)
    log_c = torch.where(small, math.log(2) + size.square() / 12, safe.log() - torch.tanh(safe / 2).log())
    return bernoulli_log_likelihood(logits, x) + log_c.reshape(len(x), -1).sum(dim=1)


class VAELoss(NamedTuple):
    total: Tensor  # reconstruction + beta kl
    reconstruction: Tensor  # E_q[-log p(x | z)] by one sample
    kl: Tensor  # KL(q || p), not weighted


def vae_loss(
    logits: Tensor,
    x: Tensor,
    mu: Tensor,
    logvar: Tensor,
    *,
    beta: float = 1.0,
    log_likelihood: Callable[[Tensor, Tensor], Tensor] = bernoulli_log_likelihood,
) -> VAELoss:
    """The negative evidence lower bound, averaged over the batch; with beta other than 1 it is no bound any more.

    Args:
        logits: the decoder's answer to one sample of q(z | x), (N, ...).
        x: data, of the same shape.
        mu, logvar: of q(z | x), (N, D).
        beta: weight of the KL. Taking the mean over pixels and over latents is a hidden beta of pixels / D.
        log_likelihood: (logits, x) to nats of each example, (N,): `bernoulli_log_likelihood`,
            `continuous_bernoulli_log_likelihood`, or a Gaussian with one shared sigma,
            `lambda logits, x: gaussian_log_likelihood(logits.sigmoid(), x, sigma)`.
    Returns:
        three 0-d tensors in nats per example.
    Raises:
        ValueError: shapes that differ, or x and mu of different batch sizes.
    Source: Kingma & Welling 2013, arXiv:1312.6114; beta: Higgins et al. 2017, "beta-VAE".
    """
    if len(x) != len(mu):
        raise ValueError(f"vae_loss: x has {len(x)} examples and mu {len(mu)}; expected one q an example.")
    reconstruction = -log_likelihood(logits, x).mean()
    kl = gaussian_kl(mu, logvar).mean()
    return VAELoss(reconstruction + beta * kl, reconstruction, kl)


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The judge's cross-entropy: -E log D(real) - E log(1 - D(fake)), where D = sigmoid(logit).

    2 ln 2 = 1.386 for a judge that answers 1/2 everywhere; the least it can reach is 2 ln 2 - 2 JSD(real, fake).

    Args:
        real_logits: D's logits on data, any shape.
        fake_logits: on samples of the generator (which the caller has detached), any shape.
    Returns:
        0-d tensor, nats: the mean over the real plus the mean over the fake ones. Finite for any finite logits.
    Source: Goodfellow and others 2014, arXiv:1406.2661, equation 1 and theorem 1.
    """
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor, kind: str = "non_saturating") -> Tensor:
    """What the generator lowers, from the judge's logits on its samples.

    "non_saturating" is -E log D(fake): strong where the judge is sure. "minimax" is E log(1 - D(fake)), the judge's own
    term with its sign turned: its gradient, -D(fake), vanishes exactly there.

    Args:
        fake_logits: D's logits on samples through which the gradient reaches the generator, any shape.
        kind: "non_saturating" or "minimax".
    Returns:
        0-d tensor, nats, the mean over the samples. Finite for any finite logits.
    Raises:
        ValueError: an unknown kind.
    Source: Goodfellow and others 2014, arXiv:1406.2661, section 3.
    """
    if kind == "non_saturating":
        return functional.softplus(-fake_logits).mean()
    if kind == "minimax":
        return -functional.softplus(fake_logits).mean()
    raise ValueError(f"generator_loss: unknown kind {kind!r}; expected non_saturating or minimax.")


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    """E |grad_x D(x)|^2 at the data: how steep the judge is there. The step adds gamma / 2 times this to the judge's loss.

    Without it two players that take turns circle around the solution; with it they spiral in.

    Args:
        real_logits: D's logits on `real`, (N,), each of its own example only (no batch normalisation in D).
        real: the batch they were computed from, (N, ...), with `requires_grad` set before D saw it.
    Returns:
        0-d tensor, squared logits per squared unit of x, at least 0; differentiable in D's parameters.
    Raises:
        ValueError: `real` does not require a gradient, or there is not one logit an example.
    Source: Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406, equation 9.
    """
    if not real.requires_grad:
        raise ValueError("r1_penalty: call real.requires_grad_() before D(real): the slope at the data is asked for.")
    if real_logits.shape != real.shape[:1]:
        raise ValueError(
            f"r1_penalty: real_logits is {tuple(real_logits.shape)}; expected one for each of the {len(real)} examples."
        )
    (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).mean()


def _require_same(function: str, **tensors: Tensor) -> None:
    (first, a), (second, b) = tensors.items()
    if a.shape != b.shape:
        raise ValueError(
            f"{function}: {first} is {tuple(a.shape)} and {second} is {tuple(b.shape)}; the shapes must agree."
        )
