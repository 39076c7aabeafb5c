"""A mixture of Gaussians and EM: the simplest latent variable model, whose posterior is a sum of K terms."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Mixture(NamedTuple):
    """k ~ weights (K,), then x ~ N(means[k], covariances[k]): means (K, D), covariances (K, D, D)."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


class Collapsed(ValueError):
    """A component has shrunk to a point or a line, where the likelihood has no bound."""


def log_joint(mixture: Mixture, x: Tensor) -> Tensor:
    """log p(x, k) of each example with each component: logsumexp over k is log p(x), softmax over k the posterior.

    Args:
        x: data, (N, D).
    Returns:
        nats, (N, K).
    Raises:
        ValueError: x is not (N, D), floating point and finite.
        Collapsed: a covariance is not positive definite.

    log_joint(mixture, x).softmax(dim=1)  # p(k | x)
    """
    weights, means, covariances = mixture
    if x.ndim != 2 or x.shape[1] != means.shape[1]:
        raise ValueError(f"x is {tuple(x.shape)}; the mixture expects (N, {means.shape[1]})")
    _require_finite(x)
    root, failed = torch.linalg.cholesky_ex(covariances)  # (K, D, D)
    _refuse_collapse(failed > 0)
    offsets = (x - means[:, None]).transpose(1, 2)  # (K, D, N)
    distance = torch.linalg.solve_triangular(root, offsets, upper=False).square().sum(dim=1)  # (K, N)
    log_volume = root.diagonal(dim1=1, dim2=2).log().sum(dim=1) + 0.5 * x.shape[1] * math.log(2 * math.pi)
    return (weights.log() - log_volume) - 0.5 * distance.T


def _refuse_collapse(collapsed: Tensor) -> None:
    if collapsed.any():
        raise Collapsed(
            f"component {int(collapsed.nonzero()[0])} has shrunk to a point or a line, where the "
            "likelihood has no bound: use fewer components, another start, or a reg_covar above 0"
        )


def em_step(mixture: Mixture, x: Tensor, *, reg_covar: float = 0.0) -> tuple[Mixture, Tensor]:
    """One step of expectation maximisation; with reg_covar 0 the likelihood never falls.

    Args:
        x: data, (N, D).
        reg_covar: added to the diagonal of every covariance, in squared units of x; keeps components from collapsing.
    Returns:
        the new mixture, and the mean log-likelihood of the *old* one, nats an example.
    Raises:
        ValueError: as `log_joint`.
        Collapsed: along some direction a component is a million times narrower than the data.
    Source: Dempster, Laird & Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x.

    mixture, log_p = em_step(mixture, x)
    """
    joint = log_joint(mixture, x)
    log_p = joint.logsumexp(dim=1, keepdim=True)  # (N, 1)
    posterior = torch.exp(joint - log_p)  # E step, (N, K)
    counts = posterior.sum(dim=0).clamp_min(torch.finfo(x.dtype).tiny)  # M step from here
    means = posterior.T @ x / counts[:, None]
    offsets = x[:, None] - means  # (N, K, D)
    covariances = torch.einsum("nk,nki,nkj->kij", posterior, offsets, offsets) / counts[:, None, None]
    covariances = covariances + reg_covar * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    _refuse_collapse(torch.linalg.eigvalsh(covariances)[:, 0] < 1e-12 * x.var(dim=0, correction=0).sum())
    return Mixture(counts / len(x), means, covariances), log_p.mean()


def start_mixture(x: Tensor, components: int, *, seed: int, init: str = "k-means++") -> Mixture:
    """A start for EM: means on examples drawn at random, a tenth of the data's covariance each, equal weights.

    Args:
        x: data, (N, D), N at least 2 and at least `components`.
        components: K.
        seed: which examples.
        init: "k-means++" draws each next mean preferably far from those before, "random" draws all alike.
    Raises:
        ValueError: x is not (N, D), floating point and finite; more components than examples; an unknown init.
    Source: Arthur & Vassilvitskii 2007, "k-means++: the advantages of careful seeding", SODA.

    mixture = start_mixture(x, 8, seed=0)
    """
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x is {tuple(x.shape)}; expected at least two examples, (N, D)")
    _require_finite(x)
    if not 1 <= components <= len(x):
        raise ValueError(f"components is {components}; with {len(x)} examples expected 1 to {len(x)}")
    if init not in ("k-means++", "random"):
        raise ValueError(f"unknown init {init!r}: expected k-means++ or random")
    if init == "k-means++":
        from sklearn.cluster import kmeans_plusplus  # slow to import

        _, chosen = kmeans_plusplus(x.cpu().numpy(), components, random_state=seed)
    else:
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:components]
    means = x[torch.as_tensor(chosen, device=x.device)]
    covariance = 0.1 * torch.cov(x.T).reshape(x.shape[1], x.shape[1])
    return Mixture(x.new_full((components,), 1 / components), means, covariance.repeat(components, 1, 1))


def fit_mixture(
    x: Tensor,
    components: int,
    *,
    steps: int,
    seed: int,
    n_init: int = 1,
    init: str = "k-means++",
    reg_covar: float = 0.0,
) -> tuple[Mixture, list[float]]:
    """EM from several starts; of those that did not collapse, the one that ends with the highest likelihood.

    Args:
        x: data, (N, D); float64 for likelihoods that do not fall by rounding.
        components: K.
        steps: EM steps of each start.
        seed: of the first start; the others follow it.
        n_init: how many starts.
        init: see `start_mixture`.
        reg_covar: see `em_step`.
    Returns:
        the mixture, and its mean log-likelihood before each step and after the last, nats an example, (steps + 1).
    Raises:
        ValueError: as `start_mixture`; n_init under 1, or a negative reg_covar.
        Collapsed: in every start a component shrank to a point or a line.

    mixture, log_p = fit_mixture(x.double(), 8, steps=60, seed=0, n_init=3)
    """
    if n_init < 1 or reg_covar < 0:
        raise ValueError(f"n_init is {n_init} and reg_covar {reg_covar}; expected at least 1, and at least 0")
    runs, collapsed = [], None
    for start in range(n_init):
        try:
            begin = start_mixture(x, components, seed=seed + start, init=init)
            runs.append(_em(begin, x, steps=steps, reg_covar=reg_covar))
        except Collapsed as error:
            collapsed = error
    if not runs:
        raise collapsed
    return max(runs, key=lambda run: run[1][-1])


def _em(mixture: Mixture, x: Tensor, *, steps: int, reg_covar: float) -> tuple[Mixture, list[float]]:
    history = []
    for _ in range(steps):
        mixture, log_p = em_step(mixture, x, reg_covar=reg_covar)
        history.append(float(log_p))
    history.append(float(log_joint(mixture, x).logsumexp(dim=1).mean()))
    return mixture, history


def sample_mixture(mixture: Mixture, n: int, *, generator: torch.Generator | None = None) -> Tensor:
    """n examples of the mixture, in random order, (n, D), on the means' device.

    The noise is drawn on the CPU, from `generator` or the global one, so it is the same on every device.
    """
    weights, means, covariances = mixture
    k = torch.multinomial(weights.cpu(), n, replacement=True, generator=generator).to(means.device)
    noise = torch.randn(n, means.shape[1], generator=generator, dtype=means.dtype).to(means.device)
    return means[k] + (torch.linalg.cholesky(covariances)[k] @ noise[:, :, None]).squeeze(2)


def _require_finite(x: Tensor) -> None:
    if not x.is_floating_point() or not bool(x.isfinite().all()):
        what = "NaN or infinite values" if x.is_floating_point() else f"whole numbers, {x.dtype}"
        raise ValueError(f"x holds {what}; expected finite numbers in float64 or float32")
