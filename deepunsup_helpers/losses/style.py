"""Style as second moments of feature maps: Gram matrices, the loss between them, and adaptive instance normalisation."""

import torch
from torch import Tensor

from deepunsup_helpers.losses.checks import at_least_float32, require_examples


def gram_matrix(h: Tensor) -> Tensor:
    """Mean products of pairs of channels over all positions of each image.

    Args:
        h: feature maps (N, C, H, W).
    Returns:
        (N, C, C), symmetric; unchanged where positions are shuffled.
    Raises:
        ValueError: no such maps, or none.
    Source: Gatys and others 2015, arXiv:1508.06576, here divided by the number of positions.

    gram_matrix(torch.rand(8, 16, 14, 14)).shape == (8, 16, 16)
    """
    if h.ndim != 4:
        raise ValueError(f"gram_matrix: h is {tuple(h.shape)}; expected feature maps (N, C, H, W).")
    require_examples("gram_matrix", "h", h)
    flat = at_least_float32(h).flatten(2)
    return flat @ flat.mT / flat.shape[2]


def style_loss(h: Tensor, goal: Tensor) -> Tensor:
    """Squared distance of the batch's mean Gram matrix from a goal.

    With the goal of other maps it is the squared maximum mean discrepancy of the two clouds of feature vectors with the
    kernel k(a, b) = (a . b)^2.

    Args:
        h: feature maps (N, C, H, W).
        goal: (C, C), a mean Gram matrix.
    Returns:
        0-d tensor, at least 0.
    Raises:
        ValueError: the shapes do not fit.
    Source: Li and others 2017, arXiv:1701.01036.

    style_loss(maps(x), gram_matrix(maps(style)).mean(0))
    """
    found = gram_matrix(h).mean(0)
    if found.shape != goal.shape:
        raise ValueError(f"style_loss: goal is {tuple(goal.shape)}; expected {tuple(found.shape)} for these maps.")
    return (found - goal).square().sum()


def adain(content: Tensor, style: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Content maps with the style's mean and standard deviation in each channel of each image.

    Args:
        content: (N, C, H, W).
        style: (N, C, H', W') or (1, C, H', W').
        eps: added to the content's deviation; above 0.
    Returns:
        (N, C, H, W).
    Raises:
        ValueError: no such maps, or unlike numbers of channels.
    Source: Huang and Belongie 2017, arXiv:1703.06868, equation 8.

    adain(maps(photo), maps(painting))
    """
    if content.ndim != 4 or style.ndim != 4 or content.shape[1] != style.shape[1]:
        raise ValueError(f"adain: {tuple(content.shape)} and {tuple(style.shape)}; expected maps of as many channels.")
    require_examples("adain", "content", content)
    (deviation, mean), (to_deviation, to_mean) = (
        torch.std_mean(at_least_float32(h), dim=(2, 3), correction=0, keepdim=True) for h in (content, style)
    )
    return (content - mean) / (deviation + eps) * to_deviation + to_mean
