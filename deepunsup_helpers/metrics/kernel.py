"""The kernel distance of two clouds of features, which needs no Gaussian and has no bias."""

import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import features


def kernel_distance(features_a, features_b) -> float:
    """Squared maximum mean discrepancy with the kernel k(x, y) = (x . y / D + 1)^3, estimated without bias.

    On average over draws it is the distance of the two distributions, whatever the number of examples; for equal ones it
    is below 0 about as often as above. Scores from different extractors cannot be compared. (On Inception's features this
    is the KID. Papers often print it times 100 or 1,000, and average it over many small blocks.)

    Args:
        features_a, features_b: (N, D) and (M, D), N and M at least 2.
    Returns:
        mean k(a, a') over pairs of different examples + mean k(b, b') likewise - 2 mean k(a, b); may be negative.
    Raises:
        ValueError: the clouds differ in D, one has fewer than two examples, or something is not finite.
    Source: Gretton and others 2012, lemma 6; Binkowski and others 2018, arXiv:1801.01401.

    kernel_distance(classifier.features(real), classifier.features(generated))
    """
    a, b = _pair_of_clouds(features_a, features_b)
    n, m = len(a), len(b)
    within_a, within_b = _kernel(a, a), _kernel(b, b)
    a_pairs = (within_a.sum() - within_a.trace()) / (n * (n - 1))
    b_pairs = (within_b.sum() - within_b.trace()) / (m * (m - 1))
    return (a_pairs + b_pairs - 2 * _kernel(a, b).mean()).item()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _pair_of_clouds(a, b) -> tuple[Tensor, Tensor]:
    """Both as float64 on the CPU; not centred, since the kernel is not the same elsewhere."""
    a = features(a, name="the first cloud", device="cpu", dtype=torch.float64)
    b = features(b, name="the second cloud", device="cpu", dtype=torch.float64)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"the clouds have {a.shape[1]} and {b.shape[1]} features; expected the same extractor for both"
        )
    if min(len(a), len(b)) < 2:
        raise ValueError(f"the clouds have {len(a)} and {len(b)} examples; expected at least 2 in each")
    return a, b
