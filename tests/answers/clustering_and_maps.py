"""Right and wrong answers to the exercises of notebook 02."""

import math

import numpy as np
import torch
from sklearn.metrics import silhouette_samples

# --- silhouette ---


def silhouette_by_loops(x, labels):
    values = []
    for i, own in enumerate(labels.tolist()):

        def mean_to(name, i=i):
            rows = [j for j, label in enumerate(labels.tolist()) if label == name and j != i]
            return sum(float((x[i] - x[j]).norm()) for j in rows) / len(rows) if rows else None

        a = mean_to(own)
        b = min(mean_to(name) for name in set(labels.tolist()) if name != own)
        values.append(0.0 if a is None else (b - a) / max(a, b))
    return torch.tensor(values)


def silhouette_with(
    *,
    itself=False,
    pick="min",
    ratio=lambda a, b: (b - a) / torch.maximum(a, b),
    power=1,
    single=0.0,
    names=None,
    own=False,
):
    """A wrong or right silhouette."""

    def silhouette(x, labels):
        d = torch.cdist(x, x) ** power
        same = labels[:, None] == labels
        less = 0 if itself else 1
        a = (d * same).sum(1) / (same.sum(1) - less).clamp_min(1)
        known = labels.unique() if names is None else torch.arange(names)
        each = torch.stack([d[:, labels == name].mean(1) for name in known], 1)
        if not own:
            each = each.masked_fill(known == labels[:, None], math.inf if pick == "min" else -math.inf)
        b = each.min(1).values if pick == "min" else each.max(1).values
        if pick == "all":
            b = (d * ~same).sum(1) / (~same).sum(1)
        return torch.where(same.sum(1) > 1, ratio(a, b), torch.as_tensor(float(single)))

    return silhouette


def by_centres(x, labels):
    names = labels.unique()
    centres = torch.stack([x[labels == name].mean(0) for name in names])
    d = torch.cdist(x, centres)
    own = names == labels[:, None]
    a, b = d[own], d.masked_fill(own, math.inf).min(1).values
    return (b - a) / torch.maximum(a, b)


def single_linkage(x, labels):
    d = torch.cdist(x, x)
    same = labels[:, None] == labels
    a = (d * same).sum(1) / (same.sum(1) - 1).clamp_min(1)
    b = d.masked_fill(same, math.inf).min(1).values
    return (b - a) / torch.maximum(a, b)


def sorts_labels(x, labels):
    labels.copy_(labels.sort().values)
    return silhouette_with()(x, labels)


def numbered_from_zero(x, labels):
    return silhouette_with(names=int(labels.max()) + 1)(x, labels)


def nearest_centre(x, labels):
    d, names = torch.cdist(x, x), labels.unique()
    own = names == labels[:, None]
    same = labels[:, None] == labels
    centres = torch.stack([x[labels == name].mean(0) for name in names])
    other = torch.cdist(x, centres).masked_fill(own, math.inf).argmin(1, keepdim=True)
    b = torch.stack([d[:, labels == name].mean(1) for name in names], 1).gather(1, other)[:, 0]
    a = (d * same).sum(1) / (same.sum(1) - 1).clamp_min(1)
    return torch.where(same.sum(1) > 1, (b - a) / torch.maximum(a, b), torch.zeros(()))


RIGHT_SILHOUETTES = {
    "loops": silhouette_by_loops,
    "scikit-learn": lambda x, labels: silhouette_samples(x.numpy(), labels.numpy()),
    "masks": silhouette_with(),
    "double": lambda x, labels: silhouette_with()(x.double(), labels),
    "a list": lambda x, labels: silhouette_by_loops(x, labels).tolist(),
    "a NumPy array": lambda x, labels: silhouette_with()(x, labels).numpy().astype(np.float64),
}
WRONG_SILHOUETTES = {
    "itself": (silhouette_with(itself=True), "one member fewer"),
    "all others": (silhouette_with(pick="all"), "*all* other rows"),
    "highest": (silhouette_with(pick="max"), "*highest* over the other clusters"),
    "own cluster": (silhouette_with(own=True), "leave that one out"),
    "nearest row": (single_linkage, "nearest single row"),
    "centres": (by_centres, "clusters' centres"),
    "squares": (silhouette_with(power=2), "squared"),
    "sign": (silhouette_with(ratio=lambda a, b: (a - b) / torch.maximum(a, b)), "sign is turned"),
    "no division": (silhouette_with(ratio=lambda a, b: b - a), "not divided"),
    "over b": (silhouette_with(ratio=lambda a, b: (b - a) / b), "divides by b"),
    "over a": (silhouette_with(ratio=lambda a, b: (b - a) / a), "divides by a:"),
    "over the sum": (silhouette_with(ratio=lambda a, b: (b - a) / (a + b)), "has a ="),
    "the mean": (lambda x, labels: silhouette_with()(x, labels).mean(), "one for each row"),
    "alone is 1": (silhouette_with(single=1.0), "should get 0"),
    "alone is NaN": (silhouette_with(single=math.nan), "0 / 0"),
    "numbered from 0": (numbered_from_zero, "clusters named [2, 4, 7, 40]"),
    "three clusters": (silhouette_with(names=3), "clusters named"),
    "writes labels": (sorts_labels, "`labels` itself was changed"),
    "a column": (lambda x, labels: silhouette_with()(x, labels)[:, None], "expected shape"),
    "nearest centre": (nearest_centre, "chosen by its centre"),
    "Python's max": (silhouette_with(ratio=lambda a, b: (b - a) / max(a, b)), "take one truth value"),
    "the smaller": (silhouette_with(ratio=lambda a, b: (b - a) / torch.minimum(a, b)), "has a ="),
    "cut off at 0": (
        silhouette_with(ratio=lambda a, b: ((b - a) / torch.maximum(a, b)).clamp_min(0)),
        "this gives 0.000",
    ),
    "a pair": (lambda x, labels: (silhouette_with()(x, labels), 0), "this returned tuple"),
}

# --- online_step ---


def online_by_loop(units, places, example, sigma, rate):
    winner = min(range(len(units)), key=lambda k: float((units[k] - example).norm()))
    new = []
    for unit, place in zip(units, places):
        squared = float(((place - places[winner]) ** 2).sum())
        new.append(unit + rate * math.exp(-squared / (2 * sigma**2)) * (example - unit))
    return torch.stack(new)


def online_in_numpy(units, places, example, sigma, rate):
    u, p, x = units.numpy(), places.numpy(), example.numpy()
    winner = np.argmin(((u - x) ** 2).sum(1))
    h = np.exp(-((p - p[winner]) ** 2).sum(1) / (2 * sigma**2))
    return u + rate * h[:, None] * (x - u)


def online_with(*, h=None, towards=lambda u, x, w: x - u, farthest=False, rate_of=lambda rate: rate, measured=None):
    """A wrong or right online step."""

    def online_step(units, places, example, sigma, rate):
        distance = (units - example).square().sum(1)
        winner = distance.argmax() if farthest else distance.argmin()
        steps = (places - places[winner]).norm(dim=1) if measured is None else measured(units, places, winner, example)
        near = torch.exp(-steps.square() / (2 * sigma**2)) if h is None else h(steps, sigma)
        return units + rate_of(rate) * near[:, None] * towards(units, example, winner)

    return online_step


def in_place(units, places, example, sigma, rate):
    units += online_with()(units, places, example, sigma, rate) - units
    return units


def winner_only(units, places, example, sigma, rate):
    new = units.clone()
    winner = (units - example).norm(dim=1).argmin()
    new[winner] += rate * (example - units[winner])
    return new


RIGHT_STEPS = {
    "a loop": online_by_loop,
    "NumPy": online_in_numpy,
    "cdist": online_with(measured=lambda u, p, w, x: torch.cdist(p[None, w][None], p[None])[0, 0]),
    "lerp": lambda units, places, example, sigma, rate: torch.lerp(
        units,
        example.expand_as(units),
        rate
        * torch.exp(-(places - places[(units - example).norm(dim=1).argmin()]).square().sum(1) / 2 / sigma**2)[:, None],
    ),
    "double": lambda u, p, x, sigma, rate: online_with()(u.double(), p.double(), x.double(), sigma, rate),
    "a convex sum": lambda u, p, x, sigma, rate: u + (online_with()(u, p, x, sigma, 1.0) - u) * rate,
}
WRONG_STEPS = {
    "nothing": (lambda u, p, x, sigma, rate: u.clone(), "nothing moves"),
    "winner only": (winner_only, "only the winner moves"),
    "all alike": (online_with(h=lambda d, s: torch.ones_like(d)), "same share"),
    "no rate": (online_with(rate_of=lambda rate: 1.0), "rate"),
    "away": (online_with(towards=lambda u, x, w: u - x), "sign is turned"),
    "distance not squared": (online_with(h=lambda d, s: torch.exp(-d / (2 * s**2))), "not squared"),
    "no factor 2": (online_with(h=lambda d, s: torch.exp(-(d**2) / s**2)), "factor 2"),
    "sigma not squared": (online_with(h=lambda d, s: torch.exp(-(d**2) / (2 * s))), "sigma is not squared"),
    "distance of units": (online_with(measured=lambda u, p, w, x: (u - u[w]).norm(dim=1)), "how far the *units* are"),
    "distance to the example": (online_with(measured=lambda u, p, w, x: (u - x).norm(dim=1)), "from the example"),
    "city blocks": (online_with(measured=lambda u, p, w, x: (p - p[w]).abs().sum(1)), "steps along rows and columns"),
    "towards the winner": (online_with(towards=lambda u, x, w: u[w] - u), "follow the winner"),
    "farthest": (online_with(farthest=True), "moves most"),
    "h sums to 1": (online_with(h=lambda d, s: torch.softmax(-(d**2) / (2 * s**2), 0)), "where the rate is 0.3"),
    "the example whole": (online_with(towards=lambda u, x, w: x.expand_as(u)), "leaves the straight way"),
    "in place": (in_place, "`units` itself was changed"),
    "one unit": (lambda u, p, x, sigma, rate: online_with()(u, p, x, sigma, rate)[0], "all of them"),
    "three columns": (
        online_with(measured=lambda u, p, w, x: (p - p[w])[:, :1].norm(dim=1)),
        "steps from the winner goes",
    ),
}

WRONG_STEPS |= {
    "within sigma": (online_with(h=lambda d, s: (d <= s).float()), "steps from the winner goes"),
    "math's exp": (online_with(h=lambda d, s: math.exp(-(d**2) / (2 * s**2))), "several numbers stand"),
    "the difference": (lambda u, p, x, sigma, rate: online_with()(u, p, x, sigma, rate) - u, "straight way"),
}

# --- topographic_error ---


def torn_by_loop(x, units, places):
    torn = 0
    for row in x:
        order = sorted(range(len(units)), key=lambda k: float((units[k] - row).norm()))
        a, b = places[order[0]].tolist(), places[order[1]].tolist()
        torn += abs(a[0] - b[0]) + abs(a[1] - b[1]) != 1
    return torn / len(x)


def torn_in_numpy(x, units, places):
    d = ((x.numpy()[:, None] - units.numpy()) ** 2).sum(2)
    first, second = np.argsort(d, axis=1)[:, :2].T
    return (np.abs(places.numpy()[first] - places.numpy()[second]).sum(1) > 1).mean()


def torn_with(
    *, pick=(0, 1), apart=lambda a, b: (a - b).norm(dim=1), limit=1.001, reduce=lambda torn: torn.float().mean()
):
    """A wrong or right topographic error."""

    def topographic_error(x, units, places):
        order = torch.cdist(x, units).argsort(1)
        first, second = order[:, pick[0]], order[:, pick[1]]
        return reduce(apart(places[first], places[second]) > limit)

    return topographic_error


def by_numbers(x, units, places):
    first, second = torch.cdist(x, units).topk(2, largest=False).indices.T
    return ((first - second).abs() != 1).float().mean()


def mean_distance(x, units, places):
    first, second = torch.cdist(x, units).topk(2, largest=False).indices.T
    return (places[first] - places[second]).norm(dim=1).mean()


def by_product(x, units, places):
    first, second = (x @ units.T).topk(2).indices.T
    return ((places[first] - places[second]).norm(dim=1) > 1.001).float().mean()


def sorts_places(x, units, places):
    places.copy_(places.sort(0).values)
    return torn_with()(x, units, places)


RIGHT_TORN = {
    "a loop": torn_by_loop,
    "NumPy": torn_in_numpy,
    "a 0-d tensor": torn_with(),
    "city blocks": torn_with(apart=lambda a, b: (a - b).abs().sum(1)),
    "squares": torn_with(apart=lambda a, b: (a - b).square().sum(1)),
    "double": lambda x, units, places: torn_with(reduce=lambda torn: torn.double().mean().item())(x, units, places),
}
WRONG_TORN = {
    "neighbours": (torn_with(reduce=lambda torn: (~torn).float().mean()), "*are* neighbours"),
    "a count": (torn_with(reduce=lambda torn: torn.sum()), "not a share"),
    "diagonals pass": (torn_with(apart=lambda a, b: (a - b).abs().amax(1)), "diagonal"),
    "within 1.5": (torn_with(limit=1.5), "diagonal"),
    "mean distance": (mean_distance, "mean distance on the grid"),
    "numbers": (by_numbers, "units' numbers"),
    "second and third": (torn_with(pick=(1, 2)), "second and the third"),
    "first and third": (torn_with(pick=(0, 2)), "nearest and the third"),
    "farthest": (torn_with(pick=(-1, -2)), "*farthest*"),
    "rows only": (torn_with(apart=lambda a, b: (a - b)[:, 0].abs()), "rows only"),
    "columns only": (torn_with(apart=lambda a, b: (a - b)[:, 1].abs()), "columns only"),
    "two steps": (torn_with(limit=2.001), "when it comes alone"),
    "per cent": (torn_with(reduce=lambda torn: 100 * torn.float().mean()), "per cent"),
    "one a row": (torn_with(reduce=lambda torn: torn), "expected one number"),
    "two hundred rows": (torn_with(reduce=lambda torn: torn.sum() / 200), "when it comes alone"),
    "writes places": (sorts_places, "`places` itself was changed"),
    "by product": (by_product, "when it comes alone"),
    "the first 200": (lambda x, u, p: torn_with()(x[:200], u, p), "divide by the number of all rows"),
    "a mean of truth values": (torn_with(reduce=lambda torn: torn.mean()), "make them .float() first"),
}

RIGHT = {"silhouette": RIGHT_SILHOUETTES, "online_step": RIGHT_STEPS, "topographic_error": RIGHT_TORN}
WRONG = {"silhouette": WRONG_SILHOUETTES, "online_step": WRONG_STEPS, "topographic_error": WRONG_TORN}
