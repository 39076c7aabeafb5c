"""VAEs: shapes for any image, what q and z are, and the bound against a linear model whose likelihood is exact."""

import math

import pytest
import torch

from deepunsup_helpers.losses import gaussian_log_likelihood, vae_loss
from deepunsup_helpers.metrics.likelihood import fit_probabilistic_pca, ppca_log_likelihood, ppca_posterior
from deepunsup_helpers.models import MLPVAE, ConvVAE

MODELS = pytest.mark.parametrize("model_class", [MLPVAE, ConvVAE])


@MODELS
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 9, 13), (2, 4, 5)])
def test_any_image_shape_comes_back(model_class, shape):
    torch.manual_seed(0)
    model, x = model_class(shape, latent_dim=3), torch.rand(5, *shape)
    out = model(x)
    assert out.logits.shape == x.shape and {out.mu.shape, out.logvar.shape, out.z.shape} == {(5, 3)}
    assert torch.equal(model.decode(out.z), out.logits)
    mu, logvar = model.encode(x[2:3])  # batch size does not matter
    torch.testing.assert_close(mu, out.mu[2:3], rtol=0, atol=1e-5)
    torch.testing.assert_close(logvar, out.logvar[2:3], rtol=0, atol=1e-5)


@MODELS
def test_every_parameter_gets_a_gradient_and_config_rebuilds(model_class):
    torch.manual_seed(0)
    model, x = model_class((1, 8, 8), latent_dim=2), torch.rand(4, 1, 8, 8)
    out = model(x)
    vae_loss(out.logits, x, out.mu, out.logvar).total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    twin = model_class(**model.config)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin.encode(x)[0], out.mu)


@MODELS
@pytest.mark.parametrize("training", [True, False])
def test_z_is_a_sample_of_q_in_training_and_in_evaluation(model_class, training):
    torch.manual_seed(0)
    model = model_class((1, 4, 4), latent_dim=2).train(training)
    x = torch.rand(1, 1, 4, 4).expand(40_000, 1, 4, 4)
    with torch.no_grad():
        out = model(x)
    sigma = torch.exp(0.5 * out.logvar[0])
    assert ((out.z.mean(0) - out.mu[0]).abs() < 5 * sigma / math.sqrt(40_000)).all()
    assert ((out.z.std(0) / sigma - 1).abs() < 5 / math.sqrt(80_000)).all()


def test_the_first_half_of_the_encoder_is_mu():
    model = MLPVAE((1, 2, 2), latent_dim=2, hidden=())
    with torch.no_grad():
        model.encoder[1].weight.zero_()
        model.encoder[1].bias.copy_(torch.tensor([1.0, 2.0, -3.0, -4.0]))
    mu, logvar = model.encode(torch.rand(3, 1, 2, 2))
    assert torch.equal(mu[0], torch.tensor([1.0, 2.0])) and torch.equal(logvar[0], torch.tensor([-3.0, -4.0]))


def test_a_linear_vae_with_the_exact_posterior_has_the_exact_likelihood():
    """log p(x, z) - log q(z | x) is then log p(x) for each z; with the KL in closed form, on average over z."""
    generator = torch.Generator().manual_seed(1)
    x = (
        torch.randn(300, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
        + 0.3 * torch.randn(300, 6, generator=generator)
    ).reshape(300, 1, 2, 3)
    exact = fit_probabilistic_pca(x, 2)
    model = linear_vae(exact, (1, 2, 3))
    torch.manual_seed(2)
    with torch.no_grad():
        bounds = []
        for _ in range(400):
            out = model(x)
            terms = vae_loss(
                out.logits,
                x,
                out.mu,
                out.logvar,
                log_likelihood=lambda mean, x: gaussian_log_likelihood(mean, x, exact.sigma.float()),
            )
            bounds.append(-float(terms.total))
    bounds = torch.tensor(bounds, dtype=torch.float64)
    truth = float(ppca_log_likelihood(exact, x).mean())
    assert abs(float(bounds.mean()) - truth) < 5 * float(bounds.std()) / math.sqrt(400) + 1e-4


def linear_vae(exact, shape):
    """An MLPVAE without hidden layers whose weights are those of probabilistic PCA and its posterior."""
    D, latent_dim = exact.W.shape
    model = MLPVAE(shape, latent_dim, hidden=())
    zero, unit = torch.zeros(1, D, dtype=torch.float64), torch.eye(D, dtype=torch.float64)
    offset, covariance = ppca_posterior(exact, zero)
    slope = ppca_posterior(exact, unit)[0] - offset  # (D, L): what each pixel adds to mu
    with torch.no_grad():
        model.encoder[1].weight.copy_(torch.cat([slope.T, torch.zeros(latent_dim, D)]))
        model.encoder[1].bias.copy_(torch.cat([offset[0], covariance.diagonal().log()]))
        model.decoder[0].weight.copy_(exact.W)
        model.decoder[0].bias.copy_(exact.mean)
    return model


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MLPVAE((28, 28), 2), "image_shape must be"),
        (lambda: ConvVAE((1, 3, 8), 2), "at least 4x4"),
        (lambda: ConvVAE((8, 8), 2), "image_shape must be"),
        (lambda: MLPVAE((1, 4, 4), 2, activation="swish"), "unknown activation 'swish'"),
    ],
)
def test_wrong_arguments_are_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()
