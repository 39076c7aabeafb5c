"""A small convolutional classifier whose last hidden layer serves as features for scores of generators."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from deepunsup_helpers.models.layers import image_size


class ConvClassifier(nn.Module):
    """Images to one logit a class: two strided convolutions, one hidden layer. Learns strokes or MNIST in seconds.

    Args:
        image_shape: (C, H, W).
        classes: number of logits.
        width: channels of the first convolution; the second has twice as many.
        features: size of the hidden layer, which `features(x)` returns.
    """

    def __init__(self, image_shape: Sequence[int], classes: int, width: int = 24, *, features: int = 64):
        super().__init__()
        image_size(image_shape)  # complains about a wrong shape
        self.config = dict(image_shape=list(image_shape), classes=classes, width=width, features=features)
        channels, height, image_width = image_shape
        small = math.ceil(height / 4) * math.ceil(image_width / 4)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2),
            nn.ReLU(),  # (N, width, H/2, W/2)
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),  # (N, 2 width, H/4, W/4)
            nn.Flatten(),
            nn.Linear(2 * width * small, features),
            nn.ReLU(),  # (N, features)
        )
        self.head = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to the last hidden layer, (N, features), at least 0."""
        return self.layers(2 * x - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to logits, (N, classes)."""
        return self.head(self.features(x))
