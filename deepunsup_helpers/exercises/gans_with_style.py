"""The exercises of notebook 18: a Gram matrix, AdaIN, and slant from an image's moments."""

from collections.abc import Callable

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, expect_gradients, fits, require, tensor
from deepunsup_helpers.losses import style as package

# --- gram ------------------------------------------------------------------------------------------------------------


def gram_reference(h: Tensor) -> Tensor:
    """Mean products of pairs of channels over positions: maps (N, C, H, W) to (N, C, C)."""
    return package.gram_matrix(h)


def _check_gram(gram: Callable) -> Result:
    for seed, shape in ((1, (3, 4, 5, 7)), (2, (2, 6, 3, 4))):
        h = draw(*shape, seed=seed) + 0.7
        n, c, height, width = shape
        hints = {
            (c, c): "one matrix for the whole batch: keep the images apart, (N, C, C)",
            (n, height * width, height * width): "this pairs positions: pair channels, (N, C, C)",
            (n, n): "this pairs images: pair channels within each image, (N, C, C)",
        }
        with fits(f"it fails on maps of shape {shape}"):
            found = tensor(call(gram, h), (n, c, c), hints, slopes=True)
        flat = h.flatten(2)
        raw, p = flat @ flat.mT, height * width
        centred = flat - flat.mean(2, keepdim=True)
        mistakes = {
            "the products are summed, not averaged: divide by the positions H W": raw,
            "this divides by channels as well: divide by the positions alone": raw / p / c,
            "this divides by the channels: divide by the positions H W": raw / c,
            "this divides by the height alone: positions are H W": raw / height,
            "this divides by the width alone: positions are H W": raw / width,
            "the mean is taken off first: that is a covariance, and brightness is lost": centred @ centred.mT / p,
            "this divides by H W - 1: divide by the positions H W": raw / (p - 1),
            "the lengths are divided out: that is a correlation": raw
            / (flat.norm(dim=2)[:, :, None] * flat.norm(dim=2)[:, None]),
            "this takes half of it": raw / p / 2,
            "this is the root of the positions: divide by H W": raw / p**0.5,
            "this divides by the batch as well": raw / p / n,
        }
        expect(found, raw / p, mistakes, f"on random maps of shape {shape} other numbers come out")
        expect_gradients(gram, gram_reference, {"h": h})
    return Result(True, "Every image has its own matrix, and the size of the picture cancels.")


# --- adain -----------------------------------------------------------------------------------------------------------


def adain_reference(content: Tensor, style: Tensor) -> Tensor:
    """Content maps with the style's mean and deviation, channel by channel of each image; deviations divide by H W."""
    return package.adain(content, style)


def _check_adain(adain: Callable) -> Result:
    for seed, (n, c, h, w) in ((3, (3, 4, 5, 6)), (4, (2, 3, 7, 4))):
        scale = 1 + torch.arange(c)[None, :, None, None] + torch.arange(n)[:, None, None, None]
        content, style = (
            draw(n, c, h, w, seed=seed) * scale + 2,
            draw(n, c, h + 2, w + 1, seed=seed + 9) / scale - scale,
        )
        with fits("it fails where the style's maps have another size than the content's"):
            found = tensor(call(adain, content, style), (n, c, h, w), slopes=True)
        m, s, tm, ts = (f(x) for x in (content, style) for f in (_mean, _std))
        white = (content - m) / s
        mistakes = {
            "content and style are swapped in their moments: the result should have the style's": (content - tm)
            / ts
            * s
            + m,
            "the style's mean is missing: add it at the end": white * ts,
            "the style's deviation is missing: multiply by it": white + tm,
            "only the means move: divide by the content's deviation": content - m + tm,
            "the content's deviation is not divided out": (content - m) * ts + tm,
            "the content's mean is not taken off": content / s * ts + tm,
            "this uses variances where deviations belong": (content - m) / s**2 * ts**2 + tm,
            "this only normalises: the style has no part in it": white,
            "the content came back unchanged": content,
            "mean and deviation are taken over the batch, too: each image has its own": (
                (content - content.mean((0, 2, 3), keepdim=True)) / content.std((0, 2, 3), keepdim=True, correction=0)
            )
            * style.std((0, 2, 3), keepdim=True, correction=0)
            + style.mean((0, 2, 3), keepdim=True),
            "mean and deviation are taken over the channels, too: each channel has its own": (
                (content - content.mean((1, 2, 3), keepdim=True)) / content.std((1, 2, 3), keepdim=True, correction=0)
            )
            * style.std((1, 2, 3), keepdim=True, correction=0)
            + style.mean((1, 2, 3), keepdim=True),
        }
        loose = dict(rtol=0.05, atol=0.05)  # both divisors of a deviation are right
        wrong = {message: value for message, value in mistakes.items() if not close(value, white * ts + tm, **loose)}
        if not close(found, white * ts + tm, **loose):
            named = (message for message, value in wrong.items() if close(found, value, rtol=0.02, atol=0.02))
            require(False, next(named, "mean and deviation of the channels are not the style's, image by image"))
    return Result(True, "Each channel of each image has the style's mean and deviation, at the style's own size.")


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _std(x: Tensor) -> Tensor:
    return x.std((2, 3), keepdim=True, correction=0)


# --- slant_of --------------------------------------------------------------------------------------------------------


def slant_of_reference(x: Tensor) -> Tensor:
    """Slant of each image in degrees, from its moments: (N, 1, H, W) of ink to (N,); positive leans right.

    tan(slant) = -cov(across, down) / var(down), with ink as the weight of a pixel.
    """
    ink = x[:, 0].double()
    total = ink.sum((1, 2)).clamp_min(1e-9)
    down, across = (torch.arange(n, dtype=ink.dtype, device=x.device) for n in ink.shape[1:])
    down, across = down[None, :, None], across[None, None]
    d = down - ((ink * down).sum((1, 2)) / total)[:, None, None]
    a = across - ((ink * across).sum((1, 2)) / total)[:, None, None]
    return torch.rad2deg(torch.atan(-(ink * a * d).sum((1, 2)) / (ink * d * d).sum((1, 2)).clamp_min(1e-9))).float()


def _check_slant_of(slant_of: Callable) -> Result:
    for seed, (n, h, w) in ((5, (6, 12, 9)), (6, (4, 7, 15))):
        x = draw(n, 1, h, w, seed=seed, low=0.0).pow(3)
        x[:, :, : h // 2, w // 2 :] *= 3
        x[0] = x[0].flip(-1)
        with fits(f"it fails on images of {h} by {w} pixels"):
            found = tensor(call(slant_of, x), (n,), {(): "one slant for each image, (N,), not their mean"})
        right = slant_of_reference(x)
        ratio = torch.tan(torch.deg2rad(right))
        turned = slant_of_reference(x.mT)
        ink = x[:, 0]
        d = (torch.arange(h) - (h - 1) / 2)[None, :, None]
        a = (torch.arange(w) - (w - 1) / 2)[None, None]
        middle = torch.rad2deg(torch.atan(-(ink * a * d).sum((1, 2)) / (ink * d * d).sum((1, 2))))
        corner_d, corner_a = torch.arange(h)[None, :, None], torch.arange(w)[None, None]
        corner = torch.rad2deg(torch.atan(-(ink * corner_a * corner_d).sum((1, 2)) / (ink * corner_d**2).sum((1, 2))))
        mistakes = {
            "the sign is turned: rows count downwards, so leaning right means a negative covariance": -right,
            "this is in radians: 180 / pi of it are degrees": torch.deg2rad(right),
            "this is the tangent: take the arctangent, in degrees": ratio,
            "this divides by the variance across: divide by the one down the page": turned,
            "the moments are taken around the image's middle: take them around the ink's centre": middle,
            "the moments are taken around the corner: take them around the ink's centre": corner,
            "degrees of the tangent: the arctangent is missing": torch.rad2deg(ratio),
            "this is twice the slant": 2 * right,
            "this is half of the slant": right / 2,
        }
        expect(
            found, right, mistakes, f"on random ink of {h} by {w} pixels other slants come out", rtol=1e-2, atol=1e-3
        )
    return Result(True, "Around the ink's own centre, in degrees, to the right.")


gram = Exercise("gram", gram_reference, _check_gram)
adain = Exercise("adain", adain_reference, _check_adain)
slant_of = Exercise("slant_of", slant_of_reference, _check_slant_of, torch.as_tensor)
