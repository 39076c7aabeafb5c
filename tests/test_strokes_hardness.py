"""Strokes are about as hard as MNIST, for four ways to look at 5,000 of them.

MNIST itself, the same way: logistic regression 0.89, 1-NN 0.94, k-means 0.51, this small CNN 0.98.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from deepunsup_helpers.data.strokes import strokes_dataset


@pytest.fixture(scope="module")
def task():
    data = strokes_dataset(5000, 1000, seed=0)
    x_train, x_test = (part.images.reshape(-1, 784).float().div(255) for part in data)
    return x_train, data.train.labels, x_test, data.test.labels


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # the last digits of the loss do not matter here
def test_logistic_regression_finds_it_as_hard_as_mnist(task):
    x_train, y_train, x_test, y_test = (t.numpy() for t in task)
    model = LogisticRegression(max_iter=60).fit(x_train, y_train)
    assert 0.88 <= model.score(x_test, y_test) <= 0.95


def test_nearest_neighbour_finds_it_as_hard_as_mnist(task):
    x_train, y_train, x_test, y_test = (t.numpy() for t in task)
    assert 0.90 <= KNeighborsClassifier(1).fit(x_train, y_train).score(x_test, y_test) <= 0.98


def test_k_means_finds_half_the_classes(task):
    x_train, y_train = task[0].numpy(), task[1].numpy()
    found = KMeans(10, n_init=5, random_state=0).fit_predict(x_train)
    table = np.zeros((10, 10))
    np.add.at(table, (y_train, found), 1)
    assert 0.45 <= table[linear_sum_assignment(-table)].sum() / len(y_train) <= 0.62


def test_a_small_cnn_reads_it(task):
    x_train, y_train, x_test, y_test = task
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(),
            nn.Linear(64, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters())
        steps = 6 * -(-len(x_train) // 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
        for _ in range(6):
            for rows in torch.randperm(len(x_train)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
                optimizer.step()
                schedule.step()
    with torch.no_grad():
        assert (model(x_test).argmax(1) == y_test).float().mean() >= 0.97
