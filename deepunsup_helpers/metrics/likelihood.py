"""Likelihoods: estimated from importance weights, and exact where the model is linear and Gaussian.

A likelihood is compared in nats an example. Densities (Gaussian decoders) and masses (Bernoulli decoders on binary
data) are different things and never stand in one column.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import any_tensor, as_tensor, features


def importance_log_likelihood(log_weights) -> Tensor:
    """log p(x) of each example from K samples z_k ~ q(z | x): log (1/K) sum_k p(x, z_k) / q(z_k | x).

    On average it lies below log p(x), and rises to it with K. With K = 1 its mean is the ELBO. It cannot warn of a
    region that q never visits: all samples agree, and all miss it.

    Args:
        log_weights: log p(x, z_k) - log q(z_k | x), (K, N); -inf is a weight of zero.
    Returns:
        nats, float64 on the CPU, (N,); -inf where all weights are zero.
    Raises:
        ValueError: not (K, N), or NaN or +inf.
    Source: Burda et al. 2016, arXiv:1509.00519, equation 8.

    importance_log_likelihood(log_p_xz - log_q_z).mean()
    """
    log_weights = _weights(log_weights)
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))


def effective_sample_size(log_weights) -> Tensor:
    """How many equally weighted samples the K weighted ones are worth: (sum w)^2 / sum w^2.

    Args:
        log_weights: log p(x, z_k) - log q(z_k | x), (K, N); -inf is a weight of zero.
    Returns:
        from 1 (one sample carries everything) to K (all weights equal), 0 where all weights are zero; float64 on the CPU,
        (N,).
    Raises:
        ValueError: not (K, N), or NaN or +inf.
    Source: Kong 1992, "A note on importance sampling using standardized weights", University of Chicago.

    effective_sample_size(log_p_xz - log_q_z)
    """
    log_weights = _weights(log_weights)
    total = torch.logsumexp(log_weights, dim=0)
    size = torch.exp(2 * total - torch.logsumexp(2 * log_weights, dim=0))
    return torch.where(total == -math.inf, 0.0, size)


def active_units(mu, threshold: float = 0.01) -> int:
    """How many latents of a VAE carry something: those whose posterior mean varies over the data.

    Args:
        mu: posterior means of many examples, (N, D).
        threshold: least variance of a latent's mean over the examples; the prior's is 1.
    Returns:
        0 to D.
    Raises:
        ValueError: not (N, D), fewer than two examples, or not finite.
    Source: Burda et al. 2016, arXiv:1509.00519, section 5.2.

    active_units(vae.encode(x_test)[0])
    """
    mu = as_tensor(mu, name="mu", device="cpu", dtype=torch.float64)
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(f"mu has shape {tuple(mu.shape)}; expected the means of at least two examples, (N, D)")
    return int((mu.var(dim=0, correction=0) > threshold).sum())


class ProbabilisticPCA(NamedTuple):
    """z ~ N(0, I_L), x = mean + W z + sigma eps: `mean` (D,), `W` (D, L), `sigma` one number in units of x."""

    mean: Tensor
    W: Tensor
    sigma: Tensor


def fit_probabilistic_pca(x, latent_dim: int) -> ProbabilisticPCA:
    """Maximum likelihood probabilistic PCA in closed form: the leading eigenvectors, and the mean of what they leave.

    Args:
        x: data, (N, ...), flattened to (N, D).
        latent_dim: L, from 0 (one isotropic Gaussian) to D - 1.
    Returns:
        the model in float64 on the CPU; columns of W are orthogonal, longest first.
    Raises:
        ValueError: fewer than two examples, not finite, `latent_dim` out of range, or it leaves no variance over, so that
            sigma would be 0.
    Source: Tipping & Bishop 1999, doi:10.1111/1467-9868.00196, equations 7 and 8.

    ppca_log_likelihood(fit_probabilistic_pca(x_train, 20), x_test).mean()
    """
    x = features(x, name="x", device="cpu", dtype=torch.float64)
    if len(x) < 2:
        raise ValueError("x is one example; expected at least two, whose variance can be explained")
    D = x.shape[1]
    if not 0 <= latent_dim < D:
        raise ValueError(f"latent_dim is {latent_dim}; with {D} numbers an example expected 0 to {D - 1}")
    mean = x.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0).reshape(D, D))  # rising
    left_over = values[: D - latent_dim].mean()
    if left_over <= 1e-12 * values[-1]:
        raise ValueError(f"{latent_dim} dimensions explain x completely, so the noise would be 0; use fewer")
    kept, directions = values.flip(0)[:latent_dim], vectors.flip(1)[:, :latent_dim]
    return ProbabilisticPCA(mean, directions * (kept - left_over).clamp_min(0).sqrt(), left_over.sqrt())


def ppca_log_likelihood(model: ProbabilisticPCA, x) -> Tensor:
    """Exact log p(x) = log N(x; mean, W W^T + sigma^2 I) of each example, without a D x D matrix.

    Args:
        model: from `fit_probabilistic_pca`, or any mean, W and sigma.
        x: data, (N, ...), flattened to (N, D).
    Returns:
        nats, a density, float64 on the CPU, (N,).
    Raises:
        ValueError: x has another number of values an example than the model.
    Source: Tipping & Bishop 1999, doi:10.1111/1467-9868.00196, equation 5; Woodbury's identity.
    """
    centred, W, sigma = _centred(model, x)
    dimensions, latent_dim = W.shape
    M = W.T @ W + sigma**2 * torch.eye(latent_dim, dtype=W.dtype)
    projected = centred @ W  # (N, L)
    distance = (centred.square().sum(1) - (projected @ torch.linalg.inv(M) * projected).sum(1)) / sigma**2
    log_determinant = torch.logdet(M) + 2 * (dimensions - latent_dim) * sigma.log()
    return -0.5 * (distance + log_determinant + dimensions * math.log(2 * math.pi))


def ppca_posterior(model: ProbabilisticPCA, x) -> tuple[Tensor, Tensor]:
    """The exact posterior p(z | x) = N(mu, covariance) of probabilistic PCA; its covariance is the same for every x.

    Args:
        model: from `fit_probabilistic_pca`, or any mean, W and sigma.
        x: data, (N, ...), flattened to (N, D).
    Returns:
        mu, (N, L), and the covariance, (L, L), diagonal when W's columns are orthogonal; float64 on the CPU.
    Raises:
        ValueError: x has another number of values an example than the model.
    Source: Tipping & Bishop 1999, doi:10.1111/1467-9868.00196, equation 9.
    """
    centred, W, sigma = _centred(model, x)
    inverse = torch.linalg.inv(W.T @ W + sigma**2 * torch.eye(W.shape[1], dtype=W.dtype))
    return centred @ W @ inverse, sigma**2 * inverse


def _centred(model: ProbabilisticPCA, x) -> tuple[Tensor, Tensor, Tensor]:
    x = features(x, name="x", device="cpu", dtype=torch.float64)
    mean, W, sigma = (torch.as_tensor(part).detach().to("cpu", torch.float64) for part in model)
    if x.shape[1] != len(W):
        raise ValueError(f"x has {x.shape[1]} numbers an example, the model {len(W)}")
    return x - mean, W, sigma


def _weights(log_weights) -> Tensor:
    log_weights = any_tensor(log_weights, name="log_weights", device="cpu", dtype=torch.float64)
    if bool((log_weights.isnan() | (log_weights == math.inf)).any()):
        raise ValueError("log_weights holds NaN or +inf; expected finite numbers, or -inf for a weight of zero")
    if log_weights.ndim != 2:
        raise ValueError(f"log_weights has shape {tuple(log_weights.shape)}; expected samples by examples, (K, N)")
    return log_weights
