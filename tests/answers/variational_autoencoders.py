"""Right and wrong answers to the exercises of notebook 10."""

from fractions import Fraction

import numpy as np
import torch
from torch import distributions
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, softplus

from deepunsup_helpers.exercises.variational_autoencoders import hidden_beta_reference
from deepunsup_helpers.losses import gaussian_kl

# --- negative_elbo ---


def bce(logits, x):
    return binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)


def by_distributions(logits, x, mu, logvar):
    log_p = distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(dim=(1, 2, 3))
    q = distributions.Normal(mu, torch.exp(logvar / 2))
    return distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(-1) - log_p


def by_loop(logits, x, mu, logvar):
    rows = []
    for i in range(len(x)):
        reconstruction = binary_cross_entropy_with_logits(logits[i], x[i], reduction="sum")
        rows.append(reconstruction + 0.5 * (mu[i] ** 2 + logvar[i].exp() - logvar[i] - 1).sum())
    return torch.stack(rows)


def by_softplus(logits, x, mu, logvar):
    return (x * softplus(-logits) + (1 - x) * softplus(logits)).sum((1, 2, 3)) + gaussian_kl(mu, logvar)


def naive(logits, x, mu, logvar):
    p = logits.sigmoid()
    return -(x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1) + gaussian_kl(mu, logvar)


def with_epsilon(logits, x, mu, logvar):
    p = logits.sigmoid()
    return -(x * (p + 1e-8).log() + (1 - x) * (1 - p + 1e-8).log()).flatten(1).sum(1) + gaussian_kl(mu, logvar)


def writes_logits(logits, x, mu, logvar):
    value = by_loop(logits, x, mu, logvar)
    logits.detach().sigmoid_()
    return value


def sampled_kl(logits, x, mu, logvar):
    q = distributions.Normal(mu, torch.exp(logvar / 2))
    z = q.rsample()
    return bce(logits, x).sum(1) + (q.log_prob(z) - distributions.Normal(0.0, 1.0).log_prob(z)).sum(1)


RIGHT_ELBO = {
    "distributions": by_distributions,
    "a loop": by_loop,
    "softplus": by_softplus,
    "double": lambda a, x, m, v: bce(a.double(), x.double()).sum(1) + gaussian_kl(m.double(), v.double()),
    "einsum": lambda a, x, m, v: torch.einsum("nd->n", bce(a, x)) + gaussian_kl(m, v),
    "mean times size": lambda a, x, m, v: bce(a, x).mean(1) * x[0].numel() + gaussian_kl(m, v),
}
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
    "KL doubled": (lambda a, x, m, v: bce(a, x).sum(1) + 2 * gaussian_kl(m, v), "factor 1/2"),
    "twice": (lambda a, x, m, v: bce(a.sigmoid(), x).sum(1) + gaussian_kl(m, v), "through another"),
    "squared": (
        lambda a, x, m, v: (a.sigmoid() - x).square().flatten(1).sum(1) + gaussian_kl(m, v),
        "of the probabilities",
    ),
    "squared logits": (lambda a, x, m, v: (a - x).square().flatten(1).sum(1) + gaussian_kl(m, v), "of the logits"),
    "white only": (
        lambda a, x, m, v: (x * softplus(-a)).flatten(1).sum(1) + gaussian_kl(m, v),
        "black ones do not",
    ),
    "rounded pixels": (lambda a, x, m, v: bce(a, x.round()).sum(1) + gaussian_kl(m, v), "grey"),
    "one number": (lambda a, x, m, v: by_loop(a, x, m, v).mean(), "for the whole batch"),
    "not flattened": (
        lambda a, x, m, v: binary_cross_entropy_with_logits(a, x, reduction="none").sum(1),
        "expected one number",
    ),
    "one channel": (
        lambda a, x, m, v: (
            binary_cross_entropy_with_logits(a, x, reduction="none")[:, 0].sum((1, 2)) + gaussian_kl(m, v)
        ),
        "channels",
    ),
    "784": (lambda a, x, m, v: 784 * bce(a, x).mean(1) + gaussian_kl(m, v), "torch.distributions finds"),
    "a float": (lambda a, x, m, v: 3.0, "gradients can pass"),
    "log(0)": (naive, "not log(0)"),
    "epsilon": (with_epsilon, "not log(0)"),
    "clamped": (
        lambda a, x, m, v: binary_cross_entropy(a.sigmoid(), x, reduction="none").flatten(1).sum(1) + gaussian_kl(m, v),
        "not log(0)",
    ),
    "logits cut": (lambda a, x, m, v: by_loop(a.detach(), x, m, v), "no gradient reaches logits"),
    "mu cut": (lambda a, x, m, v: by_loop(a, x, m.detach(), v), "no gradient reaches mu"),
    "logvar for log sigma": (lambda a, x, m, v: by_loop(a, x, m, 2 * v), "log sigma"),
    "writes": (writes_logits, "`logits` itself was changed"),
    "sampled": (sampled_kl, "random"),
}

# --- hidden_beta ---


def by_table(P, D, reconstruction, kl):
    table = {("sum", "sum"): 1, ("mean", "sum"): P, ("sum", "mean"): 1 / D, ("mean", "mean"): P / D}
    return table[reconstruction, kl]


def divided(P, D, r, k):
    return (P if r == "mean" else 1) / (D if k == "mean" else 1)


RIGHT_BETA = {
    "a table": by_table,
    "powers": lambda P, D, r, k: P ** (r == "mean") * D ** -float(k == "mean"),
    "a fraction": lambda P, D, r, k: Fraction(P if r == "mean" else 1, D if k == "mean" else 1),
    "NumPy": lambda P, D, r, k: np.float32(divided(P, D, r, k)),
    "0-d NumPy": lambda P, D, r, k: np.array(divided(P, D, r, k)),
    "0-d tensor": lambda P, D, r, k: torch.tensor(divided(P, D, r, k)),
    "weights": lambda P, D, r, k: ({"sum": 1, "mean": 1 / D}[k]) / ({"sum": 1, "mean": 1 / P}[r]),
}
WRONG_BETA = {
    "upside down": (lambda P, D, r, k: (D if k == "mean" else 1) / (P if r == "mean" else 1), "upside down"),
    "no KL": (lambda P, D, r, k: P if r == "mean" else 1, "KL may be averaged too"),
    "no reconstruction": (lambda P, D, r, k: 1 / D if k == "mean" else 1, "reconstruction may be averaged too"),
    "product": (lambda P, D, r, k: (P if r == "mean" else 1) * (D if k == "mean" else 1), "it is a ratio"),
    "exchanged words": (
        lambda P, D, r, k: hidden_beta_reference(P, D, *("sum" if w == "mean" else "mean" for w in (r, k))),
        "sum and mean are exchanged",
    ),
    "exchanged arguments": (lambda P, D, r, k: divided(P, D, k, r), "the two reductions are exchanged"),
    "always": (lambda P, D, r, k: P / D, "always the ratio"),
    "exchanged numbers": (lambda P, D, r, k: divided(D, P, r, k), "pixels and latents"),
    "whole division": (lambda P, D, r, k: (P if r == "mean" else 1) // (D if k == "mean" else 1), "//"),
    "rounded": (lambda P, D, r, k: round(divided(P, D, r, k), 1), "rounded"),
    "784": (lambda P, D, r, k: divided(784, D, r, k), "784"),
    "784 and 20": (lambda P, D, r, k: divided(784, 20, r, k), "784"),
    "at most": (lambda P, D, r, k: min(divided(P, D, r, k), 10), "beta is"),
    "root": (lambda P, D, r, k: divided(P**0.5, D, r, k), "beta is"),
    "nothing": (lambda P, D, r, k: None, "without `return`"),
    "text": (lambda P, D, r, k: str(divided(P, D, r, k)), "expected a number"),
}

# --- active_units ---


def counted(mu, threshold=0.01):
    return (mu.var(0) > threshold).sum()


def shifts(mu, threshold=0.01):
    mu -= mu.mean(0)
    return int(counted(mu, threshold))


RIGHT_UNITS = {
    "0-d tensor": counted,
    "a loop": lambda mu, threshold=0.01: sum(float(m.var()) > threshold for m in mu.T),
    "NumPy": lambda mu, threshold=0.01: np.sum(mu.numpy().var(axis=0) > threshold),
    "a float": lambda mu, threshold=0.01: float(counted(mu, threshold)),
    "einsum": lambda mu, threshold=0.01: int(
        (torch.einsum("nd,nd->d", mu - mu.mean(0), mu - mu.mean(0)) / len(mu) > threshold).sum()
    ),
    "covariance": lambda mu, threshold=0.01: int((torch.cov(mu.T).diagonal() > threshold).sum()),
    "squared deviation": lambda mu, threshold=0.01: len([s for s in mu.double().std(0).tolist() if s**2 > threshold]),
}
WRONG_UNITS = {
    "deviation": (lambda mu, threshold=0.01: int((mu.std(0) > threshold).sum()), "the standard deviation"),
    "second moment": (lambda mu, threshold=0.01: int((mu.square().mean(0) > threshold).sum()), "always 3"),
    "idle": (lambda mu, threshold=0.01: int((mu.var(0) <= threshold).sum()), "the idle ones"),
    "all": (lambda mu, threshold=0.01: mu.shape[1], "every latent is counted"),
    "axis": (lambda mu, threshold=0.01: int((mu.var(1) > threshold).sum()), "dim=1"),
    "share": (lambda mu, threshold=0.01: float((mu.var(0) > threshold).double().mean()), "the share"),
    "not counted": (lambda mu, threshold=0.01: mu.var(0) > threshold, "expected one number"),
    "which": (lambda mu, threshold=0.01: (mu.var(0) > threshold).nonzero().flatten(), "expected one number"),
    "threshold": (lambda mu, threshold=0.01: int((mu.var(0) > 0.01).sum()), "threshold is ignored"),
    "other default": (lambda mu, threshold=0.1: int((mu.var(0) > threshold).sum()), "0.01 by default"),
    "range": (lambda mu, threshold=0.01: int((mu.amax(0) - mu.amin(0) > threshold).sum()), "the range"),
    "summed": (lambda mu, threshold=0.01: int(((mu - mu.mean(0)).square().sum(0) > threshold).sum()), "divide by N"),
    "writes": (shifts, "`mu` itself was changed"),
    "nine latents": (lambda mu, threshold=0.01: sum(float(mu[:, j].var()) > threshold for j in range(9)), "latents"),
    "nothing": (lambda mu, threshold=0.01: None, "without `return`"),
    "one": (lambda mu, threshold=0.01: 1, "this says 1"),
}
RIGHT = {"negative_elbo": RIGHT_ELBO, "hidden_beta": RIGHT_BETA, "active_units": RIGHT_UNITS}
WRONG = {"negative_elbo": WRONG_ELBO, "hidden_beta": WRONG_BETA, "active_units": WRONG_UNITS}
