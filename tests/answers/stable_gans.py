"""Right and wrong answers to the exercises of notebook 17."""

import math

import numpy as np
import torch
from torch.nn import functional
from torch.nn.functional import softplus

# --- gradient_penalty ---


def mixed(real, fake, t):
    return (t * real + (1 - t) * fake).detach().requires_grad_()


def slope_at(D, x, graph=True, reduce=torch.sum):
    return torch.autograd.grad(reduce(D(x)), x, create_graph=graph)[0]


def price(length):
    return (length - 1) ** 2


def standard(D, real, fake, t):
    return price(slope_at(D, mixed(real, fake, t)).norm(dim=-1, keepdim=True))


def by_lerp(D, real, fake, t):
    x = torch.lerp(fake, real, t).requires_grad_()
    logits = D(x)
    (g,) = torch.autograd.grad(logits, x, grad_outputs=torch.ones_like(logits), create_graph=True)
    return (torch.linalg.vector_norm(g, dim=-1, keepdim=True) - 1).square()


def by_difference(D, real, fake, t):
    x = (fake + t * (real - fake)).clone().requires_grad_(True)
    g = slope_at(D, x)
    return torch.pow(torch.sqrt(torch.einsum("...d,...d->...", g, g)) - 1, 2).unsqueeze(-1)


def by_functions(D, real, fake, t):
    g = torch.func.grad(lambda x: D(x).sum())(t * real + (1 - t) * fake)
    return price(g.pow(2).sum(-1, keepdim=True).sqrt())


def by_backward(D, real, fake, t):
    x = mixed(real, fake, t)
    D(x).sum().backward(create_graph=True)
    return price(x.grad.square().sum(-1, keepdim=True).sqrt())


def point_by_point(D, real, fake, t):
    def one(point):
        x = point.requires_grad_()
        return price(torch.autograd.grad(D(x).sum(), x, create_graph=True)[0].norm())

    points = mixed(real, fake, t).detach().reshape(-1, real.shape[-1])
    return torch.stack([one(point) for point in points]).reshape(t.shape)


def length_of(D, real, fake, t):
    return slope_at(D, mixed(real, fake, t)).norm(dim=-1, keepdim=True)


def seeded(D, real, fake, t):
    torch.manual_seed(0)
    return standard(D, real, fake, t)


def writes(D, real, fake, t):
    real.mul_(t).add_((1 - t) * fake)
    return price(slope_at(D, real.requires_grad_()).norm(dim=-1, keepdim=True))


RIGHT_PENALTY = {
    "autograd.grad": standard,
    "lerp and grad_outputs": by_lerp,
    "from the difference": by_difference,
    "torch.func": by_functions,
    "backward": by_backward,
    "point by point": point_by_point,
}
WRONG_PENALTY = {
    "t swapped": (lambda D, r, f, t: standard(D, f, r, t), "t and 1 - t are swapped"),
    "at the real points": (lambda D, r, f, t: standard(D, r, f, torch.ones_like(t)), "at the real points"),
    "at the fakes": (lambda D, r, f, t: standard(D, r, f, torch.zeros_like(t)), "at the fakes"),
    "half way": (lambda D, r, f, t: standard(D, r, f, torch.full_like(t, 0.5)), "half way"),
    "own t": (lambda D, r, f, t: standard(D, r, f, torch.rand_like(t)), "mean penalty"),
    "R1": (lambda *given: length_of(*given).square(), "R1's price"),
    "length": (length_of, "this is the length"),
    "squared first": (lambda *given: price(length_of(*given).square()), "take the root first"),
    "one-sided": (lambda *given: (length_of(*given) - 1).relu().square(), "only slopes above 1"),
    "not squared": (lambda *given: (length_of(*given) - 1).abs(), "is not squared"),
    "mean logit": (
        lambda D, r, f, t: price(slope_at(D, mixed(r, f, t), reduce=torch.mean).norm(dim=-1, keepdim=True)),
        "*mean* logit",
    ),
    "mean of squares": (
        lambda D, r, f, t: price(slope_at(D, mixed(r, f, t)).square().mean(-1, keepdim=True).sqrt()),
        "not of their mean",
    ),
    "absolute": (
        lambda D, r, f, t: price(slope_at(D, mixed(r, f, t)).abs().sum(-1, keepdim=True)),
        "adds up absolute",
    ),
    "no graph": (
        lambda D, r, f, t: price(slope_at(D, mixed(r, f, t), graph=False).norm(dim=-1, keepdim=True)),
        "create_graph=True",
    ),
    "detached": (lambda *given: standard(*given).detach(), "create_graph=True"),
    "one number": (lambda *given: standard(*given).mean(), "one number for all"),
    "axis gone": (lambda *given: standard(*given).squeeze(-1), "keepdim"),
    "coordinates": (lambda D, r, f, t: price(slope_at(D, mixed(r, f, t)).abs()), "each coordinate"),
    "wrong axis": (lambda D, r, f, t: price(slope_at(D, mixed(r, f, t)).norm(dim=0, keepdim=True)), "shape"),
    "no grad asked": (
        lambda D, r, f, t: price(slope_at(D, t * r + (1 - t) * f).norm(dim=-1, keepdim=True)),
        "take no part in the graph",
    ),
    "a number": (lambda *given: standard(*given).mean().item(), "gradients can pass"),
    "seed": (seeded, "a seed is set"),
    "writes": (writes, "itself was changed"),
}

# --- relativistic ---


def by_logsigmoid(real, fake):
    d = real - fake
    return -functional.logsigmoid(d), -functional.logsigmoid(-d)


def by_logaddexp(real, fake):
    zero = torch.zeros_like(real)
    return torch.logaddexp(zero, fake - real), torch.logaddexp(zero, real - fake)


def by_bce(real, fake):
    d = real - fake
    return [functional.binary_cross_entropy_with_logits(s * d, torch.ones_like(d), reduction="none") for s in (1, -1)]


def by_identity(real, fake):
    of_d = softplus(fake - real)
    return of_d, of_d + real - fake  # softplus(t) - softplus(-t) = t


def naive(real, fake):
    return torch.log(1 + torch.exp(fake - real)), torch.log(1 + torch.exp(real - fake))


RIGHT_RELATIVISTIC = {
    "softplus": lambda r, f: (softplus(f - r), softplus(r - f)),
    "logsigmoid": by_logsigmoid,
    "logaddexp": by_logaddexp,
    "cross-entropy": by_bce,
    "stacked": lambda r, f: torch.stack([softplus(f - r), softplus(r - f)]),
    "by identity": by_identity,
}
WRONG_RELATIVISTIC = {
    "swapped": (lambda r, f: (softplus(r - f), softplus(f - r)), "swapped"),
    "plain": (lambda r, f: (softplus(-r) + softplus(f), softplus(-f)), "judged alone"),
    "plain generator": (lambda r, f: (softplus(f - r), softplus(-f)), "overtake"),
    "average": (
        lambda r, f: (softplus(f.mean() - r) + softplus(f - r.mean()), softplus(r - f)),
        "*mean* logit",
    ),
    "difference": (lambda r, f: (f - r, r - f), "without softplus"),
    "sigmoid": (lambda r, f: ((f - r).sigmoid(), (r - f).sigmoid()), "what it costs"),
    "minimax": (lambda r, f: (softplus(f - r), -softplus(f - r)), "minimax"),
    "same": (lambda r, f: (softplus(f - r), softplus(f - r)), "help its rival"),
    "hinge": (lambda r, f: ((1 + f - r).relu(), softplus(r - f)), "hinge"),
    "relu": (lambda r, f: ((f - r).relu(), (r - f).relu()), "relu in the place"),
    "doubled": (lambda r, f: (2 * softplus(f - r), 2 * softplus(r - f)), "doubled"),
    "means": (lambda r, f: (softplus(f - r).mean(), softplus(r - f).mean()), "one number for all"),
    "one loss": (lambda r, f: softplus(f - r), "two losses"),
    "overflows": (naive, "no longer finite"),
    "detached": (lambda r, f: (softplus(f - r.detach()), softplus(r - f)), "no gradient reaches real_logits"),
    "clamped": (lambda r, f: (softplus((f - r).clamp(-30, 30)), softplus((r - f).clamp(-30, 30))), "pays 400"),
    "numbers": (lambda r, f: tuple(v.mean().item() for v in naive(r, f)), "gradients can pass"),
    "negative": (lambda r, f: (-softplus(f - r), softplus(r - f)), "wrong sign"),
}

# --- match ---


def parts(points, means, sigma):
    distance, nearest = torch.cdist(points, means).min(1)
    return distance <= 3 * sigma, nearest


def shares(points, means, sigma):
    good, nearest = parts(points, means, sigma)
    return torch.bincount(nearest[good], minlength=len(means)) / len(points)


def mode_by_mode(points, means, sigma):
    good, nearest = parts(points, means, sigma)
    total = 0.0
    for k in range(len(means)):
        total += min((good & (nearest == k)).float().mean().item(), 1 / len(means))
    return total


def by_numpy(points, means, sigma):
    d = np.linalg.norm(points.numpy()[:, None] - means.numpy(), axis=2)
    good = d.min(1) <= 3 * sigma
    counts = np.bincount(d.argmin(1)[good], minlength=len(means))
    return np.minimum(counts / len(points), 1 / len(means)).sum()


def by_onehot(points, means, sigma):
    d = torch.cdist(points, means)
    hot = functional.one_hot(d.argmin(1), len(means)).double() * (d.amin(1) <= 3 * sigma)[:, None]
    return hot.mean(0).clamp(max=1 / len(means)).sum()


def by_sets(points, means, sigma):
    good, nearest = parts(points, means, sigma)
    counts = nearest[good].unique(return_counts=True)[1]
    return torch.minimum(counts / len(points), torch.tensor(1 / len(means))).sum()


def by_python(points, means, sigma):
    counts = [0] * len(means)
    for p in points.tolist():
        d = [math.dist(p, m) for m in means.tolist()]
        counts[d.index(min(d))] += min(d) <= 3 * sigma
    return sum(min(c / len(points), 1 / len(means)) for c in counts)


def capped(points, means, sigma, width=None, fair=None, total=None, each=lambda q: q):
    distance, nearest = torch.cdist(points, means).min(1)
    good = distance <= (3 * sigma if width is None else width)
    counts = torch.bincount(nearest[good], minlength=len(means))
    share = counts / (len(points) if total is None else max(1, int(good.sum())))
    return each(share).clamp(max=fair or 1 / len(means)).sum().item()


RIGHT_MATCH = {
    "bincount": lambda p, m, s: shares(p, m, s).clamp(max=1 / len(m)).sum().item(),
    "mode by mode": mode_by_mode,
    "NumPy": by_numpy,
    "one-hot": by_onehot,
    "unique": by_sets,
    "Python": by_python,
}
WRONG_MATCH = {
    "good points": (lambda p, m, s: parts(p, m, s)[0].float().mean().item(), "a crowd on one mode"),
    "modes": (lambda p, m, s: (shares(p, m, s) > 0).float().mean().item(), "how many points lie there"),
    "bad ones too": (lambda p, m, s: capped(p, m, s, width=1e9), "bad points are counted"),
    "of the good": (lambda p, m, s: capped(p, m, s, total=1), "divide by all"),
    "one sigma": (lambda p, m, s: capped(p, m, s, width=s), "not within 1"),
    "two sigma": (lambda p, m, s: capped(p, m, s, width=2 * s), "not within 2"),
    "squared": (lambda p, m, s: capped(p, m, s, width=(3 * s) ** 0.5), "squared distance"),
    "larger": (lambda p, m, s: shares(p, m, s).clamp(min=1 / len(m)).sum().item(), "*larger*"),
    "reached": (
        lambda p, m, s: capped(p, m, s, fair=1 / (int(parts(p, m, s)[1][parts(p, m, s)[0]].max()) + 1)),
        "reached or not",
    ),
    "25 modes": (lambda p, m, s: capped(p, m, s, fair=1 / 25), "1 / 25"),
    "mean": (lambda p, m, s: mode_by_mode(p, m, s) / len(m), "mean over the modes"),
    "percent": (lambda p, m, s: 100 * mode_by_mode(p, m, s), "percentage"),
    "missed": (lambda p, m, s: 1 - mode_by_mode(p, m, s), "1 minus"),
    "count": (lambda p, m, s: len(p) * mode_by_mode(p, m, s), "divide by how many"),
    "product": (
        lambda p, m, s: ((shares(p, m, s) > 0).float().mean() * parts(p, m, s)[0].float().mean()).item(),
        "multiplies modes and share",
    ),
    "an array": (lambda p, m, s: shares(p, m, s).clamp(max=1 / len(m)), "one number"),
    "2500 points": (lambda p, m, s: mode_by_mode(p, m, s) * len(p) / 2500, "match to"),
}
RIGHT = {"gradient_penalty": RIGHT_PENALTY, "relativistic": RIGHT_RELATIVISTIC, "match": RIGHT_MATCH}
WRONG = {"gradient_penalty": WRONG_PENALTY, "relativistic": WRONG_RELATIVISTIC, "match": WRONG_MATCH}
