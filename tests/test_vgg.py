"""VGG's first layers from a file: torchvision's own values, grey as colour, and what a wrong file says."""

import pytest
import torch
from torchvision.models import vgg16

from deepunsup_helpers.models.vgg import vgg16_layers


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained VGG's first layers, saved as torchvision saves a whole one."""
    torch.manual_seed(0)
    with torch.device("meta"):
        layers = vgg16(weights=None).features[:9]
    layers = layers.to_empty(device="cpu")
    for p in layers.parameters():
        torch.nn.init.normal_(p, std=0.1)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save({f"features.{name}": p for name, p in layers.state_dict().items()}, path)
    return path, layers


def test_it_gives_what_torchvision_gives_on_standardised_images(weights):
    path, layers = weights
    x = torch.rand(2, 3, 12, 10)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    by_hand = ((x.permute(0, 2, 3, 1) - mean) / deviation).permute(0, 3, 1, 2)
    net = vgg16_layers(path)
    torch.testing.assert_close(net(x), layers(by_hand.clone()))
    grey = x[:, :1]
    torch.testing.assert_close(net(grey), net(grey.repeat(1, 3, 1, 1)))
    assert not any(p.requires_grad for p in net.parameters())


def test_gradients_pass_to_the_image_and_no_map_is_written_over(weights):
    net, x = vgg16_layers(weights[0]), torch.rand(1, 3, 8, 8, requires_grad=True)
    h = x
    for layer in net:
        before = h.detach().clone()
        after = layer(h)
        assert torch.equal(h.detach(), before)
        h = after
    h.sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_wrong_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        vgg16_layers(tmp_path / "none.pth")
    torch.save({"features.0.weight": torch.rand(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="no state dict of torchvision's VGG-16"):
        vgg16_layers(tmp_path / "other.pth")
