"""The variational autoencoder's loss: KL, sampling from q, and the bound of the two terms."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from deepunsup_helpers.losses.checks import at_least_float32, require_same
from deepunsup_helpers.losses.reconstruction import bernoulli_log_likelihood


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, diag exp(logvar)) || N(0, I)) of each example.

    Args:
        mu: posterior means, (N, D).
        logvar: log variances (not standard deviations), (N, D).
    Returns:
        nats, summed over D, (N,), at least float32.
    Raises:
        ValueError: the shapes differ, there is no latent axis, or no example.
    Source: Kingma & Welling 2013, arXiv:1312.6114, appendix B.

    gaussian_kl(*vae.encode(x)).mean()
    """
    require_same("gaussian_kl", mu=mu, logvar=logvar)
    if mu.ndim != 2:
        raise ValueError(f"gaussian_kl: mu is {tuple(mu.shape)}; expected one row of latents an example, (N, D).")
    mu, logvar = at_least_float32(mu), at_least_float32(logvar)
    return 0.5 * (mu.square() + (torch.expm1(logvar) - logvar)).sum(dim=1)  # near the prior exp(l) - 1 would cancel


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

    z = reparameterize(mu, logvar)
    """
    require_same("reparameterize", mu=mu, logvar=logvar)
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class VAELoss(NamedTuple):
    total: Tensor  # reconstruction + beta kl
    reconstruction: Tensor  # E_q[-log p(x | z)] by one sample
    kl: Tensor  # KL(q || p), not weighted


def vae_loss(
    output,
    x: Tensor,
    mu: Tensor | None = None,
    logvar: Tensor | None = None,
    *,
    beta: float = 1.0,
    log_likelihood: Callable[[Tensor, Tensor], Tensor] = bernoulli_log_likelihood,
) -> VAELoss:
    """The negative evidence lower bound, averaged over the batch; with beta other than 1 it is no bound any more.

    Args:
        output: what a VAE returned for x, with `logits` (N, ...), `mu` and `logvar` (N, D); or the logits alone.
        x: data, of the logits' shape.
        mu, logvar: of q(z | x), (N, D), where `output` is the logits alone.
        beta: weight of the KL. Taking the mean over pixels and over latents is a hidden beta of pixels / D.
        log_likelihood: (logits, x) to nats of each example, (N,): `bernoulli_log_likelihood`,
            `continuous_bernoulli_log_likelihood`, or a Gaussian with one shared sigma,
            `lambda logits, x: gaussian_log_likelihood(logits.sigmoid(), x, sigma)`.
    Returns:
        three 0-d tensors, nats an example.
    Raises:
        ValueError: shapes that differ, x and mu of different batch sizes, or no q at all.
    Source: Kingma & Welling 2013, arXiv:1312.6114; beta: Higgins et al. 2017, "beta-VAE".

    vae_loss(vae(x), x).total.backward()
    """
    if mu is None and logvar is None and hasattr(output, "logvar"):
        output, mu, logvar = output.logits, output.mu, output.logvar
    if mu is None or logvar is None:
        raise ValueError("vae_loss: expected a VAE's output, vae_loss(vae(x), x), or logits, x, mu and logvar.")
    if len(x) != len(mu):
        raise ValueError(f"vae_loss: x has {len(x)} examples and mu {len(mu)}; expected one q an example.")
    reconstruction = -log_likelihood(output, x).mean()
    kl = gaussian_kl(mu, logvar).mean()
    return VAELoss(reconstruction + beta * kl, reconstruction, kl)
