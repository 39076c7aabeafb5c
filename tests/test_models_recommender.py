"""The linear recommender: sums of weights, and what is saved comes back."""

import pytest
import torch

from deepunsup_helpers import load_model, save_model
from deepunsup_helpers.models import ItemWeights


def test_scores_are_sums_over_what_is_liked(tmp_path):
    model = ItemWeights(4)
    model.weight = torch.arange(16.0).reshape(4, 4)
    x = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0]])
    assert torch.equal(model(x), torch.stack([model.weight[0] + model.weight[2], torch.zeros(4)]))
    again = load_model(save_model(model, tmp_path / "m.safetensors"))
    assert torch.equal(again(x), model(x))


def test_at_least_one_item():
    with pytest.raises(ValueError, match="at least 1"):
        ItemWeights(0)
