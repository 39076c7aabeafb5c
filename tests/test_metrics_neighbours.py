"""The nearest of many examples, as they lie and over shifts."""

import numpy as np
import pytest
import torch

from deepunsup_helpers.metrics import nearest, nearest_shifted


def images(n, seed, shape=(2, 6, 7)):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def by_loops(x, among, reach):
    """Every shift of every image against every other, with NumPy's roll."""
    x, among = x.double().numpy(), among.double().numpy()
    best = np.full(len(x), np.inf)
    which = np.zeros(len(x), dtype=int)
    for i, one in enumerate(x):
        for j, other in enumerate(among):
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    far = np.linalg.norm(np.roll(one, (down, right), axis=(1, 2)) - other)
                    if far < best[i]:
                        best[i], which[i] = far, j
    return best, which


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_over_shifts_it_is_the_least_of_all_distances(reach):
    x, among = images(5, 1), images(8, 2)
    expected, expected_which = by_loops(x, among, reach)
    distances, which = nearest_shifted(x, among, reach=reach)
    assert distances.numpy() == pytest.approx(expected, rel=1e-5)
    assert which.tolist() == expected_which.tolist()


def test_without_a_reach_it_is_nearest_and_a_larger_reach_never_finds_farther():
    x, among = images(9, 3), images(20, 4)
    plain = nearest(x, among)[0][:, 0]
    found = [nearest_shifted(x, among, reach=reach)[0] for reach in (0, 1, 2)]
    assert torch.equal(found[0], plain)
    assert (found[1] <= plain).all() and (found[2] <= found[1]).all()


def test_moved_copies_are_found_within_the_reach_and_only_there():
    originals = images(12, 5)
    for reach in (1, 2):
        distances, which = nearest_shifted(originals.roll((reach, -reach), (2, 3)), originals, reach=reach)
        assert distances.max() < 1e-5 and which.tolist() == list(range(12))
        assert nearest_shifted(originals.roll((reach, 0), (2, 3)), originals, reach=reach - 1)[0].min() > 0.5


@pytest.mark.parametrize(
    "x, among, reach, told",
    [
        (torch.zeros(3, 4), torch.zeros(3, 4), 1, "expected images"),
        (images(2, 1), images(2, 1), -1, "0 or more"),
        (images(2, 1), images(2, 1, (1, 6, 7)), 1, "expected the same"),
    ],
)
def test_what_cannot_be_compared_is_said(x, among, reach, told):
    with pytest.raises(ValueError, match=told):
        nearest_shifted(x, among, reach=reach)
