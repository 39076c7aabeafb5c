"""A convolutional denoiser for images of any size: it names the noise, and takes it off."""

from torch import Tensor, nn


class ConvDenoiser(nn.Module):
    """x minus what a stack of convolutions takes for noise; untrained it returns x as it is.

    Args:
        channels: of the images, 1 or 3.
        width: channels of the hidden layers.
        depth: number of convolutions, at least 2; each pixel sees 2 depth + 1 pixels along each axis.
    Raises:
        ValueError: a depth under 2.
    Source: Zhang et al. 2017, arXiv:1608.03981 (without batch normalisation).

    clean = ConvDenoiser(3)(noisy)
    """

    def __init__(self, channels: int, width: int = 24, depth: int = 5):
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth is {depth}; expected at least 2")
        self.config = dict(channels=channels, width=width, depth=depth)
        layers, before = [], channels
        for _ in range(depth - 1):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; a convolution's zeros at the border make the outermost pixels less sure."""
        return x - self.layers(x)
