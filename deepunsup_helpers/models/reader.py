"""A reader of true factors: a small network that learns from drawn images what made them, such as slant and pen width."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepunsup_helpers.models.classifier import ConvClassifier


class FactorReader(nn.Module):
    """Images to factors in their own units. Train it on standardised factors, `standardise(y)` against `score(x)`.

    Args:
        image_shape: (C, H, W), at least 4x4.
        mean, deviation: of each factor on the training images, K numbers each; deviations above 0.
        width: channels of the first convolution.
    Raises:
        ValueError: unlike numbers of means and deviations, or a deviation that is not above 0.

    functional.mse_loss(reader.score(x), reader.standardise(factors))
    """

    def __init__(
        self, image_shape: Sequence[int], mean: Sequence[float], deviation: Sequence[float], *, width: int = 16
    ):
        super().__init__()
        mean, deviation = [float(v) for v in mean], [float(v) for v in deviation]
        if len(mean) != len(deviation) or not mean or min(deviation) <= 0:
            raise ValueError(f"{len(mean)} means, deviations {deviation}; expected as many, each deviation above 0.")
        self.config = dict(image_shape=list(image_shape), mean=mean, deviation=deviation, width=width)
        self.network = ConvClassifier(image_shape, len(mean), width=width)
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def standardise(self, factors: Tensor) -> Tensor:
        """(N, K) in the factors' units to mean 0 and deviation 1."""
        return (factors - self.mean) / self.deviation

    def score(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to standardised factors, (N, K)."""
        return self.network(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to factors in their units, (N, K)."""
        return self.score(x) * self.deviation + self.mean
