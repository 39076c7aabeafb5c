"""Small images made large: bicubic interpolation plus what a network knows, and large photographs in overlapping tiles."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SuperResolver(nn.Module):
    """Images `factor` times as large: bicubic interpolation and a residual, which is zero before the first update.

    The network works at the small size: a convolution, residual blocks, and a last convolution to factor^2 numbers for
    each small pixel and channel, which `pixel_shuffle` lays out as a square. It takes images of any height and width.

    Args:
        channels: 1 grey, 3 colour.
        factor: how many times larger, at least 2.
        width: channels inside.
        blocks: residual blocks of two convolutions.
    Raises:
        ValueError: a factor below 2, or another number below 1.
    Source: residual blocks without normalisation, arXiv:1707.02921; pixel shuffle, arXiv:1609.05158.

    SuperResolver(channels=3, factor=2)(torch.rand(1, 3, 40, 61)).shape  # (1, 3, 80, 122)
    """

    def __init__(self, channels: int = 1, factor: int = 4, width: int = 32, blocks: int = 3):
        super().__init__()
        if factor < 2 or min(channels, width, blocks) < 1:
            raise ValueError(
                f"channels={channels}, factor={factor}, width={width}, blocks={blocks}: expected a factor of at least 2 "
                "and the others at least 1."
            )
        self.config = dict(channels=channels, factor=factor, width=width, blocks=blocks)
        self.factor = factor
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.tail = nn.Conv2d(width, channels * factor**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    @property
    def reach(self) -> int:
        """How many small pixels away an input still matters: one for each convolution in a row, and bicubic's two."""
        return max(2, 2 + 2 * len(self.blocks))

    def forward(self, small: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to (N, C, factor H, factor W), which may leave [0, 1] a little."""
        h = self.head(small)
        for block in self.blocks:
            h = h + block(h)
        return enlarge_bicubic(small, self.factor) + F.pixel_shuffle(self.tail(F.relu(h)), self.factor)


def enlarge_bicubic(small: Tensor, factor: int) -> Tensor:
    """Bicubic interpolation, (N, C, H, W) to (N, C, factor H, factor W): torch's kernel, whose a is -0.75.

    Other libraries take a = -0.5, so scores of "bicubic" differ between papers. Values overshoot at edges.
    """
    return F.interpolate(small, scale_factor=factor, mode="bicubic", align_corners=False)


def enlarge_in_tiles(
    f: Callable[[Tensor], Tensor], small: Tensor, *, factor: int, tile: int = 96, margin: int = 8
) -> Tensor:
    """One image of any size through `f`, a piece at a time: what a photograph needs that does not fit into memory whole.

    Each piece is given with `margin` pixels around it, as far as the image reaches, and only its middle is kept. Where
    the margin is at least as far as `f` looks (`SuperResolver.reach`), the result is that of the whole image.

    Args:
        f: (1, C, h, w) to (1, C, factor h, factor w).
        small: (C, H, W).
        factor: how many times larger `f` makes an image.
        tile: side of a piece without its margin, in small pixels, at least 1.
        margin: in small pixels, at least 0.
    Returns:
        (C, factor H, factor W), without gradients.
    Raises:
        ValueError: `small` is no single image, or `tile` or `margin` is out of its range.

    enlarge_in_tiles(model, photo, factor=model.factor, margin=model.reach)
    """
    if small.ndim != 3 or tile < 1 or margin < 0:
        raise ValueError(
            f"small has shape {tuple(small.shape)}, tile={tile}, margin={margin}: expected one image (C, H, W), a tile of "
            "at least 1 and a margin of at least 0."
        )
    channels, height, width = small.shape
    large = small.new_empty(channels, factor * height, factor * width)
    with torch.no_grad():
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                above, before = min(margin, top), min(margin, left)  # less at the image's own border
                bottom, right = min(top + tile, height), min(left + tile, width)
                piece = f(small[None, :, top - above : bottom + margin, left - before : right + margin])[0]
                piece = piece[:, factor * above :, factor * before :]
                rows, columns = factor * (bottom - top), factor * (right - left)
                large[:, factor * top : factor * bottom, factor * left : factor * right] = piece[:, :rows, :columns]
    return large
