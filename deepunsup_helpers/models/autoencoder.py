"""Autoencoders: an encoder to a few numbers, a decoder back. Two bodies, one interface."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from deepunsup_helpers.models.layers import conv_decoder, conv_encoder, image_size, mlp


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
    Raises:
        ValueError: a wrong shape, an unknown activation or output.
    Source: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647.

    x_hat, z = MLPAutoencoder((1, 28, 28), latent_dim=8)(x)
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
    """Convolutional autoencoder for any image of at least 4x4: as deep as the image is large.

    The image is halved twice up to 32 pixels, three times up to 64, four times up to 128, and so on. Odd sizes are rounded
    up on the way down and cut on the way up, so the output has the input's shape.

    Args:
        image_shape: (C, H, W).
        latent_dim: size of the code.
        width: channels of the first convolution; each further one has twice as many, up to 8 width.
        activation: gelu, relu, tanh, silu or identity.
        output: "sigmoid" for pixels in [0, 1], "linear" for anything.
    Raises:
        ValueError: an image under 4x4, an unknown activation or output.

    x_hat, z = ConvAutoencoder((3, 128, 128), latent_dim=64)(x)
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
        self.image_shape = tuple(image_shape)
        self.config = dict(
            image_shape=list(image_shape), latent_dim=latent_dim, width=width, activation=activation, output=output
        )
        self.encoder = conv_encoder(image_shape, latent_dim, width, activation)
        self.decoder = conv_decoder(latent_dim, image_shape, width, activation).append(output_layer(output))

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
