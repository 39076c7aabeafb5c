"""The small pieces the models share."""

import math
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
    """The number of values in one image of shape (C, H, W).

    Raises:
        ValueError: it is no such shape.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape must be (channels, height, width), each at least 1, got {tuple(shape)}.")
    return math.prod(shape)


def halvings(image_shape: Sequence[int]) -> int:
    """How often strided convolutions halve an image of shape (C, H, W): until its shorter side is at most 8, at least twice.

    Twice up to 32 pixels, three times up to 64, four times up to 128.

    Raises:
        ValueError: it is no such shape, or a side is under 4 pixels.
    """
    image_size(image_shape)
    side = min(image_shape[1:])
    if side < 4:
        height, width = image_shape[1:]
        raise ValueError(
            f"convolutions need images of at least 4x4, got {height}x{width}; choose image_size=4 or more."
        )
    return max(2, math.ceil(math.log2(side / 8)))


def map_shapes(image_shape: Sequence[int], width: int, *, extra: int = 0) -> list[tuple[int, int, int]]:
    """The (C, H, W) of an image and of its map after each halving: `width` channels, then twice as many each, at most 8 width.

    Odd sides are rounded up; `extra` halvings come on top.

    map_shapes((1, 28, 28), 16) == [(1, 28, 28), (16, 14, 14), (32, 7, 7)]
    """
    shapes = [tuple(image_shape)]
    for i in range(halvings(image_shape) + extra):
        height, image_width = (math.ceil(side / 2) for side in shapes[-1][1:])
        shapes.append((width * min(2**i, 8), height, image_width))
    return shapes


def conv_encoder(image_shape: Sequence[int], size: int, width: int, activation: str) -> nn.Sequential:
    """Images (N, C, H, W) to (N, size): strided convolutions as `map_shapes` says, and a linear layer."""
    shapes, layers = map_shapes(image_shape, width), []
    for before, after in zip(shapes[:-1], shapes[1:]):
        layers += [nn.Conv2d(before[0], after[0], 3, stride=2, padding=1), make_activation(activation)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(shapes[-1]), size))


def conv_decoder(size: int, image_shape: Sequence[int], width: int, activation: str) -> nn.Sequential:
    """The way back, (N, size) to (N, C, H', W'): odd sides come out rounded up and are for the model to cut."""
    shapes = map_shapes(image_shape, width)[::-1]
    layers: list[nn.Module] = [nn.Linear(size, math.prod(shapes[0])), nn.Unflatten(1, shapes[0])]
    for before, after in zip(shapes[:-1], shapes[1:]):
        layers += [make_activation(activation), nn.ConvTranspose2d(before[0], after[0], 4, stride=2, padding=1)]
    return nn.Sequential(*layers)
