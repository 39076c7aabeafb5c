"""Average precision: scikit-learn's, by hand, ties, weights."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from deepunsup_helpers.metrics import average_precision


def test_by_hand():
    assert average_precision([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(torch.tensor([0.1, 0.2]), torch.tensor([False, True])) == 1.0
    assert average_precision([0.5] * 10, [1] * 3 + [0] * 7) == pytest.approx(0.3)  # ties are passed together


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores, y = np.round(rng.normal(size=80), 1 + seed % 3), rng.random(80) < 0.3
    weight = rng.integers(0, 4, size=80) + (0.25 if seed % 2 else 0.0)
    assert average_precision(scores, y) == pytest.approx(average_precision_score(y, scores), abs=1e-12)
    ours, theirs = average_precision(scores, y, weight), average_precision_score(y, scores, sample_weight=weight)
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_weights_count_examples():
    scores, y, times = np.array([3.0, 2, 1]), np.array([0, 1, 1]), np.array([1, 2, 3])
    repeated = average_precision(scores.repeat(times), y.repeat(times))
    assert average_precision(scores, y, times) == pytest.approx(repeated)


def test_what_is_refused():
    for given in (
        ([1.0, 2.0], [0, 0]),
        ([1.0, 2.0], [1]),
        ([float("nan"), 1.0], [0, 1]),
        ([1.0, 2.0], [0, 1], [1.0, 0.0]),
    ):
        with pytest.raises(ValueError):
            average_precision(*given)
