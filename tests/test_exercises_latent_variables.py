"""Each check accepts right answers and rejects wrong ones, every one with a message of its own."""

import re

import pytest
import torch
from torch import distributions

from deepunsup_helpers.exercises import latent_variables as exercises
from deepunsup_helpers.exercises import run_check
from deepunsup_helpers.losses import gaussian_kl, reparameterize

ALL = [exercises.gaussian_kl, exercises.reparameterize, exercises.elbo]


def kl_by_distributions(mu, logvar):
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    return distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(dim=1)


def kl_the_other_way(mu, logvar):
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    return distributions.kl_divergence(distributions.Normal(torch.zeros_like(mu), 1.0), q).sum(dim=1)


def terms(mu, logvar):
    return mu**2 + logvar.exp() - logvar - 1


WRONG_KL = {
    "mean over latents": (lambda m, v: 0.5 * terms(m, v).mean(1), "averages over the latents"),
    "mean over all": (lambda m, v: 0.5 * terms(m, v).mean(), "one number for the whole batch"),
    "not summed": (lambda m, v: 0.5 * terms(m, v), "one number for each latent"),
    "summed over examples": (lambda m, v: 0.5 * terms(m, v).sum(0), "dim=0"),
    "sign": (lambda m, v: -0.5 * terms(m, v).sum(1), "sign is turned: a KL"),
    "half": (lambda m, v: terms(m, v).sum(1), "1/2"),
    "logvar for sigma": (lambda m, v: 0.5 * (m**2 + v**2 - (v**2).log() - 1).sum(1), "taken for sigma"),
    "logvar for log sigma": (lambda m, v: 0.5 * (m**2 + v.exp() ** 2 - 2 * v - 1).sum(1), "taken for log sigma"),
    "logvar for the variance": (lambda m, v: 0.5 * (m**2 + v - v.log() - 1).sum(1), "taken for the variance"),
    "minus one": (lambda m, v: 0.5 * (m**2 + v.exp() - v).sum(1), "-1 is missing"),
    "not squared": (lambda m, v: 0.5 * (m + v.exp() - v - 1).sum(1), "not squared"),
    "no mu": (lambda m, v: 0.5 * (v.exp() - v - 1).sum(1), "mu is missing"),
    "plus logvar": (lambda m, v: 0.5 * (m**2 + v.exp() + v - 1).sum(1), "sign of logvar"),
    "other way": (kl_the_other_way, "other way round"),
    "absolute logvar": (lambda m, v: gaussian_kl(m, v.abs()), "wrong below"),
    "mu detached": (lambda m, v: gaussian_kl(m.detach(), v), "no gradient reaches mu"),
    "logvar detached": (lambda m, v: gaussian_kl(m, v.detach()), "no gradient reaches logvar"),
    "a number": (lambda m, v: 0.0, "return a tensor"),
    "twice and a bit": (lambda m, v: 2.3 * gaussian_kl(m, v), r"torch\.distributions finds"),
}


def shared_noise(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn(1, mu.shape[1])


def one_eps_an_example(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn(len(mu), 1)


def sampled(mu, logvar):
    return distributions.Normal(mu, torch.exp(0.5 * logvar)).sample()


WRONG_SAMPLES = {
    "no noise": (lambda m, v: m + 0 * v, "equals mu"),
    "not scaled": (lambda m, v: m + torch.randn_like(m) + 0 * v, "not scaled"),
    "variance": (lambda m, v: m + v.exp() * torch.randn_like(m), "by the variance"),
    "logvar": (lambda m, v: m + v * torch.randn_like(m), "by logvar"),
    "divided": (lambda m, v: m + torch.randn_like(m) / torch.exp(0.5 * v), "divides by sigma"),
    "uniform": (lambda m, v: m + torch.exp(0.5 * v) * torch.rand_like(m), "uniform"),
    "root of logvar": (lambda m, v: m + v.sqrt() * torch.randn_like(m), "not finite"),
    "log2": (lambda m, v: m + torch.exp2(0.5 * v) * torch.randn_like(m), "standard deviation is"),
    "moved": (lambda m, v: m + 1 + torch.exp(0.5 * v) * torch.randn_like(m), "mean is not mu"),
    "shared by examples": (shared_noise, "all examples share"),
    "shared by latents": (one_eps_an_example, "latents of an example share"),
    "sample()": (sampled, "no gradient at all"),
    "mu detached": (lambda m, v: reparameterize(m.detach(), v), "not reach mu"),
    "sigma detached": (lambda m, v: reparameterize(m, v.detach()), "not reach logvar"),
    "shape": (lambda m, v: reparameterize(m, v)[:, 0], "expected z of shape"),
}


def bound(kl=gaussian_kl, draw=reparameterize):
    return lambda x, m, v, log_likelihood: log_likelihood(x, draw(m, v)) - kl(m, v)


WRONG_BOUNDS = {
    "KL added": (bound(kl=lambda m, v: -gaussian_kl(m, v)), "KL is added"),
    "a loss": (lambda *a: -bound()(*a), "negative bound"),
    "no KL": (bound(kl=lambda m, v: 0), "KL is missing"),
    "no likelihood": (lambda x, m, v, f: -gaussian_kl(m, v), "log-likelihood is missing"),
    "decodes mu": (bound(draw=lambda m, v: m), "instead of a sample"),
    "prior": (bound(draw=lambda m, v: torch.randn_like(m)), "from the prior"),
    "KL averaged": (bound(kl=lambda m, v: gaussian_kl(m, v) / m.shape[1]), "averaged over the latents"),
    "KL batch mean": (bound(kl=lambda m, v: gaussian_kl(m, v).mean()), "averaged over the batch"),
    "batch mean": (lambda *a: bound()(*a).mean(), "one number for the whole batch"),
    "z detached": (bound(draw=lambda m, v: reparameterize(m, v).detach()), "from the KL alone"),
    "all detached": (lambda *a: bound()(*a).detach(), "result is detached"),
    "sigma detached": (bound(draw=lambda m, v: reparameterize(m, v.detach())), "gradient at logvar"),
    "KL doubled": (bound(kl=lambda m, v: 2 * gaussian_kl(m, v)), r"should be log p\(x\)"),
}
WRONG = list(zip(ALL, (WRONG_KL, WRONG_SAMPLES, WRONG_BOUNDS)))
CASES = [(exercise, name, *case) for exercise, wrong in WRONG for name, case in wrong.items()]


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_the_reference_passes(exercise):
    result = run_check(exercise.reference, exercise)
    assert result.passed and result.message


@pytest.mark.parametrize(
    "exercise, mine",
    [
        (exercises.gaussian_kl, kl_by_distributions),
        (exercises.reparameterize, lambda m, v: distributions.Normal(m, torch.exp(0.5 * v)).rsample()),
        (exercises.reparameterize, lambda m, v: m - v.exp().sqrt() * torch.randn(m.shape)),
        (exercises.elbo, bound(kl=kl_by_distributions)),
        (exercises.elbo, lambda x, m, v, f: _by_log_ratio(x, m, v, f)),
    ],
)
def test_other_right_answers_pass(exercise, mine):
    result = run_check(mine, exercise)
    assert result.passed, result.message


def _by_log_ratio(x, mu, logvar, log_likelihood):
    """log p(x, z) - log q(z): the same expectation without the closed-form KL."""
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    z = q.rsample()
    return log_likelihood(x, z) + (distributions.Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(1)


@pytest.mark.parametrize("exercise, name, mine, told", CASES, ids=[f"{e.name}: {n}" for e, n, *_ in CASES])
def test_a_wrong_answer_is_named(exercise, name, mine, told):
    result = run_check(mine, exercise)
    assert not result.passed
    assert re.search(told, result.message), result.message


@pytest.mark.parametrize("exercise, wrong", WRONG, ids=[e.name for e in ALL])
def test_every_mistake_has_its_own_message(exercise, wrong):
    messages = [run_check(mine, exercise).message for mine, _ in wrong.values()]
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_the_verdict_does_not_depend_on_chance(exercise, seed):
    def mine(*arguments):  # draws other numbers than the check's own seed would give
        torch.rand(seed)
        return exercise.reference(*arguments)

    assert run_check(mine, exercise).passed


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_a_blank_or_a_crash_is_a_result(exercise):
    def blank(*_):
        raise NotImplementedError

    assert run_check(blank, exercise).message == "not written yet"
    assert not run_check(lambda *_: 1 / 0, exercise).passed
    assert not run_check(lambda *_: None, exercise).passed


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_a_check_leaves_the_global_generator_alone(exercise):
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    run_check(exercise.reference, exercise)
    assert torch.rand(()) == expected
