"""Deep clustering: how much a code belongs to each cluster, and what it is asked to become."""

import torch
from torch import Tensor

from deepunsup_helpers.losses.checks import at_least_float32


def soft_assignment(z: Tensor, centres: Tensor) -> Tensor:
    """Shares of codes in clusters by Student's t with one degree of freedom, 1 / (1 + squared distance), as sums of 1.

    Args:
        z: codes, (N, D).
        centres: (K, D).
    Returns:
        (N, K), above 0, each row adding up to 1.
    Raises:
        ValueError: the two are no tables of equally many columns.
    Source: Xie and others 2016, arXiv:1511.06335, equation 1.

    confidence, cluster = soft_assignment(net.encode(x), centres).max(1)
    """
    if z.ndim != 2 or centres.ndim != 2 or z.shape[1] != centres.shape[1]:
        raise ValueError(f"codes {tuple(z.shape)} and centres {tuple(centres.shape)}: expected (N, D) and (K, D).")
    z, centres = at_least_float32(z), at_least_float32(centres)
    near = 1 / (1 + (z[:, None] - centres).square().sum(2))
    return near / near.sum(1, keepdim=True)


def self_target(q: Tensor) -> Tensor:
    """DEC's target: shares squared, divided by the clusters' sizes, each row adding up to 1 again. Carries no gradient.

    Args:
        q: shares, (N, K), each row adding up to 1; of all rows, since sizes are those of the whole set.
    Returns:
        (N, K).
    Raises:
        ValueError: q is no table.
    Source: Xie and others 2016, arXiv:1511.06335, equation 3.

    p = self_target(soft_assignment(z, centres))
    """
    if q.ndim != 2:
        raise ValueError(f"shares {tuple(q.shape)}: expected (N, K).")
    q = at_least_float32(q)
    with torch.no_grad():
        weight = q.square() / q.sum(0).clamp_min(torch.finfo(q.dtype).tiny)
        return weight / weight.sum(1, keepdim=True)
