"""Each check accepts right answers and rejects wrong ones, every one with a message of its own."""

import re

import pytest
import torch
from torch import distributions
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from deepunsup_helpers.exercises import run_check
from deepunsup_helpers.exercises import variational_autoencoders as exercises
from deepunsup_helpers.losses import gaussian_kl

ALL = [exercises.negative_elbo, exercises.hidden_beta, exercises.active_units]


def bce(logits, x):
    return binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)


def by_distributions(logits, x, mu, logvar):
    log_p = -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=(1, 2, 3))
    q = distributions.Normal(mu, torch.exp(logvar / 2))
    return distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(-1) - log_p


def naive(logits, x, mu, logvar):
    p = logits.sigmoid()
    return -(x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1) + gaussian_kl(mu, logvar)


WRONG_ELBO = {
    "mean, mean": (lambda a, x, m, v: bce(a, x).mean(1) + gaussian_kl(m, v) / m.shape[1], "both parts are averaged"),
    "mean over pixels": (lambda a, x, m, v: bce(a, x).mean(1) + gaussian_kl(m, v), "averages over the pixels"),
    "mean over latents": (
        lambda a, x, m, v: bce(a, x).sum(1) + gaussian_kl(m, v) / m.shape[1],
        "averages over the latents",
    ),
    "KL of the batch": (lambda a, x, m, v: bce(a, x).sum(1) + gaussian_kl(m, v).mean(), "averaged over the batch"),
    "minus KL": (lambda a, x, m, v: bce(a, x).sum(1) - gaussian_kl(m, v), "KL is subtracted"),
    "the bound": (lambda a, x, m, v: -bce(a, x).sum(1) - gaussian_kl(m, v), "the bound itself"),
    "sign": (lambda a, x, m, v: -bce(a, x).sum(1) + gaussian_kl(m, v), "sign of the log-likelihood"),
    "no KL": (lambda a, x, m, v: bce(a, x).sum(1), "KL is missing"),
    "no likelihood": (lambda a, x, m, v: gaussian_kl(m, v), "log-likelihood is missing"),
    "twice": (lambda a, x, m, v: bce(a.sigmoid(), x).sum(1) + gaussian_kl(m, v), "through another"),
    "squared": (
        lambda a, x, m, v: (a.sigmoid() - x).square().flatten(1).sum(1) + gaussian_kl(m, v),
        "of the probabilities",
    ),
    "squared logits": (
        lambda a, x, m, v: (a - x).square().flatten(1).sum(1) + gaussian_kl(m, v),
        "of the logits is no",
    ),
    "white only": (
        lambda a, x, m, v: -(x * a.sigmoid().log()).flatten(1).sum(1) + gaussian_kl(m, v),
        "black ones do not",
    ),
    "one number": (lambda a, x, m, v: (bce(a, x).sum(1) + gaussian_kl(m, v)).mean(), "for the whole batch"),
    "not flattened": (
        lambda a, x, m, v: binary_cross_entropy_with_logits(a, x, reduction="none").sum(1),
        "expected one number",
    ),
    "a float": (lambda a, x, m, v: 3.0, "return a tensor"),
    "log(0)": (naive, "not log\\(0\\)"),
    "clamped": (
        lambda a, x, m, v: binary_cross_entropy(a.sigmoid(), x, reduction="none").flatten(1).sum(1) + gaussian_kl(m, v),
        "not log\\(0\\)",
    ),
    "logits cut": (lambda a, x, m, v: by_distributions(a.detach(), x, m, v), "no gradient reaches logits"),
    "mu cut": (lambda a, x, m, v: by_distributions(a, x, m.detach(), v), "no gradient reaches mu"),
    "logvar for log sigma": (lambda a, x, m, v: by_distributions(a, x, m, 2 * v), "torch\\.distributions finds"),
}


def beta(a, b):
    """An answer from what it divides the reconstruction and the KL by, functions of (pixels, latent_dim)."""
    return lambda P, D, reconstruction, kl: (
        (a(P, D) if reconstruction == "mean" else 1) / (b(P, D) if kl == "mean" else 1)
    )


WRONG_BETA = {
    "upside down": (lambda P, D, r, k: (D if k == "mean" else 1) / (P if r == "mean" else 1), "upside down"),
    "no KL": (lambda P, D, r, k: P if r == "mean" else 1, "KL may be averaged too"),
    "no reconstruction": (lambda P, D, r, k: 1 / D if k == "mean" else 1, "reconstruction may be averaged too"),
    "product": (lambda P, D, r, k: (P if r == "mean" else 1) * (D if k == "mean" else 1), "it is a ratio"),
    "exchanged words": (
        lambda P, D, r, k: exercises.hidden_beta_reference(P, D, *("sum" if w == "mean" else "mean" for w in (r, k))),
        "sum and mean are exchanged",
    ),
    "always": (lambda P, D, r, k: P / D, "always the ratio"),
    "exchanged numbers": (lambda P, D, r, k: exercises.hidden_beta_reference(D, P, r, k), "pixels and latents"),
    "root": (beta(lambda P, D: P**0.5, lambda P, D: D), r"beta is 60, this says 7\.7"),
    "nothing": (lambda P, D, r, k: None, "return a number in all four cases"),
}
WRONG_UNITS = {
    "deviation": (lambda mu, t=0.01: int((mu.std(0) > t).sum()), "compares the standard deviation"),
    "second moment": (lambda mu, t=0.01: int((mu.square().mean(0) > t).sum()), "always 3"),
    "idle": (lambda mu, t=0.01: int((mu.var(0) <= t).sum()), "the idle ones"),
    "all": (lambda mu, t=0.01: mu.shape[1], "every latent is counted"),
    "axis": (lambda mu, t=0.01: int((mu.var(1) > t).sum()), "dim=1"),
    "share": (lambda mu, t=0.01: float((mu.var(0) > t).double().mean()), "the share"),
    "not counted": (lambda mu, t=0.01: mu.var(0) > t, "how many; this has shape"),
    "threshold": (lambda mu, t=0.01: int((mu.var(0) > 0.01).sum()), "threshold is ignored"),
    "nothing": (lambda mu, t=0.01: None, "not NoneType"),
    "one": (lambda mu, t=0.01: 1, "this says 1"),
}


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_references_pass(exercise):
    assert run_check(exercise.reference, exercise).passed


@pytest.mark.parametrize(
    "exercise, right",
    [
        (exercises.negative_elbo, by_distributions),
        (exercises.hidden_beta, beta(lambda P, D: P, lambda P, D: D)),
        (exercises.active_units, lambda mu, threshold=0.01: (mu.var(0) > threshold).sum()),
        (exercises.active_units, lambda mu, threshold=0.01: sum(float(m.var()) > threshold for m in mu.T)),
    ],
)
def test_other_right_answers_pass(exercise, right):
    assert run_check(right, exercise).passed


@pytest.mark.parametrize(
    "exercise, wrong",
    [(exercises.negative_elbo, WRONG_ELBO), (exercises.hidden_beta, WRONG_BETA), (exercises.active_units, WRONG_UNITS)],
    ids=lambda e: getattr(e, "name", ""),
)
def test_each_mistake_has_a_message_of_its_own(exercise, wrong):
    messages = {}
    for name, (answer, expected) in wrong.items():
        result = run_check(answer, exercise)
        assert not result.passed, f"{name} was accepted"
        assert re.search(expected, result.message), f"{name}: {result.message}"
        messages[name] = result.message
    assert len({m for name, m in messages.items() if name not in ("clamped",)}) == len(wrong) - ("clamped" in wrong)


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_blanks_fail_and_the_global_generators_are_untouched(exercise):
    def blank(*arguments):
        raise NotImplementedError("replace this line with your answer")

    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert run_check(blank, exercise).message == "not written yet"
    run_check(exercise.reference, exercise)
    assert torch.equal(before, torch.get_rng_state())
