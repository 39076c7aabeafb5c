"""Two-dimensional toys whose truth is known: Gaussian mixtures with exact densities, moons and a spiral."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError, Dataset

TEST_SEED = 1_000_003  # added to the seed for the test part, so that train_size leaves it as it is
TOYS = ("ring", "grid", "gaussians", "moons", "swiss_roll")


class GaussianMixture:
    """A mixture of K Gaussians in the plane (or any dimension D), with its exact density.

    Attributes:
        means: (K, D). covariances: (K, D, D). weights: (K,), summing to 1.
        sigma: the standard deviation shared by all components and directions, or None when they differ.
    Args:
        means: (K, D). covariances: (K, D, D), symmetric, positive definite. weights: (K,) positive, any sum;
            equal ones when None.
    Raises:
        DataError: shapes that do not fit, a covariance that is not positive definite, a weight that is not positive.
    """

    def __init__(self, means, covariances, weights=None):
        self.means = torch.as_tensor(means, dtype=torch.float32)
        self.covariances = torch.as_tensor(covariances, dtype=torch.float32)
        count, dimension = self.means.shape if self.means.ndim == 2 else (0, 0)
        if count == 0 or self.covariances.shape != (count, dimension, dimension):
            raise DataError(
                f"means of shape {tuple(self.means.shape)} and covariances of shape "
                f"{tuple(self.covariances.shape)} do not fit; expected (K, D) and (K, D, D)"
            )
        weights = torch.ones(count) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        if weights.shape != (count,) or not bool((weights > 0).all()):
            raise DataError(f"weights must be {count} positive numbers, one for each mean; got {weights.tolist()}")
        self.weights = weights / weights.sum()
        cholesky, failed = torch.linalg.cholesky_ex(self.covariances)
        if failed.any() or not torch.allclose(self.covariances, self.covariances.mT):
            raise DataError("every covariance must be symmetric and positive definite")
        self._cholesky = cholesky  # L with L L^T = covariance, (K, D, D)
        self._whiten = torch.linalg.solve_triangular(cholesky, torch.eye(dimension).expand_as(cholesky), upper=False)
        variance = self.covariances[0, 0, 0]
        shared = torch.equal(self.covariances, (variance * torch.eye(dimension)).expand_as(self.covariances))
        self.sigma = float(variance.sqrt()) if shared else None

    def sample(self, n: int, *, seed: int | None = None, generator: torch.Generator | None = None) -> Tensor:
        """n points, (n, D), float32, from a `seed` or from a CPU `generator` (one of the two)."""
        return self.sample_with_labels(n, seed=seed, generator=generator)[0]

    def sample_with_labels(
        self, n: int, *, seed: int | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """n points (n, D) and the component each was drawn from, (n,), int64 in 0..K-1."""
        generator = _generator(seed, generator)
        labels = torch.multinomial(self.weights, max(n, 1), replacement=True, generator=generator)[:n]
        noise = torch.randn(n, self.means.shape[1], generator=generator)
        return self.means[labels] + torch.einsum("nij,nj->ni", self._cholesky[labels], noise), labels

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, k) = log p(k) + log p(x | k) in nats, (N, D) to (N, K); softmax over K gives p(k | x)."""
        means, whiten, weights = (t.to(x) for t in (self.means, self._whiten, self.weights))
        whitened = torch.einsum("kij,nkj->nki", whiten, x[:, None] - means)  # standard normal under component k
        log_determinant = -whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # half of log|covariance|, (K,)
        constant = 0.5 * x.shape[1] * math.log(2 * math.pi)
        return weights.log() - 0.5 * whitened.square().sum(-1) - log_determinant - constant

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (N, D) to (N,), on the device and in the precision of x."""
        return self.log_joint(x).logsumexp(1)


def _generator(seed: int | None, generator: torch.Generator | None) -> torch.Generator:
    if (seed is None) == (generator is None):
        raise DataError("sampling needs seed= (the same points each time) or generator= (new points each time)")
    return torch.Generator().manual_seed(seed) if generator is None else generator


def _round_gaussians(means: Tensor, sigma: float) -> GaussianMixture:
    if not sigma > 0:
        raise DataError(f"sigma={sigma} must be positive")
    mixture = GaussianMixture(means, (sigma**2 * torch.eye(2)).expand(len(means), 2, 2))
    mixture.sigma = float(sigma)  # not its square's root in float32
    return mixture


def ring(modes: int = 8, radius: float = 2.0, sigma: float = 0.1) -> GaussianMixture:
    """Equal round Gaussians on a circle, counter-clockwise from (radius, 0)."""
    angle = 2 * math.pi * torch.arange(modes) / modes
    return _round_gaussians(radius * torch.stack([angle.cos(), angle.sin()], 1), sigma)


def grid(side: int = 5, spacing: float = 2.0, sigma: float = 0.05) -> GaussianMixture:
    """side x side equal round Gaussians, `spacing` apart, centred on the origin."""
    line = spacing * (torch.arange(side) - (side - 1) / 2)
    return _round_gaussians(torch.cartesian_prod(line, line), sigma)


def gaussians(
    means=((-2.0, 0.0), (1.5, 1.5), (1.0, -2.0)),
    covs=(((0.5, 0.3), (0.3, 0.4)), ((0.2, 0.0), (0.0, 0.8)), ((0.6, -0.4), (-0.4, 0.5))),
    weights=(0.5, 0.3, 0.2),
) -> GaussianMixture:
    """Any Gaussians: means (K, D), covs (K, D, D), weights (K,). By default three of unlike size and tilt."""
    return GaussianMixture(means, covs, weights)


def moons(n: int, noise: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two interleaved half circles of radius 1, blurred by round Gaussian noise.

    Args:
        noise: standard deviation, in the unit of the radius.
    Returns:
        points (n, 2) and which moon, (n,), int64.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=generator)
    points = _moon(math.pi * torch.rand(n, generator=generator), labels)
    return points + noise * torch.randn(n, 2, generator=generator), labels


def _moon(angle: Tensor, moon: Tensor) -> Tensor:
    """Points (n, 2) at angles 0 to pi of the upper (0) or the lower (1) half circle."""
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    return torch.where(moon.bool()[:, None], torch.tensor([1.0, 0.5]) - upper, upper)


def moons_log_prob(x: Tensor, noise: float = 0.1) -> Tensor:
    """log p(x) of `moons` in nats, (N, 2) to (N,); the integral over the angle is a sum of 512 terms."""
    angle = math.pi * (torch.arange(256).repeat(2) + 0.5) / 256
    return _blurred_log_prob(x, _moon(angle, torch.arange(512) // 256), noise)


def swiss_roll(n: int, noise: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A spiral of one and a half turns in the plane, radius 1 to 4, blurred by round Gaussian noise.

    Args:
        noise: standard deviation, in the unit of the smallest radius.
    Returns:
        points (n, 2) and the angle along the spiral, (n,), float32 in [pi, 4 pi] radians, uniformly distributed.
    """
    generator = torch.Generator().manual_seed(seed)
    angle = math.pi * (1 + 3 * torch.rand(n, generator=generator))
    return _spiral(angle) + noise * torch.randn(n, 2, generator=generator), angle


def _spiral(angle: Tensor) -> Tensor:
    return (angle / math.pi)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)


def swiss_roll_log_prob(x: Tensor, noise: float = 0.1) -> Tensor:
    """log p(x) of `swiss_roll` in nats, (N, 2) to (N,); the integral over the angle is a sum of 1,024 terms."""
    return _blurred_log_prob(x, _spiral(math.pi * (1 + 3 * (torch.arange(1024) + 0.5) / 1024)), noise)


def _blurred_log_prob(x: Tensor, curve: Tensor, noise: float) -> Tensor:
    """log of the mean of round Gaussians around the points of a curve, (M, 2); good to 1e-3 for noise of at least 0.03."""
    if not noise > 0:
        raise DataError(f"noise={noise} must be positive: without noise this is a curve, which has no density")
    distance = torch.cdist(x, curve.to(x), compute_mode="donot_use_mm_for_euclid_dist")
    return (-0.5 * (distance / noise).square()).logsumexp(1) - math.log(len(curve) * 2 * math.pi * noise**2)


def load_toy(name: str, *, train_size: int | None, test_size: int | None, seed: int) -> Dataset:
    """A toy as a Dataset: 8,000 training and 2,000 test points unless asked otherwise, float32 (N, 2).

    Labels are the component or the moon; `swiss_roll` has none, and its angle is a factor instead.
    """
    mixtures = {"ring": ring, "grid": grid, "gaussians": gaussians}

    def draw(n: int, part_seed: int) -> tuple[Tensor, Tensor]:
        if name in mixtures:
            return mixtures[name]().sample_with_labels(n, seed=part_seed)
        return moons(n, seed=part_seed) if name == "moons" else swiss_roll(n, seed=part_seed)

    x_train, second_train = draw(8_000 if train_size is None else train_size, seed)
    x_test, second_test = draw(2_000 if test_size is None else test_size, seed + TEST_SEED)
    common = {"name": name, "x_train": x_train, "x_test": x_test, "value_range": None, "feature_names": ("x1", "x2")}
    if name == "swiss_roll":
        factors = {"factors_train": {"angle": second_train}, "factors_test": {"angle": second_test}}
        return Dataset(**common, y_train=None, y_test=None, **factors)
    count = 2 if name == "moons" else len(mixtures[name]().means)
    names = tuple(str(k) for k in range(count))
    return Dataset(**common, y_train=second_train, y_test=second_test, class_names=names)
