"""A convolutional generator and discriminator for images of any shape, conditional on a class if asked."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepunsup_helpers.models.layers import image_size


class DCGANGenerator(nn.Module):
    """Noise to images: two doublings of a small map, batch normalisation between, pixels through a sigmoid.

    Args:
        image_shape: (C, H, W), at least 4x4; odd sizes are cut from the next multiple of 4.
        latent_dim: size of the noise z.
        width: channels after the first doubling; the first map has twice as many.
        classes: 0, or the number of classes for a conditional generator, which then takes labels.
    Source: Radford, Metz & Chintala 2015, arXiv:1511.06434; conditional: Mirza & Osindero 2014, arXiv:1411.1784.
    """

    def __init__(self, image_shape: Sequence[int], latent_dim: int = 64, width: int = 32, *, classes: int = 0):
        super().__init__()
        height, image_width = _sides(image_shape)
        self.image_shape, self.latent_dim, self.classes = tuple(image_shape), latent_dim, classes
        self.config = dict(image_shape=list(image_shape), latent_dim=latent_dim, width=width, classes=classes)
        self.embed = nn.Embedding(classes, latent_dim) if classes else None
        small = (2 * width, math.ceil(height / 4), math.ceil(image_width / 4))
        self.layers = nn.Sequential(
            nn.Linear(latent_dim * (2 if classes else 1), math.prod(small), bias=False),
            nn.Unflatten(1, small),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),  # (N, 2 width, H/4, W/4)
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, image_shape[0], 4, stride=2, padding=1),
            nn.Sigmoid(),  # (N, C, H, W)
        )
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
    """Images to one logit each, above 0 for real: three strided convolutions, no batch normalisation.

    Batch normalisation in a discriminator makes an example's verdict depend on its neighbours in the batch, and a batch
    of fakes can then be told from a batch of reals by its statistics alone.

    Args:
        image_shape: (C, H, W), at least 4x4.
        width: channels of the first convolution, doubled by each further one.
        classes: 0, or the number of classes; the logit then also asks whether image and label belong together.
    Source: Radford, Metz & Chintala 2015, arXiv:1511.06434; projection of the label: Miyato & Koyama 2018, arXiv:1802.05637.
    """

    def __init__(self, image_shape: Sequence[int], width: int = 32, *, classes: int = 0):
        super().__init__()
        height, image_width = _sides(image_shape)
        self.classes = classes
        self.config = dict(image_shape=list(image_shape), width=width, classes=classes)
        for _ in range(3):
            height, image_width = math.ceil(height / 2), math.ceil(image_width / 2)
        self.features = nn.Sequential(
            nn.Conv2d(image_shape[0], width, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),  # (N, width, H/2, W/2)
            nn.Conv2d(width, 2 * width, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),  # (N, 2 width, H/4, W/4)
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),  # (N, 4 width, H/8, W/8)
            nn.Flatten(),
        )
        size = 4 * width * height * image_width
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


def _sides(image_shape: Sequence[int]) -> tuple[int, int]:
    image_size(image_shape)  # complains about a wrong shape
    if min(image_shape[1:]) < 4:
        raise ValueError(f"these convolutions need images of at least 4x4, got {image_shape[1]}x{image_shape[2]}.")
    return image_shape[1], image_shape[2]


def _check_labels(classes: int, y: Tensor | None) -> None:
    if bool(classes) != (y is not None):
        raise ValueError(f"classes={classes}: " + ("expected labels, got none." if classes else "expected no labels."))
