"""Right and wrong answers to notebook 18's exercises."""

import numpy as np
import torch

# --- gram ---


def raw(h):
    return torch.einsum("nchw,ndhw->ncd", h, h)


def size(h):
    return h.shape[2] * h.shape[3]


def mixed(h):
    return h.reshape(len(h), -1, h.shape[1])


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
    "covariance and means": lambda h: centred(h) + h.mean((2, 3))[:, :, None] * h.mean((2, 3))[:, None],
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
    "all numbers": (lambda h: raw(h) / h.numel(), "h.numel()"),
    "the batch": (lambda h: raw(h) / len(h), "divides by the batch: divide"),
    "the batch as well": (lambda h: raw(h) / size(h) / len(h), "batch as well"),
    "tutorial": (lambda h: h.flatten(0, 1).flatten(1) @ h.flatten(0, 1).flatten(1).T / h.numel(), "different images"),
    "cosine": (lambda h: torch.stack([torch.cosine_similarity(x[:, None], x, 2) for x in h.flatten(2)]), "a cosine"),
    "corrcoef": (lambda h: torch.stack([torch.corrcoef(x) for x in h.flatten(2)]), "a correlation"),
    "torch.cov": (lambda h: torch.stack([torch.cov(x) for x in h.flatten(2)]), "torch.cov"),
    "half": (lambda h: (raw(h) / size(h)).half().float(), "half precision"),
    "half inside": (lambda h: raw(h.half()).float() / size(h), "half precision"),
    "diagonal": (lambda h: torch.diag_embed(h.square().mean((2, 3))), "a channel with itself"),
    "squares": (lambda h: h.square().mean((2, 3)), "squares each channel"),
    "reshaped": (lambda h: mixed(h).mT @ mixed(h) / size(h), "mixes channels"),
    "one for all": (lambda h: (raw(h) / size(h)).mean(0, keepdim=True), "keep the images apart"),
    "spread over all": (lambda h: (raw(h) / size(h)).mean(0).expand_as(raw(h)), "keep the images apart"),
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


def over(dims, theirs=None, keepdim=True):
    def mine(c, s):
        m = lambda x, dims: x.mean(dims, keepdim=keepdim)
        d = lambda x, dims: x.std(dims, keepdim=keepdim, correction=0)
        return (c - m(c, dims)) / d(c, dims) * d(s, theirs or dims) + m(s, theirs or dims)

    return mine


def by_arrays(c, s):
    c, s = c.numpy(), s.numpy()
    m, d = (lambda x: x.mean((2, 3), keepdims=True)), (lambda x: x.std((2, 3), keepdims=True))
    return (c - m(c)) / d(c) * d(s) + m(s)


def wide(c, s):
    """An epsilon of a hundredth in both variances."""
    d = lambda x: (x.var((2, 3), keepdim=True, correction=0) + 0.01).sqrt()
    return (c - mean(c)) / d(c) * d(s) + mean(s)


def astray(c, s):
    found = white(c) * std(s) + mean(s)
    found[:, -1] += 0.04
    return found


RIGHT_ADAIN = {
    "plain": lambda c, s: white(c) * std(s) + mean(s),
    "loops": loops,
    "eps": lambda c, s: (c - mean(c)) / (std(c) + 1e-5) * std(s) + mean(s),
    "instance_norm": lambda c, s: torch.nn.functional.instance_norm(c) * std(s) + mean(s),
    "double": lambda c, s: white(c.double()) * std(s.double()) + mean(s.double()),
    "arrays": by_arrays,
    "detached": lambda c, s: (white(c) * std(s) + mean(s)).detach(),
    "H W - 1 in one": lambda c, s: (c - mean(c)) / c.std((2, 3), keepdim=True) * std(s) + mean(s),
    "H W - 1 in both": lambda c, s: (c - mean(c)) / c.std((2, 3), keepdim=True) * s.std((2, 3), keepdim=True) + mean(s),
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
    "no keepdim": (over((2, 3), keepdim=False), "keepdim=True"),
    "columns": (over((2,)), "along H alone"),
    "rows": (over((3,)), "along W alone"),
    "channel axis": (over((1,)), "along the channels"),
    "all axes": (over((0, 1, 2, 3)), "batch, channels and positions"),
    "batch in content": (over((0, 2, 3), (2, 3)), "the content's mean and deviation are taken over the batch"),
    "batch in style": (over((2, 3), (0, 2, 3)), "the style's mean and deviation are taken over the batch"),
    "channels in content": (over((1, 2, 3), (2, 3)), "the content's mean and deviation are taken over the channels"),
    "channels in style": (over((2, 3), (1, 2, 3)), "the style's mean and deviation are taken over the channels"),
    "arguments swapped": (lambda c, s: white(s) * std(c) + mean(c), "content and style are swapped"),
    "style": (lambda c, s: s.clone(), "style came back"),
    "content's variance": (lambda c, s: (c - mean(c)) / std(c) ** 2 * std(s) + mean(s), "content's variance"),
    "style's variance": (lambda c, s: white(c) * std(s) ** 2 + mean(s), "style's variance"),
    "content's mean": (lambda c, s: white(c) * std(s) + mean(c), "content's mean is added"),
    "minus": (lambda c, s: white(c) * std(s) - mean(s), "taken off at the end"),
    "brackets": (lambda c, s: c - mean(c) / std(c) * std(s) + mean(s), "brackets"),
    "style's deviation": (lambda c, s: (c - mean(c)) / std(s) + mean(s), "divides by the style's deviation"),
    "changed places": (lambda c, s: white(c) * mean(s) + std(s), "change places"),
    "eps in variances": (wide, "style's, image by image"),
    "eps 0.02": (lambda c, s: (c - mean(c)) / (std(c) + 0.02) * std(s) + mean(s), "large epsilon"),
    "rounded": (lambda c, s: (white(c) * std(s) + mean(s)).mul(10).round() / 10, "rounded numbers"),
    "most of the mean": (lambda c, s: white(c) * std(s) + 0.98 * mean(s), "style's"),
    "one channel": (astray, "astray"),
}

# --- slant_of ---


def moments(x):
    ink = x[:, 0].double()
    d = torch.arange(x.shape[2])[None, :, None].expand_as(ink).double()
    a = torch.arange(x.shape[3])[None, None].expand_as(ink).double()
    e = lambda v: (ink * v).sum((1, 2)) / ink.sum((1, 2)).clamp_min(1e-9)
    return e(a * d) - e(a) * e(d), e(d * d) - e(d) ** 2, e(a * a) - e(a) ** 2


def ratio(x):
    cov, var, _ = moments(x)
    return -cov / var.clamp_min(1e-9)


def degrees(tangent):
    return torch.rad2deg(torch.atan(tangent))


def by_numpy(x):
    out = []
    for image in x[:, 0].numpy().astype(float):
        if not image.any():
            out.append(0.0)
            continue
        d, a = np.mgrid[: image.shape[0], : image.shape[1]]
        c = np.cov(np.stack([a.ravel(), d.ravel()]), aweights=image.ravel())
        out.append(np.degrees(np.arctan(-c[0, 1] / c[1, 1])))
    return np.array(out)


def by_list(x):
    return [float(v) for v in right(x)]


def right(x):
    return torch.rad2deg(torch.atan(ratio(x)))


def around(place):
    def mine(x):
        ink = x[:, 0]
        d = (torch.arange(x.shape[2]) - place(x.shape[2]))[None, :, None]
        a = (torch.arange(x.shape[3]) - place(x.shape[3]))[None, None]
        return torch.rad2deg(torch.atan(-(ink * a * d).sum((1, 2)) / (ink * d * d).sum((1, 2))))

    return mine


def one_centre(x):
    ink, total = x[:, 0], x.sum()
    d, a = torch.arange(x.shape[2])[None, :, None], torch.arange(x.shape[3])[None, None]
    d, a = (at - (ink * at).sum() / total for at in (d, a))
    return degrees(-(ink * a * d).sum((1, 2)) / (ink * d * d).sum((1, 2)))


def uncentred_rows(x):
    ink, rows = x[:, 0], torch.arange(x.shape[2])[None, :, None]
    return degrees(-moments(x)[0] * ink.sum((1, 2)) / (ink * rows**2).sum((1, 2)))


def unguarded(x):
    ink = x[:, 0]
    d, a = torch.arange(x.shape[2])[None, :, None], torch.arange(x.shape[3])[None, None]
    d, a = (at - ((ink * at).sum((1, 2)) / ink.sum((1, 2)))[:, None, None] for at in (d, a))
    return degrees(-(ink * a * d).sum((1, 2)) / (ink * d * d).sum((1, 2)))


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
    "nothing becomes 0": lambda x: unguarded(x).nan_to_num(),
}
WRONG_SLANT = {
    "sign": (lambda x: -right(x), "sign is turned"),
    "radians": (lambda x: torch.atan(ratio(x)), "radians"),
    "tangent": (ratio, "this is the tangent"),
    "other variance": (lambda x: torch.rad2deg(torch.atan(-moments(x)[0] / moments(x)[2])), "variance across"),
    "middle": (around(lambda n: (n - 1) / 2), "image's middle"),
    "no arctangent": (lambda x: torch.rad2deg(ratio(x)), "arctangent is missing"),
    "twice": (lambda x: 2 * right(x), "twice"),
    "mean": (lambda x: right(x).mean(), "not their mean"),
    "zero": (lambda x: 0 * right(x), "all slants are about 0"),
    "half of the sides": (around(lambda n: n / 2), "half of H and W"),
    "corner": (around(lambda n: 0), "around the corner: take"),
    "corner from 1": (around(lambda n: -1), "counted from 1"),
    "one centre": (one_centre, "share one centre"),
    "rows not centred": (uncentred_rows, "only the covariance is centred"),
    "pixels": (lambda x: right((x > 0.5).float()), "as ink or none"),
    "no weights": (lambda x: right(torch.ones_like(x)), "weigh each pixel"),
    "upside down": (lambda x: degrees(1 / ratio(x)), "1 / tan"),
    "to the horizontal": (lambda x: 90 - right(x), "90 degrees minus"),
    "principal axis": (
        lambda x: torch.rad2deg(torch.atan2(-2 * moments(x)[0], moments(x)[1] - moments(x)[2]) / 2),
        "principal axis",
    ),
    "correlation": (lambda x: degrees(-moments(x)[0] / (moments(x)[1] * moments(x)[2]).sqrt()), "a correlation"),
    "radians, turned": (lambda x: -torch.atan(ratio(x)), "sign is turned"),
    "tangent, turned": (lambda x: -ratio(x), "and this is the tangent"),
    "arcsine": (lambda x: torch.rad2deg(torch.asin(ratio(x).clamp(-1, 1))), "arcsine"),
    "tanh": (lambda x: torch.rad2deg(torch.tanh(ratio(x))), "hyperbolic"),
    "limits": (lambda x: right(x).clamp(-30, 30), "cut off"),
    "no guard": (unguarded, "without ink"),
    "a column": (lambda x: right(x)[:, None], "not (N, 1)"),
    "in place": (blackens, "`x` itself was changed"),
}

RIGHT = {"gram": RIGHT_GRAM, "adain": RIGHT_ADAIN, "slant_of": RIGHT_SLANT}
WRONG = {"gram": WRONG_GRAM, "adain": WRONG_ADAIN, "slant_of": WRONG_SLANT}
