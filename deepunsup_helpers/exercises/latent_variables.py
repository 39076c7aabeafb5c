"""The exercises of notebook 09: the KL to the prior, a sample that gradients pass through, the bound itself."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, distributions

from deepunsup_helpers import losses
from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    Wrong,
    call,
    close,
    draw,
    expect,
    expect_gradients,
    expect_standard_normal,
    fits,
    require,
    tensor,
)
from deepunsup_helpers.metrics.likelihood import ProbabilisticPCA, ppca_log_likelihood, ppca_posterior


def _one_each(found: object, n: int, latents: int) -> Tensor:
    """The result as a tensor (n,)."""
    hints = {
        (): "this returns one number for the whole batch: sum over the latents (dim=1) and leave the examples apart",
        (n, latents): "this returns one number for each latent: sum over them (dim=1), since independent parts add",
        (latents,): "this sums over the examples (dim=0): sum over the latents, dim=1",
    }
    if isinstance(found, Tensor) and found.shape == (n,) and not torch.isfinite(found).all():
        raise Wrong("the result is not finite: `logvar` may be negative, so take no log of it")
    return tensor(found, (n,), hints, slopes=True).detach().double()


# --- gaussian_kl -----------------------------------------------------------------------------------------------------


def _check_gaussian_kl(gaussian_kl: Callable) -> Result:
    sizes = ((6, 3, torch.float32), (4, 5, torch.float64), (7, 1, torch.float64))
    for seed, (n, latents, dtype) in enumerate(sizes):
        mu = draw(n, latents, seed=seed, low=-2, high=2).to(dtype)
        for low, high in ((0.3, 1.5), (-3, 0), (-9, 6)):
            logvar = draw(n, latents, seed=seed + 9, low=low, high=high).to(dtype)
            if low == -9:
                logvar[0, 0], logvar[-1, -1] = -20.0, 12.0  # it may be any number
            found = _one_each(call(gaussian_kl, mu, logvar), n, latents)
            again = _one_each(call(gaussian_kl, mu, logvar), n, latents)
            require(close(found, again), "the answer is random: no sample is needed, the KL has a closed form")
            _name_the_kl(found, mu.double(), logvar.double())
        expect_gradients(gaussian_kl, losses.gaussian_kl, {"mu": mu, "logvar": draw(n, latents, seed=8).to(dtype)})
    return Result(True, "It equals torch.distributions' KL and the package's, and is 0 at the prior.")


def _name_the_kl(found: Tensor, mu: Tensor, logvar: Tensor) -> None:
    latents, var, square = mu.shape[1], logvar.exp(), mu.square()
    kl = distributions.kl_divergence(distributions.Normal(mu, var.sqrt()), distributions.Normal(0.0, 1.0)).sum(1)
    mistakes = {  # the sum over the latents of twice the KL
        "the sign is turned: a KL is never negative": -2 * kl,
        "the factor 1/2 is missing": 4 * kl,
        "this averages over the latents; the KL sums, because independent parts add": 2 * kl / latents,
        "the -1 is missing: at the prior this gives D/2, not 0": (square + var - logvar).sum(1),
        "`logvar` is taken for sigma: the variance is exp(logvar)": (
            square + logvar.square() - logvar.square().log() - 1
        ).sum(1),
        "`logvar` is taken for log sigma: the variance is exp(logvar), not exp(2 logvar)": (
            square + (2 * logvar).exp() - 2 * logvar - 1
        ).sum(1),
        "`logvar` is taken for the variance: take no log of it, and exponentiate it where the variance stands": (
            square + logvar - logvar.log() - 1
        ).sum(1),
        "mu is not squared": (mu + var - logvar - 1).sum(1),
        "mu is missing: a q in the wrong place costs as well": (var - logvar - 1).sum(1),
        "the sign of logvar is turned: the log of the variance is subtracted": (square + var + logvar - 1).sum(1),
        "this is KL(p || q), the other way round: the expectation is under q": ((1 + square) / var + logvar - 1).sum(1),
        "right for variances above 1, wrong below: `logvar` may be negative": 2 * losses.gaussian_kl(mu, logvar.abs()),
    }
    rest = var - logvar - 1
    mistakes |= {
        "the factor 1/2 belongs to the whole sum, not to mu alone": 2 * (0.5 * square + rest).sum(1),
        "the -1 stands once for each latent, not once for all": (square + var - logvar).sum(1) - 1,
        "the variance is exp(logvar): exp(logvar / 2) is sigma": (square + (logvar / 2).exp() - logvar - 1).sum(1),
        "the log of the variance is logvar itself: this halves it": (square + rest + logvar / 2).sum(1),
        "the log of the variance is missing: subtract logvar": (square + var - 1).sum(1),
        "the variance is missing: add exp(logvar)": (square - logvar - 1).sum(1),
        "mu and logvar are swapped": (logvar.square() + mu.exp() - mu - 1).sum(1),
        "these are bits: the natural logarithm gives nats": 2 * kl / math.log(2),
    }
    worst = int((found - kl).abs().argmax())
    said = f"torch.distributions finds {float(kl[worst]):.4f} nats where this finds {float(found[worst]):.4f}"
    said += f". Here logvar runs from {float(logvar.min()):.0f} to {float(logvar.max()):.0f}: do not clamp it"
    if latents != 3:
        said += f". Here there are {latents} latents: is the number of latents fixed?"
    expect(found, kl, {message: value / 2 for message, value in mistakes.items()}, said, rtol=1e-4, atol=1e-5)


# --- reparameterize --------------------------------------------------------------------------------------------------


def _check_reparameterize(reparameterize: Callable) -> Result:
    scales = torch.tensor([-3.0, -1.2, 0.8, 0.3, -2.0, -0.4, -12.0, 6.0])
    n, d = 6001, len(scales)
    _sample(lambda *given: call(reparameterize, *given), draw(5, 3, seed=4), draw(5, 3, seed=5))
    mu, logvar = draw(n, d, seed=4, low=-1).double(), scales.double().repeat(n, 1)  # rounding would hide a shared eps
    with fits(f"with {d} latents it stops, and it should take any number of latents"):
        z, again = (_sample(reparameterize, mu, logvar) for _ in range(2))
    noise, sigma = (z - mu).double(), torch.exp(0.5 * logvar)  # sigma eps
    require(bool(noise.any()), "z equals mu: there is no noise in it")
    _name_the_scale(noise, scales.double())
    expect_standard_normal(noise / sigma, (again - mu) / sigma)
    leaves = draw(5, 3, seed=6).requires_grad_(), draw(5, 3, seed=7).requires_grad_()
    z = reparameterize(*leaves)
    _sample_gradients(z, *leaves)
    return Result(
        True, "Mean mu, variance exp(logvar), new normal noise for every entry, and the gradient reaches both."
    )


def _sample(reparameterize: Callable, mu: Tensor, logvar: Tensor) -> Tensor:
    found = reparameterize(mu, logvar)
    if isinstance(found, Tensor) and not torch.isfinite(found).all():
        raise Wrong("z is not finite: logvar may be negative; take exp(0.5 * logvar), no log or root of it")
    return tensor(found, tuple(mu.shape), slopes=True)


def _name_the_scale(noise: Tensor, logvar: Tensor) -> None:
    sd, sigma = noise.std(0), torch.exp(0.5 * logvar)
    if sd.max() < 1e-6 or close(sd, sigma / 12**0.5, rtol=0.05):
        return  # one eps for all rows, or a uniform one: named by what judges the noise
    mistakes = {
        "the noise is not scaled: eps has standard deviation 1, multiply it by sigma": torch.ones_like(sd),
        "this multiplies by the variance: sigma is exp(0.5 * logvar)": logvar.exp(),
        "this multiplies by logvar: sigma is exp(0.5 * logvar)": logvar.abs(),
        "this divides by sigma: multiply eps by exp(0.5 * logvar)": 1 / sigma,
    }
    worst = int((sd / sigma - 1).abs().argmax())
    said = f"with logvar {logvar[worst]:.1f} the samples' standard deviation is {sd[worst]:.3g}, expected {sigma[worst]:.3g}"
    said += ": logvar may be any number, mu is added once, and every latent has noise of its own"
    expect(sd, sigma, mistakes, said, rtol=0.06)


def _sample_gradients(z: Tensor, mu: Tensor, logvar: Tensor) -> None:
    if z.requires_grad:
        z.sum().backward()
    cut = "z has no gradient at all: torch.normal, .sample() and .detach() cut it; write mu + sigma * eps"
    require(any(grad is not None and bool(grad.any()) for grad in (mu.grad, logvar.grad)), cut)
    to_mu = mu.grad is not None and close(mu.grad, torch.ones_like(mu))
    require(to_mu, "no gradient reaches mu: it must enter the sum undetached, dz/dmu = 1")
    require(logvar.grad is not None, "no gradient reaches logvar: sigma is detached, and q's width is never learned")
    half = close(logvar.grad, 0.5 * (z - mu).detach(), atol=1e-5)
    require(half, "the gradient at logvar is not sigma eps / 2: a part of sigma is detached")


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
_REPEATS = 700


def _check_elbo(elbo: Callable) -> Result:
    _check_on_ppca(elbo)
    _check_noise(elbo)
    _check_the_price(elbo)
    _check_on_a_square(elbo)
    return Result(True, "Equal to log p(x) on probabilistic PCA, below the grid's log p(x) on the square.")


def _check_on_ppca(elbo: Callable) -> None:
    """On probabilistic PCA each part is known in closed form: a wrong bound can be recognised by its mean."""
    x = draw(4, 3, seed=6, low=-2, high=2).double()
    mu, covariance = ppca_posterior(_MODEL, x)
    logvar = covariance.diagonal().log().expand_as(mu)
    exact = ppca_log_likelihood(_MODEL, x)  # the bound is tight here

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        right = x.shape[-1] == 3 and z.shape[-1] == 2
        require(right, "call it as log_likelihood(x, z): first the observations, then the sample of z")
        return losses.gaussian_log_likelihood(_MODEL.mean + z @ _W.T, x, _MODEL.sigma)

    given = (t.repeat(_REPEATS, 1) for t in (x, mu, logvar))
    found = _one_each(call(elbo, *given, log_likelihood), 4 * _REPEATS, 2).reshape(_REPEATS, 4)
    mean, error = found.mean(0), float(found.std(0).max()) / math.sqrt(_REPEATS)
    kl, at_mu = losses.gaussian_kl(mu, logvar), log_likelihood(x, mu)
    reconstruction = exact + kl
    prior = log_likelihood(x, 0 * mu) - 0.5 * _W.square().sum() / _MODEL.sigma**2 - kl
    mistakes = {
        "the KL is added: it is a price, subtract it": reconstruction + kl,
        "this is the negative bound, a loss: return the bound itself": kl - reconstruction,
        "the KL is missing: without it q may shrink to a point for free": reconstruction,
        "the log-likelihood is missing": -kl,
        "this decodes mu instead of a sample, and rises above log p(x): it bounds nothing": at_mu - kl,
        "z is drawn from the prior: the expectation is under q, draw it with mu and logvar": prior,
        "the KL is averaged over the latents: it sums": reconstruction - kl / 2,
        "the KL is averaged over the batch: each example pays its own": reconstruction - kl.mean(),
    }
    said = f"with the exact posterior it should be log p(x), {exact[0]:.2f} nats on average; this gives {mean[0]:.2f}"
    for message, value in mistakes.items():
        require(not close(mean, value, atol=max(5 * error, 1e-6)), message)
    if not close(mean, exact, atol=max(5 * error, 1e-6)):
        _check_noise(elbo)  # which may know why
        raise Wrong(said)


def _check_noise(elbo: Callable) -> None:
    """A log-likelihood that keeps the z it is given: mu + sigma eps, with eps to be judged."""
    n = 6000
    mu, logvar = draw(n, 6, seed=1), draw(n, 6, seed=2, low=-2)

    drawn, values = [], []
    for _ in range(2):
        seen = []

        def log_likelihood(x: Tensor, z: Tensor, seen: list = seen) -> Tensor:
            seen.append(z.detach())
            return z.sum(1)

        values.append(elbo(draw(n, 5, seed=3), mu, logvar, log_likelihood))
        require(bool(seen), "log_likelihood is never called: it is given, call it with x and a sample of z")
        drawn.append(_one_sample(torch.cat(seen), mu))
    expect_standard_normal(*((z - mu) / torch.exp(0.5 * logvar) for z in drawn))
    require(bool((values[0] > 0).any()), "no value is above 0 here, where densities are above 1: the bound is clamped")


def _one_sample(z: Tensor, mu: Tensor) -> Tensor:
    """Of all z that a likelihood was given, whole, in pieces or several for each example, one an example."""
    n = len(mu)
    require(len(z) % n == 0, f"log_likelihood was given {len(z)} samples for {n} examples: as many for each")
    return min(
        (z[:n], z[:: len(z) // n]), key=lambda some: float((some - mu).square().sum())
    )  # one batch, side by side


def _check_the_price(elbo: Callable) -> None:
    """Where the likelihood is a constant, far below 0, the bound is that minus the KL, whatever mu, logvar and D."""
    mu, logvar = draw(4, 5, seed=51, low=-3, high=3).double(), draw(4, 5, seed=52, low=-3, high=2).double()
    kl, repeats = losses.gaussian_kl(mu, logvar), 2000
    given = (t.repeat(repeats, 1) for t in (draw(4, 3, seed=53).double(), mu, logvar))
    with fits("with 5 latents it stops, and it should take any number of latents"):
        found = elbo(*given, lambda x, z: -300 + 0 * z.sum(1))
    found = _one_each(found, 4 * repeats, 5).reshape(repeats, 4)
    mean, near = found.mean(0), 5 * float(found.std(0).max()) / math.sqrt(repeats) + 1e-4
    two = -300 - losses.gaussian_kl(mu[:, :2], logvar[:, :2])
    require(not close(mean, -300 - 2 * kl, rtol=0, atol=near), "the factor 1/2 of the KL is missing")
    require(not close(mean, two, rtol=0, atol=near), "only two of five latents pay their KL: sum over all")
    worst = int((mean + 300 + kl).abs().argmax())
    said = f"where the log-likelihood is -300 for every z and the KL {kl[worst]:.2f}, this gives {mean[worst]:.2f}"
    said += ", not -300 minus the KL. Is a part clamped, or the KL weighed?"
    require(close(mean, -300 - kl, rtol=0, atol=near), said)


def _check_on_a_square(elbo: Callable) -> None:
    """x = z^2 + noise: log p(x) on a grid is above any bound; and the gradients are those of the closed form."""
    sigma, n = 0.25, 8000
    grid = torch.linspace(-6, 6, 4801, dtype=torch.float64)
    x = torch.full((n, 1), 2.0, dtype=torch.float64)
    prior = distributions.Normal(0.0, 1.0).log_prob(grid)
    log_joint = distributions.Normal(grid.square(), sigma).log_prob(x[:1]) + prior
    log_p = float(torch.logsumexp(log_joint, 1) + math.log(12 / 4800))
    mu, logvar = (torch.full_like(x, value, requires_grad=True) for value in (1.3, math.log(0.01)))
    found = elbo(x, mu, logvar, lambda x, z: losses.gaussian_log_likelihood(z.square(), x, sigma))
    mean = float(_one_each(found, n, 1).mean())
    require(mean < log_p, f"the mean is {mean:.2f}, above log p(x) = {log_p:.2f} on the grid: no bound")
    if found.requires_grad:
        found.sum().backward()
    require(mu.grad is not None and logvar.grad is not None, "no gradient reaches mu and logvar: it is detached")
    drawn = "the gradient comes from the KL alone: z is detached (or drawn by `.sample()`)"
    require(not close(mu.grad, -mu.detach()), drawn)
    m, v = 1.3, 0.01  # E (x - z^2)^2 = x^2 - 2x(m^2 + v) + m^4 + 6 m^2 v + 3 v^2
    to_mu = -(-8 * m + 4 * m**3 + 12 * m * v) / (2 * sigma**2) - m
    to_logvar = v * (-(-4 + 6 * m**2 + 6 * v) / (2 * sigma**2) - 0.5) + 0.5
    for name, grad, truth in (("mu", mu.grad, to_mu), ("logvar", logvar.grad, to_logvar)):
        mean, error = float(grad.mean()), float(grad.std()) / math.sqrt(n)
        said = f"the gradient at {name} is {mean:.2f} on average; the bound's is {truth:.2f}"
        require(abs(mean - truth) < 5 * error + 1e-6, said)


gaussian_kl = Exercise("gaussian_kl", losses.gaussian_kl, _check_gaussian_kl)
reparameterize = Exercise("reparameterize", losses.reparameterize, _check_reparameterize)
elbo = Exercise("elbo", elbo_reference, _check_elbo)
