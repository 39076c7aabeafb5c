"""Random filters: what a Gram matrix of their maps cannot know."""

import pytest
import torch

from deepunsup_helpers.losses import gram_matrix
from deepunsup_helpers.models import RandomFilters


def test_shapes_and_grey_as_colour():
    x = torch.rand(2, 1, 48, 32)
    maps = RandomFilters(count=5)(x)
    assert [tuple(h.shape) for h in maps] == [(2, 5, 48, 32), (2, 5, 24, 16), (2, 5, 12, 8)]  # an eighth has 4 columns
    for h, other in zip(maps, RandomFilters(count=5)(x.expand(-1, 3, -1, -1))):
        torch.testing.assert_close(h, other)


def test_a_shifted_picture_has_the_same_gram_matrices_and_the_same_seed_the_same_filters():
    x = torch.rand(1, 3, 40, 40)
    see = RandomFilters()
    torch.testing.assert_close(gram_matrix(see(x)[0]), gram_matrix(see(x.roll((3, 7), dims=(2, 3)))[0]))
    assert torch.equal(RandomFilters(seed=3).weights, RandomFilters(seed=3).weights)
    assert not torch.equal(RandomFilters(seed=3).weights, RandomFilters(seed=4).weights)


def test_plain_brightness_is_not_seen_and_bad_sizes_are_told():
    assert float(RandomFilters()(torch.full((1, 3, 16, 16), 0.7))[0].max()) < 1e-5
    for options in ({"size": 4}, {"count": 0}, {"magnifications": (0,)}):
        with pytest.raises(ValueError, match="expected an odd size"):
            RandomFilters(**options)
