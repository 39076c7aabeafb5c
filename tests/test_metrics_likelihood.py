"""Importance sampling and the ELBO against probabilistic PCA, which knows its likelihood in closed form."""

import math

import pytest
import torch
from torch import distributions

from deepunsup_helpers.losses import gaussian_kl, gaussian_log_likelihood
from deepunsup_helpers.metrics.likelihood import (
    ProbabilisticPCA,
    active_units,
    effective_sample_size,
    fit_probabilistic_pca,
    importance_log_likelihood,
    ppca_log_likelihood,
    ppca_posterior,
)


def some_model(dimensions=5, latent_dim=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    W, _ = torch.linalg.qr(torch.randn(dimensions, latent_dim, generator=generator, dtype=torch.float64))
    W = W * torch.linspace(2.0, 1.0, latent_dim, dtype=torch.float64)  # orthogonal columns: a diagonal posterior
    return ProbabilisticPCA(
        torch.randn(dimensions, generator=generator, dtype=torch.float64), W, torch.tensor(0.5, dtype=torch.float64)
    )


def draw(model, n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, model.W.shape[1], generator=generator, dtype=torch.float64)
    noise = torch.randn(n, len(model.W), generator=generator, dtype=torch.float64)
    return model.mean + z @ model.W.T + model.sigma * noise


def dense(model):
    return distributions.MultivariateNormal(model.mean, model.W @ model.W.T + model.sigma**2 * torch.eye(len(model.W)))


def log_weights(model, x, mu, sd, samples, seed=2):
    """log p(x, z) - log q(z) by torch.distributions, z ~ N(mu, sd^2): (K, N)."""
    generator = torch.Generator().manual_seed(seed)
    z = mu + sd * torch.randn(samples, *mu.shape, generator=generator, dtype=torch.float64)
    likelihood = distributions.Normal(model.mean + z @ model.W.T, model.sigma).log_prob(x).sum(-1)
    return (
        likelihood
        + distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        - distributions.Normal(mu, sd).log_prob(z).sum(-1)
    )


def test_exact_likelihood_equals_the_dense_gaussian():
    model = some_model()
    x = draw(model, 50)
    torch.testing.assert_close(ppca_log_likelihood(model, x), dense(model).log_prob(x))


def test_without_latents_it_is_one_isotropic_gaussian():
    x = draw(some_model(), 400)
    model = fit_probabilistic_pca(x, 0)
    truth = distributions.Normal(x.mean(0), (x - x.mean(0)).square().mean().sqrt()).log_prob(x).sum(1)
    torch.testing.assert_close(ppca_log_likelihood(model, x), truth)


def test_maximum_likelihood_beats_the_truth_and_its_neighbours_on_its_own_data():
    truth = some_model()
    x = draw(truth, 300)
    fitted = fit_probabilistic_pca(x, 2)
    best = ppca_log_likelihood(fitted, x).mean()
    assert best > ppca_log_likelihood(truth, x).mean()
    for scale in (0.9, 1.1):
        assert best > ppca_log_likelihood(fitted._replace(W=fitted.W * scale), x).mean()
        assert best > ppca_log_likelihood(fitted._replace(sigma=fitted.sigma * scale), x).mean()
    assert ppca_log_likelihood(fit_probabilistic_pca(x, 1), x).mean() < best


def test_it_agrees_with_scikit_learn():
    from sklearn.decomposition import PCA

    x = draw(some_model(), 300)
    theirs = PCA(n_components=2, svd_solver="full").fit(x.numpy()).score_samples(x.numpy())  # divides by N - 1
    ours = ppca_log_likelihood(fit_probabilistic_pca(x, 2), x)
    assert float((ours - torch.from_numpy(theirs)).abs().max()) < 0.05
    assert float(ours.mean()) >= theirs.mean()


def test_posterior_by_conditioning_the_joint_gaussian():
    model = some_model()
    x = draw(model, 6)
    gain = model.W.T @ torch.linalg.inv(dense(model).covariance_matrix)  # cov(z, x) cov(x)^-1
    mu, covariance = ppca_posterior(model, x)
    torch.testing.assert_close(mu, (x - model.mean) @ gain.T)
    torch.testing.assert_close(covariance, torch.eye(2, dtype=torch.float64) - gain @ model.W)


def test_with_the_exact_posterior_one_sample_is_enough():
    model = some_model()
    x = draw(model, 20)
    mu, covariance = ppca_posterior(model, x)
    weights = log_weights(model, x, mu, covariance.diagonal().sqrt(), samples=3)
    torch.testing.assert_close(weights, ppca_log_likelihood(model, x).expand(3, -1))  # each sample, not only their mean
    torch.testing.assert_close(effective_sample_size(weights), torch.full((20,), 3.0, dtype=torch.float64))


def test_elbo_in_closed_form_is_tight_at_the_posterior_and_below_elsewhere():
    model = some_model()
    x = draw(model, 20)
    exact = ppca_log_likelihood(model, x)
    mu, covariance = ppca_posterior(model, x)

    def elbo(mu, variance):  # E_q of the squared error adds the variance seen through W
        at_the_mean = gaussian_log_likelihood(model.mean + mu @ model.W.T, x, model.sigma)
        spread = 0.5 * variance @ model.W.square().sum(0) / model.sigma**2
        return at_the_mean - spread - gaussian_kl(mu, variance.log())

    variance = covariance.diagonal().expand_as(mu)
    torch.testing.assert_close(elbo(mu, variance), exact)
    for other in (elbo(mu + 0.1, variance), elbo(mu, 1.5 * variance), elbo(mu, variance / 1.5)):
        assert (other < exact - 1e-3).all()
    gap = distributions.kl_divergence(
        distributions.Normal(mu + 0.1, variance.sqrt()), distributions.Normal(mu, variance.sqrt())
    ).sum(1)
    torch.testing.assert_close(exact - elbo(mu + 0.1, variance), gap)  # the gap is KL(q || posterior)


def test_importance_sampling_rises_from_the_elbo_to_the_likelihood():
    model = some_model()
    x = draw(model, 20)
    exact = ppca_log_likelihood(model, x)
    mu, covariance = ppca_posterior(model, x)
    weights = log_weights(model, x, mu, 1.5 * covariance.diagonal().sqrt(), samples=20_000)
    few = importance_log_likelihood(weights[:1000].T.reshape(20 * 100, 10).T).mean()  # 100 estimates of 10 samples each
    many = importance_log_likelihood(weights)
    assert weights.mean() < few < many.mean() + 1e-3
    assert float((many - exact).abs().max()) < 0.05
    assert float(exact.mean() - weights.mean()) > 0.1


def test_weights_of_any_size_and_their_effective_number():
    even = torch.full((8, 2), -900.0)
    torch.testing.assert_close(importance_log_likelihood(even), torch.full((2,), -900.0, dtype=torch.float64))
    torch.testing.assert_close(effective_sample_size(even), torch.full((2,), 8.0, dtype=torch.float64))
    one = torch.tensor([[0.0], [-800.0], [-800.0], [-800.0]])
    assert float(importance_log_likelihood(one)) == pytest.approx(-math.log(4))
    assert float(effective_sample_size(one)) == pytest.approx(1.0)
    halves = torch.tensor([[2.0], [2.0], [-700.0]])
    assert float(effective_sample_size(halves)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "bad, told", [(torch.zeros(5), r"\(K, N\)"), (torch.tensor([[math.nan]]), "NaN"), (torch.zeros(0, 3), "empty")]
)
def test_bad_weights_are_named(bad, told):
    with pytest.raises(ValueError, match=told):
        importance_log_likelihood(bad)


@pytest.mark.parametrize("latent_dim, told", [(5, "0 to 4"), (-1, "0 to 4")])
def test_bad_latent_dim_is_named(latent_dim, told):
    with pytest.raises(ValueError, match=told):
        fit_probabilistic_pca(draw(some_model(), 30), latent_dim)


def test_no_noise_left_is_named():
    model = some_model()
    flat = draw(model._replace(sigma=torch.tensor(0.0, dtype=torch.float64)), 30)
    with pytest.raises(ValueError, match="noise would be 0"):
        fit_probabilistic_pca(flat, 2)
    with pytest.raises(ValueError, match="the model 5"):
        ppca_log_likelihood(model, torch.zeros(3, 4))


def test_active_units_counts_latents_whose_means_vary():
    generator = torch.Generator().manual_seed(11)
    spread = torch.tensor([1.0, 0.11, 0.09, 0.0, 0.5])  # standard deviations: 0.11 squared is above 0.01, 0.09 below
    unit = torch.randn(4000, 5, generator=generator)
    mu = (unit - unit.mean(0)) / unit.std(0, correction=0) * spread
    offset = torch.tensor([0.0, 0.0, 0.0, 5.0, -3.0])  # a constant far from zero says nothing about x
    assert active_units(mu) == active_units(mu + offset) == active_units((mu + offset).flip(0)) == 3
    assert active_units(mu, threshold=0.3) == 1 and active_units(mu.numpy(), threshold=0.005) == 4
    with pytest.raises(ValueError, match="at least two examples"):
        active_units(mu[:1])
