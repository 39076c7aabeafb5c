"""The two players of an adversarial game, for points in the plane and other short vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepunsup_helpers.models.layers import mlp


class MLPGenerator(nn.Module):
    """Noise to vectors by a multilayer perceptron: x = G(z), z ~ N(0, I).

    Args:
        latent_dim: size of the noise z.
        data_dim: size of one example.
        hidden: widths between them.
        activation: gelu, relu, tanh, silu or identity.
    Raises:
        ValueError: an unknown activation.
    Source: Goodfellow and others 2014, arXiv:1406.2661.

    MLPGenerator(latent_dim=2, data_dim=2).sample(500)
    """

    def __init__(
        self, latent_dim: int = 2, data_dim: int = 2, hidden: Sequence[int] = (64, 64), *, activation: str = "relu"
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.config = dict(latent_dim=latent_dim, data_dim=data_dim, hidden=list(hidden), activation=activation)
        self.layers = mlp([latent_dim, *hidden, data_dim], activation)

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent_dim) to (N, data_dim)."""
        return self.layers(z)

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n examples without gradients, (n, data_dim), on the model's device.

        The noise is drawn on the CPU, from `generator` or from the global one, so it is the same on every device.
        """
        device = next(self.parameters()).device
        return self(torch.randn(n, self.latent_dim, generator=generator).to(device))


class MLPDiscriminator(nn.Module):
    """Is it real? One logit for each group of `pack` examples: above 0 means real.

    With `pack` above 1 the discriminator is shown several examples of one origin at once and can see that they resemble each
    other too much (PacGAN). Group i is rows i * pack to (i + 1) * pack - 1 of the batch.

    Args:
        data_dim: size of one example.
        hidden: widths between example and logit.
        pack: examples shown together.
        activation: gelu, relu, tanh, silu or identity.
    Raises:
        ValueError: pack under 1, or an unknown activation.
    Source: Goodfellow and others 2014, arXiv:1406.2661; `pack`: Lin and others 2018, arXiv:1712.04086.

    discriminator_loss(D(real), D(fake.detach()))
    """

    def __init__(self, data_dim: int = 2, hidden: Sequence[int] = (64, 64), *, pack: int = 1, activation: str = "relu"):
        super().__init__()
        if pack < 1:
            raise ValueError(f"pack={pack}: expected how many examples are shown together, at least 1.")
        self.pack = pack
        self.config = dict(data_dim=data_dim, hidden=list(hidden), pack=pack, activation=activation)
        self.layers = mlp([pack * data_dim, *hidden, 1], activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, data_dim) to logits, (N / pack,).

        Raises:
            ValueError: N is no multiple of `pack`.
        """
        if len(x) % self.pack:
            raise ValueError(
                f"a batch of {len(x)} does not fall into groups of pack={self.pack}: choose a batch size "
                "that does, and Batches(..., drop_last=True)."
            )
        return self.layers(x.reshape(len(x) // self.pack, -1)).squeeze(1)  # (N / pack, pack * data_dim) to (N / pack,)
