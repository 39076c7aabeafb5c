"""R1 against slopes known by hand, the slow copy against its closed form, both inside `fit`."""

import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from deepunsup_helpers.losses import r1_penalty
from deepunsup_helpers.training import ema_copy, fit, update


def test_r1_of_a_quadratic_judge():
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    a = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    logits = (a * x.square()).sum(1) / 2  # slope a x
    penalty = r1_penalty(logits, x)
    assert penalty.item() == pytest.approx(((2**2 + 2**2) + (1 + 3**2)) / 3)
    penalty.backward()
    torch.testing.assert_close(a.grad, (2 * a * x.square()).mean(0).detach())


def test_r1_agrees_with_finite_differences_through_a_network():
    torch.manual_seed(0)
    D = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1), nn.Flatten(0)).double()
    x, h = torch.randn(4, 1, 4, 4, dtype=torch.float64), 1e-5
    steps = h * torch.eye(16, dtype=torch.float64).reshape(16, 1, 4, 4)
    slow = torch.stack([(D(x + e) - D(x - e)) / (2 * h) for e in steps]).square().sum(0).mean()  # a pixel at a time
    x.requires_grad_()
    torch.testing.assert_close(r1_penalty(D(x), x), slow, rtol=1e-6, atol=0)


def test_r1_says_what_is_missing():
    x = torch.randn(3, 2)
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_penalty(x.sum(1), x)
    x.requires_grad_()
    with pytest.raises(ValueError, match="one for each"):
        r1_penalty(x.sum(1, keepdim=True), x)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9])
def test_r1_shrinks_the_orbit_of_the_dirac_game_as_its_eigenvalues_say(gamma):
    """Alternating updates near the solution: each step multiplies the (elliptic) radius by sqrt(1 - rate gamma)."""
    rate, theta, psi = 0.2, *(torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (1e-3, 0.0))
    opt_g, opt_d = torch.optim.SGD([theta], rate), torch.optim.SGD([psi], rate)
    areas = []
    for _ in range(2):  # two starts: the area they span is multiplied by the determinant, 1 - rate gamma, at each step
        with torch.no_grad():
            theta.fill_(1e-3 if not areas else 0.0), psi.fill_(0.0 if not areas else 1e-3)
        path = []
        for _ in range(10):
            real = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
            loss = nn.functional.softplus(psi * theta.detach()).sum() + gamma / 2 * r1_penalty(
                (real * psi).sum(1), real
            )
            update(opt_d, loss)
            update(opt_g, nn.functional.softplus(-psi * theta).sum())
            path.append(torch.stack([theta, psi]).detach().squeeze(1))
        areas.append(torch.stack(path))
    spanned = torch.linalg.det(torch.stack(areas, dim=2))  # (10,)
    factor = (spanned[-1] / spanned[0]).item() ** (1 / 9)
    assert math.sqrt(factor) == pytest.approx(math.sqrt(1 - rate * gamma), abs=1e-5)


def test_ema_copy_follows_the_closed_form_with_its_running_statistics():
    torch.manual_seed(0)
    net, decay = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), 0.8
    slow = ema_copy(net, decay)
    expected = None
    for _ in range(5):
        with torch.no_grad():
            net[0].weight += torch.randn(3, 2)
            net(torch.randn(8, 2))  # moves the running mean
        slow.update_parameters(net)
        now = [net[0].weight.detach().clone(), net[1].running_mean.clone()]
        expected = now if expected is None else [decay * e + (1 - decay) * n for e, n in zip(expected, now)]
    torch.testing.assert_close([slow.module[0].weight, slow.module[1].running_mean], expected)
    assert not any(p.requires_grad for p in slow.parameters())
    with pytest.raises(ValueError, match="decay=1"):
        ema_copy(net, 1)


def test_the_slow_copy_is_pytorchs_average_to_the_last_bit():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    ours = ema_copy(net, 0.998)
    theirs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True)
    for _ in range(20):
        with torch.no_grad():
            net[0].weight += torch.randn_like(net[0].weight)
            net(torch.randn(4, 1, 5, 5))
        ours.update_parameters(net), theirs.update_parameters(net)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]) or name == "module.1.num_batches_tracked"
    assert ours.module[1].num_batches_tracked == net[1].num_batches_tracked  # theirs stays behind
    double = ema_copy(nn.Linear(1, 1).double(), 0.8)
    double.update_parameters(nn.Linear(1, 1).double())
    target = nn.Linear(1, 1).double()
    expected = 0.8 * double.module.weight + 0.2 * target.weight
    double.update_parameters(target)
    torch.testing.assert_close(double.module.weight, expected.detach(), rtol=1e-14, atol=0)


def test_a_resumed_training_has_the_same_slow_copy(tmp_path):
    def train(epochs, **options):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        optimizer, slow = torch.optim.Adam(net.parameters(), 0.01), ema_copy(net, 0.9)

        def step(x):
            loss = (net(x) - x.sum(1, keepdim=True) + 0.1 * torch.randn(len(x), 1)).square().mean()
            update(optimizer, loss)
            slow.update_parameters(net)
            return {"loss": loss.detach()}

        x = torch.linspace(-1, 1, 64).reshape(32, 2)
        state = {"net": net, "optimizer": optimizer, "slow": slow}
        path = tmp_path / options.pop("name")
        fit(step, [x[:16], x[16:]], epochs=epochs, state=state, progress=False, checkpoint=path, **options)
        return slow.state_dict()

    whole = train(4, name="whole")
    train(2, name="parts")
    resumed = train(4, name="parts", resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
