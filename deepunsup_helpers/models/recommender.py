"""Items to items: the linear recommender."""

import torch
from torch import Tensor, nn


class ItemWeights(nn.Module):
    """Scores as sums over what somebody likes: `ItemWeights(480)(x)`, x (N, items) of 0 and 1, gives (N, items).

    `weight[i, j]` is what liking item i adds to the score of item j; it is filled from outside, by EASE or counts.

    Args:
        items: how many there are, at least 1.
    Source: Steck 2019, arXiv:1905.03375.
    """

    def __init__(self, items: int):
        super().__init__()
        if items < 1:
            raise ValueError(f"items={items} must be at least 1")
        self.config = {"items": items}
        self.register_buffer("weight", torch.zeros(items, items))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight
