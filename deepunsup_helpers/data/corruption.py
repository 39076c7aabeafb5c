"""Ways to spoil images: noise on every value, values stuck at black or white, values gone dark."""

import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError


def gaussian_noise(x: Tensor, sigma: float, *, generator: torch.Generator | None = None) -> Tensor:
    """x plus normal noise of standard deviation `sigma`, in the units of x; the result may leave the range of x.

    Args:
        x: any shape, floating point.
        sigma: at least 0.
        generator: on the device of x; by default the global one.
    Raises:
        DataError: a negative sigma.

    spoiled = gaussian_noise(x, 0.4)
    """
    if sigma < 0:
        raise DataError(f"sigma={sigma}; expected 0 or more")
    return x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def salt_and_pepper(x: Tensor, share: float, *, generator: torch.Generator | None = None) -> Tensor:
    """x in [0, 1] with a share of its values, drawn anew each time, set to 0 or to 1, half of them each.

    Args:
        x: any shape, floating point.
        share: from 0 to 1.
        generator: on the device of x; by default the global one.
    Raises:
        DataError: a share outside 0 to 1.

    spoiled = salt_and_pepper(x, 0.4)
    """
    _check_share(share)
    draw = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    black, white = draw < share / 2, draw >= 1 - share / 2
    return x.masked_fill(black, 0.0).masked_fill(white, 1.0)


def masking(x: Tensor, share: float, *, generator: torch.Generator | None = None) -> Tensor:
    """x with a share of its values, drawn anew each time, set to 0.

    Args:
        x: any shape, floating point.
        share: from 0 to 1.
        generator: on the device of x; by default the global one.
    Raises:
        DataError: a share outside 0 to 1.
    Source: Vincent et al. 2008, doi:10.1145/1390156.1390294.

    spoiled = masking(x, 0.5)
    """
    _check_share(share)
    return x.masked_fill(torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) < share, 0.0)


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise DataError(f"share={share}; expected 0 to 1")
