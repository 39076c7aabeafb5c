"""The exercises of notebook 18: a Gram matrix, AdaIN, and slant from an image's moments."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, expect_gradients, fits, require, tensor
from deepunsup_helpers.losses import style as package


def _single(found: Any) -> Tensor:
    """What the notebook computes with: a float32 tensor, also of an answer in NumPy or float64; gradients pass."""
    return torch.as_tensor(found).float()


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
            (1, c, c): "one matrix for the whole batch: keep the images apart, (N, C, C)",
            (n, height * width, height * width): "this pairs positions: pair channels, (N, C, C)",
            (n, n): "this pairs images: pair channels within each image, (N, C, C)",
            (n * c, n * c): "this pairs channels of different images: one matrix for each image, (N, C, C)",
            (n, c): "this squares each channel alone: pair every channel with every other, (N, C, C)",
        }
        with fits(f"it fails on maps of shape {shape}"):
            found = tensor(call(gram, h), (n, c, c), hints, slopes=True)
        flat = h.flatten(2)
        raw, p = flat @ flat.mT, height * width
        centred = flat - flat.mean(2, keepdim=True)
        spread = centred @ centred.mT
        length, deviation = flat.norm(dim=2), centred.norm(dim=2)
        mixed = h.reshape(n, p, c)
        mistakes = {
            "the products are summed, not averaged: divide by the positions H W": raw,
            "this divides by h.numel(), batch and channels included: divide by the positions H W alone": raw / h.numel(),
            "this divides by channels as well: divide by the positions alone": raw / p / c,
            "this divides by the channels: divide by the positions H W": raw / c,
            "this divides by the batch: divide by the positions H W": raw / n,
            "this divides by the height alone: positions are H W": raw / height,
            "this divides by the width alone: positions are H W": raw / width,
            "the mean is taken off first: that is a covariance, and brightness is lost": spread / p,
            "the mean is taken off first, and H W - 1 divides: that is torch.cov, a covariance": spread / (p - 1),
            "this divides by H W - 1: divide by the positions H W": raw / (p - 1),
            "the lengths are divided out: that is a cosine, and how strong a channel is gets lost": raw
            / (length[:, :, None] * length[:, None]),
            "mean and deviation are divided out: that is a correlation, as torch.corrcoef gives it": spread
            / (deviation[:, :, None] * deviation[:, None]),
            "this takes half of it": raw / p / 2,
            "this is the root of the positions: divide by H W": raw / p**0.5,
            "this divides by the batch as well": raw / p / n,
            "the pairs of a channel with itself are all that is left: keep the others": torch.diag_embed(flat.square().mean(2)),
            "all images have the batch's mean matrix: keep the images apart": (raw / p).mean(0, keepdim=True)
            .expand_as(raw),
            "reshape(N, H W, C) cuts the maps in other places and mixes channels: use flatten(2)": mixed.mT @ mixed / p,
        }  # fmt: skip
        expect(found, raw / p, mistakes, f"on random maps of shape {shape} other numbers come out")
        require(
            close(found, raw / p, rtol=1e-4, atol=1e-5),
            "nearly, but off by more than float32's rounding: half precision, or a number added to what divides",
        )
        expect_gradients(gram, gram_reference, {"h": h})
    return Result(True, "Every image has its own matrix, and the size of the picture cancels.")


# --- adain -----------------------------------------------------------------------------------------------------------


def adain_reference(content: Tensor, style: Tensor) -> Tensor:
    """Content maps with the style's mean and deviation, channel by channel of each image; deviations divide by H W."""
    return package.adain(content, style)


EACH, BATCH, CHANNELS, ALL = (2, 3), (0, 2, 3), (1, 2, 3), (0, 1, 2, 3)


def _adain_mistakes(content: Tensor, style: Tensor, correction: int) -> dict[str, Tensor]:
    """What comes out of likely mistakes, where a deviation divides by H W - `correction`."""

    def mean(x: Tensor, dims: tuple[int, ...] = EACH) -> Tensor:
        return x.mean(dims, keepdim=True)

    def deviation(x: Tensor, dims: tuple[int, ...] = EACH) -> Tensor:
        return x.std(dims, keepdim=True, correction=correction)

    def over(mine: tuple[int, ...], theirs: tuple[int, ...]) -> Tensor:
        return (content - mean(content, mine)) / deviation(content, mine) * deviation(style, theirs) + mean(
            style, theirs
        )

    m, s, tm, ts = mean(content), deviation(content), mean(style), deviation(style)
    white = (content - m) / s
    found = {
        "content and style are swapped in their moments: the result should have the style's": (content - tm) / ts * s + m,
        "the style's mean is missing: add it at the end": white * ts,
        "the style's deviation is missing: multiply by it": white + tm,
        "only the means move: divide by the content's deviation": content - m + tm,
        "the content's deviation is not divided out": (content - m) * ts + tm,
        "the content's mean is not taken off": content / s * ts + tm,
        "the content's mean is added at the end: add the style's": white * ts + m,
        "the style's mean is taken off at the end: add it": white * ts - tm,
        "this uses variances where deviations belong": (content - m) / s**2 * ts**2 + tm,
        "this divides by the content's variance: divide by its deviation": (content - m) / s**2 * ts + tm,
        "this multiplies by the style's variance: multiply by its deviation": white * ts**2 + tm,
        "this divides by the style's deviation: divide by the content's, then multiply by the style's": (content - m) / ts + tm,
        "the style's mean and deviation change places: multiply by the deviation, add the mean": white * tm + ts,
        "the mean is divided, not the difference: brackets around h - mu(h)": content - m / s * ts + tm,
        "this only normalises: the style has no part in it": white,
        "the content came back unchanged": content,
        "mean and deviation are taken over the batch, too: each image has its own": over(BATCH, BATCH),
        "mean and deviation are taken over the channels, too: each channel has its own": over(CHANNELS, CHANNELS),
        "mean and deviation are taken over batch, channels and positions: each channel of each image has its own": over(
        ALL, ALL), "the content's mean and deviation are taken over the batch, too: each image has its own": over(BATCH, EACH),
        "the style's mean and deviation are taken over the batch, too: each image has its own": over(EACH, BATCH),
        "the content's mean and deviation are taken over the channels, too: each channel has its own": over(CHANNELS, EACH),
        "the style's mean and deviation are taken over the channels, too: each channel has its own": over(EACH, CHANNELS),
    }  # fmt: skip
    if content.shape == style.shape:
        back = (style - tm) / ts * s + m
        found |= {
            "content and style are swapped: the content is given the style's moments": back,
            "the style came back unchanged: the content, with the style's moments, should": style,
            "mean and deviation are taken along H alone: both H and W, dimensions 2 and 3": over((2,), (2,)),
            "mean and deviation are taken along W alone: both H and W, dimensions 2 and 3": over((3,), (3,)),
            "mean and deviation are taken along the channels: positions are dimensions 2 and 3": over((1,), (1,)),
        }
    return found


def _check_adain(adain: Callable) -> Result:
    for seed, (n, c, h, w), larger in ((3, (3, 4, 5, 6), (0, 0)), (4, (3, 4, 5, 6), (2, 1)), (5, (2, 3, 7, 4), (2, 1))):
        scale = 1 + torch.arange(c)[None, :, None, None] + torch.arange(n)[:, None, None, None]
        content = draw(n, c, h, w, seed=seed) * (1 + scale) + 2
        style = draw(n, c, h + larger[0], w + larger[1], seed=seed + 9) / scale - scale
        with fits(
            "it fails where the style's maps have another size than the content's"
            if any(larger)
            else f"it fails on maps of shape {(n, c, h, w)}: keepdim=True keeps H and W of a mean as ones, so that it "
            "can be taken off"
        ):
            found = tensor(call(adain, content, style), (n, c, h, w)).detach().double()
        m, tm = content.mean(EACH, keepdim=True), style.mean(EACH, keepdim=True)
        unit = style.std(EACH, keepdim=True)

        def off(value: Tensor, found: Tensor = found, unit: Tensor = unit) -> float:
            """The largest difference, in deviations of the style."""
            return float(((found - value.double()) / unit).abs().max())

        nearest = min(  # whichever divisor either deviation has
            off(
                (content - m)
                / content.std(EACH, keepdim=True, correction=mine)
                * style.std(EACH, keepdim=True, correction=theirs)
                + tm
            )
            for mine in (0, 1)
            for theirs in (0, 1)
        )
        if nearest > 4e-3:
            for correction in (0, 1):
                for message, value in _adain_mistakes(content, style, correction).items():
                    require(off(value) > 0.02 or nearest < 0.02, message)
            require(
                nearest > 0.3,
                "nearly, but off by more than rounding: a large epsilon, rounded numbers, or one channel astray",
            )
            require(False, "mean and deviation of the channels are not the style's, image by image")
    return Result(True, "Each channel of each image has the style's mean and deviation, at the style's own size.")


# --- slant_of --------------------------------------------------------------------------------------------------------


def slant_of_reference(x: Tensor) -> Tensor:
    """Slant of each image in degrees, from its moments: (N, 1, H, W) of ink to (N,); positive leans right, 0 without ink.

    tan(slant) = -cov(across, down) / var(down), with ink as the weight of a pixel.
    """
    c, d, _ = _moments(x[:, 0].double())
    return torch.rad2deg(torch.atan(-c / d.clamp_min(1e-9))).float()


def _moments(ink: Tensor, centre: str = "ink") -> tuple[Tensor, Tensor, Tensor]:
    """Covariance, variance down and variance across of (N, H, W), around what `centre` names."""
    down, across = (torch.arange(n, dtype=ink.dtype, device=ink.device) for n in ink.shape[1:])
    down, across = down[None, :, None], across[None, None]
    total = ink.sum((1, 2)).clamp_min(1e-9)
    if centre == "ink":
        down = down - ((ink * down).sum((1, 2)) / total)[:, None, None]
        across = across - ((ink * across).sum((1, 2)) / total)[:, None, None]
    elif centre == "batch":
        down, across = (at - (ink * at).sum() / total.sum() for at in (down, across))
    else:
        down, across = (
            at - {"middle": (at.numel() - 1) / 2, "half": at.numel() / 2, "0": 0, "1": -1}[centre]
            for at in (down, across)
        )
    return tuple((ink * a * b).sum((1, 2)) / total for a, b in ((across, down), (down, down), (across, across)))


def _slant_mistakes(x: Tensor) -> dict[str, Tensor]:
    ink = x[:, 0].double()
    c, d, a = _moments(ink)
    ratio, right = -c / d, torch.rad2deg(torch.atan(-c / d))

    def around(centre: str, ink: Tensor = ink) -> Tensor:
        c, d, _ = _moments(ink, centre)
        return torch.rad2deg(torch.atan(-c / d))

    uncentred = _moments(ink, "0")[1]
    turned = torch.rad2deg(torch.atan(-c / a))
    sign = "the sign is turned: rows count downwards, so leaning right means a negative covariance"
    found = {
        sign: -right,
        "this is in radians: 180 / pi of it are degrees": torch.deg2rad(right),
        f"{sign}; and this is in radians": -torch.deg2rad(right),
        "this is the tangent: take the arctangent, in degrees": ratio,
        f"{sign}; and this is the tangent: take the arctangent, in degrees": -ratio,
        "this divides by the variance across: divide by the one down the page": turned,
        f"{sign}; and this divides by the variance across": -turned,
        "this is the angle to the horizontal, or of 1 / tan: the covariance goes above the variance down the page": (
        torch.rad2deg(torch.atan(1 / ratio))), "this is 90 degrees minus the slant: upright is 0": 90 - right,
        "the moments are taken around the image's middle: take them around the ink's centre": around("middle"),
        "the moments are taken around half of H and W: take them around the ink's centre": around("half"),
        "the moments are taken around the corner: take them around the ink's centre": around("0"),
        "the moments are taken around the corner, counted from 1: take them around the ink's centre": around("1"),
        "all images share one centre: take each around its own ink's": around("batch"),
        "only the covariance is centred: take the rows d below from the ink's centre, too": torch.rad2deg(
        torch.atan(-c / uncentred)),
        "each pixel counts as ink or none: weigh it by how much ink it has": around("ink", (ink > 0.5).double()),
        "all slants are about 0: weigh each pixel by its ink, and give degrees": around("ink", torch.ones_like(ink)),
        "this is the principal axis: the slant is the covariance over the variance down the page": torch.rad2deg(
        torch.atan2(-2 * c, d - a) / 2),
        "both deviations divide: that is a correlation; divide by the variance down the page": torch.rad2deg(
        torch.atan(-c / (d * a).sqrt())), "degrees of the tangent: the arctangent is missing": torch.rad2deg(ratio),
        "this is the arcsine: take the arctangent": torch.rad2deg(torch.asin(ratio.clamp(-1, 1))),
        "this is the hyperbolic tangent: take the arctangent": torch.rad2deg(torch.tanh(ratio)),
        "this is twice the slant": 2 * right,
        "this is half of the slant": right / 2,
        "steep slants are cut off: the arctangent needs no limits": right.clamp(-30, 30),
    }  # fmt: skip
    return found


def _check_slant_of(slant_of: Callable) -> Result:
    for seed, (n, h, w) in ((5, (6, 12, 9)), (6, (4, 7, 15))):
        x = draw(n, 1, h, w, seed=seed, low=0.0).pow(3)
        x[:, :, : h // 2, w // 2 :] *= 3
        x[0] = x[0].flip(-1)
        down, across = torch.arange(h)[:, None], torch.arange(w)
        x[1] = x[1] / 20 + torch.exp(-((across - w / 2 + 1.7 * (down - h / 2)) ** 2)) * torch.exp(
            -((down - h / 2) ** 2) / 4
        )
        with fits(f"it fails on images of {h} by {w} pixels"):
            hints = {
                (): "one slant for each image, (N,), not their mean",
                (n, 1): "one number an image: (N,), not (N, 1)",
            }
            found = tensor(call(slant_of, x), (n,), hints)
        other = f"on random ink of {h} by {w} pixels other slants come out"
        expect(found, slant_of_reference(x), _slant_mistakes(x), other, rtol=2e-3, atol=0.01)
    x[1] = 0
    try:
        found = np.asarray([float(value) for value in call(slant_of, x)])
    except (ArithmeticError, ValueError):  # 0 / 0 in Python, an average or a fit of nothing in NumPy
        found = np.full(n, math.nan)
    message = "an image without ink has no slant to divide out: keep what divides above 0, so that it gets 0"
    require(abs(found[1]) < 1, message)  # NaN is not
    expect(
        np.delete(found, 1),
        np.delete(slant_of_reference(x), 1),
        {},
        "an image without ink changes the others'",
        atol=0.01,
    )
    return Result(True, "Around the ink's own centre, in degrees, to the right.")


gram = Exercise("gram", gram_reference, _check_gram, _single)
adain = Exercise("adain", adain_reference, _check_adain, _single)
slant_of = Exercise("slant_of", slant_of_reference, _check_slant_of, _single)
