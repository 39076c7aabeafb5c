"""Ways to spoil images: their laws, and what they leave alone."""

import math

import pytest
import torch
from scipy import stats

from deepunsup_helpers.data.corruption import gaussian_noise, masking, salt_and_pepper
from deepunsup_helpers.data.dataset import DataError


def images(seed=0):
    return 0.2 + 0.6 * torch.rand(40, 3, 20, 20, generator=torch.Generator().manual_seed(seed))


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_gaussian_noise_is_normal_with_its_deviation():
    x = images()
    noise = ((gaussian_noise(x, 0.3, generator=generator()) - x) / 0.3).flatten().double().numpy()
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    assert torch.equal(gaussian_noise(x, 0.0), x)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_salt_and_pepper_hits_half_and_half_and_leaves_the_rest(share):
    x = images()
    spoiled = salt_and_pepper(x, share, generator=generator())
    within = 4 * math.sqrt(share / x.numel())
    assert float((spoiled == 0).double().mean()) == pytest.approx(share / 2, abs=within)
    assert float((spoiled == 1).double().mean()) == pytest.approx(share / 2, abs=within)
    kept = (spoiled != 0) & (spoiled != 1)
    assert torch.equal(spoiled[kept], x[kept])


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_masking_darkens_its_share_and_leaves_the_rest(share):
    x = images()
    spoiled = masking(x, share, generator=generator())
    assert float((spoiled == 0).double().mean()) == pytest.approx(share, abs=4 * math.sqrt(share / x.numel()))
    assert torch.equal(spoiled[spoiled != 0], x[spoiled != 0])


@pytest.mark.parametrize("spoil", [lambda x, g: gaussian_noise(x, 0.2, generator=g), lambda x, g: masking(x, 0.3, generator=g),
                                   lambda x, g: salt_and_pepper(x, 0.3, generator=g)])  # fmt: skip
def test_a_generator_repeats_it_and_the_input_stays(spoil):
    x = images()
    before = x.clone()
    assert torch.equal(spoil(x, generator(3)), spoil(x, generator(3)))
    assert not torch.equal(spoil(x, generator(3)), spoil(x, generator(4)))
    assert not torch.equal(spoil(x, None), spoil(x, None)) and torch.equal(x, before)


def test_shares_at_the_ends():
    x = images()
    assert torch.equal(salt_and_pepper(x, 0.0), x) and torch.equal(masking(x, 0.0), x)
    assert not masking(x, 1.0).any() and set(salt_and_pepper(x, 1.0).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("spoil, value", [(gaussian_noise, -0.1), (masking, 1.2), (salt_and_pepper, -0.1)])
def test_what_cannot_be_is_said(spoil, value):
    with pytest.raises(DataError, match="expected 0"):
        spoil(images(), value)
