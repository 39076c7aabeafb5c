"""ResNet-18's features from a file: torchvision's own values, grey as colour, small images, and what a wrong file says."""

import pytest
import torch
from torchvision.models import resnet18

from deepunsup_helpers.models.resnet import resnet18_features


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained ResNet-18, saved as torchvision saves a trained one."""
    torch.manual_seed(0)
    net = resnet18(weights=None).eval()
    path = tmp_path_factory.mktemp("resnet") / "resnet18.pth"
    torch.save(net.state_dict(), path)
    return path, net


def test_its_features_and_the_last_layer_give_what_torchvision_gives(weights):
    path, whole = weights
    x = torch.rand(2, 3, 70, 64)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    by_hand = ((x.permute(0, 2, 3, 1) - mean) / deviation).permute(0, 3, 1, 2)
    net = resnet18_features(path)
    z = net(x)
    assert z.shape == (2, 512)
    torch.testing.assert_close(whole.fc(z), whole(by_hand))


def test_grey_is_colour_and_a_constant_image_may_have_any_small_size(weights):
    net, x = resnet18_features(weights[0]), torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(net(x), net(x.repeat(1, 3, 1, 1)))
    flat = torch.full((1, 1, 8, 8), 0.3)
    torch.testing.assert_close(net(flat), net(torch.full((1, 1, 64, 64), 0.3)))


def test_it_stays_frozen_and_an_image_does_not_depend_on_the_batch(weights):
    net, x = resnet18_features(weights[0]).train(), torch.rand(3, 1, 28, 28)
    assert not net.body.training and not any(p.requires_grad for p in net.parameters())
    torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4, atol=1e-5)


def test_a_wrong_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        resnet18_features(tmp_path / "none.pth")
    torch.save({"conv1.weight": torch.rand(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="no state dict of torchvision's ResNet-18"):
        resnet18_features(tmp_path / "other.pth")
