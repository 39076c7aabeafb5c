"""Right and wrong answers to the exercises of notebook 03."""

import math

import numpy as np
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from torch.nn import functional

# --- power_iteration ---


def power(*, step=lambda S, u: S @ u, scale=lambda u: u.norm(), start=lambda u: u, count=lambda n: n, end=lambda u: u):
    """A wrong or right power_iteration."""

    def power_iteration(S, u, steps):
        u = start(u)
        for _ in range(count(steps)):
            u = step(S, u)
            u = u / scale(u)
        return end(u)

    return power_iteration


def power_by_numpy(S, u, steps):
    S, u = S.numpy(), u.numpy()
    for _ in range(steps):
        u = S.dot(u)
        u = u / np.linalg.norm(u)
    return u


def power_by_sums(S, u, steps):
    u = [float(value) for value in u]
    for _ in range(steps):
        u = [sum(float(s) * v for s, v in zip(row, u)) for row in S]
        length = math.sqrt(sum(v * v for v in u))
        u = [v / length for v in u]
    return u


def power_by_recursion(S, u, steps):
    return u / u.norm() if steps == 0 else functional.normalize(S @ power_by_recursion(S, u, steps - 1), dim=0)


def writes_u(S, u, steps):
    for _ in range(steps):
        u.copy_(S @ u)
        u /= u.norm()
    return u


def reseeds(S, u, steps):
    torch.manual_seed(0)
    return power()(S, torch.randn(len(u)), steps)


def stops_early(S, u, steps):
    for _ in range(steps):
        v = functional.normalize(S @ u, dim=0)
        if (v - u).norm() < 0.01:
            return v
        u = v
    return u


NOTHING = torch.tensor(1.0)
RIGHT_WALKS = {
    "a loop": power(),
    "normalize": power(step=lambda S, u: functional.normalize(S @ u, dim=0), scale=lambda u: NOTHING),
    "einsum": power(step=lambda S, u: torch.einsum("ij,j->i", S, u)),
    "NumPy": power_by_numpy,
    "sums and lists": power_by_sums,
    "recursion": power_by_recursion,
    "double": lambda S, u, steps: power()(S.double(), u.double(), steps),
    "root of a product": power(scale=lambda u: (u @ u).sqrt()),
    "a list of 0-d tensors": lambda S, u, steps: list(power()(S, u, steps)),
    "S over its norm": lambda S, u, n: functional.normalize(
        torch.matrix_power(S / torch.linalg.norm(S, 2), n) @ u, dim=0
    ),
}
WRONG_WALKS = {
    "never scaled": (power(scale=lambda u: NOTHING), "its length is"),
    "scaled at the end": (power(scale=lambda u: NOTHING, end=lambda u: u / u.norm()), "overflow"),
    "matrix power": (lambda S, u, n: functional.normalize(torch.matrix_power(S, n) @ u, dim=0), "overflow"),
    "entry by entry": (lambda S, u, n: S * u, "`S @ u`"),
    "one step": (power(count=lambda n: 1), "another than"),
    "one too few": (power(count=lambda n: n - 1), "took 2 steps"),
    "one too many": (power(count=lambda n: n + 1), "took 4 steps"),
    "always three": (power(count=lambda n: 3), "number of steps"),
    "eigh": (lambda S, u, n: torch.linalg.eigh(S).eigenvectors[:, -1], "still on its way"),
    "a hundred steps": (power(count=lambda n: 100), "still on its way"),
    "solved": (power(step=lambda S, u: torch.linalg.solve(S, u)), "*smallest* variance"),
    "sum": (power(scale=lambda u: u.abs().sum()), "sum of the absolute values"),
    "maximum": (power(scale=lambda u: u.abs().max()), "largest entry"),
    "squares": (power(scale=lambda u: u @ u), "its *root*"),
    "sign": (power(end=lambda u: -u), "sign"),
    "ones": (power(start=torch.ones_like), "begin at `u`"),
    "squared matrix": (power(step=lambda S, u: S @ (S @ u)), "two multiplications"),
    "the variance": (lambda S, u, n: power()(S, u, n) @ S @ power()(S, u, n), "return the direction"),
    "the start": (lambda S, u, n: u / u.norm(), "nothing moved"),
    "writes u": (writes_u, "`u` itself was changed"),
    "reseeds": (reseeds, "a seed is set inside"),
    "stops early": (stops_early, "this stops after"),
    "signed sum": (power(scale=lambda u: u.sum()), "signs cancel"),
    "rounded": (power(end=lambda u: u.round(decimals=1)), "another than"),
    "two per cent long": (power(end=lambda u: 1.02 * u), "its length is 1.02"),
    "a column": (lambda S, u, n: power()(S, u, n)[:, None], "expected shape (5,); this returned shape (5, 1)"),
    "five rows": (power(step=lambda S, u: S @ u @ torch.eye(5)), "3 rows"),
}

# --- principal_angles ---


def qr(a):
    return torch.linalg.qr(a).Q


def planes(
    *, left=qr, right=qr, cosines=torch.linalg.svdvals, angle=lambda c: c.clamp(-1, 1).acos(), end=torch.rad2deg
):
    """A wrong or right principal_angles."""
    return lambda a, b: end(angle(cosines(left(a).T @ right(b))))


def unit(a):
    return a / a.norm(dim=0)


def angles_by_projections(a, b):
    p, q = a @ torch.linalg.pinv(a), b @ torch.linalg.pinv(b)  # cosines squared are the eigenvalues of p q p
    values = torch.linalg.eigvalsh(p @ q @ p).flip(0)[: a.shape[1]]
    return torch.rad2deg(values.clamp(0, 1).sqrt().acos())


def angles_by_svd(a, b):
    u, v = (torch.linalg.svd(m, full_matrices=False).U for m in (a, b))
    return torch.rad2deg(torch.acos(torch.linalg.svd(u.T @ v).S.clamp(max=1)))


def angles_by_numpy(a, b):
    p, q = (np.linalg.qr(np.asarray(m))[0] for m in (a, b))
    return np.degrees(np.arccos(np.clip(np.linalg.svd(p.T @ q, compute_uv=False), 0, 1)))


def angles_one_by_one(a, b):
    """The nearest pair of directions, then what is left of both planes, again and again."""
    p, q = qr(a.double()), qr(b.double())
    found = []
    for _ in range(a.shape[1]):
        u, s, v = torch.linalg.svd(p.T @ q)
        found.append(math.degrees(math.acos(min(1.0, float(s[0])))))
        p, q = p @ u[:, 1:], q @ v.T[:, 1:]
    return found


def writes_a(a, b):
    a /= a.norm(dim=0)
    return planes()(a, b)


RIGHT_ANGLES = {
    "QR": planes(),
    "scipy": lambda a, b: np.rad2deg(subspace_angles(a.numpy(), b.numpy()))[::-1].copy(),
    "SVD": angles_by_svd,
    "NumPy": angles_by_numpy,
    "projections": angles_by_projections,
    "one by one, a list": angles_one_by_one,
    "180 over pi": planes(end=lambda r: r * 180 / math.pi),
    "NaN is 0": planes(angle=torch.acos, end=lambda r: torch.rad2deg(r).nan_to_num(0)),
}
WRONG_ANGLES = {
    "radians": (planes(end=lambda r: r), "radians"),
    "largest first": (planes(end=lambda r: torch.rad2deg(r).flip(0)), "smallest angle first"),
    "scipy's order": (lambda a, b: np.rad2deg(subspace_angles(a.numpy(), b.numpy())), "smallest angle first"),
    "cosines": (planes(angle=lambda c: c, end=lambda c: c), "arc cosine"),
    "sines": (planes(angle=lambda c: c.clamp(-1, 1).asin()), "cosines"),
    "no QR": (planes(left=lambda a: a, right=lambda b: b), "QR first"),
    "unit columns": (planes(left=unit, right=unit), "orthogonal too"),
    "one QR": (planes(right=lambda b: b), "both"),
    "the other QR": (planes(left=lambda a: a), "both"),
    "columns": (planes(left=unit, right=unit, cosines=torch.diagonal), "between columns"),
    "QR's columns": (planes(cosines=lambda m: m.diagonal().abs()), "singular values of the product"),
    "matrix": (planes(left=unit, right=unit, cosines=lambda m: m), "matrix of angles"),
    "largest": (planes(end=lambda r: torch.rad2deg(r).max()), "3 angles"),
    "no clamp": (planes(angle=torch.acos), "NaN"),
    "to the rest": (planes(end=lambda r: 90 - torch.rad2deg(r)), "90 degrees less"),
    "squared": (planes(angle=lambda c: c.square().acos()), "squared"),
    "three dimensions": (lambda a, b: planes()(a[:, :3], b[:, :3]), "4 dimensions among 9"),
    "seven rows": (lambda a, b: planes()(a[:7], b[:7]), "4 dimensions among 9"),
    "not turned": (
        lambda a, b: torch.rad2deg(torch.linalg.svdvals(qr(a) @ qr(b).T).clamp(max=1).acos()),
        "these are 7 angles",
    ),
    "all of Q": (
        planes(
            left=lambda a: torch.linalg.qr(a, mode="complete").Q, right=lambda b: torch.linalg.qr(b, mode="complete").Q
        ),
        "these are 7 angles",
    ),
    "R for Q": (planes(left=lambda a: torch.linalg.qr(a).R, right=lambda b: torch.linalg.qr(b).R), "this gives 0.0"),
    "eigenvalues": (
        planes(cosines=lambda m: torch.linalg.eigvals(m).abs().sort(descending=True).values),
        "QR, singular",
    ),
    "clamped at 0.99": (planes(angle=lambda c: c.clamp(max=0.99).acos()), "this gives 8.1"),
    "writes a": (writes_a, "`a` itself was changed"),
}

# --- ppca_noise_variance ---


def noise(*, centre=True, of=lambda v, k: v[k:].mean(), divide=len, scale=False):
    """A wrong or right ppca_noise_variance: `of` takes the eigenvalues, largest first."""

    def ppca_noise_variance(x, k):
        rows = x - x.mean(0) if centre else x
        rows = rows / rows.std(0) if scale else rows
        return of(torch.linalg.eigvalsh(rows.T @ rows / divide(x)).flip(0), k)

    return ppca_noise_variance


def noise_by_svd(x, k):
    s = torch.linalg.svdvals(x - x.mean(0))
    return float((s[k:] ** 2).sum() / (len(x) * (x.shape[1] - k)))


def noise_by_total(x, k):
    """What PCA leaves of the total variance, shared by D - k directions."""
    values = np.linalg.eigvalsh(np.cov(x.numpy().T, bias=True))
    return (x.numpy().var(axis=0).sum() - np.sort(values)[::-1][:k].sum()) / (x.shape[1] - k)


def noise_by_error(x, k):
    theirs = PCA(max(k, 1), svd_solver="full").fit(x.numpy())
    z = theirs.transform(x.numpy())
    z[:, k:] = 0
    return ((theirs.inverse_transform(z) - x.numpy()) ** 2).sum() / len(x) / (x.shape[1] - k)


def writes_x(x, k):
    x -= x.mean(0)
    return noise(centre=False)(x, k)


def by_scikit_learn(x, k):
    return PCA(svd_solver="full").fit(x.numpy()).explained_variance_[k:].mean()


RIGHT_NOISE = {
    "eigvalsh": noise(),
    "SVD": noise_by_svd,
    "total less kept": noise_by_total,
    "error of PCA": noise_by_error,
    "N - 1": noise(divide=lambda x: len(x) - 1),
    "NumPy number": lambda x, k: np.float32(noise()(x, k)),
    "0-d, double": lambda x, k: noise()(x.double(), k),
    "torch.cov": lambda x, k: torch.linalg.eigvalsh(torch.cov(x.T))[: x.shape[1] - k].mean(),
}
WRONG_NOISE = {
    "kept": (noise(of=lambda v, k: v[: max(k, 1)].mean()), "*kept*"),
    "sum": (noise(of=lambda v, k: v[k:].sum()), "error of PCA"),
    "over all": (noise(of=lambda v, k: v[k:].sum() / len(v)), "all D directions"),
    "over k": (noise(of=lambda v, k: v[k:].sum() / max(k, 1)), "divides by k"),
    "deviation": (noise(of=lambda v, k: v[k:].mean().sqrt()), "return the variance"),
    "smallest": (noise(of=lambda v, k: v[-1]), "smallest eigenvalue"),
    "next": (noise(of=lambda v, k: v[k]), "largest discarded"),
    "median": (noise(of=lambda v, k: v[k:].median()), "median"),
    "not centred": (noise(centre=False), "not subtracted"),
    "one more kept": (noise(of=lambda v, k: v[k + 1 :].mean()), "3 eigenvalues were kept"),
    "one less kept": (noise(of=lambda v, k: v[max(k - 1, 0) :].mean()), "1 eigenvalues were kept"),
    "rising": (noise(of=lambda v, k: v.flip(0)[k:].mean()), "mean of the discarded eigenvalues is"),
    "k smallest": (noise(of=lambda v, k: v[-max(k, 1) :].mean()), "k smallest"),
    "all": (noise(of=lambda v, k: v.mean()), "*all* eigenvalues"),
    "not divided": (noise(divide=lambda x: 1), "number of rows"),
    "standardised": (noise(scale=True), "standardised"),
    "singular values": (lambda x, k: torch.linalg.svdvals(x - x.mean(0))[k:].mean(), "singular values"),
    "mean of deviations": (noise(of=lambda v, k: v[k:].sqrt().mean()), "average the variances"),
    "always two": (noise(of=lambda v, k: v[2:].mean()), "k = 0"),
    "seven columns": (noise(of=lambda v, k: v[k:7].mean()), "is a size fixed"),
    "fixed rows": (noise(divide=lambda x: 3000), "is a size fixed"),
    "scikit-learn": (by_scikit_learn, "at most 40"),
    "list": (lambda x, k: [1.0], "one number"),
    "[:-k]": (noise(of=lambda v, k: v.flip(0)[:-k].mean()), "is empty for k = 0"),
    "over N": (lambda x, k: noise(of=lambda v, k: v[k:].sum())(x, k) / (len(x) - k), "divides by the rows"),
    "one mean for all": (lambda x, k: noise(centre=False)(x - x.mean(), k), "every column has its own"),
    "half": (lambda x, k: noise()(x, k) / 2, "mean of the discarded eigenvalues is"),
    "only the positive": (lambda x, k: noise(of=lambda v, k: v[k:][v[k:] > 1e-6].mean())(x, k), "divide by D - k"),
    "writes x": (writes_x, "`x` itself was changed"),
}
RIGHT = {"power_iteration": RIGHT_WALKS, "principal_angles": RIGHT_ANGLES, "ppca_noise_variance": RIGHT_NOISE}
WRONG = {"power_iteration": WRONG_WALKS, "principal_angles": WRONG_ANGLES, "ppca_noise_variance": WRONG_NOISE}
