"""The small pieces the models share."""

from collections.abc import Sequence

from torch import nn

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "identity": nn.Identity}


def make_activation(name: str) -> nn.Module:
    """A new activation layer by name.

    Raises:
        ValueError: the name is none of gelu, relu, tanh, silu, identity.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: expected one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()


def mlp(sizes: Sequence[int], activation: str = "gelu") -> nn.Sequential:
    """Linear layers of the given sizes with an activation between them, none after the last.

    Args:
        sizes: widths from input to output, at least two: `mlp([784, 256, 16])` maps (N, 784) to (N, 16).
        activation: see `make_activation`.
    """
    if len(sizes) < 2:
        raise ValueError(f"mlp needs at least an input and an output size, got {list(sizes)}.")
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(n_in, n_out), make_activation(activation)]
    return nn.Sequential(*layers[:-1])


def image_size(shape: Sequence[int]) -> int:
    """The number of values in one image of shape (C, H, W)."""
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape must be (channels, height, width), each at least 1, got {tuple(shape)}.")
    channels, height, width = shape
    return channels * height * width
