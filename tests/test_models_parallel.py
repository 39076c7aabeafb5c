"""Networks side by side answer and learn as each would alone."""

import math

import pytest
import torch
from torch import nn

from deepunsup_helpers.models import ParallelLinear, ParallelWaves, parallel_mlp


def alone(network, k):
    """The k-th network as plain layers of torch's."""
    layers = []
    for layer in network:
        if isinstance(layer, ParallelLinear):
            _, n_in, n_out = layer.weight.shape
            plain = nn.Linear(n_in, n_out)
            plain.weight.data, plain.bias.data = layer.weight[k].detach().T.clone(), layer.bias[k, 0].detach().clone()
            layers.append(plain)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def test_each_answers_and_learns_as_it_would_alone():
    torch.manual_seed(0)
    network, x = parallel_mlp(3, [2, 7, 5, 1]).double(), torch.randn(3, 11, 2, dtype=torch.float64)
    singles = [alone(network, k).double() for k in range(3)]
    optimizers = [torch.optim.Adam(one.parameters(), 0.01) for one in (network, *singles)]
    for _ in range(4):
        for optimizer in optimizers:
            optimizer.zero_grad()
        network(x).square().mean(1).sum().backward()
        for single, points in zip(singles, x):
            single(points).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
    for single, points, made in zip(singles, x, network(x)):
        torch.testing.assert_close(single(points), made, atol=1e-10, rtol=0)


def test_weights_begin_as_those_of_a_linear_layer():
    torch.manual_seed(0)
    weight = ParallelLinear(50, 9, 40).weight
    bound = 1 / 3
    assert weight.abs().max() <= bound and abs(weight.std().item() - bound / math.sqrt(3)) < 0.005  # uniform


def test_bad_sizes_are_told():
    with pytest.raises(ValueError, match="at least an input"):
        parallel_mlp(3, [2])
    with pytest.raises(ValueError, match="copies=0"):
        parallel_mlp(0, [2, 3])
    with pytest.raises(ValueError, match="scale=0"):
        ParallelWaves(3, 2, 4, 0)


def test_waves_turn_with_the_input_and_keep_it():
    torch.manual_seed(0)
    waves, x = ParallelWaves(4, 2, 500, 1.5).double(), torch.randn(4, 20, 2, dtype=torch.float64)
    out = waves(x)
    torch.testing.assert_close(out[..., :2], x)
    torch.testing.assert_close(out[..., 2:502].square() + out[..., 502:].square(), torch.ones(4, 20, 500).double())
    # the mean of cos(f (x - y)) over normal frequencies is exp(-scale^2 |x - y|^2 / 2)
    products = out[..., 2:] @ out[..., 2:].mT / 500
    expected = (-(1.5**2) * torch.cdist(x, x).square() / 2).exp()
    assert (products - expected).abs().mean() < 0.05 and not torch.equal(waves.frequencies[0], waves.frequencies[1])
