"""A ResNet-18 that learned on photographs, from a file on this disk: features that a practitioner would try first."""

from pathlib import Path

import torch
from torch import Tensor, nn

MEAN, DEVIATION = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of ImageNet's red, green and blue, as torchvision has them
SIDE = 64  # pixels to which smaller images are enlarged: the network halves its input five times


class ResNet18Features(nn.Module):
    """Images in [0, 1], grey or colour, (N, 1 or 3, H, W), to 512 features, (N, 512): the values before the last layer.

    Sides below 64 pixels are enlarged to 64, bilinearly. Frozen, in evaluation mode.
    """

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ResNet18Features":
        """Stays in evaluation mode: batch norm keeps the statistics of the photographs."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = (x.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        x = (x.expand(-1, 3, -1, -1) - mean) / deviation
        size = [max(SIDE, side) for side in x.shape[-2:]]
        if list(x.shape[-2:]) != size:
            x = nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return self.body(x)


def resnet18_features(path: str | Path) -> ResNet18Features:
    """torchvision's ResNet-18 without its last layer, with weights from a file. Nothing is downloaded.

    Args:
        path: a state dict as torchvision offers it, such as resnet18-f37072fd.pth.
    Returns:
        takes images (N, 1 or 3, H, W) in [0, 1], returns (N, 512).
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no state dict of a ResNet-18.
    Source: He and others 2015, arXiv:1512.03385.

    z = resnet18_features("resnet18-f37072fd.pth")(x)
    """
    from torchvision.models import resnet18

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; expected torchvision's weights of a ResNet-18, a .pth file.")
    with torch.device("meta"):  # no random draw for weights that are replaced at once
        body = resnet18(weights=None)
    body = body.to_empty(device="cpu")
    try:
        body.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever lies there
        raise ValueError(f"{path} holds no state dict of torchvision's ResNet-18 ({type(error).__name__}).") from error
    body.fc = nn.Identity()
    return ResNet18Features(body)
