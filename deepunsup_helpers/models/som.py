"""A self-organizing map: a codebook whose units lie on a grid, so that neighbours on the grid learn together."""

import math

import torch
from torch import Tensor, nn


class SelfOrganizingMap(nn.Module):
    """rows x columns units on a grid of step 1, each a point among the data.

    Args:
        rows, columns: of the grid, at least 1 each.
        features: numbers an example.
    Attributes:
        units: (K, features), K = rows x columns, row by row; zeros until `start` or `fit_som` moves them.
        places: (K, 2), where on the grid each unit lies: (row, column).
    Raises:
        ValueError: a size under 1.
    Source: Kohonen 1982, doi:10.1007/BF00337288.

    winners = fit_som(x, 10, 10, seed=0)(x)  # which unit is nearest to each example
    """

    def __init__(self, rows: int, columns: int, features: int):
        super().__init__()
        if min(rows, columns, features) < 1:
            raise ValueError(f"rows, columns, features are {rows}, {columns}, {features}; expected at least 1 each")
        self.config = dict(rows=rows, columns=columns, features=features)
        grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
        self.register_buffer("places", grid)
        self.register_buffer("units", torch.zeros(rows * columns, features))

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the nearest unit's number, (N,), int64."""
        return torch.cdist(x.flatten(1), self.units).argmin(dim=1)

    def neighbourhood(self, sigma: float) -> Tensor:
        """How much each unit learns from each other's examples, (K, K): exp(-d^2 / 2 sigma^2), d their distance on the grid."""
        distance = torch.cdist(self.places, self.places, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-0.5 * (distance / max(sigma, 1e-6)).square())

    def start(self, x: Tensor, *, seed: int) -> None:
        """Put every unit on an example of x, (N, features), drawn at random; twice on one only if there are fewer."""
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        self.units = x[order.repeat(math.ceil(len(self.units) / len(x)))[: len(self.units)].to(x.device)].clone()

    def batch_step(self, x: Tensor, sigma: float) -> None:
        """Every unit moves to the mean of x, (N, features), weighted by how near to it each example's winner is.

        As sigma goes to 0 this is a step of k-means; a unit that nobody near it wins stays where it is.
        """
        winners = self(x)
        counts = torch.bincount(winners, minlength=len(self.units)).to(x.dtype)
        sums = torch.zeros_like(self.units).index_add_(0, winners, x)
        near = self.neighbourhood(sigma)
        weight = (near @ counts)[:, None]
        self.units = torch.where(weight > 1e-12, near @ sums / weight.clamp_min(1e-12), self.units)

    def online_step(self, example: Tensor, sigma: float, rate: float) -> None:
        """The winner of one example, (features,), and its neighbours on the grid move towards it by `rate`, at most 1."""
        winner = (self.units - example).square().sum(dim=1).argmin()
        distance = (self.places - self.places[winner]).square().sum(dim=1)
        pull = rate * torch.exp(-0.5 * distance / max(sigma, 1e-6) ** 2)
        self.units = self.units + pull[:, None] * (example - self.units)


def fit_som(
    x: Tensor,
    rows: int,
    columns: int,
    *,
    seed: int,
    steps: int = 40,
    sigma_start: float | None = None,
    sigma_end: float = 0.5,
    rate: tuple[float, float] | None = None,
) -> SelfOrganizingMap:
    """A map fitted to x: the neighbourhood shrinks geometrically from `sigma_start` to `sigma_end`.

    Args:
        x: (N, ...), flattened to one row an example; the map is made on its device.
        rows, columns: of the grid.
        seed: of the start, and of the order of the examples.
        steps: passes over the data.
        sigma_start, sigma_end: width of the neighbourhood in steps of the grid; the start is half the longer side by default.
        rate: None for batch steps, in which all examples move the units at once; or the first and the last learning rate of
            online steps, an example at a time, in a new random order each pass.
    Raises:
        ValueError: x is no batch of finite numbers; a width or a number of steps that is not positive.

    som = fit_som(x_train, 10, 10, seed=0)
    """
    x = x.flatten(1) if x.ndim > 1 else x
    if x.ndim != 2 or not len(x) or not x.is_floating_point() or not bool(x.isfinite().all()):
        raise ValueError(f"x is {tuple(x.shape)}, {x.dtype}; expected finite fractions, one row an example, (N, D)")
    first = max(rows, columns) / 2 if sigma_start is None else sigma_start
    if min(first, sigma_end) <= 0 or steps < 1:
        raise ValueError(f"sigma_start {first}, sigma_end {sigma_end}, steps {steps}; expected more than 0 of each")
    som = SelfOrganizingMap(rows, columns, x.shape[1]).to(x.device, x.dtype)
    som.start(x, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    total = steps if rate is None else steps * len(x)
    for step in range(steps):
        if rate is None:
            som.batch_step(x, first * (sigma_end / first) ** (step / max(1, steps - 1)))
            continue
        for k, i in enumerate(torch.randperm(len(x), generator=generator).tolist()):
            done = (step * len(x) + k) / max(1, total - 1)
            som.online_step(x[i], first * (sigma_end / first) ** done, rate[0] * (rate[1] / rate[0]) ** done)
    return som
