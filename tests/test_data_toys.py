"""The toys: densities that integrate to one, samples that agree with them, and torch.distributions as the judge."""

import math

import pytest
import torch
from sklearn.datasets import make_moons

from deepunsup_helpers.data import DataError, load, toys

MIXTURES = {"ring": toys.ring, "grid": toys.grid, "gaussians": toys.gaussians}


def integral(log_prob, *, low: float, high: float, points: int) -> tuple[float, torch.Tensor, torch.Tensor]:
    """The integral of the density and of x times it over a square, by the midpoint rule in float64."""
    step = (high - low) / points
    line = low + step * (torch.arange(points, dtype=torch.float64) + 0.5)
    x = torch.cartesian_prod(line, line)
    mass = log_prob(x).exp() * step**2
    return float(mass.sum()), (mass[:, None] * x).sum(0), torch.einsum("n,ni,nj->ij", mass, x, x)


@pytest.mark.parametrize(
    "log_prob",
    [
        toys.ring().log_prob,
        toys.grid(side=3, sigma=0.1).log_prob,
        toys.gaussians().log_prob,
    ],
    ids=["ring", "grid", "gaussians"],
)
def test_mixture_densities_integrate_to_one(log_prob):
    total, _, _ = integral(log_prob, low=-6, high=6, points=300)
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_density_is_that_of_torch_distributions(name):
    toy = MIXTURES[name]()
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(toy.weights.double()),
        torch.distributions.MultivariateNormal(toy.means.double(), toy.covariances.double()),
    )
    x = torch.cat([toy.sample(200, seed=1), 3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(2))])
    torch.testing.assert_close(toy.log_prob(x.double()), reference.log_prob(x.double()), rtol=1e-5, atol=1e-4)


def test_one_gaussian_has_the_density_of_the_textbook():
    toy = toys.gaussians(means=[[1.0, -1.0]], covs=[[[4.0, 0.0], [0.0, 0.25]]], weights=[7.0])
    peak = -math.log(2 * math.pi * 2 * 0.5)  # standard deviations 2 and 1/2
    x = torch.tensor([[1.0, -1.0], [3.0, -1.0], [1.0, -0.5]])
    torch.testing.assert_close(toy.log_prob(x), torch.tensor([peak, peak - 0.5, peak - 0.5]))


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_samples_have_the_moments_of_their_component(name):
    toy = MIXTURES[name]()
    x, labels = toy.sample_with_labels(50_000, seed=3)
    share = torch.bincount(labels, minlength=len(toy.means)) / len(labels)
    assert (share - toy.weights).abs().max() < 5 * (0.25 / len(labels)) ** 0.5
    for k in range(min(3, len(toy.means))):
        own = x[labels == k]
        scale = toy.covariances[k].diagonal().max()
        torch.testing.assert_close(own.mean(0), toy.means[k], rtol=0, atol=float(6 * (scale / len(own)) ** 0.5))
        torch.testing.assert_close(own.T.cov(), toy.covariances[k], rtol=0, atol=float(12 * scale / len(own) ** 0.5))


@pytest.mark.parametrize(
    "sample, log_prob",
    [(toys.moons, toys.moons_log_prob), (toys.swiss_roll, toys.swiss_roll_log_prob)],
    ids=["moons", "swiss_roll"],
)
def test_curve_densities_integrate_to_one_and_have_the_moments_of_their_samples(sample, log_prob):
    x, _ = sample(40_000, noise=0.3, seed=4)
    total, mean, second = integral(lambda x: log_prob(x, noise=0.3), low=-6, high=6, points=60)
    assert total == pytest.approx(1, abs=1e-4)
    x = x.double()
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=0.06)
    torch.testing.assert_close(x.T @ x / len(x), second, rtol=0, atol=0.15)


@pytest.mark.parametrize(
    "sample, log_prob",
    [(toys.moons, toys.moons_log_prob), (toys.swiss_roll, toys.swiss_roll_log_prob)],
    ids=["moons", "swiss_roll"],
)
def test_curve_densities_are_the_share_of_samples_in_a_small_square(sample, log_prob):
    x, _ = sample(200_000, noise=0.1, seed=5)
    for centre in x[:3]:
        inside = int(((x - centre).abs() < 0.1).all(1).sum())
        line = torch.linspace(-0.095, 0.095, 20)
        share = 0.2**2 * float(log_prob(centre + torch.cartesian_prod(line, line), noise=0.1).exp().mean())
        expected = share * len(x)  # a binomial count: its standard deviation is at most its root
        assert abs(inside - expected) < 5 * expected**0.5


def test_labels_tell_the_components_apart():
    ring = toys.ring()
    x, labels = ring.sample_with_labels(2_000, seed=0)
    assert (ring.log_joint(x).argmax(1) == labels).float().mean() > 0.999  # modes lie 15 sigma apart
    points, moon = toys.moons(2_000, noise=0.0, seed=0)
    curve, which = map(torch.from_numpy, make_moons(2_000, noise=None, shuffle=False))
    for k in (0, 1):  # scikit-learn's moons, in both directions
        distance = torch.cdist(points[moon == k].double(), curve[which == k])
        assert distance.min(1).values.max() < 0.02 and distance.min(0).values.max() < 0.05
    spiral, angle = toys.swiss_roll(2_000, noise=0.0, seed=0)
    torch.testing.assert_close(spiral.norm(dim=1), angle / math.pi)


def test_geometry():
    ring = toys.ring(modes=4, radius=3.0, sigma=0.2)
    expected = torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [0.0, -3.0]])
    torch.testing.assert_close(ring.means, expected, atol=1e-6, rtol=0)
    grid = toys.grid()
    assert grid.means.shape == (25, 2) and grid.means.mean(0).abs().max() == 0
    assert torch.cdist(grid.means, grid.means).fill_diagonal_(9).min() == 2.0
    assert (ring.sigma, grid.sigma, toys.gaussians().sigma) == (0.2, 0.05, None)


def test_samples_follow_their_seed_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    ring = toys.ring()
    assert torch.equal(ring.sample(10, seed=1), ring.sample(10, seed=1))
    assert not torch.equal(ring.sample(10, seed=1), ring.sample(10, seed=2))
    generator = torch.Generator().manual_seed(1)
    first, second = ring.sample(10, generator=generator), ring.sample(10, generator=generator)
    assert torch.equal(first, ring.sample(10, seed=1)) and not torch.equal(first, second)
    toys.moons(10), toys.swiss_roll(10), load("grid")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", toys.TOYS)
def test_toys_as_data_sets(name):
    data = load(name, train_size=300, seed=5)
    assert data.x_train.shape == (300, 2) and data.x_test.shape == (2_000, 2)
    assert data.x_train.dtype == torch.float32 and data.value_range is None and not data.is_image
    assert torch.equal(data.x_test, load(name, train_size=7, seed=5).x_test)  # train_size leaves the test part alone
    equal = load(name, train_size=50, test_size=50)
    joined = torch.cat([equal.x_train, equal.x_test])
    assert len(torch.unique(joined, dim=0)) == len(joined)  # no point in both parts
    assert not torch.equal(data.x_train, load(name, train_size=300, seed=6).x_train)
    if name == "swiss_roll":
        assert data.y_train is None and data.factors_train["angle"].shape == (300,)
    else:
        assert data.y_train.dtype == torch.int64 and int(data.y_test.max()) == len(data.class_names) - 1
    assert len(load(name, train_size=3, test_size=0).x_test) == 0


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: toys.ring(sigma=0), "must be positive"),
        (lambda: toys.ring().sample(3), "seed= "),
        (lambda: toys.ring().sample(3, seed=1, generator=torch.Generator()), "seed= "),
        (lambda: toys.gaussians(means=[[0.0, 0.0]]), "do not fit"),
        (
            lambda: toys.gaussians(means=[[0.0, 0.0]], covs=[[[1.0, 2.0], [2.0, 1.0]]], weights=[1.0]),
            "positive definite",
        ),
        (lambda: toys.gaussians(weights=(1.0, 0.0, 1.0)), "positive numbers"),
        (lambda: toys.moons_log_prob(torch.zeros(1, 2), noise=0), "no density"),
    ],
)
def test_bad_toys_say_why(make, says):
    with pytest.raises(DataError, match=says):
        make()
