"""A convolutional generator and discriminator for images of any shape, conditional on a class if asked."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepunsup_helpers.models.layers import map_shapes


class DCGANGenerator(nn.Module):
    """Noise to images: doublings of a small map, batch normalisation between, pixels through a sigmoid.

    Args:
        image_shape: (C, H, W), at least 4x4: two doublings up to 32 pixels, three up to 64, four up to 128; odd sizes are
            rounded up and cut.
        latent_dim: size of the noise z.
        width: channels of the last hidden map; each map before has twice as many, up to 8 width.
        classes: 0, or the number of classes for a conditional generator, which then takes labels.
    Raises:
        ValueError: an image under 4x4.
    Source: Radford, Metz & Chintala 2015, arXiv:1511.06434; conditional: Mirza & Osindero 2014, arXiv:1411.1784.

    DCGANGenerator((1, 28, 28)).sample(64)
    """

    def __init__(self, image_shape: Sequence[int], latent_dim: int = 64, width: int = 32, *, classes: int = 0):
        super().__init__()
        self.image_shape, self.latent_dim, self.classes = tuple(image_shape), latent_dim, classes
        self.config = dict(image_shape=list(image_shape), latent_dim=latent_dim, width=width, classes=classes)
        self.embed = nn.Embedding(classes, latent_dim) if classes else None
        small, *larger, image = map_shapes(image_shape, width)[::-1]
        layers = [nn.Linear(latent_dim * (2 if classes else 1), math.prod(small), bias=False), nn.Unflatten(1, small)]
        layers += [nn.BatchNorm2d(small[0]), nn.ReLU()]  # (N, 2 width, H/4, W/4) of a small image
        channels = small[0]
        for shape in larger:
            layers += [nn.ConvTranspose2d(channels, shape[0], 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(shape[0]), nn.ReLU()]
            channels = shape[0]
        layers += [nn.ConvTranspose2d(channels, image[0], 4, stride=2, padding=1), nn.Sigmoid()]  # (N, C, H, W)
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, latent_dim), and labels (N,) if conditional, to images (N, C, H, W) in (0, 1)."""
        _check_labels(self.classes, y)
        if self.embed is not None:
            z = torch.cat([z, self.embed(y)], dim=1)
        return self.layers(z)[:, :, : self.image_shape[1], : self.image_shape[2]]

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, *, generator: torch.Generator | None = None) -> Tensor:
        """n images in evaluation mode without gradients; the noise is drawn on the CPU, the same on every device."""
        device, training = next(self.parameters()).device, self.training
        z = torch.randn(n, self.latent_dim, generator=generator).to(device)
        self.eval()
        try:
            parts = zip(z.split(500), [None] * n if y is None else y.to(device).split(500))
            return torch.cat([self(noise, labels) for noise, labels in parts])
        finally:
            self.train(training)


class DCGANDiscriminator(nn.Module):
    """Images to one logit each, above 0 for real: strided convolutions, no batch normalisation.

    Batch normalisation in a discriminator makes an example's verdict depend on its neighbours in the batch, and a batch
    of fakes can then be told from a batch of reals by its statistics alone.

    Args:
        image_shape: (C, H, W), at least 4x4: three convolutions up to 32 pixels, four up to 64, five up to 128.
        width: channels of the first convolution, doubled by each further one, up to 8 width.
        classes: 0, or the number of classes; the logit then also asks whether image and label belong together.
    Raises:
        ValueError: an image under 4x4.
    Source: Radford, Metz & Chintala 2015, arXiv:1511.06434; projection of the label: Miyato & Koyama 2018, arXiv:1802.05637.

    discriminator_loss(D(real), D(fake.detach()))
    """

    def __init__(self, image_shape: Sequence[int], width: int = 32, *, classes: int = 0):
        super().__init__()
        self.classes = classes
        self.config = dict(image_shape=list(image_shape), width=width, classes=classes)
        shapes = map_shapes(image_shape, width, extra=1)
        layers, last = [], len(shapes) - 2
        for i, (before, after) in enumerate(zip(shapes[:-1], shapes[1:])):
            kernel = 3 if i == last else 5
            layers += [nn.Conv2d(before[0], after[0], kernel, stride=2, padding=kernel // 2), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers, nn.Flatten())  # (N, 4 width, H/8, W/8) of a small image, flattened
        size = math.prod(shapes[-1])
        self.head = nn.Linear(size, 1)
        self.embed = nn.Embedding(classes, size) if classes else None
        if classes:
            nn.init.zeros_(self.embed.weight)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, C, H, W), and labels (N,) if conditional, to logits (N,)."""
        _check_labels(self.classes, y)
        h = self.features(2 * x - 1)
        logits = self.head(h).squeeze(1)
        return logits if self.embed is None else logits + (self.embed(y) * h).sum(1)


def _check_labels(classes: int, y: Tensor | None) -> None:
    if bool(classes) != (y is not None):
        raise ValueError(f"classes={classes}: " + ("expected labels, got none." if classes else "expected no labels."))
