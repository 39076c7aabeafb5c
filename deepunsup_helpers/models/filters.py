"""A feature network that learned nothing: random filters at several magnifications."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class RandomFilters(nn.Module):
    """Maps of an image under random filters, at full size and at a half, a quarter, an eighth: for Gram matrices.

    Args:
        count: filters, and so channels of each map; at least 1.
        size: their side in pixels, odd.
        magnifications: sides of the squares that are averaged before the filters look, each at least 1.
        seed: of the filters.
    Raises:
        ValueError: an even size, or a number below 1.
    What lies beyond the right side is the left side, so that no map knows where the border is: else a Gram matrix would
    remember places near it.
    Source: untaught filters suffice for textures: Ustyuzhaninov and others 2016, arXiv:1606.00021.

    [h.shape for h in RandomFilters()(torch.rand(1, 3, 96, 96))] == [(1, 64, n, n) for n in (96, 48, 24, 12)]
    """

    def __init__(self, count: int = 64, size: int = 7, magnifications=(1, 2, 4, 8), seed: int = 0):
        super().__init__()
        if count < 1 or size < 1 or size % 2 == 0 or min(magnifications) < 1:
            raise ValueError(
                f"count={count}, size={size}, magnifications={magnifications}: expected an odd size, all at least 1."
            )
        self.config = dict(count=count, size=size, magnifications=list(magnifications), seed=seed)
        weights = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
        weights -= weights.mean((1, 2, 3), keepdim=True)
        self.register_buffer("weights", weights / weights.flatten(1).norm(dim=1)[:, None, None, None])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (N, 1 or 3, H, W) to maps (N, count, H / m, W / m), at least 0; a magnification that leaves less than a
        filter's side is left out, the first never."""
        x = x.expand(-1, 3, -1, -1)
        maps, half = [], self.config["size"] // 2
        for m in self.config["magnifications"]:
            if not maps or min(x.shape[2:]) // m >= self.config["size"]:
                sides = [max(1, side // m) for side in x.shape[2:]]
                seen = functional.interpolate(x, sides, mode="bilinear", antialias=True) if m > 1 else x
                seen = functional.pad(seen, (half,) * 4, "circular" if min(seen.shape[2:]) >= half else "replicate")
                maps.append(functional.relu(functional.conv2d(seen, self.weights)))
        return maps
