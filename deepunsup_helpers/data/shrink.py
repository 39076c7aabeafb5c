"""How a small image is made of a large one; a score of an enlargement means nothing without it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from deepunsup_helpers.data.dataset import DataError

WAYS = ("area", "bicubic", "skip")


def shrink(x: Tensor, factor: int, how: str = "area") -> Tensor:
    """Images `factor` times smaller, each side rounded down: rows and columns that are left over are cut off first.

    Args:
        x: (N, C, H, W) in [0, 1], each side at least `factor`.
        factor: a whole number, at least 1.
        how: "area" is the mean of each square of factor x factor pixels, as a camera's larger pixels see it. "bicubic"
            is torch's anti-aliased bicubic, clamped to [0, 1], as most papers on super-resolution shrink. "skip" keeps
            one pixel of each square, the one right below its middle, and loses whatever lies between.
    Returns:
        (N, C, H // factor, W // factor) in [0, 1].
    Raises:
        DataError: another `how`, or an image that is smaller than one square.
    """
    if how not in WAYS:
        raise DataError(f"how={how!r} must be one of {', '.join(map(repr, WAYS))}")
    height, width = (side // factor for side in x.shape[-2:])
    if not (height and width):
        sides = "x".join(map(str, x.shape[-2:]))
        raise DataError(f"images of {sides} pixels cannot be made {factor} times smaller; choose a smaller factor")
    x = x[..., : height * factor, : width * factor]
    if how == "area":
        return F.avg_pool2d(x, factor)
    if how == "bicubic":
        small = F.interpolate(x, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
        return small.clamp(0, 1)
    return x[..., factor // 2 :: factor, factor // 2 :: factor].clone(memory_format=torch.contiguous_format)
