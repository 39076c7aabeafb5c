"""The exercises of notebook 03: power iteration, angles between planes, the noise of probabilistic PCA."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, fits, number, require, tensor

# --- power_iteration ------------------------------------------------------------------------------------------------


def power_iteration_reference(S: Tensor, u: Tensor, steps: int) -> Tensor:
    """The direction u after `steps` multiplications with S, scaled to length 1 after each.

    Args:
        S: a covariance matrix, (D, D).
        u: where to start, (D,), any length but 0.
        steps: at least 1.
    Returns:
        (D,), of length 1. It tends to the leading eigenvector, each step shrinking the tangent of the angle to it by
        the ratio of the second eigenvalue to the first (two dimensions; a bound in more).
    Source: Golub & Van Loan, Matrix Computations, section 8.2.
    """
    for _ in range(steps):
        u = S @ u
        u = u / u.norm()
    return u


def _covariance(eigenvalues: list[float], seed: int) -> Tensor:
    """A covariance matrix with these eigenvalues along turned axes."""
    d = len(eigenvalues)
    turn = torch.linalg.qr(draw(d, d, seed=seed)).Q
    return turn @ torch.diag(torch.tensor(eigenvalues)) @ turn.T


def _check_power_iteration(power_iteration: Callable) -> Result:
    def walk(S: Tensor, u: Tensor, steps: int) -> Tensor:
        hints = {
            2 * (len(u),): "`S * u` multiplies entry by entry and gives a matrix: the product with a vector is `S @ u`",
            (): "this is one number: return the direction, not its variance",
        }
        return tensor(call(power_iteration, S, u, steps), tuple(u.shape), hints).double()

    S, u = _covariance([3.0, 2.0, 1.0, 0.5, 0.2], seed=3), draw(5, seed=4)
    _name_the_walk(walk(S, u, 3), S.double(), u.double(), steps=3)
    with fits("a matrix of 3 rows stops it: is a size fixed?"):
        small, begin = _covariance([4.0, 3.0, 2.0], seed=5), draw(3, seed=6)
        for steps in (1, 2, 7):
            right = power_iteration_reference(small.double(), begin.double(), steps)
            found = walk(small, begin, steps)
            require(
                close(found, right, atol=1e-4),
                f"three steps came out right, {steps} on a 3 x 3 matrix did not: is the number of steps or a size fixed?",
            )
    close_race = 60 * _covariance([3.0, 2.9, 2.8, 0.5, 0.2], seed=7)  # 90 steps are not the end of it
    large = torch.as_tensor(call(power_iteration, close_race, u, 90))
    finite = bool(torch.isfinite(large).all())
    require(finite, "after 90 steps the numbers overflow: scale u to length 1 after *every* step, not at the end")
    path = {n: power_iteration_reference(close_race.double(), u.double(), n) for n in range(1, 91)}
    early = next((n for n, value in path.items() if close(large, value, atol=1e-4)), 0)
    require(early in (0, 90), f"this stops after {early} steps, where 90 were asked: take them all")
    require(
        close(large, path[90], atol=1e-3),
        "after 90 steps the direction is lost: scale u to length 1 after *every* step",
    )
    return Result(True, "It multiplies, scales to length 1 at every step, and begins where it is told to.")


def _name_the_walk(found: Tensor, S: Tensor, u: Tensor, steps: int) -> None:
    """Wrong, with the likely mistake that leads to this vector."""

    def reached(start: Tensor, n: int, matrix: Tensor = S) -> Tensor:
        return power_iteration_reference(matrix, start, n)

    def scaled(by: Callable[[Tensor], Tensor]) -> Tensor:
        v = u
        for _ in range(steps):
            v = S @ v
            v = v / by(v)
        return v

    right, ones = reached(u, steps), torch.ones_like(u)
    leading = torch.linalg.eigh(S).eigenvectors[:, -1]
    converged = f"this is the leading eigenvector itself: `steps` was {steps}, and after so few the direction is still on its way"
    root = "the length is the root of the sum of squares"
    length = f"the direction is right, its length is {found.norm():.4g}: divide by the length after each step"
    mistakes = {
        "the sign is turned: S @ u decides it": -right,
        f"this took {steps - 1} steps where {steps} were asked": reached(u, steps - 1),
        f"this took {steps + 1} steps where {steps} were asked": reached(u, steps + 1),
        "this took two multiplications a step, or S squared: one a step": reached(u, 2 * steps),
        "it begins at a vector of ones: begin at `u`": reached(ones, steps),
        "it walks to the *smallest* variance: multiply by S, do not solve with it": reached(u, steps, torch.inverse(S)),
        f"this divides by the sum of the absolute values: {root}": scaled(lambda v: v.abs().sum()),
        f"this divides by the sum, in which signs cancel: {root}": scaled(lambda v: v.sum()),
        f"this divides by the largest entry: {root}": scaled(lambda v: v.abs().max()),
        "this divides by the sum of squares: the length is its *root*": scaled(lambda v: v.square().sum()),
        "nothing moved: this is the start": u / u.norm(),
        converged: leading,
    }
    along, off = float((found / found.norm().clamp_min(1e-12)) @ right), abs(float(found.norm()) - 1)
    otherwise = "after three steps the direction is another than (S S S u), scaled to 1"
    otherwise = length if along > 0.9999 and off > 1e-3 else otherwise
    require(not close(found, -leading, atol=1e-4), converged)
    expect(found, right, mistakes, otherwise, atol=1e-4)


# --- principal_angles -----------------------------------------------------------------------------------------------


def principal_angles_reference(a: Tensor, b: Tensor) -> Tensor:
    """The principal angles between the planes that the columns of a and of b span.

    Args:
        a, b: bases, (D, k) each, columns independent, neither orthogonal nor of length 1.
    Returns:
        degrees, (k,), from 0 to 90, smallest first. Through the cosine, so angles below 1e-6 degrees (float64) or 0.03
        (float32) are rounding.
    Source: Bjorck & Golub 1973, doi:10.1090/S0025-5718-1973-0348991-3.
    """
    q_a, q_b = torch.linalg.qr(a).Q, torch.linalg.qr(b).Q
    return torch.rad2deg(torch.linalg.svdvals(q_a.T @ q_b).clamp(max=1).acos())


def _check_principal_angles(principal_angles: Callable) -> Result:
    def angles(a: Tensor, b: Tensor) -> Tensor:
        k = a.shape[1]
        hints = {
            (): f"this is one number: two planes of {k} dimensions have {k} angles",
            (k, k): "this is a matrix of angles between columns: the planes' angles come from the singular values",
            (len(a),): f"these are {len(a)} angles: keep k columns in each Q, and turn the first, Q_a.T @ Q_b",
        }
        return tensor(call(principal_angles, a, b), (k,), hints).double()

    a, b = draw(7, 3, seed=1), draw(7, 3, seed=2)
    b[:, 0] = a @ torch.tensor([1.0, -0.5, 0.3]) + 0.2 * b[:, 0]  # one small angle
    a[:, 0] *= 3
    _name_the_angles(angles(a, b), a.double(), b.double())
    for seed in range(12):
        plane, mix = draw(6, 2, seed=seed), draw(2, 2, seed=seed + 50) + 2 * torch.eye(2)
        found = torch.as_tensor(call(principal_angles, plane.double(), plane.double() @ mix.double()))
        finite = bool(torch.isfinite(found).all())
        require(
            finite,
            "a plane and itself give NaN: rounding lifts a cosine just above 1, so clamp it before the arc cosine",
        )
        require(
            float(found.abs().max()) < 0.1, "a plane in another basis is the same plane: all its angles should be 0"
        )
    first = torch.eye(5, 2, dtype=torch.float64)
    upright = angles(first, torch.eye(5, dtype=torch.float64)[:, 2:4])
    require(close(upright, torch.full((2,), 90.0), atol=0.1), "planes at a right angle should give 90 degrees")
    with fits("planes of 4 dimensions among 9 stop it: is a size fixed?"):
        wide, other = draw(9, 4, seed=3), draw(9, 4, seed=4)
        found = torch.as_tensor(call(principal_angles, wide, other))
    right = principal_angles_reference(wide.double(), other.double())
    require(close(found, right, atol=0.1), "planes of 4 dimensions among 9 came out wrong: is a size fixed?")
    return Result(True, "Any basis of a plane gives the same angles, in degrees, the smallest first.")


def _name_the_angles(found: Tensor, a: Tensor, b: Tensor) -> None:
    """Wrong, with the likely mistake that gives these angles."""
    right = principal_angles_reference(a, b)
    cosines = torch.deg2rad(right).cos()
    unit_a, unit_b = a / a.norm(dim=0), b / b.norm(dim=0)

    q_a, q_b = torch.linalg.qr(a).Q, torch.linalg.qr(b).Q

    def degrees(values: Tensor) -> Tensor:
        return torch.rad2deg(values.clamp(-1, 1).acos())

    def between(a: Tensor, b: Tensor) -> Tensor:
        return degrees(torch.linalg.svdvals(a.T @ b))

    columns = (unit_a * unit_b).sum(0)
    other = "another basis of the same plane changes them: take singular values"
    mistakes = {
        "these are radians: a full turn has 360 degrees": torch.deg2rad(right),
        "the order is turned: the smallest angle first": right.flip(0),
        "these are the cosines: take the arc cosine": cosines,
        "this is 90 degrees less each angle: the singular values are cosines": torch.rad2deg(cosines.asin()),
        "the bases are not orthonormal, so the singular values of a.T @ b are no cosines: QR first": between(a, b),
        "columns of length 1 are not enough, they must be orthogonal too: QR first": between(unit_a, unit_b),
        "only the basis a was made orthonormal: do it to both": between(q_a, b),
        "only the basis b was made orthonormal: do it to both": between(a, q_b),
        f"these are angles between columns; {other}": degrees(columns),
        f"these are angles between columns, without their sign; {other}": degrees(columns.abs()),
        f"these are angles between single columns of the two Q; {other} of the product": degrees(
            (q_a * q_b).sum(0).abs()
        ),
        "an angle between planes is at most 90 degrees: singular values are positive": 180 - right,
        "the cosine was squared": degrees(cosines.square()),
    }
    otherwise = (
        f"expected {_listed(right)} degrees, this gives {_listed(found)}: QR, singular values, arc cosine, degrees"
    )
    expect(found, right, mistakes, otherwise, atol=0.05)


def _listed(values: Tensor) -> str:
    return ", ".join(f"{value:.1f}" for value in values.tolist())


# --- ppca_noise_variance --------------------------------------------------------------------------------------------


def ppca_noise_variance_reference(x: Tensor, k: int) -> float:
    """The noise variance of probabilistic PCA with k components, as maximum likelihood puts it.

    Args:
        x: rows, (N, D), not centred; N may be below D.
        k: components, 0 to D - 1.
    Returns:
        the mean of the D - k smallest eigenvalues of the rows' covariance.
    Source: Tipping & Bishop 1999, doi:10.1111/1467-9868.00196, equation 8.
    """
    offsets = x - x.mean(dim=0)
    rising = torch.linalg.eigvalsh(offsets.T @ offsets / len(offsets))
    return float(rising[: x.shape[1] - k].mean())


def _check_ppca_noise_variance(ppca_noise_variance: Callable) -> Result:
    def noise(x: Tensor, k: int) -> float:
        return number(call(ppca_noise_variance, x, k), "one number, the variance of the noise")

    scales = torch.tensor([5.0, 3.0, 2.0, 1.3, 0.9, 0.7, 0.4])
    turn = torch.linalg.qr(draw(7, 7, seed=1)).Q
    x = draw(3000, 7, seed=2) * scales @ turn.T + draw(7, seed=3, low=-9, high=9)
    _name_the_noise(noise(x, 2), x.double(), k=2)
    empty = call(ppca_noise_variance, x, 0)
    require(empty == empty, "with k = 0 it gives NaN: nothing is kept, and values[:-k] is empty for k = 0")
    none, all_of_it = number(empty), ppca_noise_variance_reference(x.double(), 0)
    require(close(none, all_of_it, rtol=0.003), "with k = 0 all variance is noise: the mean of all eigenvalues")
    wide = draw(900, 20, seed=4) * torch.linspace(0.5, 4, 20)
    for k in (4, 12):
        with fits(f"20 columns with k = {k} stop it: is a size fixed?"):
            found, right = noise(wide, k), ppca_noise_variance_reference(wide.double(), k)
        fixed = (
            f"20 columns with k = {k} give {found:.3g}, not {right:.3g}: is a size fixed? (NumPy's eig does not sort)"
        )
        require(close(found, right, rtol=0.004), fixed)
    _check_few_rows(noise)
    return Result(True, "It is the mean of the D - k smallest eigenvalues, directions without any variance counted.")


def _name_the_noise(found: float, x: Tensor, k: int) -> None:
    """Wrong, with the likely mistake that gives this number."""
    offsets, count = x - x.mean(0), len(x)
    values = torch.linalg.eigvalsh(offsets.T @ offsets / count).flip(0)  # largest first
    tail, D = values[k:], len(values)

    def tail_of(rows: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(rows.T @ rows / count)[: D - k].mean()

    singular = (tail * count).sqrt().mean()
    mistakes: dict[str, Any] = {
        "these are the *kept* eigenvalues: the noise is what is left": values[:k].mean(),
        "this is the sum of the discarded eigenvalues, the error of PCA: the noise is shared by D - k directions": tail.sum(),
        "this divides by all D directions: D - k share the noise": tail.sum() / D,
        "this divides by the rows: D - k directions share the noise": tail.sum() / (count - k),
        "the mean of all numbers was subtracted: every column has its own": tail_of(x - x.mean()),
        "this divides by k: D - k directions share the noise": tail.sum() / k,
        "this is the standard deviation: return the variance": tail.mean().sqrt(),
        "this is the smallest eigenvalue: take the mean of all that are discarded": tail.min(),
        "this is the largest discarded eigenvalue: take the mean of all of them": tail.max(),
        "this is the median of the discarded eigenvalues: take their mean": tail.median(),
        "the mean was not subtracted before the covariance": tail_of(x),
        f"{k + 1} eigenvalues were kept where {k} were asked": values[k + 1 :].mean(),
        f"{k - 1} eigenvalues were kept where {k} were asked": values[k - 1 :].mean(),
        "this is the mean of the k smallest: all but the k largest are discarded": values[-k:].mean(),
        "this is the mean of *all* eigenvalues: leave out the k largest": values.mean(),
        "the covariance was not divided by the number of rows": tail.mean() * count,
        "the columns were standardised: the noise is in the units of x": tail_of(offsets / offsets.std(0)),
        "these are singular values: eigenvalues of the covariance are their squares over N": singular,
        "this averages standard deviations: average the variances": tail.sqrt().mean(),
    }
    otherwise = f"for these rows it gives {found:.5g}, where the mean of the discarded eigenvalues is {tail.mean():.5g}"
    expect(found, tail.mean(), mistakes, otherwise, rtol=0.002)


def _check_few_rows(noise: Callable[[Tensor, int], float]) -> None:
    """Fewer rows than columns: eigenvalues of zero are discarded ones, too."""
    few = draw(40, 60, seed=5)
    found, right = noise(few, 3), ppca_noise_variance_reference(few.double(), 3)
    short = (
        f"40 rows of 60 columns give {found:.3g}, expected {right:.3g}: an SVD, or scikit-learn, knows at most 40 "
        "directions, but the directions without variance share the noise too, so divide by D - k"
    )
    require(math.isclose(found, right, rel_tol=0.04), short)


power_iteration = Exercise("power_iteration", power_iteration_reference, _check_power_iteration, torch.as_tensor)
principal_angles = Exercise("principal_angles", principal_angles_reference, _check_principal_angles, torch.as_tensor)
ppca_noise_variance = Exercise("ppca_noise_variance", ppca_noise_variance_reference, _check_ppca_noise_variance, float)
