"""The convolutional denoiser: nothing at first, any size, and what a pixel can see."""

import pytest
import torch

from deepunsup_helpers.models import ConvDenoiser
from deepunsup_helpers.saving import load_model, save_model


def shaken(**options):
    """A denoiser whose last layer is not zero."""
    torch.manual_seed(0)
    net = ConvDenoiser(1, width=6, **options)
    torch.nn.init.normal_(net.layers[-1].weight, std=0.1)
    return net


def test_untrained_it_returns_what_it_is_given_at_any_size():
    for shape in ((2, 3, 8, 9), (1, 3, 40, 17)):
        x = torch.rand(shape)
        assert torch.equal(ConvDenoiser(3)(x), x)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_pixel_sees_twice_the_depth_and_one(depth):
    x = torch.rand(1, 1, 21, 21, requires_grad=True)
    shaken(depth=depth)(x)[0, 0, 10, 10].backward()
    seen = x.grad[0, 0] != 0
    assert seen.any(0).nonzero().flatten().tolist() == list(range(10 - depth, 11 + depth))


def test_moving_the_image_moves_the_answer():
    x = torch.rand(1, 1, 30, 30)
    net = shaken(depth=3)
    moved = net(x.roll(2, 3))
    assert torch.allclose(moved[..., 8:22], net(x).roll(2, 3)[..., 8:22], atol=1e-6)


def test_it_is_saved_and_loaded(tmp_path):
    net = shaken(depth=4)
    loaded = load_model(save_model(net, tmp_path / "net.safetensors"))
    x = torch.rand(1, 1, 12, 12)
    assert torch.equal(loaded(x), net(x))


def test_too_shallow_is_said():
    with pytest.raises(ValueError, match="at least 2"):
        ConvDenoiser(1, depth=1)
