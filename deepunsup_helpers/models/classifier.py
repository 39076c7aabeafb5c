"""A small convolutional classifier whose last hidden layer serves as features for scores of generators."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from deepunsup_helpers.models.layers import map_shapes


class ConvClassifier(nn.Module):
    """Images to one logit a class: strided convolutions, one hidden layer. Learns strokes or MNIST in seconds.

    Args:
        image_shape: (C, H, W), at least 4x4; two convolutions up to 32 pixels, three up to 64, four up to 128.
        classes: number of logits.
        width: channels of the first convolution; each further one has twice as many, up to 8 width.
        features: size of the hidden layer, which `features(x)` returns.
    Raises:
        ValueError: an image under 4x4.

    functional.cross_entropy(ConvClassifier((1, 28, 28), classes=10)(x), y)
    """

    def __init__(self, image_shape: Sequence[int], classes: int, width: int = 24, *, features: int = 64):
        super().__init__()
        self.config = dict(image_shape=list(image_shape), classes=classes, width=width, features=features)
        shapes, layers = map_shapes(image_shape, width), []
        for before, after in zip(shapes[:-1], shapes[1:]):
            kernel = 3 if layers else 5
            layers += [nn.Conv2d(before[0], after[0], kernel, stride=2, padding=kernel // 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(shapes[-1]), features), nn.ReLU())
        self.head = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to the last hidden layer, (N, features), at least 0."""
        return self.layers(2 * x - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to logits, (N, classes)."""
        return self.head(self.features(x))
