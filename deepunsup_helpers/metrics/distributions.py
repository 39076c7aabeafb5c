"""Real against generated, as two clouds of features. Name the extractor of the features with every score."""

from typing import NamedTuple

import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import centred, features


def frechet_distance(features_a, features_b) -> float:
    """Squared Frechet distance of the Gaussians fitted to two clouds: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    Squared, as papers report it under the name of a distance (the FID is this number on Inception's features). It falls
    with the number of examples even for the same distribution: compare clouds of one size only, and print the distance
    between two halves of the real data beside it. Scores from different extractors cannot be compared.

    Args:
        features_a, features_b: (N, D) and (M, D), N and M at least 2, in any unit.
    Returns:
        in the squared unit of the features, at least 0.
    Raises:
        ValueError: the clouds differ in D, one has fewer than two examples, or something is not finite.
    Source: Heusel and others 2017, arXiv:1706.08500; Dowson & Landau 1982, doi:10.1016/0047-259X(82)90077-X.

    frechet_distance(classifier.features(real), classifier.features(generated))
    """
    a, b = _two_clouds(features_a, features_b, least=2)
    (mean_a, cov_a), (mean_b, cov_b) = (
        (cloud.mean(0), torch.cov(cloud.T).reshape(cloud.shape[1], -1)) for cloud in (a, b)
    )
    # The eigenvalues of C_a C_b are those of the symmetric C_a^(1/2) C_b C_a^(1/2), which are real and not negative.
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(0.0, distance.item())


class PrecisionRecall(NamedTuple):
    precision: float  # fraction of the generated examples that lie where real ones do
    recall: float  # fraction of the real examples that lie where generated ones do


def precision_recall(real, generated, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall: is each example within the k-NN ball of some example of the other kind?

    Args:
        real, generated: features, (N, D) and (M, D), each of more than k examples.
        k: a ball reaches to its centre's k-th neighbour of the same kind.
    Returns:
        precision and recall, each 0 to 1.
    Raises:
        ValueError: the clouds differ in D, one has no more than k examples, or something is not finite.
    Source: Kynkaanniemi and others 2019, arXiv:1904.06991.

    precision_recall(classifier.features(real), classifier.features(generated)).recall
    """
    if k < 1:
        raise ValueError(f"k={k}: expected at least 1 neighbour.")
    real, generated = _two_clouds(real, generated, least=k + 1)
    return PrecisionRecall(_covered(generated, real, k), _covered(real, generated, k))


def _covered(points: Tensor, centres: Tensor, k: int) -> float:
    """The fraction of points inside a ball of some centre."""
    radius = torch.cat([torch.cdist(block, centres).kthvalue(k + 1, dim=1).values for block in centres.split(1000)])
    inside = [(torch.cdist(block, centres) <= radius).any(dim=1) for block in points.split(1000)]
    return torch.cat(inside).double().mean().item()


def _two_clouds(a, b, *, least: int) -> tuple[Tensor, Tensor]:
    a = features(a, name="the first cloud", device="cpu", dtype=torch.float64)
    b = features(b, name="the second cloud", device="cpu", dtype=torch.float64)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"the clouds have {a.shape[1]} and {b.shape[1]} features; expected the same extractor for both"
        )
    if min(len(a), len(b)) < least:
        raise ValueError(f"the clouds have {len(a)} and {len(b)} examples; expected at least {least} in each")
    return centred(a, b)
