"""Shares and targets of deep clustering: by hand, by scikit-learn's nearest centre, and by the paper's own slope."""

import pytest
import torch
from sklearn.metrics import pairwise_distances_argmin

from deepunsup_helpers.losses import self_target, soft_assignment


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def test_shares_by_hand():
    z, centres = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    near = torch.tensor([[1, 1 / 5, 1 / 10], [1 / 26, 1 / 14, 1 / 17]])
    torch.testing.assert_close(soft_assignment(z, centres), near / near.sum(1, keepdim=True))


def test_the_largest_share_is_the_nearest_centre():
    z, centres = draw(50, 4), draw(6, 4, seed=1)
    assert (soft_assignment(z, centres).argmax(1).numpy() == pairwise_distances_argmin(z, centres)).all()


def test_shares_do_not_depend_on_where_zero_is():
    z, centres, shift = draw(9, 3), draw(4, 3, seed=1), draw(3, seed=2)
    torch.testing.assert_close(soft_assignment(z + shift, centres + shift), soft_assignment(z, centres))


def test_target_by_hand():
    q = torch.tensor([[0.8, 0.2], [0.6, 0.4]])  # sizes 1.4 and 0.6
    weight = torch.tensor([[0.64 / 1.4, 0.04 / 0.6], [0.36 / 1.4, 0.16 / 0.6]])
    torch.testing.assert_close(self_target(q), weight / weight.sum(1, keepdim=True))


def test_a_cluster_nobody_is_in_breaks_nothing():
    found = self_target(torch.tensor([[0.7, 0.3, 0.0], [0.5, 0.5, 0.0]]))
    assert torch.isfinite(found).all() and (found[:, 2] == 0).all()


def test_the_slope_of_the_divergence_is_the_papers():
    z, centres = draw(8, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    q = soft_assignment(z, centres)
    p = self_target(q)
    assert not p.requires_grad
    (p * (p.log() - q.log())).sum().backward()
    apart = (z - centres[:, None]).transpose(0, 1).detach()  # (N, K, D)
    pull = 2 * (p - q.detach())[..., None] * apart / (1 + apart.square().sum(2, keepdim=True))  # equations 4 and 5
    torch.testing.assert_close(z.grad, pull.sum(1))
    torch.testing.assert_close(centres.grad, -pull.sum(0))


@pytest.mark.parametrize("z, centres", [(draw(5, 3), draw(2, 4)), (draw(5), draw(2, 5)), (draw(5, 3), draw(3))])
def test_shapes_are_told(z, centres):
    with pytest.raises(ValueError, match=r"expected \(N, D\) and \(K, D\)"):
        soft_assignment(z, centres)
    with pytest.raises(ValueError, match=r"expected \(N, K\)"):
        self_target(draw(3))
