"""Right and wrong answers to the exercises of notebook 16."""

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors

# --- at_infinity ---


def by_lstsq(sizes, distances):
    columns = np.stack([np.ones(len(sizes)), 1 / sizes], axis=1)
    return np.linalg.lstsq(columns, distances, rcond=None)[0][0]


def by_torch(sizes, distances):
    x, y = 1 / torch.as_tensor(sizes).double(), torch.as_tensor(distances).double()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return y.mean() - slope * x.mean()


def by_sklearn(sizes, distances):
    return LinearRegression().fit(1 / sizes[:, None], distances).intercept_


def in_place(sizes, distances):
    distances -= distances.min()
    return np.polyfit(1 / sizes, distances, 1)[1]


def sorts(sizes, distances):
    sizes.sort()
    return np.polyfit(1 / sizes, distances, 1)[1]


def line(x):
    return lambda sizes, distances: np.polyfit(x(sizes), distances, 1)[1]


RIGHT_INFINITY = {
    "polyfit": lambda sizes, distances: np.polyfit(1 / sizes, distances, 1)[1],
    "lstsq": by_lstsq,
    "torch, 0-d": by_torch,
    "scipy": lambda sizes, distances: stats.linregress(1 / sizes, distances).intercept,
    "sklearn": by_sklearn,
    "poly1d": lambda sizes, distances: float(np.poly1d(np.polyfit(1 / sizes, distances, 1))(0)),
    "in 1000/N": lambda sizes, distances: np.polyfit(1000 / sizes, distances, 1)[-1],
}
WRONG_INFINITY = {
    "slope": (lambda s, d: np.polyfit(1 / s, d, 1)[0], "the slope of the line"),
    "in N": (line(lambda s: s), "line in N"),
    "slope in N": (lambda s, d: np.polyfit(s, d, 1)[0], "slope of a line in N"),
    "1/sqrt(N)": (line(lambda s: s**-0.5), "1/sqrt"),
    "log N": (line(np.log), "log N"),
    "1/N^2": (line(lambda s: 1.0 / s**2), "1/N^2"),
    "largest": (lambda s, d: d[s.argmax()], "largest size"),
    "least": (lambda s, d: d.min(), "the least of the distances"),
    "mean": (lambda s, d: d.mean(), "mean of the distances"),
    "at 1": (lambda s, d: np.polyval(np.polyfit(1 / s, d, 1), 1.0), "1/N = 1"),
    "at the largest": (lambda s, d: np.polyval(np.polyfit(1 / s, d, 1), 1 / s.max()), "line at the largest size"),
    "no sign": (lambda s, d: abs(np.polyfit(1 / s, d, 1)[1]), "the sign is lost"),
    "turned": (lambda s, d: np.polyfit(d, 1 / s, 1)[1], "1/N is fitted to the distances"),
    "weighted": (lambda s, d: np.polyfit(1 / s, d, 1, w=np.sqrt(s))[1], "every size alike"),
    "at a million": (lambda s, d: np.polyval(np.polyfit(1 / s, d, 1), 1e-6), "where 1/N = 0; this returned"),
    "cut off": (lambda s, d: max(0.0, np.polyfit(1 / s, d, 1)[1]), "cut off at 0"),
    "parabola": (lambda s, d: np.polyfit(1 / s, d, 2)[2], "where 1/N = 0; this returned"),
    "both": (lambda s, d: np.polyfit(1 / s, d, 1), "one number"),
    "zero": (lambda s, d: 0.0, "through the origin"),
    "first and last": (
        lambda s, d: (s.max() * d[s.argmax()] - s.min() * d[s.argmin()]) / (s.max() - s.min()),
        "smallest and the largest",
    ),
    "four sizes": (
        lambda s, d: np.linalg.lstsq(np.stack([np.ones(4), 1 / s], 1), d, rcond=None)[0][0],
        "7 sizes stop it",
    ),
    "in place": (in_place, "`distances` itself was changed"),
    "sorts": (sorts, "`sizes` itself was changed"),
}

# --- kernel_distance ---


def k(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def others(x):
    """Mean of the kernel over pairs of different rows."""
    n = len(x)
    return (k(x, x).sum() - k(x, x).diagonal().sum()) / (n * (n - 1))


def by_loops(a, b):
    a, b = a.double().tolist(), b.double().tolist()
    kernel = lambda u, v: (sum(p * q for p, q in zip(u, v)) / len(u) + 1) ** 3
    aa = [kernel(u, v) for i, u in enumerate(a) for j, v in enumerate(a) if i != j]
    bb = [kernel(u, v) for i, u in enumerate(b) for j, v in enumerate(b) if i != j]
    ab = [kernel(u, v) for u in a for v in b]
    return sum(aa) / len(aa) + sum(bb) / len(bb) - 2 * sum(ab) / len(ab)


def by_masks(a, b):
    off = lambda x: k(x, x)[~torch.eye(len(x), dtype=torch.bool)].mean()
    return off(a) + off(b) - 2 * k(a, b).mean()


def by_numpy(a, b):
    a, b = a.numpy(), b.numpy()
    return others(a) + others(b) - 2 * k(a, b).mean()


def by_sklearn_kernel(a, b):
    from sklearn.metrics.pairwise import polynomial_kernel

    aa, bb, ab = (polynomial_kernel(*pair, degree=3) for pair in ((a, a), (b, b), (a, b)))
    np.fill_diagonal(aa, 0), np.fill_diagonal(bb, 0)
    n, m = len(a), len(b)
    return aa.sum() / n / (n - 1) + bb.sum() / m / (m - 1) - 2 * ab.mean()


def by_einsum(a, b):
    a, b, d = a.double(), b.double(), a.shape[1]
    kernel = lambda x, y: (torch.einsum("id,jd->ij", x, y) / d + 1).pow(3)
    within = lambda x: kernel(x, x).fill_diagonal_(0).sum() / (len(x) ** 2 - len(x))
    return within(a) + within(b) - 2 * kernel(a, b).mean()


def of_kernel(kernel):
    def distance(a, b):
        a, b = a.double(), b.double()
        off = lambda x: (kernel(x, x).sum() - kernel(x, x).trace()) / (len(x) * (len(x) - 1))
        return off(a) + off(b) - 2 * kernel(a, b).mean()

    return distance


def changed(power=3, scale=lambda d: d, plus=1.0):
    return of_kernel(lambda x, y: (x @ y.T / scale(x.shape[1]) + plus) ** power)


def centres_in_place(a, b):
    a -= a.mean(0)
    return by_masks(a, b)


RIGHT_KERNEL = {
    "masks": by_masks,
    "loops": by_loops,
    "NumPy": by_numpy,
    "scikit-learn's kernel": by_sklearn_kernel,
    "einsum, double": by_einsum,
    "0-d tensor": lambda a, b: others(a) + others(b) - 2 * k(a, b).mean(),
    "float": lambda a, b: float(others(a.double()) + others(b.double()) - 2 * k(a.double(), b.double()).mean()),
}
WRONG_KERNEL = {
    "diagonal": (lambda a, b: k(a, a).mean() + k(b, b).mean() - 2 * k(a, b).mean(), "with itself"),
    "N squared": (
        lambda a, b: (
            (k(a, a).sum() - k(a, a).trace()) / len(a) ** 2
            + (k(b, b).sum() - k(b, b).trace()) / len(b) ** 2
            - 2 * k(a, b).mean()
        ),
        "not N^2",
    ),
    "not divided": (changed(scale=lambda d: 1), "not divided"),
    "sqrt": (changed(scale=lambda d: d**0.5), "sqrt"),
    "no plus": (changed(plus=0.0), "the + 1"),
    "squared": (changed(power=2), "squared"),
    "linear": (changed(power=1), "no power"),
    "once": (lambda a, b: others(a) + others(b) - k(a, b).mean(), "counts twice"),
    "sign": (lambda a, b: 2 * k(a, b).mean() - others(a) - others(b), "sign is turned"),
    "added": (lambda a, b: others(a) + others(b) + 2 * k(a, b).mean(), "is added"),
    "root": (lambda a, b: by_masks(a, b).clamp_min(0).sqrt(), "root"),
    "one side": (lambda a, b: others(a) - 2 * k(a, b).mean(), "own pairs"),
    "gaussian": (of_kernel(lambda x, y: torch.exp(-torch.cdist(x, y).square() / 2)), "Gaussian"),
    "one triangle": (lambda a, b: 2 * others(a) + 2 * others(b) - 2 * k(a, b).mean(), "1 + 1 - 2 = 0, not 2.000"),
    "six numbers": (changed(scale=lambda d: 6), "the kernel counts as 3.375"),
    "1 inside the fraction": (of_kernel(lambda x, y: ((x @ y.T + 1) / x.shape[1]) ** 3), "the kernel counts as"),
    "the sign": (lambda a, b: by_masks(a, b).abs(), "the sign is lost"),
    "cut off": (lambda a, b: by_masks(a, b).clamp_min(0), "cut off"),
    "percent": (lambda a, b: 100 * by_masks(a, b), "100 times"),
    "thousand": (lambda a, b: 1000 * by_masks(a, b), "1,000 times"),
    "matrix": (lambda a, b: k(a, b), "one number"),
    "of one size": (lambda a, b: others(a) + others(b) - 2 * (k(a, b[: len(a)]).mean()), "should be"),
    "pairs in order": (
        lambda a, b: others(a) + others(b) - 2 * ((a * b).sum(1) / a.shape[1] + 1).pow(3).mean(),
        "stop it",
    ),
    "in place": (centres_in_place, "`a` itself was changed"),
}

# --- coverage ---


def distances(x, y, **how):
    return torch.cdist(x.double(), y.double(), **how)


def radii(x, k):
    return distances(x, x).sort(1).values[:, k]


def by_loop(real, generated, k):
    hits = 0
    for i, r in enumerate(real):
        own = sorted((r - other).norm().item() for j, other in enumerate(real) if j != i)
        hits += min((r - g).norm().item() for g in generated) <= own[k - 1]
    return hits / len(real)


def by_neighbours(real, generated, k):
    real, generated = real.numpy(), generated.numpy()
    radius = NearestNeighbors(n_neighbors=k + 1).fit(real).kneighbors(real)[0][:, -1]
    nearest = NearestNeighbors(n_neighbors=1).fit(generated).kneighbors(real)[0][:, 0]
    return np.mean(nearest <= radius)


def by_diagonal(real, generated, k):
    own = torch.cdist(real, real).fill_diagonal_(float("inf"))
    radius = own.topk(k, dim=1, largest=False).values[:, -1]
    return (torch.cdist(real, generated).min(1).values <= radius).float().mean()


def by_scipy(real, generated, k):
    from scipy.spatial.distance import cdist

    radius = np.sort(cdist(real, real), axis=1)[:, k]
    return (cdist(generated, real) <= radius).any(axis=0).mean()


def by_kthvalue(real, generated, k):
    radius = torch.cdist(real, real).kthvalue(k + 1, dim=1).values
    return ((real[:, None] - generated[None]).norm(dim=2) < radius[:, None]).any(dim=1).double().mean().item()


def share(hits):
    return hits.double().mean()


def inside(real, generated, k):
    return distances(real, generated) <= radii(real, k)[:, None]


def shifts_in_place(real, generated, k):
    real -= real.mean(0)
    return share(inside(real, generated, k).any(1))


RIGHT_COVERAGE = {
    "a loop": by_loop,
    "scikit-learn's neighbours": by_neighbours,
    "without the diagonal": by_diagonal,
    "scipy": by_scipy,
    "kthvalue": by_kthvalue,
    "0-d tensor": lambda real, generated, k: share(inside(real, generated, k).any(1)),
}
WRONG_COVERAGE = {
    "precision": (lambda r, g, k: share(inside(r, g, k).any(0)), "this is precision"),
    "recall": (lambda r, g, k: share((distances(r, g) <= radii(g, k)[None]).any(1)), "as in recall"),
    "swapped": (lambda r, g, k: share(inside(g, r, k).any(1)), "swapped"),
    "itself counted": (lambda r, g, k: share(inside(r, g, k - 1).any(1)), "its own nearest"),
    "one too large": (lambda r, g, k: share(inside(r, g, k + 1).any(1)), "too large"),
    "density": (lambda r, g, k: inside(r, g, k).double().sum() / (k * len(g)), "density"),
    "mean number": (lambda r, g, k: inside(r, g, k).double().sum(1).mean(), "mean number"),
    "count": (lambda r, g, k: int(inside(r, g, k).any(1).sum()), "number of real"),
    "percent": (lambda r, g, k: 100 * share(inside(r, g, k).any(1)), "percentage"),
    "not covered": (lambda r, g, k: 1 - share(inside(r, g, k).any(1)), "not"),
    "divides by M": (lambda r, g, k: inside(r, g, k).any(1).sum() / len(g), "number of generated"),
    "mean radius": (
        lambda r, g, k: share(
            (distances(r, g) <= distances(r, r).sort(1).values[:, 1 : k + 1].mean(1)[:, None]).any(1)
        ),
        "the mean distance",
    ),
    "one radius": (lambda r, g, k: share((distances(r, g) <= radii(r, k).mean()).any(1)), "one radius"),
    "squared": (lambda r, g, k: share((distances(r, g) <= radii(r, k).square()[:, None]).any(1)), "squared one"),
    "k of them": (lambda r, g, k: share(inside(r, g, k).sum(1) >= k), "one is enough"),
    "always": (
        lambda r, g, k: share((distances(r, g) <= distances(r, g).sort(1).values[:, k - 1][:, None]).any(1)),
        "every ball holds",
    ),
    "five": (lambda r, g, k: share(inside(r, g, 5).any(1)), "fixed at 5"),
    "two per cent wider": (
        lambda r, g, k: share((distances(r, g) <= 1.02 * radii(r, k)[:, None]).any(1)),
        "k = 5 and 167",
    ),
    "at most 0.95": (lambda r, g, k: share(inside(r, g, k).any(1)).clamp(max=0.95), "all are covered"),
    "farthest": (lambda r, g, k: share(inside(r, g, len(r) - 1).any(1)), "every ball holds"),
    "radii in a row": (lambda r, g, k: share((distances(r, g) <= radii(r, k)).any(1)), "two shapes that do not fit"),
    "each": (lambda r, g, k: inside(r, g, k).any(1), "one share"),
    "size fixed": (lambda r, g, k: inside(r, g, k).any(1).sum() / 167, "should be"),
    "in place": (shifts_in_place, "`real` itself was changed"),
}

RIGHT = {"at_infinity": RIGHT_INFINITY, "kernel_distance": RIGHT_KERNEL, "coverage": RIGHT_COVERAGE}
WRONG = {"at_infinity": WRONG_INFINITY, "kernel_distance": WRONG_KERNEL, "coverage": WRONG_COVERAGE}
