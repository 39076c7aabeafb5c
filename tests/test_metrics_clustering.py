"""Clustering accuracy against every possible naming, tried one after the other."""

import itertools

import numpy as np
import pytest
import torch

from deepunsup_helpers.metrics import cluster_to_class, clustering_accuracy


def best_naming(y_true, y_pred) -> float:
    """The best share over all one-to-one namings of clusters by classes; spare clusters or classes stay unnamed."""
    classes, clusters = sorted(set(y_true)), sorted(set(y_pred))
    spare = [None] * max(0, len(clusters) - len(classes))
    best = 0.0
    for names in itertools.permutations(classes + spare, len(clusters)):
        naming = dict(zip(clusters, names))
        best = max(best, np.mean([naming[cluster] == true for cluster, true in zip(y_pred, y_true)]))
    return best


@pytest.mark.parametrize(("classes", "clusters"), [(4, 4), (3, 5), (5, 3), (2, 6), (1, 4), (4, 1)])
def test_agrees_with_brute_force(classes, clusters):
    rng = np.random.default_rng(classes * 10 + clusters)
    for _ in range(10):
        y_true, y_pred = rng.integers(0, classes, 40), rng.integers(0, clusters, 40)
        y_pred = np.where(rng.random(40) < 0.4, y_true % clusters, y_pred)
        assert clustering_accuracy(y_true, y_pred) == pytest.approx(best_naming(y_true, y_pred), abs=1e-12)


def test_names_of_clusters_and_order_of_examples_mean_nothing():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    score = clustering_accuracy(y_true, y_pred)
    assert clustering_accuracy(y_true, np.array([70, -3, 8, 1, 0])[y_pred]) == score
    order = rng.permutation(200)
    assert clustering_accuracy(torch.tensor(y_true[order]), torch.tensor(y_pred[order], dtype=torch.int32)) == score


def test_one_only_for_the_same_partition():
    y_true = [0, 0, 1, 1, 2, 2]
    assert clustering_accuracy(y_true, [5, 5, 9, 9, 1, 1]) == 1
    assert clustering_accuracy(y_true, [0, 3, 1, 1, 2, 2]) == pytest.approx(5 / 6)  # a class split in two
    assert clustering_accuracy(y_true, [0, 0, 0, 0, 2, 2]) == pytest.approx(4 / 6)  # two classes in one cluster


def test_the_naming_is_the_one_that_is_scored():
    y_true, y_pred = [7, 7, 7, 4, 4, 4], [0, 0, 1, 1, 1, 2]
    assert cluster_to_class(y_true, y_pred) == {0: 7, 1: 4}
    assert clustering_accuracy(y_true, y_pred) == pytest.approx(4 / 6)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="y_pred has 2 labels for 3 examples"):
        clustering_accuracy([0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match=r"y_true has shape \(2, 2\)"):
        clustering_accuracy(torch.zeros(2, 2), [0, 1])
    with pytest.raises(ValueError, match="y_pred holds fractions"):
        clustering_accuracy([0, 1], [0.0, 0.5])
