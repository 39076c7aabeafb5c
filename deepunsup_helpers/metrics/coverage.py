"""Density and coverage: balls around real examples, counted so that one stray example cannot pass for many."""

import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import centred, features


def density(real, generated, *, k: int = 5) -> float:
    """In how many balls of real examples a generated one lies on average, divided by k.

    Where precision asks whether there is *any* ball, this counts them: the large ball of a stray real example is only one
    of many. It is about 1 where both follow one distribution, and not bounded by 1: samples that keep to the crowd have more.

    Args:
        real, generated: features, (N, D) and (M, D), N above k.
        k: a ball reaches to its centre's k-th neighbour among the other real examples.
    Returns:
        0 to N / k.
    Raises:
        ValueError: the clouds differ in D, one is too small, or something is not finite.
    Source: Naeem and others 2020, arXiv:2002.09797.

    density(classifier.features(real), classifier.features(generated))
    """
    real, generated, radius = _balls(real, generated, k)
    inside = sum(int((torch.cdist(part, real) <= radius).sum()) for part in generated.split(1000))
    return inside / (k * len(generated))


def coverage(real, generated, *, k: int = 5) -> float:
    """The share of real examples whose ball holds at least one generated example.

    Recall asks where the generated examples' own balls reach, and a few that lie far apart reach far. Here the balls are
    the real ones' and stay as they are, whatever is generated.

    Args:
        real, generated, k: as for `density`.
    Returns:
        0 to 1; for two samples of one distribution `expected_coverage` on average.
    Raises:
        ValueError: as `density`.
    Source: Naeem and others 2020, arXiv:2002.09797.

    coverage(classifier.features(real), classifier.features(generated))
    """
    real, generated, radius = _balls(real, generated, k)
    nearest = torch.cat([torch.cdist(part, generated).amin(dim=1) for part in real.split(1000)])
    return (nearest <= radius).double().mean().item()


def expected_coverage(n: int, m: int, *, k: int = 5) -> float:
    """The mean coverage of n real examples by m generated ones of the *same* continuous distribution, whatever it is.

    A real example is not covered if its k nearest among all n + m - 1 others are real: the chance of that is
    (n - 1) ... (n - k) / ((n + m - 1) ... (n + m - k)).

    Raises:
        ValueError: n is not above k, or m or k is below 1.
    Source: Naeem and others 2020, arXiv:2002.09797.

    expected_coverage(10_000, 10_000)  # 0.9688
    """
    if not (n > k >= 1 and m >= 1):
        raise ValueError(f"n={n}, m={m}, k={k}: expected n above k, and m and k at least 1.")
    missed = 1.0
    for i in range(1, k + 1):
        missed *= (n - i) / (n + m - i)
    return 1 - missed


def _balls(real, generated, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Both clouds as float64 on the CPU, and the radius around each real example, (N,)."""
    if k < 1:
        raise ValueError(f"k={k}: expected at least 1 neighbour.")
    real = features(real, name="the real cloud", device="cpu", dtype=torch.float64)
    generated = features(generated, name="the generated cloud", device="cpu", dtype=torch.float64)
    if real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"the clouds have {real.shape[1]} and {generated.shape[1]} features; expected the same extractor for both"
        )
    if len(real) <= k:
        raise ValueError(f"{len(real)} real examples; expected more than k = {k}")
    real, generated = centred(real, generated)
    # the nearest of a real example is itself
    radius = torch.cat([torch.cdist(part, real).kthvalue(k + 1, dim=1).values for part in real.split(1000)])
    return real, generated, radius
