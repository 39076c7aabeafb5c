"""Batched inference, the one-cycle rate, nearest neighbours."""

import numpy as np
import pytest
import torch
from torch import nn

from deepunsup_helpers import nearest, one_cycle, predict, update


def test_predict_is_the_function_of_all_at_once():
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    out = predict(model, x, batch_size=3)
    assert torch.allclose(out, model[0](x)) and not out.requires_grad and model.training
    double, sizes = predict(lambda part: (2 * part, torch.full((len(part),), len(part))), x, batch_size=3)
    assert torch.equal(double, 2 * x) and sizes.tolist() == [3, 3, 3, 3, 3, 3, 1]
    for wrong, size in ((x[:0], 3), (x, 0)):
        with pytest.raises(ValueError, match="expected at least one of each"):
            predict(model, wrong, batch_size=size)


def test_one_cycle_rises_and_falls_and_stays_at_its_end():
    model = nn.Linear(1, 1)
    optimizer, scheduler = one_cycle(model, lr=0.1, updates=100)
    rates = []
    for _ in range(110):
        rates.append(optimizer.param_groups[0]["lr"])
        update(optimizer, model(torch.ones(1, 1)).sum(), scheduler=scheduler)
    assert rates[0] == pytest.approx(0.1 / 25) and max(rates) == pytest.approx(0.1, rel=1e-3)
    assert 28 <= int(np.argmax(rates)) <= 31 and rates[99] < 1e-5 and rates[109] == rates[99]
    with pytest.raises(ValueError, match="above 0"):
        one_cycle(model, lr=0, updates=10)


def test_nearest_is_that_of_all_distances():
    random = np.random.default_rng(3)
    x, among = random.normal(size=(5, 2, 2)) + 1000, random.normal(size=(40, 2, 2)) + 1000
    distances, which = nearest(x, among, k=3)
    exact = np.sqrt(((x.reshape(5, 1, 4) - among.reshape(1, 40, 4)) ** 2).sum(-1))
    assert (which.numpy() == np.argsort(exact, axis=1)[:, :3]).all()
    assert np.allclose(distances.numpy(), np.sort(exact, axis=1)[:, :3], atol=1e-3)
    assert nearest(among, among)[0].max() == 0
    for wrong, message in (({"k": 41}, "1 to 40"), ({"k": 0}, "1 to 40")):
        with pytest.raises(ValueError, match=message):
            nearest(x, among, **wrong)
    with pytest.raises(ValueError, match="the same"):
        nearest(x[:, :1], among)
