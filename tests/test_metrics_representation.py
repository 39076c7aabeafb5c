"""kNN and the linear probe against scikit-learn, rotations, ties set by hand."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from deepunsup_helpers.metrics import knn_accuracy, knn_predict, linear_probe


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    x = data.data + 1e-3 * np.random.default_rng(0).normal(size=data.data.shape)  # no two distances alike
    return x[:1000], data.target[:1000], x[1000:1500], data.target[1000:1500]


@pytest.mark.parametrize("k", [1, 5])
def test_knn_agrees_with_scikit_learn(digits, k):
    z_train, y_train, z_test, y_test = digits
    reference = KNeighborsClassifier(k, algorithm="brute").fit(z_train, y_train)
    votes = reference.predict_proba(z_test)
    clear = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1  # it breaks ties of votes otherwise than we
    assert clear.mean() > 0.95
    predicted = knn_predict(z_train, y_train, z_test, k=k).numpy()
    np.testing.assert_array_equal(predicted[clear], reference.predict(z_test)[clear])
    assert knn_accuracy(z_train, y_train, z_test, y_test, k=k) == np.mean(predicted == y_test)


def test_knn_does_not_see_rotations_shifts_or_scales(digits):
    z_train, y_train, z_test, _ = digits
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(64, 64)))
    expected = knn_predict(z_train, y_train, z_test)
    for change in (lambda z: z @ rotation, lambda z: z + 1000, lambda z: 1e-3 * z):
        assert torch.equal(knn_predict(change(z_train), y_train, change(z_test)), expected)
    stretched = np.ones(64)
    stretched[:8] = 100  # an axis scaled alone does matter
    assert not torch.equal(knn_predict(z_train * stretched, y_train, z_test * stretched), expected)


def test_knn_in_blocks_is_the_same(digits):
    z_train, y_train, z_test, _ = digits
    expected = knn_predict(z_train, y_train, z_test)
    for block_bytes in (1, 7 * 8 * 1000):  # a row at a time, seven at a time
        assert torch.equal(knn_predict(z_train, y_train, z_test, block_bytes=block_bytes), expected)


def test_knn_scores_chance_on_shuffled_labels(digits):
    z_train, y_train, z_test, y_test = digits
    shuffled = np.random.default_rng(2).permutation(y_train)
    assert abs(knn_accuracy(z_train, shuffled, z_test, y_test) - 0.1) < 0.05  # 500 trials: 3.7 standard deviations


def test_knn_ties_are_settled_by_rule():
    z_train = torch.tensor([[0.0], [2.0], [2.0], [-2.0], [3.0]])
    y_train = torch.tensor([9, 4, 8, 7, 7])
    at = torch.tensor([[0.0]])
    assert knn_predict(z_train, y_train, at, k=2) == 9  # votes 9, 4: the nearer
    assert knn_predict(z_train[1:], y_train[1:], at, k=1) == 4  # three at the same distance: the earliest
    assert knn_predict(z_train[1:], y_train[1:], at, k=2) == 4  # votes 4, 8
    assert knn_predict(z_train[[3, 2, 1]], y_train[[3, 2, 1]], at, k=1) == 7
    assert knn_predict([[3.0], [1.0], [9.0]], [5, 6, 6], at, k=2) == 6  # one vote each: the nearer, though later
    assert knn_predict(z_train, y_train, at, k=5) == 7  # two votes against one each, though last in line


def test_knn_many_equal_training_rows_keep_the_order():
    z_train = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)).repeat(100, 1)  # 300 rows, 3 places
    y_train = torch.arange(300)
    for k in (1, 100):  # the border of the k lies among equals, and beyond them
        assert knn_predict(z_train, y_train, z_train[:3], k=k).tolist() == [0, 1, 2]


def test_knn_with_all_examples_is_the_majority():
    z_train, y_train = torch.rand(9, 2), torch.tensor([3, 3, 3, 3, 3, 1, 1, 1, 1])
    assert (knn_predict(z_train, y_train, torch.rand(20, 2), k=9) == 3).all()


def test_images_count_as_rows_of_pixels(digits):
    z_train, y_train, z_test, _ = digits
    expected = knn_predict(z_train, y_train, z_test)
    images = knn_predict(z_train.reshape(-1, 1, 8, 8), y_train, torch.tensor(z_test).reshape(-1, 1, 8, 8))
    assert torch.equal(images, expected)


def test_probe_agrees_with_scikit_learn_by_hand(digits):
    z_train, y_train, z_test, y_test = digits
    mean, deviation = z_train.mean(axis=0), z_train.std(axis=0)
    reference = LogisticRegression(max_iter=1000).fit((z_train - mean) / deviation, y_train)
    expected = reference.score((z_test - mean) / deviation, y_test)
    assert linear_probe(z_train.astype(np.float64), y_train, z_test, y_test) == pytest.approx(expected, abs=0.004)


def test_probe_standardises_by_the_training_part_alone():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    z = rng.normal(size=(400, 3)) + 4 * y[:, None]
    assert linear_probe(z[:200], y[:200], z[200:], y[200:]) > 0.98
    assert linear_probe(z[:200], y[:200], z[200:] + 100, y[200:]) == 0.5  # one side for all: the shift is not undone
    units = np.array([1e-3, 1.0, 1e4])
    scaled = linear_probe(z[:200] * units, y[:200], z[200:] * units, y[200:])
    assert scaled == pytest.approx(linear_probe(z[:200], y[:200], z[200:], y[200:]), abs=0.005)


def test_probe_survives_a_constant_feature_and_says_nothing(digits, capfd, recwarn):
    z_train, y_train, z_test, y_test = digits
    z_train, z_test = z_train.copy(), z_test.copy()
    z_train[:, 0], z_test[:, 0] = 1, 1
    assert linear_probe(z_train, y_train, z_test, y_test, max_iter=5) > 0.5
    assert not recwarn.list and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("measure", [knn_accuracy, linear_probe])
def test_errors_name_the_shapes(measure):
    z, y = torch.rand(6, 3), torch.tensor([0, 1] * 3)
    with pytest.raises(ValueError, match=r"z_train has shape \(6, 3\), z_test \(6, 2\)"):
        measure(z, y, z[:, :2], y)
    with pytest.raises(ValueError, match="y_train has 5 labels for 6 examples"):
        measure(z, y[:5], z, y)
    with pytest.raises(ValueError, match="y_test has 5 labels for 6 examples"):
        measure(z, y, z, y[:5])
    with pytest.raises(ValueError, match=r"z_train has shape \(6,\)"):
        measure(z[:, 0], y, z, y)
    with pytest.raises(ValueError, match="z_test.*NaN"):
        measure(z, y, z * torch.nan, y)


def test_other_errors_say_what_was_expected():
    z, y = torch.rand(6, 3), torch.tensor([0, 1] * 3)
    for k in (0, 7):
        with pytest.raises(ValueError, match=f"k is {k}; expected from 1 to the 6"):
            knn_accuracy(z, y, z, y, k=k)
    with pytest.raises(ValueError, match="single class"):
        linear_probe(z, y * 0, z, y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_knn_on_a_gpu_is_the_same(digits):
    z_train, y_train, z_test, _ = (torch.as_tensor(part) for part in digits)
    on_gpu = knn_predict(z_train.cuda(), y_train.cuda(), z_test.cuda())
    assert torch.equal(on_gpu, knn_predict(z_train, y_train, z_test))
