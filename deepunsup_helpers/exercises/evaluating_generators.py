"""The exercises of notebook 16: a distance at infinity, the kernel distance without bias, coverage."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, fits, number, require
from deepunsup_helpers.metrics.coverage import coverage as coverage_of
from deepunsup_helpers.metrics.extrapolation import at_infinity as line_at_infinity
from deepunsup_helpers.metrics.kernel import kernel_distance as kernel_distance_of


def _sizes(message: str, case: int) -> AbstractContextManager:
    """The first case's errors speak for themselves; what only a later one stops was made for the sizes of the first."""
    return fits(message) if case else nullcontext()


def _expect_in_all(found: list[float], right: list[float], named: list[dict], otherwise: str, rtol: float) -> None:
    """Wrong with the mistake that explains what was found in *every* case, so that no chance agreement is named."""
    if not close(found, right, rtol=rtol, atol=1e-6):
        mistakes = {text: [float(values[text]) for values in named] for text in named[0]}
        expect(found, right, mistakes, otherwise, rtol=rtol, atol=1e-6)


# --- at_infinity ----------------------------------------------------------------------------------------------------


def at_infinity_reference(sizes: np.ndarray, distances: np.ndarray) -> float:
    """Where the straight line through (1 / size, distance), by least squares, meets 1 / size = 0.

    Args:
        sizes: numbers of examples, (S,), above 0.
        distances: (S,).
    Returns:
        in the unit of the distances.
    Source: Chong & Forsyth 2020, arXiv:1911.07023.
    """
    return line_at_infinity(sizes, distances)


def _check_at_infinity(at_infinity: Callable) -> Result:
    for seed, sizes in enumerate(
        ([125, 250, 500, 1000], [40, 100, 60, 300, 900, 150, 40], [1000, 700, 1500]), start=31
    ):
        sizes = np.array(sizes)
        noise = draw(len(sizes), seed=seed).double().numpy()
        for truth, slope, jitter in ((7.0, 60.0, 2.0), (3.0, 400.0, 0.4), (-0.05, 150.0, 0.02)):
            distances = truth + slope / sizes + jitter * noise
            with _sizes(f"{len(sizes)} sizes stop it", seed - 31):
                found = number(call(at_infinity, sizes, distances), "one number, the distance at infinity")
            _name_the_line(found, sizes, distances)
    return Result(True, "The line in 1/N, read where N is infinite.")


def _name_the_line(found: float, sizes: np.ndarray, distances: np.ndarray) -> None:
    def fit(x: np.ndarray, y: np.ndarray = distances) -> np.ndarray:
        return np.polyfit(x, y, 1)

    slope, right = fit(1 / sizes)
    largest, order = sizes.argmax(), sizes.argsort()
    few, many = order[-2:]
    two = (sizes[many] * distances[many] - sizes[few] * distances[few]) / (sizes[many] - sizes[few])
    ends = (sizes[order[-1]] * distances[order[-1]] - sizes[order[0]] * distances[order[0]]) / (
        sizes[order[-1]] - sizes[order[0]]
    )
    back, start = fit(distances, 1 / sizes)
    mistakes = {
        "this is the slope of the line: asked for is its value where 1/N is 0": slope,
        "this is a line in N: the bias falls like 1/N, so take 1 / sizes": fit(sizes)[1],
        "this is the slope of a line in N": fit(sizes)[0],
        "this is a line in 1/sqrt(N): the bias falls like 1/N": fit(sizes**-0.5)[1],
        "this is a line in log N: the bias falls like 1/N": fit(np.log(sizes))[1],
        "this is a line in 1/N^2: the bias falls like 1/N": fit(1.0 / sizes**2)[1],
        "this is the distance at the largest size, bias and all": distances[largest],
        "this is the least of the distances: it still has a bias": distances.min(),
        "this is the mean of the distances": distances.mean(),
        "this is the value at 1/N = 1, the line's far end: take 1/N = 0": right + slope,
        "this is the value of the line at the largest size: take 1/N = 0": right + slope / sizes[largest],
        "a negative value is cut off at 0: of two equal distributions half of the estimates should lie below": (
            max(0.0, right)
        ),
        "the sign is lost: of two equal distributions half of the estimates should lie below 0": abs(right),
        "here 1/N is fitted to the distances: fit the distances to 1/N": start,
        "here 1/N is fitted to the distances, and the line is solved: fit the distances to 1/N": -start / back,
        "large sizes weigh more here: plain least squares, every size alike": np.polyfit(
            1 / sizes, distances, 1, w=np.sqrt(sizes)
        )[1],
        "only the two largest sizes are used: fit the line to all": two,
        "only the smallest and the largest size are used: fit the line to all": ends,
        "the line is forced through the origin, so that nothing is left at infinity": 0.0,
    }
    mistakes = {text: value for text, value in mistakes.items() if not close(value, right, rtol=1e-4)}
    said = f"the line through (1/N, distance) is at {right:.6g} where 1/N = 0; this returned {found:.6g}"
    expect(found, right, mistakes, said, rtol=1e-4)


# --- kernel_distance ------------------------------------------------------------------------------------------------


def kernel_distance_reference(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x . y / D + 1)^3, without bias.

    Args:
        a, b: features, (N, D) and (M, D), at least two of each.
    Returns:
        may be negative.
    Source: Binkowski and others 2018, arXiv:1801.01401.
    """
    return kernel_distance_of(a, b)


def _check_kernel_distance(kernel_distance: Callable) -> Result:
    found, right, named = [], [], []
    for case, (n, m, d, shift) in enumerate(((9, 9, 11, 0.6), (12, 30, 3, 1.0), (40, 25, 6, 0.5), (9, 9, 11, 0.0))):
        a, b = draw(n, d, seed=44 - case), draw(m, d, seed=54 - case) + shift
        with _sizes(f"{n} and {m} rows of {d} numbers stop it", case):
            found.append(number(call(kernel_distance, a, b), "one number"))
        right.append(kernel_distance_of(a, b))
        named.append(_kernels(a.double(), b.double()))
    if not close(found, right, rtol=1e-3, atol=1e-4):
        bad = next(i for i in range(4) if not close(found[i], right[i], rtol=1e-3, atol=1e-4))
        said = f"in one of four cases it should be {right[bad]:.4f}; this returned {found[bad]:.4f}"
        with fits(said):
            said += _which_part(kernel_distance)
        _expect_in_all(found, right, named, said, rtol=1e-3)
    a = draw(8, 5, seed=47)
    below = number(kernel_distance(a, a[[1, 0, 3, 2, 5, 4, 7, 6]]))
    require(
        below < 0, "of a cloud and itself, shuffled, the estimate lies below 0; here it is cut off or made positive"
    )
    return Result(True, "Pairs of an example with itself are left out: no bias, and so sometimes below 0.")


def _which_part(mine: Callable) -> str:
    """The weights of the three means, where the kernel is always 1; then the kernel, of a cloud of two rows and one of zeros."""
    for n, m in ((4, 3), (3, 4)):
        found = float(mine(torch.zeros(n, 2), torch.zeros(m, 2)))
        if not close(found, 0, atol=1e-4):
            return f". Of {n} and {m} rows of zeros, where k is always 1, it is 1 + 1 - 2 = 0, not {found:.3f}: are these means?"
    for u, v in (([1.0, 2.0, -1.0], [2.0, 1.0, 1.0]), ([1.0, 2.0], [-2.0, -1.0])):
        product, d = sum(p * q for p, q in zip(u, v)), len(u)
        right = (product / d + 1) ** 3
        found = float(mine(torch.tensor([u, v]), torch.zeros(2, d))) + 1  # k(a, a') + 1 - 2
        if not close(found, right, rtol=1e-3, atol=1e-4):
            return f". Of two rows with x . y = {product:g} and D = {d} the kernel counts as {found:.3f}: it is {right:.3f}"
    return ""


def _kernels(a: Tensor, b: Tensor) -> dict[str, Tensor | float]:
    """What the likely mistakes give."""
    n, m, d = len(a), len(b), a.shape[1]

    def unbiased(kernel: Callable) -> float:
        aa, bb, ab = kernel(a, a), kernel(b, b), kernel(a, b)
        within = (aa.sum() - aa.trace()) / (n * (n - 1)) + (bb.sum() - bb.trace()) / (m * (m - 1))
        return float(within - 2 * ab.mean())

    def polynomial(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / d + 1) ** 3

    aa, bb, ab = polynomial(a, a), polynomial(b, b), polynomial(a, b)
    right = unbiased(polynomial)
    off_a, off_b = (aa.sum() - aa.trace()) / (n * (n - 1)), (bb.sum() - bb.trace()) / (m * (m - 1))
    return {
        "pairs of an example with itself are in the means: leave out the diagonal of k(a, a) and k(b, b), or the distance "
        "of equal clouds is above 0": aa.mean() + bb.mean() - 2 * ab.mean(),
        "the diagonal is left out of the sums, but the pairs are N (N - 1), not N^2": (aa.sum() - aa.trace()) / n**2
        + (bb.sum() - bb.trace()) / m**2
        - 2 * ab.mean(),
        "the products are not divided by the number of features D": unbiased(lambda x, y: (x @ y.T + 1) ** 3),
        "the products are divided by sqrt(D): divide by D": unbiased(lambda x, y: (x @ y.T / d**0.5 + 1) ** 3),
        "the + 1 under the power is missing": unbiased(lambda x, y: (x @ y.T / d) ** 3),
        "the kernel is squared: its power is 3": unbiased(lambda x, y: (x @ y.T / d + 1) ** 2),
        "the kernel has no power: (x . y / D + 1) to the third": unbiased(lambda x, y: x @ y.T / d + 1),
        "the mean between the clouds counts twice: - 2 mean k(a, b)": off_a + off_b - ab.mean(),
        "the sign is turned: within minus between": -right,
        "the mean between the clouds is added: subtract it": off_a + off_b + 2 * ab.mean(),
        "this is the root: return the squared discrepancy": max(right, 0.0) ** 0.5,
        "only k(a, a) is in it: the generated cloud's own pairs are missing": off_a - 2 * ab.mean(),
        "these are sums, not means": (aa.sum() - aa.trace()) + (bb.sum() - bb.trace()) - 2 * ab.sum(),
        "this is another kernel, a Gaussian one: (x . y / D + 1)^3 is asked for": unbiased(
            lambda x, y: torch.exp(-torch.cdist(x, y).square() / 2)
        ),
        "the diagonal of k(a, b) is left out too: these are pairs of different clouds, all of them count": (
            off_a + off_b - 2 * (ab.sum() - ab.diag().sum()) / (n * m - min(n, m))
        ),
        "this is the distance of the two means alone, squared": (a.mean(0) - b.mean(0)).square().sum(),
        "a negative value is cut off at 0: of equal distributions half of the estimates should lie below": max(
            0.0, right
        ),
        "the sign is lost: of equal distributions half of the estimates should lie below 0": abs(right),
        "this is 1,000 times the distance, as papers print it": 1000 * right,
        "this is 100 times the distance, as papers print it": 100 * right,
    }


# --- coverage -------------------------------------------------------------------------------------------------------


def coverage_reference(real: Tensor, generated: Tensor, k: int) -> float:
    """The share of real examples within whose distance to their k-th real neighbour a generated one lies.

    Args:
        real, generated: features, (N, D) and (M, D), N above k.
        k: at least 1.
    Returns:
        0 to 1.
    Source: Naeem and others 2020, arXiv:2002.09797.
    """
    return coverage_of(real, generated, k=k)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")


def _check_coverage(coverage: Callable) -> Result:
    found, right, named, said = [], [], [], ""
    for case, (n, m, d, k, spread) in enumerate(((167, 131, 3, 5, 1.5), (113, 149, 2, 3, 1.2), (127, 61, 4, 1, 1.3))):
        real, generated = draw(n, d, seed=51 + case), spread * draw(m, d, seed=61 + case) + 0.3
        with _sizes(f"{n} real and {m} generated rows of {d} numbers stop it", case):
            found.append(number(call(coverage, real, generated, k), "one share, 0 to 1"))
        named.append(_coverages(real, generated, k))
        right.append(named[-1].pop("right"))
        if not said and not close(found[-1], right[-1], rtol=1e-6):
            should = f"it should be {right[-1]:.4f}; this returned {found[-1]:.4f}"
            said = f"with k = {k} and {n} real, {m} generated rows {should}"
    _expect_in_all(found, right, named, said, rtol=1e-6)
    itself = number(call(coverage, real, real.clone(), 2))
    require(close(itself, 1.0), f"if all real examples are generated, all are covered: {itself:.4f} instead of 1")
    away = number(call(coverage, real, real + 100, 2))
    require(close(away, 0.0), f"if what is generated lies far away, nothing is covered: {away:.4f} instead of 0")
    return Result(True, "Each real example asks once, and a hundred samples in one ball count as one.")


def _coverages(real: Tensor, generated: Tensor, k: int) -> dict[str, float]:
    """What is right, and what the likely mistakes give."""
    rr, rg, gg = _distances(real, real), _distances(real, generated), _distances(generated, generated)
    radius, n, m = rr.sort(1).values[:, k], len(real), len(generated)
    inside = rg <= radius[:, None]  # (n, m)
    share = lambda hits: hits.double().mean().item()
    right = share(inside.any(1))
    around_generated = rg <= gg.sort(1).values[:, k][None]
    return {
        "right": right,
        "this is precision, the share of *generated* examples in some ball: ask each real one whether its ball holds any": (
            share(inside.any(0))
        ),
        "these are balls around the generated examples, as in recall: the balls are the real ones'": (
            share(around_generated.any(1))
        ),
        "real and generated are swapped": share((rg.T <= gg.sort(1).values[:, k][:, None]).any(1)),
        "the ball is one neighbour too small: each real example is its own nearest at distance 0, so take k + 1": (
            share((rg <= rr.sort(1).values[:, k - 1][:, None]).any(1))
        ),
        "the ball is one neighbour too large": share((rg <= rr.sort(1).values[:, min(k + 1, n - 1)][:, None]).any(1)),
        "this is density: count each ball once, however many lie in it": inside.double().sum().item() / (k * m),
        "this is the mean number of generated examples in a ball": inside.double().sum(1).mean().item(),
        "this is the number of real examples: divide by how many there are": right * n,
        "this is a percentage: the share lies between 0 and 1": right * 100,
        "this is the share that is *not* covered": 1 - right,
        "this divides by the number of generated examples": right * n / m,
        "the radius is the mean distance to the k nearest: take the k-th": (
            share((rg <= rr.sort(1).values[:, 1 : k + 1].mean(1)[:, None]).any(1))
        ),
        "all balls have one radius: each real example has its own": share((rg <= radius.mean()).any(1)),
        "all balls have one radius, the median: each real example has its own": share((rg <= radius.median()).any(1)),
        "a distance is compared with a squared one": share((rg <= radius.square()[:, None]).any(1)),
        "this asks for k generated examples in the ball: one is enough": share(inside.sum(1) >= k),
        "every ball holds a generated example here: the radius is the distance to the k-th nearest other *real* one, not "
        "to the k-th generated or the farthest": 1.0,
        "k is fixed at 5, whatever is asked for": share((rg <= rr.sort(1).values[:, 5][:, None]).any(1)),
        "k is fixed at 3, whatever is asked for": share((rg <= rr.sort(1).values[:, 3][:, None]).any(1)),
        "the distances are sums of absolute differences: take the Euclidean ones": share(
            (torch.cdist(real, generated, p=1) <= torch.cdist(real, real, p=1).sort(1).values[:, k][:, None]).any(1)
        ),
    }


at_infinity = Exercise("at_infinity", at_infinity_reference, _check_at_infinity, float)
kernel_distance = Exercise("kernel_distance", kernel_distance_reference, _check_kernel_distance, float)
coverage = Exercise("coverage", coverage_reference, _check_coverage, float)
