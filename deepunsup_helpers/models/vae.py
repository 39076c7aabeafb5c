"""Variational autoencoders: the encoder answers with a Gaussian, the decoder with the logits of a likelihood."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepunsup_helpers.models.layers import image_size, make_activation, mlp


class VAEOutput(NamedTuple):
    logits: Tensor  # (N, C, H, W): sigmoid(logits) is the image
    mu: Tensor  # (N, latent_dim), mean of q(z | x)
    logvar: Tensor  # (N, latent_dim), log variance of q(z | x)
    z: Tensor  # (N, latent_dim), one sample of q(z | x), in training and in evaluation alike


class VAE(nn.Module):
    """What both bodies share: split the encoder's answer, draw z, decode.

    The sample is drawn in evaluation too: the bound is an expectation over q, and feeding the decoder the mean instead
    flatters it (by about nine nats on MNIST).

    Source: Kingma & Welling 2013, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082.
    """

    encoder: nn.Module  # (N, C, H, W) to (N, 2 latent_dim)
    decoder: nn.Module  # (N, latent_dim) to (N, C, H, W)
    latent_dim: int

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar of q(z | x), each (N, latent_dim)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Logits of the pixels, (N, C, H, W)."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> VAEOutput:
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return VAEOutput(self.decode(z), mu, logvar, z)


class MLPVAE(VAE):
    """Fully connected VAE; the decoder mirrors the encoder.

    Args:
        image_shape: (C, H, W).
        latent_dim: numbers in z.
        hidden: widths between image and z; (400,) with ReLU is the small VAE that most tutorials train.
        activation: gelu, relu, tanh, silu or identity.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int, hidden: Sequence[int] = (400,), *, activation: str = "relu"
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.config = dict(
            image_shape=list(image_shape), latent_dim=latent_dim, hidden=list(hidden), activation=activation
        )
        pixels = image_size(image_shape)
        self.encoder = nn.Sequential(nn.Flatten(), *mlp([pixels, *hidden, 2 * latent_dim], activation))
        self.decoder = nn.Sequential(
            *mlp([latent_dim, *reversed(hidden), pixels], activation), nn.Unflatten(1, tuple(image_shape))
        )


class ConvVAE(VAE):
    """Convolutional VAE: two halvings each way, for any image of at least 4x4.

    Args:
        image_shape: (C, H, W); odd sizes are rounded up on the way down and cut on the way up.
        latent_dim: numbers in z.
        width: channels of the first convolution; the second has twice as many.
        activation: gelu, relu, tanh, silu or identity.
    """

    def __init__(self, image_shape: Sequence[int], latent_dim: int, width: int = 16, *, activation: str = "gelu"):
        super().__init__()
        image_size(image_shape)  # complains about a wrong shape
        channels, self.height, self.image_width = image_shape
        if min(self.height, self.image_width) < 4:
            raise ValueError(f"ConvVAE needs images of at least 4x4, got {self.height}x{self.image_width}.")
        self.latent_dim = latent_dim
        self.config = dict(image_shape=list(image_shape), latent_dim=latent_dim, width=width, activation=activation)
        small = (2 * width, math.ceil(self.height / 4), math.ceil(self.image_width / 4))
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            make_activation(activation),  # (N, width, H/2, W/2)
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            make_activation(activation),  # (N, 2 width, H/4, W/4)
            nn.Flatten(),
            nn.Linear(math.prod(small), 2 * latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, math.prod(small)),
            nn.Unflatten(1, small),
            make_activation(activation),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            make_activation(activation),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
        )

    def decode(self, z: Tensor) -> Tensor:
        """Logits of the pixels, (N, C, H, W)."""
        return self.decoder(z)[:, :, : self.height, : self.image_width]
