"""The first layers of a VGG-16 that learned on photographs, from a file on this disk: features for a perceptual loss."""

from pathlib import Path

import torch
from torch import Tensor, nn

MEAN, DEVIATION = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of ImageNet's red, green and blue, as torchvision has them
FIRST = 9  # layers: two convolutions of 64 maps, a pooling, two convolutions of 128 maps, a ReLU after each


class _Standardise(nn.Module):
    """Images in [0, 1], grey or colour, as VGG's training data were."""

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = (x.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        return (x.expand(-1, 3, -1, -1) - mean) / deviation


def vgg16_layers(path: str | Path) -> nn.Sequential:
    """Standardisation and the first convolutions of torchvision's VGG-16, frozen. Nothing is downloaded.

    Args:
        path: a state dict as torchvision offers it, such as vgg16-397923af.pth.
    Returns:
        takes images (N, 1 or 3, H, W) in [0, 1], sides at least 2.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no state dict of a VGG-16.
    Source: Simonyan and Zisserman 2014, arXiv:1409.1556; as a loss: Johnson and others 2016, arXiv:1603.08155.
    """
    from torchvision.models.vgg import cfgs, make_layers

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; expected torchvision's weights of a VGG-16, a .pth file.")
    layers = make_layers(cfgs["D"])[:FIRST]
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        own = {name: weights[f"features.{name}"] for name in layers.state_dict()}
        layers.load_state_dict(own)
    except Exception as error:  # whatever lies there
        raise ValueError(f"{path} holds no state dict of torchvision's VGG-16 ({type(error).__name__}).") from error
    kept = [nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in layers]  # theirs write over their input
    return nn.Sequential(_Standardise(), *kept).requires_grad_(False).eval()
