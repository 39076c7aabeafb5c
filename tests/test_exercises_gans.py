"""Each check accepts right answers and rejects wrong ones, every one with a message of its own."""

import re

import pytest
import torch
from torch import nn

from deepunsup_helpers.exercises import gans as exercises
from deepunsup_helpers.exercises import run_check


def share(accepted):
    return accepted.double().mean().item()


def last(v):
    return v.shape[1] - 1


WRONG_FRACTION = {
    "eleventh counted": (lambda v, t=0.8: share(v.softmax(1).max(1).values > t), "eleventh class is counted"),
    "ten alone": (lambda v, t=0.8: share(v[:, :-1].softmax(1).max(1).values > t), "over the ten digits alone"),
    "logits": (lambda v, t=0.8: share(v[:, :-1].max(1).values > t), "logits need a softmax"),
    "any digit": (lambda v, t=0.8: share(1 - v.softmax(1)[:, -1] > t), "adds up all ten"),
    "no threshold": (lambda v, t=0.8: share(v.argmax(1) < last(v)), "threshold is ignored"),
    "mean of the largest": (
        lambda v, t=0.8: v.softmax(1).max(1).values.mean().item(),
        "mean of the largest probability",
    ),
    "mean of the digits": (lambda v, t=0.8: v.softmax(1)[:, :-1].max(1).values.mean().item(), "digits' largest"),
    "a count": (lambda v, t=0.8: (v.softmax(1)[:, :-1].max(1).values > t).sum().item(), "number of images"),
    "percent": (lambda v, t=0.8: 100 * share(v.softmax(1)[:, :-1].max(1).values > t), "percentage"),
    "refused": (lambda v, t=0.8: 1 - share(v.softmax(1)[:, :-1].max(1).values > t), "those refused"),
    "wrong axis": (lambda v, t=0.8: share(v.softmax(0)[:, :-1].max(1).values > t), "axis 0"),
    "per image": (lambda v, t=0.8: v.softmax(1)[:, :-1].max(1).values > t, "one number for all"),
    "fixed threshold": (lambda v, t=0.8: share(v.softmax(1)[:, :-1].max(1).values > 0.8), "at threshold 0.6"),
    "of the digits": (
        lambda v, t=0.8: (v.softmax(1)[:, :-1].max(1).values > t).sum().item() / (v.argmax(1) < last(v)).sum().item(),
        "divides by the verdicts",
    ),
    "other default": (lambda v, t=1.5: share(v.softmax(1)[:, :-1].max(1).values > t), "0.8 by default"),
}


def slopes(D, real, reduce=torch.sum, graph=True):
    real = real.detach().requires_grad_()
    return torch.autograd.grad(reduce(D(real)), real, create_graph=graph)[0].flatten(1)


WRONG_R1 = {
    "mean over pixels": (lambda D, x: slopes(D, x).square().mean(), "averages over the pixels"),
    "sum over the batch": (lambda D, x: slopes(D, x).square().sum(), "sums over the batch"),
    "length": (lambda D, x: slopes(D, x).norm(dim=1).mean(), "length, not its square"),
    "wgan-gp": (lambda D, x: (slopes(D, x).norm(dim=1) - 1).square().mean(), "WGAN-GP"),
    "averaged first": (lambda D, x: slopes(D, x).mean(0).square().sum(), "opposite ones cancel"),
    "mean logit": (lambda D, x: slopes(D, x, torch.mean).square().sum(1).mean(), "sum the logits first"),
    "mean logit, sum": (lambda D, x: slopes(D, x, torch.mean).square().sum(), "N times too small"),
    "not squared": (lambda D, x: slopes(D, x).sum(1).mean(), "signs cancel"),
    "half": (lambda D, x: slopes(D, x).square().sum(1).mean() / 2, "gamma / 2"),
    "the logit": (lambda D, x: D(x).square().mean(), "not its slope"),
    "after a sigmoid": (lambda D, x: slopes(lambda v: D(v).sigmoid(), x).square().sum(1).mean(), "after a sigmoid"),
    "no graph": (lambda D, x: slopes(D, x, graph=False).square().sum(1).mean(), "create_graph"),
    "half detached": (lambda D, x: (slopes(D, x) * slopes(D, x).detach()).sum(1).mean(), "part of it is detached"),
    "per image": (lambda D, x: slopes(D, x).square().sum(1), "expected one number"),
    "float": (lambda D, x: slopes(D, x).square().sum(1).mean().item(), "got float"),
    "off": (lambda D, x: 1.3 * slopes(D, x).square().sum(1).mean(), "whose slope is known"),
}


def move(names=lambda net: net.state_dict(), mix=None):
    """An update of whatever `names` lists, by mix(mine, theirs, decay)."""
    mix = mix or (lambda mine, theirs, decay: decay * mine + (1 - decay) * theirs)

    @torch.no_grad()
    def ema_update(slow, fast, decay):
        other = dict(names(fast))
        for name, mine in dict(names(slow)).items():
            mine.copy_(mix(mine, other[name], decay))

    return ema_update


def parameters(net):
    return net.named_parameters()


def moves_the_fast(slow, fast, decay):
    move()(fast, slow, decay)


def rebinds(slow, fast, decay):
    for mine, theirs in zip(slow.parameters(), fast.parameters()):
        mine = decay * mine + (1 - decay) * theirs  # noqa: PLW2901, F841


def recorded(slow, fast, decay):
    for mine, theirs in zip(slow.parameters(), fast.parameters()):
        mine.mul_(decay).add_((1 - decay) * theirs)


@torch.no_grad()
def shares_memory(slow, fast, decay):
    move()(slow, fast, decay)
    if torch.allclose(slow[0].weight, fast[0].weight, atol=1e-7):
        slow[0].weight = fast[0].weight


WRONG_EMA = {
    "swapped": (move(mix=lambda a, b, decay: (1 - decay) * a + decay * b), "shares are swapped"),
    "copies": (move(mix=lambda a, b, decay: b), "took the fast network's weights"),
    "rebinds": (rebinds, "nothing moved"),
    "moves the fast": (moves_the_fast, "fast network was changed"),
    "adds": (move(mix=lambda a, b, decay: a + (1 - decay) * b), "do not add up to 1"),
    "parameters alone": (move(parameters), "stayed behind"),
    "plain average": (move(mix=lambda a, b, decay: (a + b) / 2), "these do not"),
    "buffers swapped": (
        lambda slow, fast, decay: (
            move(parameters)(slow, fast, decay),
            move(lambda net: net.named_buffers(), lambda a, b, d: (1 - d) * a + d * b)(slow, fast, decay),
        ),
        "neither averaged nor copied",
    ),
    "recorded": (recorded, "no_grad"),
    "shares memory": (shares_memory, "share their memory"),
    "in float": (lambda slow, fast, decay: slow.lerp_(fast, 1 - decay), "it raised AttributeError"),
}


def library(slow, fast, decay):
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    with torch.no_grad():
        get_ema_multi_avg_fn(decay)(list(slow.parameters()), list(fast.parameters()), 1)
        for mine, theirs in zip(slow.buffers(), fast.buffers()):
            mine.copy_(theirs)


def by_hand(D, x):
    x = x.clone().requires_grad_()
    total = 0
    for i in range(len(x)):  # one image at a time
        total = total + torch.autograd.grad(D(x)[i], x, create_graph=True)[0][i].square().sum()
    return total / len(x)


RIGHT = [
    (exercises.confident_fraction, lambda v, t=0.8: share(v.softmax(1)[:, :-1].max(1).values > t)),
    (exercises.confident_fraction, lambda v, t=0.8: (v.softmax(1)[:, :10] > t).any(1).float().mean()),
    (exercises.r1_penalty, by_hand),
    (exercises.r1_penalty, lambda D, x: slopes(D, x).norm(dim=1).square().mean()),
    (exercises.ema_update, move()),
    (exercises.ema_update, library),
]
CASES = {exercises.confident_fraction: WRONG_FRACTION, exercises.r1_penalty: WRONG_R1, exercises.ema_update: WRONG_EMA}
WRONG = [
    pytest.param(exercise, *case, id=f"{exercise.name} {name}")
    for exercise, cases in CASES.items()
    for name, case in cases.items()
]


@pytest.mark.parametrize("exercise", CASES, ids=lambda e: e.name)
def test_the_reference_passes_and_the_global_generator_is_left_alone(exercise):
    before = torch.get_rng_state()
    result = run_check(exercise.reference, exercise)
    assert result.passed, result.message
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("exercise, mine", RIGHT)
def test_other_right_answers_pass(exercise, mine):
    result = run_check(mine, exercise)
    assert result.passed, result.message


@pytest.mark.parametrize("exercise, mine, message", WRONG)
def test_wrong_answers_are_named(exercise, mine, message):
    result = run_check(mine, exercise)
    assert not result.passed
    assert re.search(message, result.message), result.message


@pytest.mark.parametrize("exercise", CASES, ids=lambda e: e.name)
def test_messages_differ(exercise):
    messages = [run_check(mine, exercise).message for mine, _ in CASES[exercise].values()]
    assert len(set(messages)) == len(messages), messages


def test_the_slow_copy_also_follows_without_normalisation():
    slow, fast = nn.Linear(2, 2), nn.Linear(2, 2)
    exercises.ema_update.reference(slow, fast, 0.0)
    torch.testing.assert_close(slow.weight, fast.weight)
