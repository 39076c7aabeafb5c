"""The nearest of many images, wherever a copy was moved to."""

import itertools

import torch
from torch import Tensor

from deepunsup_helpers.metrics.neighbours import nearest


def nearest_shifted(x, among, *, reach: int = 1) -> tuple[Tensor, Tensor]:
    """For each image of `x`, the nearest of `among` over all shifts: `distances, which = nearest_shifted(fake, x_train)`.

    A copy that is moved by one pixel is nearly as far from its original, pixel by pixel, as another image; here it is
    found at distance 0. What a shift moves out of the image comes in on the other side.

    Args:
        x: (N, C, H, W).
        among: (M, C, H, W).
        reach: how many pixels an image may be moved along each axis, both ways; 0 is `nearest`.
    Returns:
        (distances, indices), both (N,): Euclidean distances in the units of `x`, and the images of `among`.
    Raises:
        ValueError: these are no images, `reach` is negative, and what `nearest` raises.
    """
    x, among = torch.as_tensor(x), torch.as_tensor(among)
    if x.ndim != 4 or among.ndim != 4:
        raise ValueError(f"shapes {tuple(x.shape)} and {tuple(among.shape)}; expected images, (N, C, H, W), twice")
    if reach < 0:
        raise ValueError(f"reach={reach}; expected 0 or more pixels")
    shifts = itertools.product(range(-reach, reach + 1), repeat=2)
    found = [nearest(x.roll(shift, (2, 3)), among) for shift in shifts]
    distances, which = (torch.cat(part, dim=1) for part in zip(*found))  # (N, shifts)
    best = distances.argmin(dim=1, keepdim=True)
    return distances.gather(1, best)[:, 0], which.gather(1, best)[:, 0]
