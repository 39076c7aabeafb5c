"""KL, reparameterisation and likelihoods against torch.distributions and closed forms."""

import math

import pytest
import torch
from torch import distributions
from torch.nn import functional

from deepunsup_helpers.losses import (
    bernoulli_log_likelihood,
    continuous_bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    reparameterize,
    vae_loss,
)


def latents(n=7, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2)]


def test_kl_equals_torch_distributions():
    mu, logvar = latents()
    q, prior = distributions.Normal(mu, torch.exp(0.5 * logvar)), distributions.Normal(0.0, 1.0)
    truth = distributions.kl_divergence(q, prior).sum(1)
    torch.testing.assert_close(gaussian_kl(mu, logvar), truth, rtol=1e-12, atol=0)


def test_kl_is_zero_at_the_prior_and_positive_elsewhere():
    zeros = torch.zeros(4, 5)
    assert (gaussian_kl(zeros, zeros) == 0).all()
    assert (gaussian_kl(*latents(200)) > 0).all()


def test_kl_adds_over_latents_and_not_over_examples():
    mu, logvar = latents()
    parts = sum(gaussian_kl(mu[:, d : d + 1], logvar[:, d : d + 1]) for d in range(mu.shape[1]))
    torch.testing.assert_close(gaussian_kl(mu, logvar), parts)
    torch.testing.assert_close(gaussian_kl(mu, logvar)[2:4], gaussian_kl(mu[2:4], logvar[2:4]))


def test_kl_gradient_is_the_textbook_one():
    mu, logvar = (t.requires_grad_() for t in latents())
    gaussian_kl(mu, logvar).sum().backward()
    torch.testing.assert_close(mu.grad, mu.detach())
    torch.testing.assert_close(logvar.grad, 0.5 * (logvar.detach().exp() - 1))


def test_reparameterized_moments_and_gradients():
    n = 200_000
    mu, logvar = torch.full((n, 1), 0.7, requires_grad=True), torch.full((n, 1), math.log(0.04), requires_grad=True)
    torch.manual_seed(0)
    z = reparameterize(mu, logvar)
    assert abs(float(z.detach().mean()) - 0.7) < 5 * 0.2 / math.sqrt(n)
    assert abs(float(z.detach().std()) - 0.2) < 5 * 0.2 / math.sqrt(2 * n)
    z.square().sum().backward()  # d E[z^2] / d mu = 2 mu; d / d logvar = sigma^2
    assert abs(float(mu.grad.mean()) - 1.4) < 5 * 0.4 / math.sqrt(n)
    assert abs(float(logvar.grad.mean()) - 0.04) < 5 * 0.16 / math.sqrt(n)


def test_reparameterize_draws_from_the_global_generator():
    mu, logvar = latents()
    torch.manual_seed(3)
    first = reparameterize(mu, logvar)
    torch.manual_seed(3)
    assert torch.equal(first, reparameterize(mu, logvar))
    assert not torch.equal(first, reparameterize(mu, logvar))


@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 2, 3, 3)])
@pytest.mark.parametrize("sigma", [0.3, torch.tensor(2.0)])
def test_gaussian_log_likelihood_equals_torch_distributions(shape, sigma):
    mean, x = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    truth = distributions.Normal(mean, float(sigma)).log_prob(x).reshape(len(x), -1).sum(1)
    torch.testing.assert_close(gaussian_log_likelihood(mean, x, sigma), truth, rtol=1e-6, atol=1e-6)


def test_the_best_sigma_is_the_root_mean_squared_error():
    mean, x = torch.randn(2, 50, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    log_sigma = torch.zeros((), dtype=torch.float64, requires_grad=True)
    best = (x - mean).square().mean().sqrt()
    with torch.no_grad():
        log_sigma.copy_(best.log())
    gaussian_log_likelihood(mean, x, log_sigma.exp()).mean().backward()
    assert abs(float(log_sigma.grad)) < 1e-10


def test_bernoulli_log_likelihood_of_bits_and_of_extreme_logits():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(5, 1, 4, 4, generator=generator)
    bits = torch.rand(5, 1, 4, 4, generator=generator).round()
    truth = distributions.Bernoulli(logits=logits).log_prob(bits).flatten(1).sum(1)
    torch.testing.assert_close(bernoulli_log_likelihood(logits, bits), truth)
    extreme = torch.full((2, 3), 200.0)
    torch.testing.assert_close(bernoulli_log_likelihood(extreme, torch.zeros(2, 3)), torch.full((2,), -600.0))


def test_grey_pixels_have_a_ceiling_below_zero():
    grey = torch.full((1, 10), 0.3)
    ceiling = 10 * (0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    assert float(bernoulli_log_likelihood(torch.logit(grey), grey)) == pytest.approx(ceiling, rel=1e-5)
    assert float(bernoulli_log_likelihood(torch.logit(grey) + 0.1, grey)) < ceiling


@pytest.mark.parametrize(
    "call",
    [gaussian_kl, reparameterize, bernoulli_log_likelihood, lambda mean, x: gaussian_log_likelihood(mean, x, 1.0)],
)
def test_shapes_that_would_broadcast_are_refused(call):
    with pytest.raises(ValueError, match=r"\(4, 2\).*\(4, 1\)"):
        call(torch.zeros(4, 2), torch.zeros(4, 1))


def test_continuous_bernoulli_equals_torch_distributions():
    generator = torch.Generator().manual_seed(5)
    logits = 4 * torch.randn(6, 1, 4, 4, generator=generator, dtype=torch.float64)
    logits[0] *= 1e-3  # across the point where the formula is 0 / 0
    grey = torch.rand(6, 1, 4, 4, generator=generator, dtype=torch.float64)
    truth = distributions.ContinuousBernoulli(logits=logits).log_prob(grey).flatten(1).sum(1)
    torch.testing.assert_close(continuous_bernoulli_log_likelihood(logits, grey), truth, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("logit", [-30.0, -2.0, -0.06, -0.04, 0.0, 1e-4, 0.04, 0.06, 5.0, 80.0])
def test_continuous_bernoulli_integrates_to_one(logit):
    n = 20_000
    x = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]
    density = continuous_bernoulli_log_likelihood(torch.full_like(x, logit), x).exp()
    assert float(density.mean()) == pytest.approx(1, abs=1e-5)


def test_continuous_bernoulli_has_finite_gradients_everywhere():
    logits = torch.tensor([[0.0, 1e-9, -0.05, 0.05, -100.0, 100.0]], requires_grad=True)
    x = torch.full_like(logits, 0.25).detach()
    continuous_bernoulli_log_likelihood(logits, x).sum().backward()
    mean = distributions.ContinuousBernoulli(logits=logits.detach().double()[:, :4]).mean
    torch.testing.assert_close(logits.grad[:, :4].double(), 0.25 - mean, rtol=0, atol=1e-4)  # exponential family
    assert logits.grad.isfinite().all() and logits.grad[0, 4] > 0 > logits.grad[0, 5]


def test_vae_loss_terms_and_beta():
    generator = torch.Generator().manual_seed(6)
    logits, x = torch.randn(2, 5, 1, 3, 3, generator=generator, dtype=torch.float64)
    x = x.sigmoid()
    mu, logvar = latents(5, 4)
    reconstruction = -sum((x * logits.sigmoid().log() + (1 - x) * (-logits).sigmoid().log()).flatten(1).sum(1)) / 5
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    kl = distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum() / 5
    for beta in (1.0, 0.0, 3.5):
        terms = vae_loss(logits, x, mu, logvar, beta=beta)
        torch.testing.assert_close(terms.reconstruction, reconstruction)
        torch.testing.assert_close(terms.kl, kl)
        torch.testing.assert_close(terms.total, reconstruction + beta * kl)


def test_means_over_pixels_and_latents_are_a_hidden_beta():
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(5, 30, generator=generator, dtype=torch.float64, requires_grad=True)
    x = torch.rand(5, 30, generator=generator, dtype=torch.float64)
    mu, logvar = (t.requires_grad_() for t in latents(5, 4))
    mean_loss = -bernoulli_log_likelihood(logits, x).mean() / 30 + gaussian_kl(mu, logvar).mean() / 4
    hidden = torch.autograd.grad(mean_loss, [logits, mu, logvar])
    open_ = torch.autograd.grad(vae_loss(logits, x, mu, logvar, beta=30 / 4).total, [logits, mu, logvar])
    for a, b in zip(hidden, open_):
        torch.testing.assert_close(30 * a, b)


def test_vae_loss_takes_any_likelihood_and_refuses_two_batch_sizes():
    mean, x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(8))
    mu, logvar = (t.float() for t in latents(5, 2))
    terms = vae_loss(mean, x, mu, logvar, log_likelihood=lambda mean, x: gaussian_log_likelihood(mean, x, 0.5))
    truth = -distributions.Normal(mean, 0.5).log_prob(x).sum() / 5
    torch.testing.assert_close(terms.reconstruction, truth)
    with pytest.raises(ValueError, match="5 examples and mu 4"):
        vae_loss(mean, x, mu[:4], logvar[:4])


def test_the_bernoulli_loss_is_torchs_own_far_out_and_close_in():
    """torch's in float64 is the truth; 2^-24 is what the CPU's shorter way may lose, for value and slope."""
    logits = torch.cat([torch.linspace(-40, 40, 4001), torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4])]).requires_grad_()
    x = torch.rand(len(logits), generator=torch.Generator().manual_seed(0))
    exact = logits.detach().double().requires_grad_()
    value = bernoulli_log_likelihood(logits[:, None], x[:, None])
    truth = -functional.binary_cross_entropy_with_logits(exact, x.double(), reduction="none")
    torch.testing.assert_close(value.double(), truth, rtol=3e-7, atol=2e-7)
    value.sum().backward(), truth.sum().backward()
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=3e-7, atol=2e-7)
    few = torch.linspace(-3, 3, 7, dtype=torch.float64).requires_grad_()
    loss = lambda l: bernoulli_log_likelihood(l[:, None], x[:7, None].double())
    assert torch.autograd.gradcheck(loss, few) and torch.autograd.gradgradcheck(loss, few)


def test_the_bernoulli_loss_of_bfloat16_logits_is_summed_in_float32():
    logits = torch.randn(3, 784, generator=torch.Generator().manual_seed(0)).bfloat16()
    x = torch.rand(3, 784, generator=torch.Generator().manual_seed(1))
    value = bernoulli_log_likelihood(logits, x)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, bernoulli_log_likelihood(logits.float(), x))
