"""Right and wrong answers to notebook 18's exercises."""

import numpy as np
import torch

# --- gram ---


def raw(h):
    return torch.einsum("nchw,ndhw->ncd", h, h)


def size(h):
    return h.shape[2] * h.shape[3]


def by_loop(h):
    return torch.stack([x.flatten(1) @ x.flatten(1).T / x[0].numel() for x in h])


def in_place(h):
    h /= size(h) ** 0.5
    return raw(h)


def centred(h):
    return raw(h - h.mean((2, 3), keepdim=True)) / size(h)


RIGHT_GRAM = {
    "einsum": lambda h: raw(h) / size(h),
    "loop": by_loop,
    "bmm": lambda h: torch.bmm(h.flatten(2), h.flatten(2).transpose(1, 2)) / size(h),
    "broadcast": lambda h: (h[:, :, None] * h[:, None]).mean((3, 4)),
    "double": lambda h: raw(h.double()) / size(h),
}
WRONG_GRAM = {
    "sum": (raw, "divide by the positions"),
    "channels too": (lambda h: raw(h) / size(h) / h.shape[1], "channels as well"),
    "channels": (lambda h: raw(h) / h.shape[1], "by the channels"),
    "height": (lambda h: raw(h) / h.shape[2], "height alone"),
    "covariance": (centred, "covariance"),
    "positions": (lambda h: h.flatten(2).mT @ h.flatten(2), "pairs positions"),
    "batch": (lambda h: (raw(h) / size(h)).mean(0), "keep the images apart"),
    "minus one": (lambda h: raw(h) / (size(h) - 1), "H W - 1"),
    "detached": (lambda h: (raw(h) / size(h)).detach(), "no gradient"),
    "in place": (in_place, "`h` itself was changed"),
    "fixed": (lambda h: raw(h) / 35, "other numbers"),
}

# --- adain ---


def mean(x):
    return x.mean((2, 3), keepdim=True)


def std(x):
    return x.std((2, 3), keepdim=True, correction=0)


def white(x):
    return (x - mean(x)) / std(x)


def loops(content, style):
    rows = []
    for c, s in zip(content, style):
        rows.append(
            torch.stack([(a - a.mean()) / a.std(correction=0) * b.std(correction=0) + b.mean() for a, b in zip(c, s)])
        )
    return torch.stack(rows)


def changes(content, style):
    content -= mean(content)
    return content / std(content) * std(style) + mean(style)


def over(dims):
    def mine(c, s):
        m = lambda x: x.mean(dims, keepdim=True)
        d = lambda x: x.std(dims, keepdim=True, correction=0)
        return (c - m(c)) / d(c) * d(s) + m(s)

    return mine


RIGHT_ADAIN = {
    "plain": lambda c, s: white(c) * std(s) + mean(s),
    "loops": loops,
    "eps": lambda c, s: (c - mean(c)) / (std(c) + 1e-5) * std(s) + mean(s),
    "instance_norm": lambda c, s: torch.nn.functional.instance_norm(c) * std(s) + mean(s),
    "double": lambda c, s: white(c.double()) * std(s.double()) + mean(s.double()),
}
WRONG_ADAIN = {
    "swapped": (lambda c, s: (c - mean(s)) / std(s) * std(c) + mean(c), "swapped"),
    "no mean": (lambda c, s: white(c) * std(s), "mean is missing"),
    "no deviation": (lambda c, s: white(c) + mean(s), "deviation is missing"),
    "means only": (lambda c, s: c - mean(c) + mean(s), "only the means"),
    "not divided": (lambda c, s: (c - mean(c)) * std(s) + mean(s), "not divided out"),
    "variances": (lambda c, s: (c - mean(c)) / std(c) ** 2 * std(s) ** 2 + mean(s), "variances"),
    "normalised": (lambda c, s: white(c), "only normalises"),
    "unchanged": (lambda c, s: c.clone(), "unchanged"),
    "batch": (over((0, 2, 3)), "over the batch"),
    "channels": (over((1, 2, 3)), "over the channels"),
    "in place": (changes, "`content` itself was changed"),
}

# --- slant_of ---


def moments(x):
    ink = x[:, 0].double()
    d = torch.arange(x.shape[2])[None, :, None].expand_as(ink).double()
    a = torch.arange(x.shape[3])[None, None].expand_as(ink).double()
    e = lambda v: (ink * v).sum((1, 2)) / ink.sum((1, 2))
    return e(a * d) - e(a) * e(d), e(d * d) - e(d) ** 2, e(a * a) - e(a) ** 2


def ratio(x):
    cov, var, _ = moments(x)
    return -cov / var


def by_numpy(x):
    out = []
    for image in x[:, 0].numpy().astype(float):
        d, a = np.mgrid[: image.shape[0], : image.shape[1]]
        c = np.cov(np.stack([a.ravel(), d.ravel()]), aweights=image.ravel())
        out.append(np.degrees(np.arctan(-c[0, 1] / c[1, 1])))
    return np.array(out)


def by_list(x):
    return [float(v) for v in right(x)]


def right(x):
    return torch.rad2deg(torch.atan(ratio(x)))


def around_middle(x):
    ink = x[:, 0]
    d = (torch.arange(x.shape[2]) - (x.shape[2] - 1) / 2)[None, :, None]
    a = (torch.arange(x.shape[3]) - (x.shape[3] - 1) / 2)[None, None]
    return torch.rad2deg(torch.atan(-(ink * a * d).sum((1, 2)) / (ink * d * d).sum((1, 2))))


def blackens(x):
    found = right(x)
    x *= 0
    return found


RIGHT_SLANT = {
    "moments": right,
    "NumPy": by_numpy,
    "a list": by_list,
    "atan2": lambda x: torch.rad2deg(torch.atan2(-moments(x)[0], moments(x)[1])),
    "float": lambda x: right(x).float(),
}
WRONG_SLANT = {
    "sign": (lambda x: -right(x), "sign is turned"),
    "radians": (lambda x: torch.atan(ratio(x)), "radians"),
    "tangent": (ratio, "this is the tangent"),
    "other variance": (lambda x: torch.rad2deg(torch.atan(-moments(x)[0] / moments(x)[2])), "variance across"),
    "middle": (around_middle, "image's middle"),
    "no arctangent": (lambda x: torch.rad2deg(ratio(x)), "arctangent is missing"),
    "twice": (lambda x: 2 * right(x), "twice"),
    "mean": (lambda x: right(x).mean(), "not their mean"),
    "zero": (lambda x: 0 * right(x), "other slants"),
    "in place": (blackens, "`x` itself was changed"),
}

RIGHT = {"gram": RIGHT_GRAM, "adain": RIGHT_ADAIN, "slant_of": RIGHT_SLANT}
WRONG = {"gram": WRONG_GRAM, "adain": WRONG_ADAIN, "slant_of": WRONG_SLANT}
