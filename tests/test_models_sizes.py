"""Convolutions follow the image: deep where it is large, the same shape back, and images drawn from the prior."""

import pytest
import torch

from deepunsup_helpers import models
from deepunsup_helpers.models.layers import halvings, map_shapes

SHAPES = [(1, 4, 4), (3, 33, 40), (1, 64, 64), (3, 100, 75), (3, 128, 128), (1, 5, 300)]


@pytest.mark.parametrize(
    "side, times", [(4, 2), (8, 2), (28, 2), (32, 2), (33, 3), (64, 3), (65, 4), (128, 4), (256, 5)]
)
def test_an_image_is_halved_until_its_shorter_side_is_at_most_eight(side, times):
    assert halvings((1, side, side)) == halvings((3, side, 3 * side)) == times
    assert len(map_shapes((1, side, side), 8)) == times + 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_convolutional_model_takes_every_size(shape):
    torch.manual_seed(0)
    x = torch.rand(2, *shape)
    assert models.ConvAutoencoder(shape, 3, width=4)(x).x_hat.shape == x.shape
    vae = models.ConvVAE(shape, 3, width=4)
    assert vae(x).logits.shape == x.shape and vae.sample(2).shape == x.shape
    assert models.ConvClassifier(shape, 5, width=4)(x).shape == (2, 5)
    fake = models.DCGANGenerator(shape, 3, width=4)(torch.randn(2, 3))
    assert fake.shape == x.shape and models.DCGANDiscriminator(shape, width=4)(fake).shape == (2,)


@pytest.mark.parametrize(
    "model", [models.ConvAutoencoder, models.ConvVAE, models.ConvClassifier, models.DCGANGenerator]
)
def test_what_is_too_small_for_convolutions_is_said(model):
    with pytest.raises(ValueError, match="at least 4x4, got 3x8; choose image_size"):
        model((1, 3, 8), 2)


@pytest.mark.parametrize("make", [models.MLPVAE, models.ConvVAE])
def test_a_vae_draws_what_its_decoder_makes_of_the_prior(make):
    torch.manual_seed(0)
    vae = make((1, 8, 8), 3)
    draw = lambda: vae.sample(700, generator=torch.Generator().manual_seed(1))
    x = draw()
    assert torch.equal(x, draw()) and not x.requires_grad and 0 <= x.min() and x.max() <= 1
    z = torch.randn(700, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(x, vae.decode(z).sigmoid().detach(), rtol=0, atol=1e-6)
    assert vae.sample(0).shape == (0, 1, 8, 8)
