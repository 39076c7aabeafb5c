"""Each check accepts right answers and rejects wrong ones, every one with a message of its own."""

import re

import pytest
import torch
from torch.nn import functional as F

from deepunsup_helpers.exercises import run_check
from deepunsup_helpers.exercises import the_adversarial_game as exercises
from deepunsup_helpers.losses import discriminator_loss, generator_loss
from deepunsup_helpers.training import update

WRONG_D_STAR = {
    "swapped": (lambda p, q: q / (p + q), r"probability of \*fake\*"),
    "odds": (lambda p, q: p / q, "are odds"),
    "logit": (lambda p, q: p.log() - q.log(), "is the logit"),
    "sigmoid of the difference": (lambda p, q: torch.sigmoid(p - q), "not p - q"),
    "sigmoid of the ratio": (lambda p, q: torch.sigmoid(p / q), "never below 1/2"),
    "of the sums": (lambda p, q: (p.sum() / (p + q).sum()).expand_as(p), "answer of its own"),
    "the mixture": (lambda p, q: (p + q) / 2, "density of the mixture"),
    "half": (lambda p, q: 0.5 * p / (p + q), "half of the answer"),
    "squares": (lambda p, q: p**2 / (p**2 + q**2), "overstates"),
    "all or nothing": (lambda p, q: (p > q).double(), "nobody can be sure"),
    "a mean": (lambda p, q: (p / (p + q)).mean(), "one answer for each point"),
    "softmax along the points": (lambda p, q: torch.softmax(p / q, 0), "of all points are real"),
    "log of a negative": (lambda p, q: (p - 5).log(), "not all finite"),
}
WRONG_LOSS = {
    "minimax": (lambda v: torch.log(1 - v.sigmoid()).mean(), "minimax loss"),
    "sign": (lambda v: F.logsigmoid(v).mean(), "sign is turned"),
    "the judge's": (lambda v: F.softplus(v).mean(), "judge's"),
    "sum": (lambda v: F.softplus(-v).sum(), "sums over the batch"),
    "not reduced": (lambda v: F.softplus(-v), "one loss for each sample"),
    "logits as they are": (lambda v: -v.mean(), "used as they are"),
    "1 - D": (lambda v: (1 - v.sigmoid()).mean(), "this is 1 - D"),
    "-D": (lambda v: -v.sigmoid().mean(), "this is -D"),
    "two sigmoids": (lambda v: F.softplus(-v.sigmoid()).mean(), "taken twice"),
    "infinite": (lambda v: -v.sigmoid().log().mean(), "rounds to 0"),
    "epsilon": (lambda v: -(v.sigmoid() + 1e-8).log().mean(), "an epsilon"),
    "clamp": (lambda v: -v.sigmoid().clamp(1e-6, 1).log().mean(), "a clamp"),
    "library on probabilities": (lambda v: F.binary_cross_entropy(v.sigmoid(), torch.ones_like(v)), "at logit"),
    "cut off": (lambda v: F.softplus(-v.clamp(min=-50)).mean() - (v + 50).clamp(max=0).detach().mean(), "its slope is"),
    "detached": (lambda v: F.softplus(-v.detach()).mean(), "no gradient"),
    "a number": (lambda v: F.softplus(-v).mean().item(), "can be differentiated"),
    "off": (lambda v: 1.1 * F.softplus(-v).mean(), "nats on random logits"),
}


def noise(real, G):
    return torch.randn(len(real), G.latent_dim)


def named(d, g):
    return {"discriminator": d, "generator": g}


def no_detach(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G))
    d = discriminator_loss(D(real), D(fake))
    update(opt_d, d)
    g = generator_loss(D(fake))
    update(opt_g, g)
    return named(d, g)


def both_losses_first(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G))
    d, g = discriminator_loss(D(real), D(fake.detach())), generator_loss(D(fake))
    update(opt_d, d)
    update(opt_g, g)
    return named(d, g)


def both_losses_first_generator_updated_first(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G))
    d, g = discriminator_loss(D(real), D(fake.detach())), generator_loss(D(fake))
    update(opt_g, g)
    update(opt_d, d)
    return named(d, g)


def generator_first(real, G, D, opt_g, opt_d):
    g = generator_loss(D(G(noise(real, G))))
    update(opt_g, g)
    d = discriminator_loss(D(real), D(G(noise(real, G)).detach()))
    update(opt_d, d)
    return named(d, g)


def both_backward_then_both_steps(real, G, D, opt_g, opt_d, detach=True):
    fake = G(noise(real, G))
    d = discriminator_loss(D(real), D(fake.detach() if detach else fake))
    g = generator_loss(D(fake))
    opt_g.zero_grad()
    opt_d.zero_grad()
    d.backward(retain_graph=True)
    g.backward()
    opt_d.step()
    opt_g.step()
    return named(d, g)


def never_cleared(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G))
    d = discriminator_loss(D(real), D(fake.detach()))
    d.backward()
    opt_d.step()
    g = generator_loss(D(fake))
    g.backward()
    opt_g.step()
    return named(d, g)


def detached_for_both(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G)).detach()
    d = discriminator_loss(D(real), D(fake))
    update(opt_d, d)
    g = generator_loss(D(fake))
    update(opt_g, g)
    return named(d, g)


def labels_swapped(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G))
    d = discriminator_loss(D(fake.detach()), D(real))
    update(opt_d, d)
    g = generator_loss(D(fake))
    update(opt_g, g)
    return named(d, g)


def step(judge_updates=1, generator_updates=1, rows=None, names=("discriminator", "generator"), kind="non_saturating"):
    def gan_step(real, G, D, opt_g, opt_d):
        fake = G(torch.randn(rows or len(real), G.latent_dim))
        d = discriminator_loss(D(real), D(fake.detach()))
        for _ in range(judge_updates):
            d = discriminator_loss(D(real), D(fake.detach()))
            update(opt_d, d)
        g = generator_loss(D(fake), kind)
        if generator_updates:
            update(opt_g, g)
        return dict(zip(names, (d, g)))

    return gan_step


WRONG_STEPS = {
    "no detach": (no_detach, "graph"),
    "both losses first": (both_losses_first, "before the judge moved"),
    "at once": (both_losses_first_generator_updated_first, "both players moved at once"),
    "generator first": (generator_first, "the generator moved first"),
    "mixed": (both_backward_then_both_steps, "the judge moved along the generator's loss"),
    "reversed": (lambda *a: both_backward_then_both_steps(*a, detach=False), "pushed it the wrong way"),
    "never cleared": (never_cleared, "pile up"),
    "detached for both": (detached_for_both, "cuts it off"),
    "labels swapped": (labels_swapped, "swapped in the judge"),
    "judge twice": (step(judge_updates=2), "moved twice"),
    "no judge": (step(judge_updates=0), "the judge did not move"),
    "no generator": (step(generator_updates=0), "the generator did not move"),
    "minimax": (step(kind="minimax"), "minimax"),
    "one row": (step(rows=1), "one row for each real"),
    "names": (step(names=("d", "g")), "return both losses"),
    "judge three times": (step(judge_updates=3), "on paper"),
}


def separate_noise(real, G, D, opt_g, opt_d):
    d = discriminator_loss(D(real), D(G(noise(real, G)).detach()))
    update(opt_d, d)
    g = generator_loss(D(G(noise(real, G))))
    update(opt_g, g)
    return named(d, g)


def without_the_helper(real, G, D, opt_g, opt_d):
    with torch.no_grad():
        fake = G(noise(real, G))
    opt_d.zero_grad()
    d = discriminator_loss(D(real), D(fake))
    d.backward()
    opt_d.step()
    opt_g.zero_grad()
    g = generator_loss(D(G(noise(real, G))))
    g.backward()
    opt_g.step()
    return named(d, g)


RIGHT = [
    (exercises.d_star, lambda p, q: 1 / (1 + q / p)),
    (exercises.d_star, lambda p, q: torch.sigmoid(p.log() - q.log())),
    (exercises.generator_loss, lambda v: F.softplus(-v).mean()),
    (exercises.generator_loss, lambda v: -F.logsigmoid(v).mean()),
    (exercises.generator_loss, lambda v: F.binary_cross_entropy_with_logits(v, torch.ones_like(v))),
    (exercises.gan_step, step()),
    (exercises.gan_step, separate_noise),
    (exercises.gan_step, without_the_helper),
]
CASES = {exercises.d_star: WRONG_D_STAR, exercises.generator_loss: WRONG_LOSS, exercises.gan_step: WRONG_STEPS}
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
    same_mistake = ("clamp", "library on probabilities", "detached for both")  # as an epsilon, as no generator's update
    cases = [mine for name, (mine, _) in CASES[exercise].items() if name not in same_mistake]
    messages = [run_check(mine, exercise).message for mine in cases]
    assert len(set(messages)) == len(messages), messages
