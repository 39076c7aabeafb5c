"""The nearest of many examples."""

import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import centred, features

CHUNK = 1000  # rows of distances in memory at a time


def nearest(x, among, *, k: int = 1) -> tuple[Tensor, Tensor]:
    """For each row of `x`, its `k` nearest rows of `among`, nearest first: `distances, which = nearest(fake, x_train)`.

    Args:
        x: (N, ...), flattened to one row an example.
        among: (M, ...), of the same size an example.
        k: 1 to M.
    Returns:
        (distances, indices), both (N, k): Euclidean distances in the units of `x`, and the rows of `among`. An example
        that is itself among them comes first, at distance 0.
    Raises:
        ValueError: sizes differ, `k` is out of its range, or a value is not finite.
    """
    x, among = features(x, name="x"), features(among, name="among")
    if x.shape[1] != among.shape[1]:
        raise ValueError(f"x has {x.shape[1]} numbers an example, among {among.shape[1]}; expected the same")
    if not 1 <= k <= len(among):
        raise ValueError(f"k={k} neighbours of {len(among)} examples; expected 1 to {len(among)}")
    among, x = centred(among, x.to(among.device))
    found = [torch.cdist(part, among).topk(k, largest=False) for part in x.split(CHUNK)]
    # products lose digits where two examples are nearly the same: the few distances found are computed anew
    which = torch.cat([indices for _, indices in found])
    exact = torch.cat([(part[:, None] - among[i]).norm(dim=2) for part, i in zip(x.split(CHUNK), which.split(CHUNK))])
    return exact, which
