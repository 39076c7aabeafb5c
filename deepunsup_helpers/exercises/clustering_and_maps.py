"""The exercises of notebook 02: the silhouette, one step of Kohonen's rule, and how to see that a map is torn."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, fits, number, require, tensor


def _sizes(message: str, case: int) -> AbstractContextManager:
    """The first case's errors speak for themselves; what only a later one stops was made for the sizes of the first."""
    return fits(message) if case > 1 else nullcontext()


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
    """Overlapping clouds, wide and narrow, of these sizes in mixed order, and the clusters' names."""
    labels = torch.cat([torch.full((size,), name) for size, name in zip(sizes, names)])
    middles = {name: draw(dimension, seed=seed + 10 + i, low=-3, high=3) for i, name in enumerate(names)}
    spread = torch.tensor([0.4 + 1.2 * (names.index(int(name)) % 2) for name in labels])[:, None]
    x = torch.stack([middles[int(name)] for name in labels]) + spread * draw(len(labels), dimension, seed=seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return x[order], labels[order]


def _silhouettes(x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What the likely mistakes give."""
    d = torch.cdist(x, x)
    same, names = labels[:, None] == labels, labels.unique()
    to_each = torch.stack([d[:, labels == name].mean(1) for name in names], 1)  # (N, K)
    own = names == labels[:, None]
    a = (d * same).sum(1) / (same.sum(1) - 1).clamp_min(1)
    b, at = to_each.masked_fill(own, math.inf).min(1).values, to_each[own]
    b_all = (d * ~same).sum(1) / (~same).sum(1)
    b_far, b_any = to_each.masked_fill(own, -math.inf).max(1).values, to_each.min(1).values
    nearest_other = d.masked_fill(same, math.inf).min(1).values
    to_centre = torch.cdist(x, torch.stack([x[labels == name].mean(0) for name in names]))
    others = to_centre.masked_fill(own, math.inf)
    b_near = to_each.gather(1, others.argmin(1, keepdim=True))[:, 0]
    squares = torch.stack([d[:, labels == name].square().mean(1) for name in names], 1)
    sa = (d.square() * same).sum(1) / (same.sum(1) - 1).clamp_min(1)
    sb = squares.masked_fill(own, math.inf).min(1).values

    def ratio(a: Tensor, b: Tensor) -> Tensor:
        return (b - a) / torch.maximum(a, b)

    return {
        "the row itself, at distance 0, is among its own cluster here: divide by one member fewer": ratio(at, b),
        "b is the mean over *all* other rows here: take the lowest of the other clusters' means": ratio(a, b_all),
        "b is the *highest* over the other clusters here: take the lowest": ratio(a, b_far),
        "b may be the row's own cluster here: leave that one out": ratio(a, b_any),
        "b is the distance to the nearest single row here: take the mean over each cluster": ratio(a, nearest_other),
        "these are distances to the clusters' centres: take the distances to members": ratio(
            to_centre[own], others.amin(1)
        ),
        "the other cluster is chosen by its centre here: take the lowest mean distance": ratio(a, b_near),
        "the distances are squared here: take them as they are": ratio(sa, sb),
        "the sign is turned: a row at home has a small a, and (b - a) is positive": -ratio(a, b),
        "b - a is not divided by the larger of the two": b - a,
        "this divides by b: divide by the larger of a and b": (b - a) / b,
        "this divides by a: divide by the larger of a and b": (b - a) / a,
    }


def _check_silhouette(silhouette: Callable) -> Result:
    def values(x: Tensor, labels: Tensor) -> Tensor:
        n = len(x)
        one = "this is one number: return one for each row, the mean comes later"
        found = call(silhouette, x, labels)
        names = f"not every value is a number, for clusters named {labels.unique().tolist()}: 0 / 0?"
        require(not (isinstance(found, Tensor) and bool(found.isnan().any())), names)
        return tensor(found, (n,), {(): one, (n, 1): f"expected shape ({n},), not ({n}, 1)"}).double()

    cases = [([9, 14, 6], [0, 1, 2], 2, 1), ([8, 5, 7, 11], [7, 2, 40, 4], 5, 2), ([12, 6], [1, 0], 3, 3)]
    for sizes, names, dimension, seed in cases:
        x, labels = _clusters(sizes, names, dimension, seed)
        with _sizes(f"{len(names)} clusters named {names} in {dimension} dimensions stop it", seed):
            found = values(x, labels)
        expect(found, silhouette_reference(x, labels), _silhouettes(x, labels), _worst(found, x, labels), atol=1e-4)
    x, labels = _clusters([6, 1, 8], [0, 1, 2], 2, 4)
    found = torch.as_tensor(call(silhouette, x, labels))
    alone = float(found[labels == 1][0])
    require(alone == alone, "a row alone in its cluster gets NaN, 0 / 0: it should get 0")
    require(abs(alone) < 1e-6, f"a row alone in its cluster gets {alone:.2f}: it should get 0")
    others = close(found, silhouette_reference(x, labels), atol=1e-4)
    require(others, "with a cluster of one row the other rows' values are not right")
    return Result(True, "It leaves the row itself out, takes the nearest other cluster, and gives 0 to a row alone.")


def _worst(found: Tensor, x: Tensor, labels: Tensor) -> str:
    """The row that is farthest off, with its a and b."""
    right = silhouette_reference(x.double(), labels)
    i = int((found - right).abs().argmax())
    d = torch.cdist(x, x)[i]
    means = {int(name): float(d[labels == name].mean()) for name in labels.unique()}
    size = int((labels == labels[i]).sum())
    a = means.pop(int(labels[i])) * size / (size - 1)
    return (
        f"for clusters named {labels.unique().tolist()} row {i}, of cluster {int(labels[i])}, has a = {a:.3f} and "
        f"b = {min(means.values()):.3f}, so (b - a) / max(a, b) = {right[i]:.3f}; this gives {found[i]:.3f}"
    )


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
    offsets = places - places[winner]
    squared, blocks = offsets.square().sum(1), offsets.abs().sum(1)

    def moved(h: Tensor, target: Tensor = example) -> Tensor:
        return units + rate * h[:, None] * (target - units)

    def near(squared: Tensor) -> Tensor:
        return moved(torch.exp(-squared / (2 * sigma**2)))

    h = torch.exp(-squared / (2 * sigma**2))
    instead = "h falls with the distance on the *grid*"
    return {
        "nothing moves": units,
        "only the winner moves: its neighbours on the grid should follow": moved((squared == 0).float()),
        "all units move by the same share: far ones on the grid should hardly move": moved(torch.ones(len(units))),
        "the units move away from the example: the sign is turned": moved(-h),
        "the distance on the grid is not squared": near(squared.sqrt()),
        "the factor 2 under the squared distance is missing": near(2 * squared),
        "sigma is not squared": near(squared * sigma),
        f"this measures how far the *units* are from the winner: {instead}": near(
            (units - units[winner]).square().sum(1)
        ),
        f"this measures how far the units are from the example: {instead}": near(to_example),
        "steps along rows and columns are added here: take the straight distance on the grid": near(blocks.square()),
        "the units follow the winner: they should move towards the example": moved(h, units[winner]),
    }


def _check_online_step(online_step: Callable) -> Result:
    cases = ((3, 4, 5, 1.3, 0.3, 1), (1, 7, 2, 1.7, 0.05, 2), (5, 2, 9, 0.8, 1.0, 3))
    for rows, columns, dimension, sigma, rate, seed in cases:
        places = torch.cartesian_prod(torch.arange(float(rows)), torch.arange(float(columns)))
        places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))]
        units, example = draw(len(places), dimension, seed=seed), draw(dimension, seed=seed + 10)
        with _sizes(f"a grid of {rows} x {columns} units of {dimension} numbers stops it", seed):
            found = call(online_step, units, places, example, sigma, rate)
        one = {(dimension,): "this is one unit: return all of them, moved"}
        found = tensor(found, tuple(units.shape), one).detach().double()
        given = units, places, example, sigma, rate
        said = f"on a grid of {rows} x {columns} units {_moved(found, *given)}"
        expect(found, online_step_reference(*given), _online_steps(*given), said, atol=1e-4)
    return Result(True, "The winner moves by the rate, its neighbours on the grid by less, whatever the grid.")


def _moved(found: Tensor, units: Tensor, places: Tensor, example: Tensor, sigma: float, rate: float) -> str:
    """What is wrong with the new units: their direction, who wins, how far the winner goes, how far the others go."""
    way, went = (example - units).double(), found - units
    shares = (went * way).sum(1) / way.square().sum(1)
    if not close(went, shares[:, None] * way, atol=1e-4):
        return "a unit leaves the straight way to the example: u + rate h (x - u)"
    far, winner, most = way.norm(dim=1), int(way.norm(dim=1).argmin()), int(shares.argmax())
    if most != winner and shares[most] > shares[winner] + 1e-4:
        return f"unit {most} moves most, {far[most]:.2f} from the example; unit {winner} wins, at {far[winner]:.2f}"
    if not close(shares[winner], rate, atol=1e-4):
        return f"the winner goes {shares[winner]:.3f} of the way, where the rate is {rate:g}"
    steps = (places - places[winner]).norm(dim=1)
    right = rate * torch.exp(-steps.square() / (2 * sigma**2))
    j = int((shares - right).abs().argmax())
    asked = f"where rate h = {right[j]:.4f} (sigma {sigma:g}, rate {rate:g})"
    return f"a unit {steps[j]:.2f} steps from the winner goes {shares[j]:.4f} of the way, {asked}"


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

    def apart(a: int, b: int) -> Tensor:
        return places[order[:, a]] - places[order[:, b]]

    def share(torn: Tensor) -> float:
        return float(torn.double().mean())

    steps = apart(0, 1)
    torn = steps.norm(dim=1) > 1.001
    return {
        "this is the share of rows whose two units *are* neighbours": share(~torn),
        "this is a number of rows, not a share of them": float(torn.sum()),
        "diagonal neighbours pass here: one step along a row or a column": share(steps.abs().amax(1) > 1.001),
        "this is the mean distance on the grid: count the rows whose units lie apart": share(steps.norm(dim=1)),
        "this compares the units' numbers: units 4 and 5 may lie in different rows": share(
            (order[:, 0] - order[:, 1]).abs() != 1
        ),
        "this compares the second and the third unit": share(apart(1, 2).norm(dim=1) > 1.001),
        "this compares the nearest and the third unit": share(apart(0, 2).norm(dim=1) > 1.001),
        "these are the *farthest* two units": share(apart(-1, -2).norm(dim=1) > 1.001),
        "rows only are compared: both coordinates of a place count": share(steps[:, 0].abs() > 1.001),
        "columns only are compared: both coordinates of a place count": share(steps[:, 1].abs() > 1.001),
        "this is in per cent: expected a share, from 0 to 1": 100 * share(torn),
    }


def _check_topographic_error(topographic_error: Callable) -> Result:
    cases, found = [], []
    for rows, columns, count, dimension, seed in ((4, 5, 397, 2, 1), (6, 3, 613, 4, 2)):
        places = torch.cartesian_prod(torch.arange(float(rows)), torch.arange(float(columns)))
        places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))]
        turn = draw(2, dimension, seed=seed)
        units = places @ turn + 0.7 * draw(len(places), dimension, seed=seed + 10)
        x = draw(count, 2, seed=seed + 20, low=0, high=4) @ turn + 0.3 * draw(count, dimension, seed=seed + 30)
        with _sizes(f"{count} rows and a grid of {rows} x {columns} units stop it", seed):
            found.append(number(call(topographic_error, x, units, places), "one number, the share of all rows"))
        cases.append((x, units, places))
    right = [topographic_error_reference(*given) for given in cases]
    if not close(found, right, rtol=1e-4):
        named = [_topographic_errors(*given) for given in cases]
        mistakes = {text: [values[text] for values in named] for text in named[0]}
        bad = int(close(found[0], right[0], rtol=1e-4))
        expect(found, right, mistakes, _first_row(topographic_error, found[bad], right[bad], *cases[bad]), rtol=1e-4)
    flat = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))
    found = number(call(topographic_error, draw(300, 2, seed=5, low=0.0, high=4.0), flat, flat))
    require(abs(found) < 1e-6, f"a map that lies flat over its data is torn nowhere; this returns {found:.3g}")
    return Result(True, "0 on a flat map; on a crumpled one it counts what is no neighbour along a row or a column.")


def _first_row(mine: Callable, found: float, right: float, x: Tensor, units: Tensor, places: Tensor) -> str:
    """The first row that is judged wrongly when it comes alone, and where its two nearest units lie."""
    all_of_them = f"for {len(x)} rows it returns {found:.4g}, the definition gives {right:.4g}"
    nearest = torch.cdist(x, units).topk(2, largest=False).indices
    with fits(all_of_them):
        for row, pair in zip(x[:100], nearest):
            alone = number(call(mine, row[None], units, places), "one number, the share of all rows")
            true = topographic_error_reference(row[None], units, places)
            if not close(alone, true):
                first, second = (tuple(int(step) for step in places[unit]) for unit in pair)
                row = f"a row whose nearest unit lies at {first} on the grid and the second nearest at {second}"
                return f"{row} counts {alone:.3g} here, when it comes alone: it should count {true:.0f}"
    return f"{all_of_them}: each row alone is judged rightly, so divide by the number of all rows"


silhouette = Exercise("silhouette", silhouette_reference, _check_silhouette, torch.as_tensor)
online_step = Exercise("online_step", online_step_reference, _check_online_step, torch.as_tensor)
topographic_error = Exercise("topographic_error", topographic_error_reference, _check_topographic_error, float)
