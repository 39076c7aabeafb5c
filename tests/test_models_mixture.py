"""EM: the likelihood never falls, and an independent implementation agrees."""

import math

import pytest
import torch
from torch import distributions

from deepunsup_helpers.models.mixture import (
    Collapsed,
    Mixture,
    em_step,
    fit_mixture,
    log_joint,
    sample_mixture,
    start_mixture,
)


def clumps(n=300, seed=0, dimensions=2):
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(3, dimensions, generator=generator, dtype=torch.float64)
    which = torch.randint(3, (n,), generator=generator)
    return centres[which] + torch.randn(n, dimensions, generator=generator, dtype=torch.float64)


def mean_log_p(mixture, x):
    return float(log_joint(mixture, x).logsumexp(dim=1).mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("components", [1, 2, 5])
def test_the_likelihood_never_falls(seed, components):
    x = clumps(seed=seed)
    mixture = start_mixture(x, components, seed=seed)
    before = mean_log_p(mixture, x)
    rise = 0.0
    for _ in range(30):
        mixture, reported = em_step(mixture, x)
        assert float(reported) == pytest.approx(before, abs=1e-12)  # of the mixture that came in
        after = mean_log_p(mixture, x)
        assert after >= before - 1e-12
        rise, before = rise + after - before, after
    assert rise > 0.01


def test_density_equals_torch_distributions():
    x = clumps(40)
    mixture = fit_mixture(x, 3, steps=5, seed=0)[0]
    theirs = distributions.MixtureSameFamily(
        distributions.Categorical(mixture.weights), distributions.MultivariateNormal(mixture.means, mixture.covariances)
    )
    torch.testing.assert_close(log_joint(mixture, x).logsumexp(dim=1), theirs.log_prob(x))


def test_one_component_is_the_maximum_likelihood_gaussian_after_one_step():
    x = clumps(dimensions=3)
    mixture, _ = em_step(start_mixture(x, 1, seed=0), x)
    torch.testing.assert_close(mixture.means[0], x.mean(0))
    torch.testing.assert_close(mixture.covariances[0], torch.cov(x.T, correction=0))
    torch.testing.assert_close(mixture.weights, torch.ones(1, dtype=torch.float64))


def test_scikit_learn_takes_the_same_steps():
    from sklearn.mixture import GaussianMixture

    x = clumps()
    start = start_mixture(x, 3, seed=1)
    theirs = GaussianMixture(
        3,
        weights_init=start.weights,
        means_init=start.means,
        reg_covar=0,
        tol=0,
        max_iter=7,
        precisions_init=torch.linalg.inv(start.covariances),
    )
    with pytest.warns(Warning, match="converge"):
        theirs.fit(x.numpy())
    ours = start
    for _ in range(7):
        ours, _ = em_step(ours, x)
    for mine, other in zip(ours, (theirs.weights_, theirs.means_, theirs.covariances_)):
        torch.testing.assert_close(mine, torch.from_numpy(other), rtol=1e-8, atol=1e-8)


def test_the_order_of_examples_and_components_does_not_matter():
    x = clumps()
    start = start_mixture(x, 3, seed=0)
    turned = Mixture(*(part.flip(0) for part in start))
    a, b = em_step(start, x)[0], em_step(turned, x.flip(0))[0]
    for left, right in zip(a, b):
        torch.testing.assert_close(left, right.flip(0))


def test_more_starts_are_never_worse_and_history_ends_at_the_mixture():
    x = clumps(seed=3)
    one = fit_mixture(x, 4, steps=15, seed=0)
    best = fit_mixture(x, 4, steps=15, seed=0, n_init=6)
    assert best[1][-1] >= one[1][-1]
    assert len(one[1]) == 16 and one[1][-1] == pytest.approx(mean_log_p(one[0], x))


def test_a_published_fit_of_iris():
    """mclust on iris: BIC -574.01783 for two components with full covariances (in its sign, more is better)."""
    from sklearn.datasets import load_iris

    x = torch.from_numpy(load_iris().data)
    _, history = fit_mixture(x, 2, steps=60, seed=0, n_init=3)
    free = 2 * (4 + 10) + 1
    assert 2 * 150 * history[-1] - free * math.log(150) == pytest.approx(-574.01783, abs=1e-3)


def test_starts_that_spread_find_the_clumps_where_random_ones_get_stuck():
    generator = torch.Generator().manual_seed(0)
    centres = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double()
    x = (centres[:, None] + 0.05 * torch.randn(9, 60, 2, generator=generator, dtype=torch.float64)).reshape(-1, 2)

    def found(seed, init):  # clumps with a mean on them
        means = fit_mixture(x, 9, steps=40, seed=seed, init=init, reg_covar=1e-5)[0].means
        return int((torch.cdist(centres, means).min(1).values < 0.05).sum())

    assert all(found(seed, "k-means++") == 9 for seed in range(8))
    assert sum(found(seed, "random") == 9 for seed in range(8)) <= 4


def test_a_collapsed_start_is_passed_over():
    x = clumps(60)
    with_twins = torch.cat([x, x[:1].repeat(3, 1)])  # a component may sit on four equal points
    collapsed = []
    for seed in range(30):
        try:
            fit_mixture(with_twins, 5, steps=60, seed=seed)
        except Collapsed:
            collapsed.append(seed)
    assert 0 < len(collapsed) < 30
    assert math.isfinite(fit_mixture(with_twins, 5, steps=60, seed=0, n_init=30)[1][-1])


def test_a_collapsed_component_is_named_and_reg_covar_prevents_it():
    x = torch.cat([clumps(50), torch.full((50, 2), 99.0, dtype=torch.float64)])  # fifty times one far point
    with pytest.raises(ValueError, match="shrunk"):
        fit_mixture(x, 2, steps=50, seed=2)
    assert math.isfinite(fit_mixture(x, 2, steps=50, seed=2, reg_covar=1e-3)[1][-1])


def test_bad_input_is_named():
    x = clumps(5)
    with pytest.raises(ValueError, match="1 to 5"):
        start_mixture(x, 6, seed=0)
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        log_joint(start_mixture(x, 2, seed=0), torch.zeros(3, 4))


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda x: start_mixture(x[:1], 1, seed=0), "at least two examples"),
        (lambda x: start_mixture(x.long(), 2, seed=0), "holds whole numbers"),
        (lambda x: start_mixture(x / 0, 2, seed=0), "holds NaN or infinite"),
        (lambda x: start_mixture(x, 2, seed=0, init="kmeans"), "unknown init 'kmeans'"),
        (lambda x: fit_mixture(x, 2, steps=1, seed=0, n_init=0), "n_init is 0"),
        (lambda x: fit_mixture(x, 2, steps=1, seed=0, reg_covar=-1.0), "reg_covar -1.0"),
    ],
)
def test_each_wrong_argument_is_said(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong(clumps(5))


def test_samples_have_the_mixtures_moments_and_repeat():
    mixture = fit_mixture(clumps(), 3, steps=10, seed=0)[0]
    draw = lambda: sample_mixture(mixture, 60_000, generator=torch.Generator().manual_seed(1))
    x = draw()
    mean = mixture.weights @ mixture.means
    offsets = mixture.means - mean
    spread = mixture.covariances + offsets[:, :, None] * offsets[:, None]
    covariance = torch.einsum("k,kij->ij", mixture.weights, spread)
    assert torch.equal(x, draw())
    assert ((x.mean(0) - mean).abs() < 5 * (covariance.diagonal() / len(x)).sqrt()).all()
    scale = covariance.diagonal().outer(covariance.diagonal()).sqrt()
    assert ((torch.cov(x.T) - covariance).abs() < 5 * scale * math.sqrt(3 / len(x))).all()
    assert abs(mean_log_p(mixture, x) - mean_log_p(mixture, x[:30_000])) < 0.05  # in random order
