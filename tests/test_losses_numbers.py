"""Losses of inputs with few bits, of whole numbers, of nothing: float64 on the very same inputs is the truth."""

import pytest
import torch

from deepunsup_helpers import losses

NARROW = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


def normal(*shape, scale=1.0, seed=0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@NARROW
def test_kl_near_the_prior_is_that_of_float64(dtype):
    mu, logvar = (normal(500, 20, scale=0.02, seed=s).to(dtype) for s in (0, 1))
    kl = losses.gaussian_kl(mu, logvar)
    exact = 0.5 * (mu.double().square() + torch.expm1(logvar.double()) - logvar.double()).sum(1)
    assert kl.dtype == torch.float32 and (kl >= 0).all()
    torch.testing.assert_close(kl.double(), exact, rtol=1e-5, atol=0)


def test_kl_of_float32_does_not_cancel_near_the_prior():
    mu, logvar = torch.zeros(7, 1), torch.tensor([1e-3, -1e-3, 3e-4, -3e-4, 1e-4, -1e-4, 1e-5])[:, None]
    exact = 0.25 * logvar.double().square() * (1 + logvar.double() / 3)  # the series of e^l - l - 1
    torch.testing.assert_close(losses.gaussian_kl(mu, logvar).double(), exact[:, 0], rtol=5e-3, atol=0)


LIKELIHOODS = [
    losses.bernoulli_log_likelihood,
    losses.continuous_bernoulli_log_likelihood,
    lambda logits, x: losses.gaussian_log_likelihood(logits, x, 0.3),
]


@NARROW
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_likelihoods_of_narrow_logits_are_those_of_float64(likelihood, dtype):
    logits, x = normal(5, 784, scale=3).to(dtype), normal(5, 784, seed=1).sigmoid()
    value = likelihood(logits, x)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), likelihood(logits.double(), x.double()), rtol=1e-5, atol=1e-3)
    narrow = likelihood(logits, x.to(dtype))
    torch.testing.assert_close(narrow.double(), likelihood(logits.double(), x.to(dtype).double()), rtol=1e-5, atol=1e-3)


@NARROW
def test_the_games_losses_of_narrow_logits_are_those_of_float64(dtype):
    real, fake = normal(1000, scale=4).to(dtype), normal(1000, scale=4, seed=1).to(dtype)
    value = losses.discriminator_loss(real, fake)
    exact = (
        torch.logaddexp(-real.double(), torch.zeros(())).mean() + torch.logaddexp(fake.double(), torch.zeros(())).mean()
    )
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=0)
    for kind, sign in (("non_saturating", -1), ("minimax", 1)):
        exact = -sign * torch.logaddexp(sign * fake.double(), torch.zeros(())).mean()
        torch.testing.assert_close(losses.generator_loss(fake, kind).double(), exact, rtol=1e-5, atol=0)


def test_under_autocast_the_terms_are_summed_in_float32():
    decoder, x, mu = torch.nn.Linear(4, 784), normal(6, 784, seed=1).sigmoid(), normal(6, 4, scale=0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, logvar = decoder(mu), torch.nn.functional.linear(mu, torch.eye(4))
        terms = losses.vae_loss(logits, x, mu, logvar)
    assert logits.dtype == logvar.dtype == torch.bfloat16 and {term.dtype for term in terms} == {torch.float32}
    exact = losses.vae_loss(logits.double(), x.double(), mu.double(), logvar.double())
    for term, truth in zip(terms, exact):
        torch.testing.assert_close(term.double(), truth, rtol=1e-5, atol=0)


def test_bytes_do_not_wrap_round():
    a, b = torch.tensor([[3, 250]], dtype=torch.uint8), torch.tensor([[5, 1]], dtype=torch.uint8)
    assert losses.squared_error(a, b).item() == 4 + 249**2
    assert losses.gaussian_log_likelihood(a, b, 1.0).item() == pytest.approx(-(4 + 249**2) / 2 - 1.8378771, rel=1e-6)


def test_a_models_output_goes_straight_into_its_loss():
    from deepunsup_helpers.models import MLPVAE, MLPAutoencoder

    x = torch.rand(4, 1, 4, 4)
    vae, autoencoder = MLPVAE((1, 4, 4), 2), MLPAutoencoder((1, 4, 4), 2)
    out = vae(x)
    assert losses.vae_loss(out, x, beta=3.0) == losses.vae_loss(out.logits, x, out.mu, out.logvar, beta=3.0)
    assert losses.squared_error(autoencoder(x), x) == losses.squared_error(autoencoder(x).x_hat, x)
    with pytest.raises(ValueError, match=r"expected a VAE's output"):
        losses.vae_loss(out.logits, x)


NOTHING = torch.zeros(0, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: losses.squared_error(NOTHING, NOTHING),
        lambda: losses.gaussian_kl(NOTHING, NOTHING),
        lambda: losses.bernoulli_log_likelihood(NOTHING, NOTHING),
        lambda: losses.continuous_bernoulli_log_likelihood(NOTHING, NOTHING),
        lambda: losses.gaussian_log_likelihood(NOTHING, NOTHING, 1.0),
        lambda: losses.vae_loss(NOTHING, NOTHING, NOTHING, NOTHING),
        lambda: losses.discriminator_loss(torch.zeros(0), torch.zeros(2)),
        lambda: losses.discriminator_loss(torch.zeros(2), torch.zeros(0)),
        lambda: losses.generator_loss(torch.zeros(0)),
        lambda: losses.r1_penalty(torch.zeros(0), torch.zeros(0, 3, requires_grad=True)),
    ],
)
def test_an_empty_batch_is_said(call):
    with pytest.raises(ValueError, match="is empty, .*expected at least one example"):
        call()


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), torch.tensor([1.0, 0.0, 1.0])])
def test_a_sigma_that_is_no_standard_deviation_is_said(sigma):
    with pytest.raises(ValueError, match="sigma is .*expected above 0"):
        losses.gaussian_log_likelihood(torch.zeros(2, 3), torch.zeros(2, 3), sigma)
