"""The exercises of notebook 02: the silhouette, one step of Kohonen's rule, and how to see that a map is torn."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, fits, number, require, tensor

# --- silhouette -----------------------------------------------------------------------------------------------------


def silhouette_reference(x: Tensor, labels: Tensor) -> Tensor:
    """How much nearer each row is to its own cluster than to the nearest other one: (b - a) / max(a, b).

    Args:
        x: (N, D).
        labels: whole numbers that name at least two clusters, (N,).
    Returns:
        (N,), from -1 to 1; 0 for a row that is alone in its cluster.
    Source: Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7.
    """
    distance = torch.cdist(x, x)  # (N, N)
    names, own = labels.unique(return_inverse=True)
    member = (own[:, None] == torch.arange(len(names))).to(x.dtype)  # (N, K)
    sums, sizes = distance @ member, member.sum(0)
    rows = torch.arange(len(x))
    a = sums[rows, own] / (sizes[own] - 1).clamp_min(1)  # its distance to itself is 0 and does not count
    others = (sums / sizes).masked_fill(member.bool(), math.inf)
    b = others.min(1).values
    return torch.where(sizes[own] > 1, (b - a) / torch.maximum(a, b).clamp_min(1e-12), torch.zeros_like(a))


def _clusters(sizes: list[int], names: list[int], dimension: int, seed: int) -> tuple[Tensor, Tensor]:
    """Overlapping clouds of these sizes in mixed order, and the clusters' names."""
    labels = torch.cat([torch.full((size,), name) for size, name in zip(sizes, names)])
    middles = {name: draw(dimension, seed=seed + 10 + i, low=-3, high=3) for i, name in enumerate(names)}
    x = torch.stack([middles[int(name)] for name in labels]) + draw(len(labels), dimension, seed=seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return x[order], labels[order]


def _silhouettes(x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What the likely mistakes give."""
    d = torch.cdist(x, x)
    same = labels[:, None] == labels
    names = labels.unique()
    to_each = torch.stack([d[:, labels == name].mean(1) for name in names], 1)  # (N, K)
    own = names == labels[:, None]
    a_with = to_each[own]
    a = (d * same).sum(1) / (same.sum(1) - 1).clamp_min(1)
    b = to_each.masked_fill(own, math.inf).min(1).values
    b_all = (d * ~same).sum(1) / (~same).sum(1)
    b_far = to_each.masked_fill(own, -math.inf).max(1).values
    b_any = to_each.min(1).values
    nearest_other = d.masked_fill(same, math.inf).min(1).values
    centres = torch.stack([x[labels == name].mean(0) for name in names])
    to_centre = torch.cdist(x, centres)
    ca, cb = to_centre[own], to_centre.masked_fill(own, math.inf).min(1).values
    squares = torch.stack([d[:, labels == name].square().mean(1) for name in names], 1)
    sa = (d.square() * same).sum(1) / (same.sum(1) - 1).clamp_min(1)
    sb = squares.masked_fill(own, math.inf).min(1).values

    def ratio(a: Tensor, b: Tensor) -> Tensor:
        return (b - a) / torch.maximum(a, b)

    return {
        "the row itself, at distance 0, is among its own cluster here: divide by one member fewer": ratio(a_with, b),
        "b is the mean over *all* other rows here: take the mean for each other cluster, then the lowest": ratio(
            a, b_all
        ),
        "b is the *highest* over the other clusters here: take the lowest": ratio(a, b_far),
        "b may be the row's own cluster here: leave that one out": ratio(a, b_any),
        "b is the distance to the nearest single row here: take the mean over each cluster": ratio(a, nearest_other),
        "these are distances to the clusters' centres: take the mean distance to their members": ratio(ca, cb),
        "the distances are squared here: take them as they are": ratio(sa, sb),
        "the sign is turned: a row at home has a small a, and (b - a) is positive": -ratio(a, b),
        "b - a is not divided by the larger of the two": b - a,
        "this divides by b: divide by the larger of a and b": (b - a) / b,
        "this divides by a: divide by the larger of a and b": (b - a) / a,
        "this divides by a + b: divide by the larger of the two": (b - a) / (a + b),
        "this is 1 - a / b, which falls below -1 where a is the larger": 1 - a / b,
    }


def _check_silhouette(silhouette: Callable) -> Result:
    cases = [([9, 14, 6], [0, 1, 2], 2, 1), ([8, 5, 7, 11], [7, 2, 9, 4], 5, 2), ([12, 6], [1, 0], 3, 3)]
    for sizes, names, dimension, seed in cases:
        x, labels = _clusters(sizes, names, dimension, seed)
        count = len(x)
        one = "this is one number: return one for each row, the mean comes later"
        with fits(f"{len(names)} clusters named {names} in {dimension} dimensions stop it"):
            found = call(silhouette, x, labels)
        found = torch.as_tensor(found) if not isinstance(found, Tensor) else found
        require(not bool(found.isnan().any()), f"not every value is a number, for clusters named {names}: 0 / 0?")
        found = tensor(found, (count,), {(): one, (count, 1): f"expected shape ({count},), not ({count}, 1)"})
        otherwise = f"for clusters named {names}, in mixed order, the values are not (b - a) / max(a, b)"
        expect(found, silhouette_reference(x, labels), _silhouettes(x, labels), otherwise, rtol=1e-3, atol=1e-4)
    x, labels = _clusters([6, 1, 8], [0, 1, 2], 2, 4)
    found = torch.as_tensor(call(silhouette, x, labels))
    alone = float(found[labels == 1][0])
    require(alone == alone, "a row alone in its cluster gets NaN, 0 / 0: it should get 0")
    require(abs(alone) < 1e-6, f"a row alone in its cluster gets {alone:.2f}: it should get 0")
    message = "with a cluster of one row the other rows' values are not right"
    require(close(found, silhouette_reference(x, labels), atol=1e-4), message)
    return Result(True, "It leaves the row itself out, takes the nearest other cluster, and gives 0 to a row alone.")


# --- online_step ----------------------------------------------------------------------------------------------------


def online_step_reference(units: Tensor, places: Tensor, example: Tensor, sigma: float, rate: float) -> Tensor:
    """One example teaches the nearest unit and, less and less with the distance on the grid, its neighbours.

    Args:
        units: (K, D). places: where on the grid they lie, (K, 2). example: (D,).
        sigma: width of the neighbourhood, in steps of the grid.
        rate: share of the way that the winner moves.
    Returns:
        the new units, (K, D).
    Source: Kohonen 1982, doi:10.1007/BF00337288.
    """
    winner = (units - example).square().sum(1).argmin()
    squared_steps = (places - places[winner]).square().sum(1)
    pull = rate * torch.exp(-squared_steps / (2 * sigma**2))
    return units + pull[:, None] * (example - units)


def _online_steps(units: Tensor, places: Tensor, example: Tensor, sigma: float, rate: float) -> dict[str, Tensor]:
    """What the likely mistakes give."""
    to_example = (units - example).square().sum(1)
    winner = to_example.argmin()
    steps = (places - places[winner]).norm(dim=1)

    def moved(pull: Tensor, target: Tensor = example) -> Tensor:
        return units + rate * pull[:, None] * (target - units)

    near = torch.exp(-steps.square() / (2 * sigma**2))
    in_data = (units - units[winner]).square().sum(1)
    far = to_example.argmax()
    only = torch.zeros(len(units))
    only[winner] = 1
    blocks = (places - places[winner]).abs().sum(1)
    return {
        "nothing moves": units,
        "only the winner moves: its neighbours on the grid should follow": moved(only),
        "all units move by the same share: far ones on the grid should hardly move": moved(torch.ones(len(units))),
        "the rate is left out": units + near[:, None] * (example - units),
        "the units move away from the example: the sign is turned": moved(-near),
        "the distance on the grid is not squared": moved(torch.exp(-steps / (2 * sigma**2))),
        "the factor 2 under the squared distance is missing": moved(torch.exp(-steps.square() / sigma**2)),
        "sigma is not squared": moved(torch.exp(-steps.square() / (2 * sigma))),
        "this measures how far the *units* are from the winner: h falls with the distance on the *grid*": moved(
            torch.exp(-in_data / (2 * sigma**2))
        ),
        "this measures how far the units are from the example: h falls with the distance on the *grid*": moved(
            torch.exp(-to_example / (2 * sigma**2))
        ),
        "steps along rows and columns are added here: take the straight distance on the grid": moved(
            torch.exp(-blocks.square() / (2 * sigma**2))
        ),
        "the units follow the winner: they should move towards the example": moved(near, units[winner]),
        "the winner is the *farthest* unit here": moved(
            torch.exp(-(places - places[far]).square().sum(1) / (2 * sigma**2))
        ),
        "h is divided by its sum: the winner should move by the whole rate": moved(near / near.sum()),
        "the example is added whole: move by a share of the way, example - units": units
        + rate * near[:, None] * example,
    }


def _check_online_step(online_step: Callable) -> Result:
    for rows, columns, dimension, sigma, rate, seed in (
        (3, 4, 5, 0.8, 0.3, 1),
        (1, 7, 2, 1.7, 0.05, 2),
        (5, 2, 9, 1.2, 1.0, 3),
    ):
        places = torch.cartesian_prod(torch.arange(float(rows)), torch.arange(float(columns)))
        places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))]
        units, example = draw(len(places), dimension, seed=seed), draw(dimension, seed=seed + 10)
        with fits(f"a grid of {rows} x {columns} units of {dimension} numbers stops it"):
            found = call(online_step, units, places, example, sigma, rate)
        one = {(dimension,): "this is one unit: return all of them, moved"}
        found = tensor(found, tuple(units.shape), one)
        otherwise = f"on a grid of {rows} x {columns} units the new units are not u + rate h (x - u)"
        mistakes = _online_steps(units, places, example, sigma, rate)
        expect(found, online_step_reference(units, places, example, sigma, rate), mistakes, otherwise, atol=1e-4)
    return Result(True, "The winner moves by the rate, its neighbours on the grid by less, whatever the grid.")


# --- topographic_error ----------------------------------------------------------------------------------------------


def topographic_error_reference(x: Tensor, units: Tensor, places: Tensor) -> float:
    """Share of rows whose nearest and second nearest unit do not lie one step apart on the grid.

    Args:
        x: (N, D). units: (K, D), K at least 2. places: where on the grid they lie, (K, 2).
    Source: Kiviluoto 1996, doi:10.1109/ICNN.1996.548907.
    """
    first, second = torch.cdist(x, units).topk(2, largest=False).indices.T
    return ((places[first] - places[second]).norm(dim=1) > 1.001).float().mean().item()


def _topographic_errors(x: Tensor, units: Tensor, places: Tensor) -> dict[str, float]:
    """What the likely mistakes give."""
    order = torch.cdist(x, units).argsort(1)
    first, second, third = order[:, 0], order[:, 1], order[:, 2 % order.shape[1]]

    def apart(a: Tensor, b: Tensor) -> Tensor:
        return places[a] - places[b]

    torn = apart(first, second).norm(dim=1) > 1.001
    return {
        "this is the share of rows whose two units *are* neighbours": float((~torn).double().mean()),
        "this is a number of rows, not a share of them": float(torn.sum()),
        "diagonal neighbours pass here: one step along a row or a column": float(
            (apart(first, second).abs().amax(1) > 1.001).double().mean()
        ),
        "this is the mean distance on the grid: count the rows whose two units are no neighbours": float(
            apart(first, second).norm(dim=1).mean()
        ),
        "this compares the units' numbers: units 4 and 5 may lie in different rows, so look at their places": float(
            ((first - second).abs() != 1).double().mean()
        ),
        "this compares the second and the third unit": float(
            (apart(second, third).norm(dim=1) > 1.001).double().mean()
        ),
        "this compares the nearest and the third unit": float(
            (apart(first, third).norm(dim=1) > 1.001).double().mean()
        ),
        "these are the *farthest* two units": float(
            (apart(order[:, -1], order[:, -2]).norm(dim=1) > 1.001).double().mean()
        ),
        "rows only are compared: both coordinates of a place count": float(
            (apart(first, second)[:, 0].abs() > 1.001).double().mean()
        ),
        "columns only are compared: both coordinates of a place count": float(
            (apart(first, second)[:, 1].abs() > 1.001).double().mean()
        ),
        "neighbours at two steps pass here: one step only": float(
            (apart(first, second).norm(dim=1) > 2.001).double().mean()
        ),
        "this is in per cent: expected a share, from 0 to 1": 100 * float(torn.double().mean()),
    }


def _check_topographic_error(topographic_error: Callable) -> Result:
    for rows, columns, count, dimension, seed in ((4, 5, 200, 2, 1), (6, 3, 311, 4, 2)):
        places = torch.cartesian_prod(torch.arange(float(rows)), torch.arange(float(columns)))
        places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))]
        turn = draw(2, dimension, seed=seed)
        units = places @ turn + 0.7 * draw(len(places), dimension, seed=seed + 10)
        x = draw(count, 2, seed=seed + 20, low=0, high=4) @ turn + 0.3 * draw(count, dimension, seed=seed + 30)
        with fits(f"{count} rows and a grid of {rows} x {columns} units stop it"):
            found = number(call(topographic_error, x, units, places), "one number, the share of all rows")
        otherwise = f"on a grid of {rows} x {columns} units it returns {found:.3g}, the definition gives "
        right = topographic_error_reference(x, units, places)
        expect(found, right, _topographic_errors(x, units, places), f"{otherwise}{right:.3g}", rtol=1e-4)
    flat = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))
    inside = draw(300, 2, seed=5, low=0.0, high=4.0)
    found = number(call(topographic_error, inside, flat, flat))
    require(abs(found) < 1e-6, f"a map that lies flat over its data is torn nowhere; this returns {found:.3g}")
    return Result(True, "0 on a flat map; on a crumpled one it counts what is no neighbour along a row or a column.")


silhouette = Exercise("silhouette", silhouette_reference, _check_silhouette, torch.as_tensor)
online_step = Exercise("online_step", online_step_reference, _check_online_step, torch.as_tensor)
topographic_error = Exercise("topographic_error", topographic_error_reference, _check_topographic_error, float)
