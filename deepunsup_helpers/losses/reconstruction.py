"""How well an example is described by what a decoder says of it: squared error and log-likelihoods."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from deepunsup_helpers.losses.checks import at_least_float32, require_same


def squared_error(x_hat, x: Tensor) -> Tensor:
    """Squared error of a reconstruction, summed over all values of an example, averaged over the batch.

    Args:
        x_hat: reconstructions, (N, ...), or what an autoencoder returned, with `x_hat`.
        x: originals, of the same shape.
    Returns:
        0-d tensor, in squared units of x, at least float32.
    Raises:
        ValueError: the shapes differ, or there is no example.
    Source: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647 (figure 2 reports this number).

    squared_error(autoencoder(x), x).backward()
    """
    x_hat = getattr(x_hat, "x_hat", x_hat)
    require_same("squared_error", x_hat=x_hat, x=x)
    return (at_least_float32(x_hat) - at_least_float32(x)).square().flatten(1).sum(dim=1).mean()


def gaussian_log_likelihood(mean: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
    """log N(x; mean, sigma^2 I) of each example: a density, so it can be positive.

    Args:
        mean: what the decoder predicts, (N, ...).
        x: data, of the same shape.
        sigma: standard deviation in units of x, above 0: one number, or a tensor that broadcasts against x. A tensor on a
            GPU is not looked at, which would wait for the device: there a sigma below 0 gives NaN, at which `fit` stops.
    Returns:
        nats, summed over what describes one example, (N,), at least float32.
    Raises:
        ValueError: the shapes differ, there is no example, or sigma is not above 0.

    gaussian_log_likelihood(vae(x).logits.sigmoid(), x, sigma=0.1).mean()
    """
    require_same("gaussian_log_likelihood", mean=mean, x=x)
    mean, x = at_least_float32(mean), at_least_float32(x)
    looked_at = not isinstance(sigma, Tensor) or sigma.device.type == "cpu"
    if looked_at and not bool((torch.as_tensor(sigma) > 0).all()):
        least = float(torch.as_tensor(sigma).detach().min())
        raise ValueError(f"gaussian_log_likelihood: sigma is {least:g} at its least; expected above 0.")
    sigma = torch.as_tensor(sigma, dtype=torch.promote_types(mean.dtype, x.dtype), device=x.device)
    each = -0.5 * ((x - mean) / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)
    return each.reshape(len(x), -1).sum(dim=1)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log Bernoulli(x; sigmoid(logits)) of each example: a mass for x in {0, 1}, so at most 0.

    For grey x in (0, 1) this is the negative cross-entropy, no likelihood of anything: it has a ceiling below 0.

    Args:
        logits: what the decoder returns, (N, ...).
        x: data in [0, 1], of the same shape.
    Returns:
        nats, summed over what describes one example, (N,), at least float32; finite for any finite logits.
    Raises:
        ValueError: the shapes differ, or there is no example.

    bernoulli_log_likelihood(vae(x).logits, x).mean()
    """
    require_same("bernoulli_log_likelihood", logits=logits, x=x)
    logits = at_least_float32(logits)  # autocast leaves bfloat16
    x = x.to(logits.dtype)
    if logits.device.type == "cpu":
        each = _BernoulliOnCPU.apply(logits, x)
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
        nats, summed over what describes one example, (N,), at least float32: a density, so it can be positive.
    Raises:
        ValueError: the shapes differ, or there is no example.
    Source: Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.

    continuous_bernoulli_log_likelihood(vae(x).logits, x).mean()
    """
    log_likelihood = bernoulli_log_likelihood(logits, x)
    size = at_least_float32(logits).abs()
    small = size < 0.05  # there 0 / 0 is near: the first terms of the series are exact to float32
    safe = torch.where(small, torch.ones_like(size), size)
    log_c = torch.where(small, math.log(2) + size.square() / 12, safe.log() - torch.tanh(safe / 2).log())
    return log_likelihood + log_c.reshape(len(x), -1).sum(dim=1)
