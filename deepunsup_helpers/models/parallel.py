"""Several small networks of one form side by side, each with weights of its own: one multiplication serves all."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ParallelLinear(nn.Module):
    """`copies` linear layers, of which the k-th maps the k-th part of the input: (copies, N, n_in) to (copies, N, n_out).

    Layers this small cost a call each, not arithmetic: three games side by side take hardly longer than one.

    Args:
        copies: layers side by side, at least 1.
        n_in, n_out: sizes of one example, each at least 1.
    Weights begin as those of `nn.Linear` do, uniform up to 1 / sqrt(n_in), drawn from the global generator.
    Raises:
        ValueError: a number below 1.

    ParallelLinear(3, 2, 64)(torch.randn(3, 128, 2)).shape == (3, 128, 64)
    """

    def __init__(self, copies: int, n_in: int, n_out: int):
        super().__init__()
        if min(copies, n_in, n_out) < 1:
            raise ValueError(f"copies={copies}, n_in={n_in}, n_out={n_out}: expected at least 1 of each.")
        self.config = dict(copies=copies, n_in=n_in, n_out=n_out)
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(copies, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(copies, 1, n_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(copies, N, n_in) to (copies, N, n_out)."""
        return torch.baddbmm(self.bias, x, self.weight)


class ParallelWaves(nn.Module):
    """Appends random waves to an input, sin(x f) and cos(x f): a small network then learns fine detail in far fewer steps.

    Args:
        copies: networks side by side, each with frequencies of its own.
        n_in: size of one example.
        count: waves, at least 1.
        scale: standard deviation of the frequencies, in radians for a unit of x, above 0.
    Frequencies are drawn from the global generator and are not trained.
    Raises:
        ValueError: a number below 1, or a scale that is not above 0.
    Source: Tancik and others 2020, arXiv:2006.10739.

    ParallelWaves(3, 2, 32, 1.5)(torch.randn(3, 128, 2)).shape == (3, 128, 66)
    """

    def __init__(self, copies: int, n_in: int, count: int = 32, scale: float = 1.5):
        super().__init__()
        if min(copies, n_in, count) < 1 or not scale > 0:
            raise ValueError(
                f"copies={copies}, n_in={n_in}, count={count}, scale={scale}: expected at least 1, scale above 0."
            )
        self.config = dict(copies=copies, n_in=n_in, count=count, scale=scale)
        self.register_buffer("frequencies", scale * torch.randn(copies, n_in, count))

    def forward(self, x: Tensor) -> Tensor:
        """(copies, N, n_in) to (copies, N, n_in + 2 count)."""
        phase = x @ self.frequencies
        return torch.cat([x, phase.sin(), phase.cos()], -1)


def parallel_mlp(copies: int, sizes: Sequence[int], *, leak: float = 0.0) -> nn.Sequential:
    """Multilayer perceptrons side by side, with ReLU between their layers.

    Args:
        copies: networks, at least 1.
        sizes: widths from input to output, at least two: `parallel_mlp(3, [2, 64, 1])` maps (3, N, 2) to (3, N, 1).
        leak: the slope of ReLU below 0.
    Raises:
        ValueError: fewer than two sizes, or a number below 1.
    """
    if len(sizes) < 2:
        raise ValueError(f"parallel_mlp needs at least an input and an output size, got {list(sizes)}.")
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:]):
        layers += [ParallelLinear(copies, n_in, n_out), nn.LeakyReLU(leak)]
    return nn.Sequential(*layers[:-1])
