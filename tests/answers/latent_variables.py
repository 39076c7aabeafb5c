"""Right and wrong answers to the exercises of notebook 09."""

import math

import numpy as np
import torch
from torch import distributions

from deepunsup_helpers.losses import gaussian_kl, reparameterize

# --- gaussian_kl ---


def terms(mu, logvar):
    return mu**2 + logvar.exp() - logvar - 1


def kl_by_distributions(mu, logvar):
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    return distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(dim=1)


def kl_the_other_way(mu, logvar):
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    return distributions.kl_divergence(distributions.Normal(torch.zeros_like(mu), 1.0), q).sum(dim=1)


def kl_by_loop(mu, logvar):
    return torch.stack([sum(0.5 * (m * m + v.exp() - v - 1) for m, v in zip(*row)) for row in zip(mu, logvar)])


def kl_by_matrices(mu, logvar):
    covariance = torch.diag_embed(logvar.exp())
    traces = covariance.diagonal(dim1=1, dim2=2).sum(1)
    return 0.5 * (traces + (mu * mu).sum(1) - mu.shape[1] - logvar.sum(1))


def kl_sampled(mu, logvar):
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    z = q.rsample((200,))
    return (q.log_prob(z) - distributions.Normal(0.0, 1.0).log_prob(z)).mean(0).sum(1)


def kl_in_place(mu, logvar):
    mu.square_()
    return 0.5 * (mu + logvar.exp() - logvar - 1).sum(1)


RIGHT_KL = {
    "distributions": kl_by_distributions,
    "a loop": kl_by_loop,
    "matrices": kl_by_matrices,
    "double": lambda m, v: 0.5 * terms(m.double(), v.double()).sum(1),
    "expm1": lambda m, v: 0.5 * (m * m + torch.expm1(v) - v).sum(dim=-1),
    "einsum": lambda m, v: 0.5 * (torch.einsum("nd,nd->n", m, m) + (v.exp() - v - 1).sum(1)),
}
WRONG_KL = {
    "mean over latents": (lambda m, v: 0.5 * terms(m, v).mean(1), "averages over the latents"),
    "mean over all": (lambda m, v: 0.5 * terms(m, v).mean(), "one number for the whole batch"),
    "not summed": (lambda m, v: 0.5 * terms(m, v), "one number for each latent"),
    "summed over examples": (lambda m, v: 0.5 * terms(m, v).sum(0), "dim=0"),
    "sign": (lambda m, v: -0.5 * terms(m, v).sum(1), "sign is turned: a KL"),
    "half": (lambda m, v: terms(m, v).sum(1), "1/2"),
    "logvar for sigma": (lambda m, v: 0.5 * (m**2 + v**2 - (v**2).log() - 1).sum(1), "taken for sigma"),
    "logvar for log sigma": (lambda m, v: 0.5 * (m**2 + v.exp() ** 2 - 2 * v - 1).sum(1), "taken for log sigma"),
    "logvar for the variance": (lambda m, v: 0.5 * (m**2 + v - v.log() - 1).sum(1), "no log of it"),
    "minus one": (lambda m, v: 0.5 * (m**2 + v.exp() - v).sum(1), "-1 is missing"),
    "not squared": (lambda m, v: 0.5 * (m + v.exp() - v - 1).sum(1), "not squared"),
    "no mu": (lambda m, v: 0.5 * (v.exp() - v - 1).sum(1), "mu is missing"),
    "plus logvar": (lambda m, v: 0.5 * (m**2 + v.exp() + v - 1).sum(1), "sign of logvar"),
    "other way": (kl_the_other_way, "other way round"),
    "absolute logvar": (lambda m, v: gaussian_kl(m, v.abs()), "may be negative"),
    "clamped": (lambda m, v: gaussian_kl(m, v.clamp(-2, 2)), "do not clamp"),
    "clamped far out": (lambda m, v: gaussian_kl(m, v.clamp(-10, 10)), "do not clamp"),
    "half of mu alone": (lambda m, v: (0.5 * m**2 + v.exp() - v - 1).sum(1), "mu alone"),
    "one -1": (lambda m, v: 0.5 * ((m**2 + v.exp() - v).sum(1) - 1), "once for each latent"),
    "sigma for the variance": (lambda m, v: 0.5 * (m**2 + (v / 2).exp() - v - 1).sum(1), "is sigma"),
    "half the log": (lambda m, v: 0.5 * (m**2 + v.exp() - v / 2 - 1).sum(1), "halves it"),
    "no log": (lambda m, v: 0.5 * (m**2 + v.exp() - 1).sum(1), "log of the variance is missing"),
    "no variance": (lambda m, v: 0.5 * (m**2 - v - 1).sum(1), "variance is missing"),
    "bits": (lambda m, v: gaussian_kl(m, v) / torch.log(torch.tensor(2.0)), "bits"),
    "arguments swapped": (lambda m, v: gaussian_kl(v, m), "swapped"),
    "three latents": (lambda m, v: 0.5 * (m**2 + v.exp() - v).sum(1) - 1.5, "number of latents"),
    "mu detached": (lambda m, v: gaussian_kl(m.detach(), v), "no gradient reaches mu"),
    "logvar detached": (lambda m, v: gaussian_kl(m, v.detach()), "no gradient reaches logvar"),
    "a number": (lambda m, v: 0.0, "gradients can pass"),
    "NumPy": (lambda m, v: gaussian_kl(m, v).detach().numpy(), "gradients can pass"),
    "sampled": (kl_sampled, "random"),
    "in place": (kl_in_place, "`mu` itself was changed"),
    "twice and a bit": (lambda m, v: 2.3 * gaussian_kl(m, v), "torch.distributions finds"),
}

# --- reparameterize ---


def scaled(eps, sigma=lambda v: torch.exp(0.5 * v)):
    """mu + sigma eps, with eps from a function of a shape."""
    return lambda mu, logvar: mu + sigma(logvar) * eps(mu.shape)


def seeded(shape):
    torch.manual_seed(0)
    return torch.randn(shape)


def own_generator(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def laplace(shape):
    return distributions.Laplace(0.0, 0.5**0.5).sample(shape)


def half_repeated(shape):
    half = torch.randn(shape[0] // 2 + 1, shape[1])
    return torch.cat([half, -half])[: shape[0]]


def in_place(mu, logvar):
    mu += torch.exp(0.5 * logvar) * torch.randn_like(mu)
    return mu


def by_numpy(shape):
    return torch.from_numpy(np.random.standard_normal(tuple(shape)))


def box_muller(shape):
    u, v = torch.rand(2, *shape).clamp_min(1e-12)
    return (-2 * u.log()).sqrt() * (2 * math.pi * v).cos()


RIGHT_SAMPLES = {
    "rsample": lambda m, v: distributions.Normal(m, torch.exp(0.5 * v)).rsample(),
    "minus": lambda m, v: m - v.exp().sqrt() * torch.randn(m.shape),
    "normal_": scaled(lambda shape: torch.empty(shape).normal_()),
    "torch.normal": scaled(lambda shape: torch.normal(0.0, 1.0, size=shape)),
    "NumPy, double": scaled(by_numpy),
    "Box and Muller": scaled(box_muller),
    "a loop": lambda m, v: torch.stack([a + (b / 2).exp() * torch.randn(len(a)) for a, b in zip(m, v)]),
    "MultivariateNormal": lambda m, v: distributions.MultivariateNormal(
        m, scale_tril=torch.diag_embed((v / 2).exp())
    ).rsample(),
}
WRONG_SAMPLES = {
    "no noise": (lambda m, v: m + 0 * v, "equals mu"),
    "zeros": (scaled(torch.zeros), "equals mu"),
    "not scaled": (lambda m, v: m + torch.randn_like(m) + 0 * v, "not scaled"),
    "variance": (scaled(torch.randn, lambda v: v.exp()), "by the variance"),
    "logvar": (scaled(torch.randn, lambda v: v), "by logvar"),
    "divided": (scaled(torch.randn, lambda v: torch.exp(-0.5 * v)), "divides by sigma"),
    "root of logvar": (scaled(torch.randn, lambda v: v.sqrt()), "not finite"),
    "log2": (scaled(torch.randn, lambda v: torch.exp2(0.5 * v)), "standard deviation"),
    "constant sigma": (scaled(torch.randn, lambda v: torch.exp(0.5 * v.mean())), "standard deviation"),
    "moved": (lambda m, v: m + torch.exp(0.5 * v) * (1 + torch.randn_like(m)), "has mean"),
    "uniform": (scaled(torch.rand), "uniform"),
    "uniform, unit variance": (scaled(lambda s: (torch.rand(s) - 0.5) * 12**0.5), "its law is not"),
    "Laplace": (scaled(laplace), "its law is not"),
    "signs": (scaled(lambda s: torch.randn(s).sign()), "come up twice"),
    "clamped": (scaled(lambda s: torch.randn(s).clamp(-3, 3)), "clamp"),
    "clamped far out": (scaled(lambda s: torch.randn(s).clamp(-3.5, 3.5)), "clamp"),
    "a little wide": (scaled(lambda s: 1.02 * torch.randn(s)), "standard deviation"),
    "shared by examples": (scaled(lambda s: torch.randn(1, s[1])), "all rows share"),
    "shared by latents": (scaled(lambda s: torch.randn(s[0], 1)), "of a row share"),
    "half repeated": (scaled(half_repeated), "come up twice"),
    "seed": (scaled(seeded), "a seed is set"),
    "own generator": (scaled(own_generator), "same in every call"),
    "sample()": (lambda m, v: distributions.Normal(m, torch.exp(0.5 * v)).sample(), "no gradient"),
    "torch.normal of mu": (lambda m, v: torch.normal(m, torch.exp(0.5 * v)).detach(), "no gradient"),
    "torch.normal": (lambda m, v: torch.normal(m, torch.exp(0.5 * v)), "torch.normal"),
    "clamped logvar": (lambda m, v: reparameterize(m, v.clamp(-5, 5)), "logvar may be any number"),
    "one quiet latent": (
        lambda m, v: m + torch.exp(0.5 * v) * torch.randn_like(m) * (torch.arange(m.shape[1]) > 0),
        "every latent has noise",
    ),
    "mu detached": (lambda m, v: reparameterize(m.detach(), v), "reaches mu"),
    "sigma detached": (lambda m, v: reparameterize(m, v.detach()), "reaches logvar"),
    "shape": (lambda m, v: reparameterize(m, v)[:, 0], "expected shape"),
    "three latents": (lambda m, v: m + torch.exp(0.5 * v) * torch.randn(len(m), 3), "any number of latents"),
    "in place": (in_place, "`mu` itself was changed"),
}

# --- elbo ---


def bound(kl=gaussian_kl, draw=reparameterize):
    return lambda x, m, v, log_likelihood: log_likelihood(x, draw(m, v)) - kl(m, v)


def by_log_ratio(x, mu, logvar, log_likelihood):
    """log p(x, z) - log q(z): the same expectation without the closed-form KL."""
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    z = q.rsample()
    return log_likelihood(x, z) + (distributions.Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(1)


def three_samples(x, mu, logvar, log_likelihood):
    parts = [log_likelihood(x, reparameterize(mu, logvar)) for _ in range(3)]
    return sum(parts) / 3 - kl_by_distributions(mu, logvar)


def eight_samples(x, mu, logvar, log_likelihood):
    x8, mu8, logvar8 = (t.repeat_interleave(8, 0) for t in (x, mu, logvar))
    return log_likelihood(x8, reparameterize(mu8, logvar8)).reshape(-1, 8).mean(1) - gaussian_kl(mu, logvar)


def writes_logvar(x, mu, logvar, log_likelihood):
    value = bound()(x, mu, logvar, log_likelihood)
    logvar.detach().zero_()
    return value


def with_seed(x, mu, logvar, log_likelihood):
    torch.manual_seed(1)
    return bound()(x, mu, logvar, log_likelihood)


RIGHT_BOUNDS = {
    "the two before": bound(),
    "distributions": bound(kl=kl_by_distributions),
    "log ratio": by_log_ratio,
    "three samples": three_samples,
    "matrices": bound(kl=kl_by_matrices),
    "minus eps": bound(draw=lambda m, v: m - (v / 2).exp() * torch.randn_like(m)),
    "a loop": lambda x, m, v, f: torch.cat(
        [bound()(x[i : i + 1], m[i : i + 1], v[i : i + 1], f) for i in range(len(x))]
    ),
    "chunks": lambda *a: torch.cat([bound()(*part, a[3]) for part in zip(*(t.split(1000) for t in a[:3]))]),
    "eight samples side by side": eight_samples,
}
WRONG_BOUNDS = {
    "KL added": (bound(kl=lambda m, v: -gaussian_kl(m, v)), "KL is added"),
    "a loss": (lambda *a: -bound()(*a), "negative bound"),
    "no KL": (bound(kl=lambda m, v: 0), "KL is missing"),
    "no likelihood": (lambda x, m, v, f: -gaussian_kl(m, v), "log-likelihood is missing"),
    "decodes mu": (bound(draw=lambda m, v: m), "instead of a sample"),
    "prior": (bound(draw=lambda m, v: torch.randn_like(m)), "from the prior"),
    "KL averaged": (bound(kl=lambda m, v: gaussian_kl(m, v) / m.shape[1]), "averaged over the latents"),
    "KL batch mean": (bound(kl=lambda m, v: gaussian_kl(m, v).mean()), "averaged over the batch"),
    "batch mean": (lambda *a: bound()(*a).mean(), "one number for the whole batch"),
    "z detached": (bound(draw=lambda m, v: reparameterize(m, v).detach()), "from the KL alone"),
    "all detached": (lambda *a: bound()(*a).detach(), "no gradient"),
    "sigma detached": (bound(draw=lambda m, v: reparameterize(m, v.detach())), "gradient at logvar"),
    "KL doubled": (bound(kl=lambda m, v: 2 * gaussian_kl(m, v)), "should be log p(x)"),
    "swapped": (lambda x, m, v, f: f(reparameterize(m, v), x) - gaussian_kl(m, v), "log_likelihood(x, z)"),
    "uniform": (bound(draw=scaled(torch.rand)), "uniform"),
    "uniform, unit variance": (bound(draw=scaled(lambda s: (torch.rand(s) - 0.5) * 12**0.5)), "its law is not"),
    "one z for all": (bound(draw=scaled(lambda s: torch.randn(1, s[1]))), "all rows share"),
    "seed": (with_seed, "a seed is set"),
    "own generator": (bound(draw=scaled(own_generator)), "same in every call"),
    "clamped": (lambda *a: bound()(*a).clamp(max=0), "above 0"),
    "a dearer KL": (bound(kl=lambda m, v: 1.1 * gaussian_kl(m, v)), "KL weighed"),
    "a KL of at most 3": (bound(kl=lambda m, v: gaussian_kl(m, v).clamp(max=3)), "clamped"),
    "two latents": (bound(kl=lambda m, v: gaussian_kl(m[:, :2], v[:, :2])), "only two of five"),
    "at least -20": (lambda *a: bound()(*a).clamp(min=-20), "clamped"),
    "calls no likelihood": (lambda x, m, v, f: -gaussian_kl(m, v) - 5 + 0 * m.sum(1), "never called"),
    "writes": (writes_logvar, "`logvar` itself was changed"),
    "a float": (lambda *a: bound()(*a).mean().item(), "gradients can pass"),
}
RIGHT = {"gaussian_kl": RIGHT_KL, "reparameterize": RIGHT_SAMPLES, "elbo": RIGHT_BOUNDS}
WRONG = {"gaussian_kl": WRONG_KL, "reparameterize": WRONG_SAMPLES, "elbo": WRONG_BOUNDS}
