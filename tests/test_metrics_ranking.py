"""NDCG against scikit-learn's, recall by hand, and the traps: seen items, the cut ideal, nothing hidden."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import ndcg_score

from deepunsup_helpers.metrics import ndcg_at, recall_at


@pytest.mark.parametrize("k", [1, 5, 20, 100])
def test_ndcg_is_scikit_learns_where_no_scores_are_tied(k):
    rng = np.random.default_rng(3)
    scores, hidden = rng.normal(size=(40, 30)), rng.random((40, 30)) < 0.3
    hidden[:, 0] = True
    theirs = [ndcg_score(h[None].astype(float), s[None], k=k) for s, h in zip(scores, hidden)]
    np.testing.assert_allclose(ndcg_at(scores, hidden, k), theirs, rtol=1e-12)
    np.testing.assert_allclose(ndcg_at(scores, sparse.csr_matrix(hidden.astype(float)), k), theirs, rtol=1e-12)


def test_recall_by_hand():
    scores = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]] * 3)
    hidden = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 1, 1], [1, 1, 1, 1, 1]])
    np.testing.assert_allclose(recall_at(scores, hidden, 2), [1 / 2, 0, 1])  # of min(2, 5) = 2 for the last
    np.testing.assert_allclose(recall_at(scores, hidden, 4), [1, 1 / 2, 1])


def test_the_ideal_is_cut_so_that_a_perfect_list_has_one():
    hidden = np.arange(20)[None] < 15
    assert ndcg_at(-np.arange(20.0)[None], hidden, 4) == 1
    assert ndcg_at(-np.arange(20.0)[None], hidden, 20) == 1


def test_seen_items_gain_nothing():
    scores, hidden = np.full((1, 6), -np.inf), np.ones((1, 6))
    scores[0, 2] = 0
    assert recall_at(scores, hidden, 6) == pytest.approx(1 / 6)
    assert ndcg_at(scores, hidden, 6) == pytest.approx(1 / sum(1 / np.log2(np.arange(6) + 2)))


def test_nothing_hidden_is_nan_and_shapes_are_checked():
    assert np.isnan(ndcg_at(np.ones((1, 3)), np.zeros((1, 3)))) and np.isnan(
        recall_at(np.ones((1, 3)), np.zeros((1, 3)))
    )
    with pytest.raises(ValueError, match="expected"):
        ndcg_at(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="at least 1"):
        recall_at(np.ones((2, 3)), np.ones((2, 3)), 0)
