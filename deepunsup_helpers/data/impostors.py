"""Images that are no example of any class: noise, chimeras, blurs. A judge of generators must refuse them.

All draw from a CPU generator, so that they are the same on every device, and return values in [0, 1].
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def noise_images(n: int, image_shape: Sequence[int], *, generator: torch.Generator) -> Tensor:
    """Images without a cause, a third each: uniform pixels, sparse white dots, soft clouds.

    Args:
        n: how many.
        image_shape: (C, H, W).
    Returns:
        (n, C, H, W).
    """
    shape = (n, *image_shape)
    uniform = torch.rand(shape, generator=generator)
    dots = (torch.rand(shape, generator=generator) < 0.15).float()
    clouds = blur(torch.randn(shape, generator=generator), _sizes(image_shape)[0])
    clouds = (clouds / clouds.flatten(1).std(1).clamp_min(1e-6).reshape(-1, 1, 1, 1) * 0.4).clamp(0, 1)
    kind = torch.randint(0, 3, (n, 1, 1, 1), generator=generator)
    return torch.where(kind == 0, uniform, torch.where(kind == 1, dots, clouds))


def chimeras(x: Tensor, y: Tensor | None = None, *, generator: torch.Generator) -> Tensor:
    """Half of each image and half of another: every second pair laid over each other, the others cut and joined.

    Args:
        x: images, (N, C, H, W).
        y: labels, (N,); if given, the partner is of another class wherever one of ten draws finds such an image.
    Returns:
        (N, C, H, W).
    """
    n, height, width = len(x), x.shape[2], x.shape[3]
    partner = torch.randint(0, n, (10, n), generator=generator)
    if y is None:
        partner = partner[0]
    else:
        first = (y.cpu()[partner] != y.cpu()).float().argmax(0)  # the first draw of another class
        partner = partner.gather(0, first[None])[0]
    other = x[partner.to(x.device)]
    kind = torch.randint(0, 4, (n, 1, 1, 1), generator=generator).to(x.device)
    lower = (torch.arange(height, device=x.device) >= height // 2)[:, None].expand(height, width)
    right = (torch.arange(width, device=x.device) >= width // 2).expand(height, width)
    halves = torch.where(torch.where(kind == 0, lower, right), other, x)
    return torch.where(kind >= 2, (x + other) / 2, halves)


def blurs(x: Tensor) -> Tensor:
    """Each image as a moving average sees it: every second by about a sixth, the others by a quarter of its side."""
    small, large = _sizes(x.shape[1:])
    blurred = x.clone()
    blurred[::2], blurred[1::2] = blur(x[::2], small), blur(x[1::2], large)
    return blurred


def blur(x: Tensor, size: int) -> Tensor:
    """The mean over size x size pixels (size odd), zeros beyond the border. (N, C, H, W), same shape."""
    return functional.avg_pool2d(x, size, stride=1, padding=size // 2)


def _sizes(image_shape: Sequence[int]) -> tuple[int, int]:
    side = min(image_shape[1:])
    return max(3, round(side / 5.6) // 2 * 2 + 1), max(3, round(side / 4) // 2 * 2 + 1)
