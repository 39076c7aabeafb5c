"""How far a reconstruction is from its original."""

import math

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import pair


def mse(x, x_hat) -> float:
    """Mean squared error over every number of every example.

    Args:
        x: originals, (N, ...).
        x_hat: reconstructions, the same shape.
    Returns:
        squared units of x. Multiply by the numbers in one example for the sum that losses use.
    Raises:
        ValueError: the shapes differ; nothing is broadcast.
    """
    x, x_hat = pair(x, x_hat)
    return float((x_hat - x).square().mean())


def squared_error_per_example(x, x_hat) -> Tensor:
    """Squared error of each example, summed over what describes it.

    Args:
        x: originals, (N, ...).
        x_hat: reconstructions, the same shape.
    Returns:
        squared units of x, float64 on the CPU, (N,).
    Raises:
        ValueError: the shapes differ; nothing is broadcast.
    """
    x, x_hat = pair(x, x_hat)
    return (x_hat - x).square().reshape(len(x), -1).sum(dim=1)


def psnr(x, x_hat, data_range: float) -> float:
    """Peak signal-to-noise ratio, averaged over the examples.

    Args:
        x: originals, (N, ...).
        x_hat: reconstructions, the same shape.
        data_range: largest minus smallest value that x can take: 1.0 for images in [0, 1], 255 for bytes.
            It is not guessed from x, since a dark image would then score differently from a bright one.
    Returns:
        10 log10(data_range^2 / MSE) in decibels, the mean over examples; infinite if an example is exact.
    Raises:
        ValueError: the shapes differ, or `data_range` is not positive.
    """
    _require_range(data_range)
    x, x_hat = pair(x, x_hat)
    errors = (x_hat - x).square().reshape(len(x), -1).mean(dim=1)  # (N,)
    return float((10 * torch.log10(data_range**2 / errors)).mean())


def ssim(x, x_hat, data_range: float) -> float:
    """Structural similarity, averaged over windows and examples; computed by scikit-image.

    The window is a Gaussian of 11 x 11 pixels with standard deviation 1.5, as in the paper. Images with a side
    under 11 pixels get the largest odd window that fits and a standard deviation in proportion (`ssim_window`): for 8 x 8,
    7 x 7 and 0.9. Scores from different windows cannot be compared. Only windows that lie wholly inside the image
    count, as in the paper.

    Args:
        x: originals, (N, C, H, W).
        x_hat: reconstructions, the same shape.
        data_range: largest minus smallest value that x can take, 1.0 for images in [0, 1].
    Returns:
        from -1 to 1; 1 for identical images.
    Raises:
        ValueError: the shapes differ, are not (N, C, H, W), or a side is under 3 pixels.
    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity",
        doi:10.1109/TIP.2003.819861.
    """
    from skimage.metrics import structural_similarity

    _require_range(data_range)
    x, x_hat = pair(x, x_hat)
    if x.ndim != 4:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected images, shape (N, C, H, W)")
    _, sigma = ssim_window(x.shape[2], x.shape[3])
    options = {"data_range": float(data_range), "channel_axis": 0, "gaussian_weights": True, "sigma": sigma}
    scores = [
        structural_similarity(a, b, use_sample_covariance=False, **options)
        for a, b in zip(x.numpy(), x_hat.numpy(), strict=True)
    ]
    return float(np.mean(scores))


def ssim_window(height: int, width: int) -> tuple[int, float]:
    """The side of SSIM's square window and its Gaussian's standard deviation, in pixels.

    Raises:
        ValueError: a side is under 3 pixels, where no window has a structure to compare.
    """
    side = min(height, width)
    if side < 3:
        raise ValueError(f"SSIM needs images of at least 3 x 3 pixels; these are {height} x {width}")
    radius = min(5, (side - 1) // 2)
    return 2 * radius + 1, 0.3 * radius


def _require_range(data_range: float) -> None:
    if not (math.isfinite(data_range) and data_range > 0):
        raise ValueError(f"data_range is {data_range}; expected largest minus smallest possible value, above 0")
