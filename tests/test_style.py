"""Gram matrices against loops, the style loss against a kernel's sums, AdaIN's moments; a reader of factors."""

import pytest
import torch

from deepunsup_helpers.losses.style import adain, gram_matrix, style_loss
from deepunsup_helpers.models.reader import FactorReader


def test_gram_by_loops_and_einsum_and_blind_to_place():
    h = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    found = gram_matrix(h)
    for n in range(2):
        for i in range(3):
            for j in range(3):
                total = sum(h[n, i, a, b] * h[n, j, a, b] for a in range(4) for b in range(5))
                assert torch.isclose(found[n, i, j], total / 20)
    torch.testing.assert_close(found, torch.einsum("nihw,njhw->nij", h, h) / 20)
    shuffled = h.flatten(2)[:, :, torch.randperm(20)].reshape(h.shape)
    torch.testing.assert_close(gram_matrix(shuffled), found)


def test_the_style_loss_is_a_discrepancy_with_the_squared_kernel():
    a, b = (torch.randn(1, 4, 3, s, dtype=torch.float64) for s in (5, 7))
    u, v = (h.flatten(2)[0].T for h in (a, b))
    k = lambda x, y: (x @ y.T).square().mean()
    torch.testing.assert_close(style_loss(a, gram_matrix(b).mean(0)), k(u, u) + k(v, v) - 2 * k(u, v))


def test_adain_has_the_styles_moments():
    content, style = 3 * torch.randn(2, 3, 6, 5) + 1, torch.rand(2, 3, 8, 9)
    found = adain(content, style)
    torch.testing.assert_close(found.mean((2, 3)), style.mean((2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.std((2, 3), correction=0), style.std((2, 3), correction=0), atol=1e-4, rtol=1e-3)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="feature maps"):
        gram_matrix(torch.rand(3, 4))
    with pytest.raises(ValueError, match="goal is"):
        style_loss(torch.rand(1, 3, 2, 2), torch.rand(2, 2))
    with pytest.raises(ValueError, match="channels"):
        adain(torch.rand(1, 3, 2, 2), torch.rand(1, 2, 2, 2))
    with pytest.raises(ValueError, match="deviation"):
        FactorReader((1, 8, 8), [0.0], [0.0])


def test_a_reader_speaks_in_the_factors_units():
    reader, y = FactorReader((1, 8, 8), [10.0, -2.0], [2.0, 0.5]), torch.tensor([[12.0, -2.5]])
    torch.testing.assert_close(reader.standardise(y), torch.tensor([[1.0, -1.0]]))
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(reader.standardise(reader(x)), reader.score(x), atol=1e-5, rtol=1e-4)
