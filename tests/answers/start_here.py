"""Right and wrong answers to the exercises of notebook 00."""

import math

import numpy as np
import torch

from deepunsup_helpers.exercises.start_here import baseline_loss, diagnose

# --- baseline_loss ---


def variance_by_loop(x):
    rows = x.flatten(1)
    return sum(sum((float(v) - float(column.mean())) ** 2 for v in column) / len(column) for column in rows.T)


def in_place(x):
    x -= x.mean(0)
    return x.square().sum().item() / len(x)


def seeded(x):
    torch.manual_seed(0)
    return baseline_loss.reference(x)


def centred(x):
    return x - x.mean(0)


RIGHT_LOSS = {
    "a loop": variance_by_loop,
    "NumPy": lambda x: x.numpy().reshape(len(x), -1).var(axis=0).sum(),
    "0-d NumPy": lambda x: np.array(x.numpy().reshape(len(x), -1).var(axis=0).sum()),
    "0-d tensor": lambda x: centred(x).square().sum() / len(x),
    "double": lambda x: x.double().flatten(1).var(0, unbiased=False).sum().item(),
    "einsum": lambda x: float(torch.einsum("nchw,nchw->", centred(x), centred(x)) / x.shape[0]),
    "trace of the covariance": lambda x: torch.cov(x.flatten(1).T, correction=0).trace(),
    "mse_loss": lambda x: torch.nn.functional.mse_loss(x, x.mean(0).expand_as(x)).item() * x[0].numel(),
}
WRONG_LOSS = {
    "not centred": (lambda x: x.square().flatten(1).sum(1).mean().item(), "average image, not to zero"),
    "mean over pixels": (lambda x: centred(x).square().mean().item(), "averages over the pixels"),
    "sum over images": (lambda x: centred(x).square().sum().item(), "sums over the images"),
    "N - 1": (lambda x: x.flatten(1).var(0).sum().item(), "divides by N - 1"),
    "half": (lambda x: 0.5 * x.flatten(1).var(0, unbiased=False).sum().item(), "no factor 1/2"),
    "deviations": (lambda x: x.flatten(1).std(0, unbiased=False).sum().item(), "standard deviations"),
    "within images": (
        lambda x: x.flatten(1).var(1, unbiased=False).mean().item() * x[0].numel(),
        "within each image",
    ),
    "one grey": (lambda x: (x - x.mean()).square().flatten(1).sum(1).mean().item(), "one grey value"),
    "channels averaged": (lambda x: centred(x).square().mean(1).flatten(1).sum(1).mean().item(), "over the channels"),
    "absolute": (lambda x: centred(x).abs().flatten(1).sum(1).mean().item(), "square them"),
    "root": (lambda x: centred(x).square().flatten(1).sum(1).mean().sqrt().item(), "square root"),
    "784 pixels": (lambda x: 784 * centred(x).square().mean().item(), "expected"),
    "seven images": (lambda x: centred(x).square().sum().item() / 7, "given twice"),
    "clamped": (lambda x: centred(x.clamp(0, 1)).square().flatten(1).sum(1).mean().item(), "clamp"),
    "in place": (in_place, "itself was changed"),
    "one an image": (lambda x: centred(x).square().flatten(1).sum(1), "one number"),
    "seed": (seeded, "a seed is set"),
    "nothing": (lambda x: None, "without `return`"),
    "median": (lambda x: (x - x.median(0).values).square().flatten(1).sum(1).mean().item(), "expected"),
    "first image": (lambda x: (x - x[0]).square().flatten(1).sum(1).mean().item(), "expected"),
}

# --- overfits ---


def losses_of(step, batch, steps):
    return [float(step(batch)["loss"]) for _ in range(steps)]


def with_while(step, batch, steps=400):
    done = 0
    while done < steps:
        out = step(batch)
        done += 1
    return bool(out["loss"] < baseline_loss.reference(batch) / 2)


def by_numpy(step, batch, steps=400):
    x = batch.numpy().reshape(len(batch), -1)
    return np.array(losses_of(step, batch, steps))[-1] < 0.5 * x.var(axis=0).sum()


def stops_early(step, batch, steps=400):
    return any(float(step(batch)["loss"]) < 0.5 * baseline_loss.reference(batch) for _ in range(steps))


def as_tensor(step, batch, steps=400):
    for _ in range(steps):
        loss = step(batch)["loss"]
    return loss < 0.5 * baseline_loss.reference(batch)


def last_few(step, batch, steps=400):
    return sum(losses_of(step, batch, steps)[-5:]) / 5 < 0.5 * baseline_loss.reference(batch)


def threshold(share):
    return lambda step, batch, steps=400: losses_of(step, batch, steps)[-1] < share * baseline_loss.reference(batch)


def half_batches(step, batch, steps=400):
    return [float(step(batch[k % 2 :: 2])["loss"]) for k in range(steps)][-1] < 0.5 * baseline_loss.reference(batch)


def without_gradients(step, batch, steps=400):
    with torch.no_grad():
        return as_tensor(step, batch, steps)


RIGHT_OVERFITS = {
    "while": with_while,
    "NumPy": by_numpy,
    "stops early": stops_early,
    "0-d tensor": as_tensor,
    "last few": last_few,
    "0 or 1": lambda step, batch, steps=400: int(threshold(0.5)(step, batch, steps)),
}
WRONG_OVERFITS = {
    "one step": (lambda step, batch, steps=400: threshold(0.5)(step, batch, 1), "healthy network was rejected"),
    "falls": (lambda s, b, steps=400: (lambda v: v[-1] < v[0])(losses_of(s, b, steps)), "falling loss is not enough"),
    "to zero": (threshold(0), "healthy network was rejected"),
    "mean of all": (
        lambda s, b, steps=400: np.mean(losses_of(s, b, steps)) < 0.02 * baseline_loss.reference(b),
        "healthy network was rejected",
    ),
    "half batches": (half_batches, "same whole batch"),
    "always": (lambda s, b, steps=400: bool(losses_of(s, b, 60)), "missed"),
    "below the line": (threshold(1.0), "half of the baseline"),
    "fixed number": (lambda s, b, steps=400: losses_of(s, b, steps)[-1] < 0.24, "unit of a loss is arbitrary"),
    "steps ignored": (lambda s, b, steps=400: threshold(0.5)(s, b, 400), "`steps` is ignored"),
    "NaN": (
        lambda s, b, steps=400: not losses_of(s, b, steps)[-1] >= 0.5 * baseline_loss.reference(b),
        "NaN",
    ),
    "eight": (
        lambda s, b, steps=400: losses_of(s, b, steps)[-1] < 0.5 * (b - b.mean(0)).square().sum() / 8,
        "number of images",
    ),
    "reversed": (lambda *a, **k: not threshold(0.5)(*a, **k), "healthy network was rejected"),
    "the loss": (lambda s, b, steps=400: losses_of(s, b, steps)[-1], "True or False"),
    "no gradients": (without_gradients, "no_grad"),
}

# --- diagnose ---


def nan_blind(train, val):
    if train[-1] > 1.1 * train[0]:
        return "diverged"
    if train[-1] > 0.95 * train[0]:
        return "flat"
    return "memorised" if val[-1] > 1.1 * min(val) else "healthy"


def safe(rule):
    return lambda train, val: "diverged" if not np.isfinite([*train, *val]).all() else rule(train, val)


def by_torch(train, val):
    train, val = torch.tensor(train), torch.tensor(val)
    if not (train.isfinite().all() and val.isfinite().all()) or train[-1] > train[0]:
        return "diverged"
    if train.max() - train.min() < 0.05 * train[0]:
        return "flat"
    return "memorised" if val[-1] / val.min() > 1.08 else "healthy"


def with_math(train, val):
    if not all(math.isfinite(v) for v in train + val):
        return "diverged"
    return nan_blind(train, val)


def by_ranges(train, val):
    if not np.isfinite(np.r_[train, val]).all():
        return "diverged"
    change = np.divide(train[-1], train[0])
    for limit, name in ((0.9, None), (1.05, "flat"), (math.inf, "diverged")):
        if change < limit:
            return name or ("memorised" if np.subtract(val[-1], np.min(val)) > 0.07 * np.min(val) else "healthy")
    return "diverged"


def sorts(train, val):
    val.sort()
    return safe(nan_blind)(train, val)


def absolute(train, val):
    if train[-1] > 55:
        return "diverged"
    if train[-1] > 47:
        return "flat"
    return "memorised" if val[-1] > 1.1 * min(val) else "healthy"


RIGHT_DIAGNOSE = {
    "Python": safe(nan_blind),
    "torch": by_torch,
    "math": with_math,
    "ranges, NumPy": by_ranges,
    "np.str_": lambda train, val: np.str_(safe(nan_blind)(train, val)),
    "arrays": lambda train, val: safe(nan_blind)(np.array(train), np.array(val)),
}
WRONG_DIAGNOSE = {
    "NaN": (nan_blind, "must be 'diverged'"),
    "NaN in training only": (
        lambda t, v: "diverged" if np.isnan(t[-1]) or np.isinf(t[-1]) else nan_blind(t, v),
        "at the end of val",
    ),
    "infinity": (lambda t, v: "diverged" if np.isnan([*t, *v]).any() else nan_blind(t, v), "inf at the end"),
    "absolute": (safe(absolute), "another diagnosis"),
    "never memorised": (safe(lambda t, v: "healthy" if t[-1] < 0.95 * t[0] else nan_blind(t, v)), "'memorised'"),
    "a gap": (
        safe(lambda t, v: "memorised" if v[-1] > 1.2 * t[-1] and t[-1] < 0.9 * t[0] else nan_blind(t, v)),
        "gap",
    ),
    "a wiggle": (
        safe(lambda t, v: "memorised" if v[-1] > min(v) and t[-1] < 0.9 * t[0] else nan_blind(t, v)),
        "wiggle",
    ),
    "a tiny fall": (
        safe(lambda t, v: "healthy" if t[-1] < t[0] and v[-1] <= 1.1 * min(v) else nan_blind(t, v)),
        "no learning",
    ),
    "against the start": (
        safe(lambda t, v: "memorised" if v[-1] > 1.1 * v[0] and t[-1] < 0.9 * t[0] else nan_blind(t, v[:1])),
        "its own minimum",
    ),
    "swapped": (lambda t, v: safe(nan_blind)(v, t), "expected"),
    "five epochs": (safe(lambda t, v: nan_blind(t[:5], v[:5])), "longer"),
    "the last two": (
        safe(lambda t, v: "memorised" if v[-1] > v[-2] and t[-1] < 0.9 * t[0] else nan_blind(t, v[:1])),
        "wiggle",
    ),
    "flat from a fall of a fifth on": (
        safe(lambda t, v: "flat" if 0.8 * t[0] < t[-1] <= 1.1 * t[0] else nan_blind(t, v)),
        "15 %",
    ),
    "flat from a half on": (
        safe(lambda t, v: "flat" if 0.5 * t[0] < t[-1] <= 1.1 * t[0] else nan_blind(t, v)),
        "expected",
    ),
    "memorised from a quarter on": (
        safe(lambda t, v: "memorised" if v[-1] > 1.25 * min(v) and t[-1] < 0.9 * t[0] else nan_blind(t, v[:1])),
        "18 %",
    ),
    "the minimum of the first epochs": (
        safe(lambda t, v: nan_blind(t, [*v[:5], v[-1]])),
        "turns late",
    ),
    "sorted": (sorts, "`val` itself was changed"),
    "other words": (lambda t, v: safe(nan_blind)(t, v).capitalize(), "one of the four words"),
    "a list": (lambda t, v: [safe(nan_blind)(t, v)], "one of the four words"),
}

RIGHT = {"baseline_loss": RIGHT_LOSS, "overfits": RIGHT_OVERFITS, "diagnose": RIGHT_DIAGNOSE}
WRONG = {"baseline_loss": WRONG_LOSS, "overfits": WRONG_OVERFITS, "diagnose": WRONG_DIAGNOSE}
assert diagnose
