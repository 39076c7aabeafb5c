"""Variational autoencoders: the encoder answers with a Gaussian, the decoder with the logits of a likelihood."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepunsup_helpers.models.layers import conv_decoder, conv_encoder, image_size, mlp


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

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n images sigmoid(logits) in [0, 1] of codes z ~ N(0, I), (n, C, H, W), without gradients, on the model's device.

        They are the decoder's means, as papers show them: no noise of the likelihood is added. The codes are drawn on the
        CPU, from `generator` or the global one, so they are the same on every device.
        """
        device = next(self.parameters()).device
        z = torch.randn(n, self.latent_dim, generator=generator)
        return torch.cat([self.decode(part.to(device)).sigmoid() for part in z.split(500)])


class MLPVAE(VAE):
    """Fully connected VAE; the decoder mirrors the encoder.

    Args:
        image_shape: (C, H, W).
        latent_dim: numbers in z.
        hidden: widths between image and z; (400,) with ReLU is the small VAE that most tutorials train.
        activation: gelu, relu, tanh, silu or identity.
    Raises:
        ValueError: a wrong shape, or an unknown activation.

    vae_loss(MLPVAE((1, 28, 28), latent_dim=20)(x), x)
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
    """Convolutional VAE for any image of at least 4x4: as deep as the image is large.

    The image is halved twice up to 32 pixels, three times up to 64, four times up to 128, and so on.

    Args:
        image_shape: (C, H, W); odd sizes are rounded up on the way down and cut on the way up.
        latent_dim: numbers in z.
        width: channels of the first convolution; each further one has twice as many, up to 8 width.
        activation: gelu, relu, tanh, silu or identity.
    Raises:
        ValueError: an image under 4x4, or an unknown activation.

    vae_loss(ConvVAE((3, 128, 128), latent_dim=32)(x), x)
    """

    def __init__(self, image_shape: Sequence[int], latent_dim: int, width: int = 16, *, activation: str = "gelu"):
        super().__init__()
        self.latent_dim = latent_dim
        self.config = dict(image_shape=list(image_shape), latent_dim=latent_dim, width=width, activation=activation)
        self.image_shape = tuple(image_shape)
        self.encoder = conv_encoder(image_shape, 2 * latent_dim, width, activation)
        self.decoder = conv_decoder(latent_dim, image_shape, width, activation)

    def decode(self, z: Tensor) -> Tensor:
        """Logits of the pixels, (N, C, H, W)."""
        return self.decoder(z)[:, :, : self.image_shape[1], : self.image_shape[2]]
