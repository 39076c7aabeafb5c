"""What the losses share: errors that name the shapes, and a type wide enough for sums and logarithms."""

import torch
from torch import Tensor


def require_same(function: str, **tensors: Tensor) -> None:
    """Raises ValueError unless both tensors have one shape, with at least one example; nothing is broadcast."""
    (first, a), (second, b) = tensors.items()
    if a.shape != b.shape:
        raise ValueError(
            f"{function}: {first} is {tuple(a.shape)} and {second} is {tuple(b.shape)}; the shapes must agree."
        )
    require_examples(function, first, a)


def require_examples(function: str, name: str, tensor: Tensor) -> None:
    """Raises ValueError for an empty batch, whose mean would be NaN."""
    if tensor.numel() == 0:
        raise ValueError(f"{function}: {name} is empty, {tuple(tensor.shape)}; expected at least one example.")


def at_least_float32(x: Tensor) -> Tensor:
    """x itself in float32 and float64; bfloat16, float16 and whole numbers as float32.

    bfloat16 keeps eight bits: exp(l) - l - 1 near 0 and the sum over 784 pixels have none of them left.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))
