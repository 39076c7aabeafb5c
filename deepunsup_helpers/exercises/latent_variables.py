"""The exercises of notebook 09: the KL to the prior, a sample that gradients pass through, the bound itself."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, distributions

from deepunsup_helpers import losses
from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.metrics.likelihood import ProbabilisticPCA, ppca_log_likelihood, ppca_posterior


def _uniform(shape: tuple[int, ...], low: float, high: float, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def _recognise(found: Tensor, candidates: dict[str, Tensor], *, rtol: float = 1e-4, atol: float = 1e-5) -> str | None:
    """The first message whose numbers are those found."""
    return next(
        (
            message
            for message, value in candidates.items()
            if torch.allclose(found, value.to(found), rtol=rtol, atol=atol)
        ),
        None,
    )


def _one_number_each(found: Tensor, n: int, latents: int) -> str | None:
    """What is wrong with a result that should be (n,)."""
    if not isinstance(found, Tensor):
        return f"return a tensor of shape (N,), not {type(found).__name__}"
    if found.ndim == 0:
        return "this returns one number for the whole batch: sum over the latents (dim=1) and leave the examples apart"
    if found.shape == (n, latents):
        return "this returns one number for each latent: sum over them (dim=1), since independent parts add"
    if found.shape == (latents,):
        return "this sums over the examples (dim=0): sum over the latents, dim=1"
    if found.shape != (n,):
        return f"expected one number an example, shape ({n},), and got {tuple(found.shape)}"
    finite = torch.isfinite(found).all()
    return None if finite else "the result is not finite: `logvar` may be negative, so take no log of it"


# --- gaussian_kl -----------------------------------------------------------------------------------------------------


def _check_gaussian_kl(gaussian_kl: Callable) -> Result:
    n, latents = 6, 3
    mu, logvar = _uniform((n, latents), -2, 2, seed=1), _uniform((n, latents), 0.3, 1.5, seed=2)
    found = gaussian_kl(mu.clone(), logvar.clone())
    if wrong := _one_number_each(found, n, latents):
        return Result(False, wrong)
    var, square = logvar.exp(), mu.square()
    kl = distributions.kl_divergence(distributions.Normal(mu, var.sqrt()), distributions.Normal(0.0, 1.0)).sum(1)
    message = _recognise(
        found,
        {
            "this averages over the latents; the KL sums, because independent parts add": kl / latents,
            "the sign is turned: a KL is never negative": -kl,
            "the factor 1/2 is missing": 2 * kl,
            "`logvar` is taken for sigma: the variance is exp(logvar)": 0.5
            * (square + logvar.square() - logvar.square().log() - 1).sum(1),
            "`logvar` is taken for log sigma: the variance is exp(logvar), not exp(2 logvar)": 0.5
            * (square + (2 * logvar).exp() - 2 * logvar - 1).sum(1),
            "`logvar` is taken for the variance: exponentiate it where the variance stands": 0.5
            * (square + logvar - logvar.log() - 1).sum(1),
            "the -1 is missing: at the prior this gives D/2, not 0": 0.5 * (square + var - logvar).sum(1),
            "mu is not squared": 0.5 * (mu + var - logvar - 1).sum(1),
            "mu is missing: a q in the wrong place costs as well": 0.5 * (var - logvar - 1).sum(1),
            "the sign of logvar is turned: the log of the variance is subtracted": 0.5
            * (square + var + logvar - 1).sum(1),
            "this is KL(p || q), the other way round: the expectation is under q": 0.5
            * ((1 + square) / var + logvar - 1).sum(1),
        },
    )
    if message:
        return Result(False, message)
    if not torch.allclose(found, kl, rtol=1e-4):
        return Result(False, f"torch.distributions finds {kl[0]:.4f} nats where this finds {float(found[0]):.4f}")
    if not torch.allclose(gaussian_kl(mu, -2 * logvar), losses.gaussian_kl(mu, -2 * logvar), rtol=1e-4):
        return Result(False, "right for variances above 1, wrong below: `logvar` may be negative")
    return _gradient_reaches(gaussian_kl, Result(True, "It equals torch.distributions' KL, and is 0 at the prior."))


def _gradient_reaches(function: Callable, passed: Result) -> Result:
    mu, logvar = (torch.full((2, 2), value, requires_grad=True) for value in (0.5, -1.0))
    total = function(mu, logvar).sum()
    if total.requires_grad:
        total.backward()
    for name, tensor in {"mu": mu, "logvar": logvar}.items():
        if tensor.grad is None or not tensor.grad.any():
            return Result(False, f"no gradient reaches {name}: `.detach()`, `.data`, `.item()` and no_grad cut it off")
    return passed


# --- reparameterize --------------------------------------------------------------------------------------------------


def _check_reparameterize(reparameterize: Callable) -> Result:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return _moments(reparameterize)


def _moments(reparameterize: Callable) -> Result:
    n = 20_000
    mu = _uniform((n, 3), -1, 1, seed=4).requires_grad_()
    logvar = torch.tensor([-3.0, -1.2, 0.8], dtype=torch.float64).repeat(n, 1).requires_grad_()
    z = reparameterize(mu, logvar)
    if not isinstance(z, Tensor) or z.shape != mu.shape:
        return Result(
            False,
            f"expected z of shape {tuple(mu.shape)}, like mu; got "
            + (str(tuple(z.shape)) if isinstance(z, Tensor) else type(z).__name__),
        )
    if not torch.isfinite(z).all():
        return Result(False, "z is not finite: logvar may be negative; take exp(0.5 * logvar), no log or root of it")
    noise = (z - mu).detach()  # sigma eps
    if not noise.any():
        return Result(False, "z equals mu: there is no noise in it")
    if (noise.std(0) < 1e-9).all():
        return Result(False, "all examples share one eps: draw as many numbers as mu has, `torch.randn_like(mu)`")
    if torch.corrcoef(noise.T)[0, 1].abs() > 0.5:
        return Result(False, "all latents of an example share one eps: draw as many numbers as mu has")
    sd, logvars = noise.std(0), logvar[0].detach()
    uniform = math.sqrt(1 / 12)
    if message := _recognise(
        sd,
        {
            "the noise is not scaled: eps has standard deviation 1, multiply it by sigma": torch.ones(3),
            "this multiplies by the variance: sigma is exp(0.5 * logvar)": logvars.exp(),
            "this multiplies by logvar: sigma is exp(0.5 * logvar)": logvars.abs(),
            "this divides by sigma: multiply eps by exp(0.5 * logvar)": (-0.5 * logvars).exp(),
            "eps is uniform: it needs the standard normal, randn, not rand": uniform * (0.5 * logvars).exp(),
        },
        rtol=0.05,
    ):
        return Result(False, message)
    if not torch.allclose(sd, (0.5 * logvars).exp(), rtol=0.05):
        return Result(
            False,
            f"with logvar {logvars[0]:.1f} the samples' standard deviation is {sd[0]:.3f}, "
            f"not {math.exp(0.5 * logvars[0]):.3f}",
        )
    if noise.mean(0).abs().max() > 0.05:
        return Result(False, "the samples' mean is not mu: add the noise to mu itself")
    return _sample_gradients(z, mu, logvar)


def _sample_gradients(z: Tensor, mu: Tensor, logvar: Tensor) -> Result:
    if z.requires_grad:
        z.sum().backward()
    if mu.grad is None and logvar.grad is None:
        return Result(False, "z has no gradient at all: torch.normal and .sample() cut it; write mu + sigma * eps")
    if mu.grad is None or not torch.allclose(mu.grad, torch.ones_like(mu)):
        return Result(False, "the gradient does not reach mu: it must enter the sum undetached, dz/dmu = 1")
    if logvar.grad is None:
        return Result(False, "the gradient does not reach logvar: sigma is detached, and q's width is never learned")
    if not torch.allclose(logvar.grad, 0.5 * (z - mu).detach()):
        return Result(False, "the gradient at logvar is not sigma eps / 2: is a part of sigma detached?")
    return Result(True, "Mean mu, variance exp(logvar), and the gradient reaches both.")


# --- elbo ------------------------------------------------------------------------------------------------------------


def elbo_reference(x: Tensor, mu: Tensor, logvar: Tensor, log_likelihood: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The evidence lower bound of each example, estimated with one sample of z.

    Args:
        x: observations, (N, ...).
        mu, logvar: q(z | x) = N(mu, diag exp(logvar)), (N, D).
        log_likelihood: log p(x | z), a function of x and z that returns (N,).
    Returns:
        nats, (N,); on average at most log p(x).
    Source: Kingma & Welling 2013, arXiv:1312.6114, equation 10.
    """
    z = losses.reparameterize(mu, logvar)
    return log_likelihood(x, z) - losses.gaussian_kl(mu, logvar)


# orthogonal columns: a diagonal posterior
_W = torch.tensor([[1.2, 0.0], [0.0, -0.8], [0.9, 0.0]], dtype=torch.float64)
_MODEL = ProbabilisticPCA(torch.tensor([0.5, -1.0, 0.0]).double(), _W, torch.tensor(0.6).double())
_REPEATS = 4000


def _linear_log_likelihood(x: Tensor, z: Tensor) -> Tensor:
    return losses.gaussian_log_likelihood(_MODEL.mean + z @ _W.T, x, _MODEL.sigma)


def _check_elbo(elbo: Callable) -> Result:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        result = _linear_bound(elbo)
        return _squared_bound(elbo) if result.passed else result


def _linear_bound(elbo: Callable) -> Result:
    """On probabilistic PCA each part is known in closed form: a wrong bound can be recognised by its mean."""
    x = _uniform((4, 3), -2, 2, seed=6)
    mu, covariance = ppca_posterior(_MODEL, x)
    logvar = covariance.diagonal().log().expand_as(mu)
    exact = ppca_log_likelihood(_MODEL, x)  # the bound is tight here

    def many(t: Tensor) -> Tensor:
        return t.repeat(_REPEATS, 1)

    found = elbo(many(x), many(mu), many(logvar), _linear_log_likelihood)
    if wrong := _one_number_each(found, 4 * _REPEATS, 2):
        return Result(False, wrong)
    found = found.detach().reshape(_REPEATS, 4)
    mean, error = found.mean(0), float(found.std(0).max()) / math.sqrt(_REPEATS)
    kl = losses.gaussian_kl(mu, logvar)
    at_mu = _linear_log_likelihood(x, mu)
    reconstruction = exact + kl
    prior = _linear_log_likelihood(x, 0 * mu) - 0.5 * _W.square().sum() / _MODEL.sigma**2 - kl
    message = _recognise(
        mean,
        {
            "the KL is added: it is a price, subtract it": reconstruction + kl,
            "this is the negative bound, a loss: return the bound itself": kl - reconstruction,
            "the KL is missing: without it q may shrink to a point for free": reconstruction,
            "the log-likelihood is missing": -kl,
            "this decodes mu instead of a sample, and rises above log p(x): it bounds nothing": at_mu - kl,
            "z is drawn from the prior: the expectation is under q, draw it with mu and logvar": prior,
            "the KL is averaged over the latents: it sums": reconstruction - kl / 2,
            "the KL is averaged over the batch: each example pays its own": reconstruction - kl.mean(),
        },
        atol=max(5 * error, 1e-6),
    )
    if torch.allclose(mean, exact, atol=max(5 * error, 1e-6)):
        return Result(True, "")
    return Result(
        False,
        message
        or f"with the exact posterior the bound should be log p(x), {exact[0]:.2f} nats on "
        f"average; this gives {mean[0]:.2f}",
    )


def _squared_bound(elbo: Callable) -> Result:
    """x = z^2 + noise: log p(x) on a grid is above any bound; and the gradients are those of the closed form."""
    sigma, n = 0.25, 20_000
    grid = torch.linspace(-6, 6, 4801, dtype=torch.float64)
    x = torch.full((n, 1), 2.0, dtype=torch.float64)
    log_joint = distributions.Normal(grid.square(), sigma).log_prob(x[:1]) + distributions.Normal(0.0, 1.0).log_prob(
        grid
    )
    log_p = float(torch.logsumexp(log_joint, 1) + math.log(12 / 4800))
    mu, logvar = (torch.full_like(x, value, requires_grad=True) for value in (1.3, math.log(0.01)))
    found = elbo(x, mu, logvar, lambda x, z: losses.gaussian_log_likelihood(z.square(), x, sigma))
    if wrong := _one_number_each(found, n, 1):
        return Result(False, wrong)
    mean = float(found.detach().mean())
    if mean > log_p:
        return Result(False, f"the mean is {mean:.2f}, above log p(x) = {log_p:.2f} on the grid: no bound")
    if found.requires_grad:
        found.sum().backward()
    if mu.grad is None or logvar.grad is None:
        return Result(False, "no gradient reaches mu and logvar: the result is detached")
    if torch.allclose(mu.grad, -mu.detach()):
        return Result(False, "the gradient comes from the KL alone: z is detached (or drawn by `.sample()`)")
    m, v = 1.3, 0.01  # E (x - z^2)^2 = x^2 - 2x(m^2 + v) + m^4 + 6 m^2 v + 3 v^2
    to_mu = -(-8 * m + 4 * m**3 + 12 * m * v) / (2 * sigma**2) - m
    to_logvar = v * (-(-4 + 6 * m**2 + 6 * v) / (2 * sigma**2) - 0.5) + 0.5
    for name, grad, truth in (("mu", mu.grad, to_mu), ("logvar", logvar.grad, to_logvar)):
        mean = float(grad.mean())
        if abs(mean - truth) > 5 * float(grad.std()) / math.sqrt(n) + 1e-6:
            return Result(False, f"the gradient at {name} is {mean:.2f} on average; the bound's is {truth:.2f}")
    return Result(True, "Equal to log p(x) on probabilistic PCA, below the grid's log p(x) on the square.")


gaussian_kl = Exercise("gaussian_kl", losses.gaussian_kl, _check_gaussian_kl)
reparameterize = Exercise("reparameterize", losses.reparameterize, _check_reparameterize)
elbo = Exercise("elbo", elbo_reference, _check_elbo)
