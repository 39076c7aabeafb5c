"""Autoencoders: an encoder to a few numbers, a decoder back. Two bodies, one interface."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from deepunsup_helpers.models.layers import image_size, make_activation, mlp


class AutoencoderOutput(NamedTuple):
    x_hat: Tensor  # (N, C, H, W)
    z: Tensor  # (N, latent_dim)


def output_layer(name: str) -> nn.Module:
    """What stands after the decoder: "sigmoid" keeps pixels in (0, 1), "linear" leaves them free."""
    if name not in ("sigmoid", "linear"):
        raise ValueError(f"unknown output {name!r}: expected sigmoid or linear.")
    return nn.Sigmoid() if name == "sigmoid" else nn.Identity()


class MLPAutoencoder(nn.Module):
    """Fully connected autoencoder; the decoder mirrors the encoder.

    Args:
        image_shape: (C, H, W).
        latent_dim: size of the code.
        hidden: widths between image and code, e.g. (256, 64); () is a single layer each way.
        activation: gelu, relu, tanh, silu or identity.
        output: "sigmoid" for pixels in [0, 1], "linear" for anything.
    Source: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        hidden: Sequence[int] = (256, 64),
        *,
        activation: str = "gelu",
        output: str = "sigmoid",
    ):
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.config = dict(
            image_shape=list(image_shape),
            latent_dim=latent_dim,
            hidden=list(hidden),
            activation=activation,
            output=output,
        )
        sizes = [image_size(image_shape), *hidden, latent_dim]
        self.encoder = mlp(sizes, activation)
        self.decoder = nn.Sequential(mlp(sizes[::-1], activation), output_layer(output))

    def encode(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, latent_dim)."""
        return self.encoder(x.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        return self.decoder(z).unflatten(1, self.image_shape)

    def forward(self, x: Tensor) -> AutoencoderOutput:
        z = self.encode(x)
        return AutoencoderOutput(self.decode(z), z)


class ConvAutoencoder(nn.Module):
    """Convolutional autoencoder: two halvings of the image each way, for any image of at least 4x4.

    Odd sizes are rounded up on the way down and cut on the way up, so the output has the input's shape.

    Args:
        image_shape: (C, H, W).
        latent_dim: size of the code.
        width: channels of the first convolution; the second has twice as many.
        activation: gelu, relu, tanh, silu or identity.
        output: "sigmoid" for pixels in [0, 1], "linear" for anything.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        width: int = 16,
        *,
        activation: str = "gelu",
        output: str = "sigmoid",
    ):
        super().__init__()
        image_size(image_shape)  # complains about a wrong shape
        channels, height, image_width = image_shape
        if min(height, image_width) < 4:
            raise ValueError(f"ConvAutoencoder needs images of at least 4x4, got {height}x{image_width}.")
        self.image_shape = tuple(image_shape)
        self.config = dict(
            image_shape=list(image_shape), latent_dim=latent_dim, width=width, activation=activation, output=output
        )
        small = (2 * width, math.ceil(height / 4), math.ceil(image_width / 4))
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            make_activation(activation),  # (N, width, H/2, W/2)
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            make_activation(activation),  # (N, 2 width, H/4, W/4)
            nn.Flatten(),
            nn.Linear(math.prod(small), latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, math.prod(small)),
            nn.Unflatten(1, small),
            make_activation(activation),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            make_activation(activation),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            output_layer(output),
        )

    def encode(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, latent_dim)."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        _, height, width = self.image_shape
        return self.decoder(z)[:, :, :height, :width]

    def forward(self, x: Tensor) -> AutoencoderOutput:
        z = self.encode(x)
        return AutoencoderOutput(self.decode(z), z)
