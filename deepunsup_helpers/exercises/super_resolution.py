"""The exercises of notebook 06: decibels, an average of what fits, a distance between feature maps."""

from collections.abc import Callable

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    call,
    draw,
    expect,
    expect_gradients,
    fits,
    number,
    require,
    tensor,
)

# --- psnr -----------------------------------------------------------------------------------------------------------


def psnr_reference(x: Tensor, x_hat: Tensor, data_range: float) -> float:
    """Peak signal-to-noise ratio of each image, averaged over the images.

    Args:
        x, x_hat: images and their reconstructions, (N, ...).
        data_range: largest minus smallest value that a pixel can take.
    Returns:
        10 log10(data_range^2 / mean squared error), in decibels.
    """
    errors = (x_hat - x).square().flatten(1).mean(dim=1)  # (N,)
    return float((10 * torch.log10(data_range**2 / errors)).mean())


def _check_psnr(psnr: Callable) -> Result:
    for seed, shape, span in ((1, (7, 1, 5, 6), 1.0), (2, (4, 3, 3, 2), 255.0), (3, (6, 2, 4, 4), 2.0)):
        x = span * draw(*shape, seed=seed, low=0.2, high=0.7)
        loud = torch.logspace(-2, -0.5, len(x)).view(-1, 1, 1, 1)  # images of unlike errors
        x_hat = x + span * loud * draw(*shape, seed=seed + 10)
        with fits(
            f"{len(x)} images stop it: math.log10(), float() and .item() take one number, and each image has its own "
            "(torch.log10 takes them all); or is a size fixed? flatten(1) takes images of any shape"
        ):
            found = call(psnr, x, x_hat, span)
        what = "one number, the mean over the images"
        several = hasattr(found, "shape") and tuple(found.shape) == (len(x),)
        require(not several, "this is one number an image: average them")
        _name_the_decibels(number(found, what), x.double(), x_hat.double(), span)
    return Result(True, "Ten times smaller errors give 10 dB more, and the unit of the pixels does not matter.")


def _name_the_decibels(found: float, x: Tensor, x_hat: Tensor, span: float) -> None:
    rest = x_hat - x
    errors = rest.square().flatten(1).mean(1)
    decibels = 10 * torch.log10(span**2 / errors)
    true = float(decibels.mean())
    own = x.flatten(1).amax(1) - x.flatten(1).amin(1)
    square = rest.square()
    parts = {"pixel": square, "place": square.mean(1), "channel": square.flatten(2).mean(2), "row": square.mean(-1)}
    mistakes = {
        f"these are decibels of every {part}: first the mean over *all* of an image, then decibels": (
            (10 * torch.log10(span**2 / value)).mean()
        )
        for part, value in (parts | {"pixel's mean over the images": square.mean(0)}).items()
    } | {
        "this is the median of the images: average them": decibels.median(),
        "this compares with the images' own power: the peak is data_range": (
            10 * torch.log10(x.square().flatten(1).mean(1) / errors)
        ).mean(),
        "this is the error's variance, its mean taken off: take the mean of the squares": (
            10 * torch.log10(span**2 / rest.flatten(1).var(1, correction=0))
        ).mean(),
        "this takes the decibels of the *batch's* mean error: take each image's, then average": (
            10 * torch.log10(span**2 / errors.mean())
        ),
        "this uses the natural logarithm: decibels take log10": decibels.mean() * 2.302585093,
        "the factor 10 is missing: this is in bel": decibels.mean() / 10,
        "20 log10 is for ratios of amplitudes, and this is a ratio of squares: 10": 2 * decibels.mean(),
        "the fraction stands upside down: a smaller error must give more decibels": -decibels.mean(),
        "this sums the squares of an image: take their mean, or large images look worse": (
            10 * torch.log10(span**2 / rest.square().flatten(1).sum(1)).mean()
        ),
        "this sums over the images: average them": decibels.sum(),
        "the errors are not squared: mean *squared* error": (
            10 * torch.log10(span**2 / rest.abs().flatten(1).mean(1)).mean()
        ),
        "the root is taken: leave the squares, or take 20 in place of 10": (
            10 * torch.log10(span**2 / errors.sqrt()).mean()
        ),
        "data_range takes part once: square it, as the error is squared": 10 * torch.log10(span / errors).mean(),
        "data_range is left out: pixels from 0 to 255 would look worse than the same from 0 to 1": (
            10 * torch.log10(1 / errors).mean()
        ),
        "the range is taken from the image's own pixels: a dark image would score unlike a bright one. Use data_range": (
            10 * torch.log10(own**2 / errors).mean()
        ),
        "the range is taken from the batch's own pixels: the same image would score unlike beside others. Use data_range": (
            10 * torch.log10((x.max() - x.min()) ** 2 / errors).mean()
        ),
        "the peak is taken from the batch's own pixels. Use data_range": 10 * torch.log10(x.max() ** 2 / errors).mean(),
        "the reconstruction is clamped to the range from 0 to 1: score what is given": (
            10 * torch.log10(span**2 / (x_hat.clamp(0, 1) - x).square().flatten(1).mean(1)).mean()
        ),
    }
    if span == 1:  # data_range leaves no trace here
        mistakes = {
            said: value for said, value in mistakes.items() if "data_range takes" not in said and "left out" not in said
        }
    expect(
        found,
        true,
        mistakes,
        f"on {len(x)} images with data_range={span:g} it gives {found:.4f} dB, expected {true:.4f}",
        rtol=1e-4,
    )


# --- look_up --------------------------------------------------------------------------------------------------------


def look_up_reference(small: Tensor, small_train: Tensor, x_train: Tensor, k: int) -> Tensor:
    """For each small image the average of the k large ones whose small versions are nearest to it.

    Args:
        small: small images, (M, C, h, w).
        small_train, x_train: small versions, (N, C, h, w), and the large images that they were made of, (N, C, H, W).
        k: how many are averaged; distance is Euclidean.
    Returns:
        (M, C, H, W).
    """
    nearest = torch.cdist(small.flatten(1), small_train.flatten(1)).topk(k, largest=False).indices  # (M, k)
    return x_train[nearest].mean(dim=1)


def _check_look_up(look_up: Callable) -> Result:
    for seed, (m, n, c, side, large) in enumerate(((9, 40, 1, 3, 6), (7, 30, 3, 2, 4), (40, 40, 2, 2, 8))):
        small, small_train = draw(m, c, side, side, seed=seed, low=0), draw(n, c, side, side, seed=seed + 5, low=0)
        small[0] = small_train[3]  # at distance 0, which counts
        x_train = draw(n, c, large, large, seed=seed + 9, low=-1, high=2)
        for k in (1, 4):
            with fits(
                f"small images ({m}, {c}, {side}, {side}) stop it: each must be a row for cdist, flatten(1), and "
                "topk's `.indices` say where; or is a size fixed?"
            ):
                found = call(look_up, small, small_train, x_train, k)
            rest = (c, large, large)
            shape = (m, *rest)
            hints = {
                (m, k, *rest): "these are the k images themselves: average them, over dim=1",
                (
                    k,
                    *rest,
                ): "the small images are averaged, not their neighbours: cdist(small, small_train), mean(dim=1)",
                (n, *rest): "one image for each *training* image came back: cdist(small, small_train), in this order",
                tuple(small.shape): "these are small images: take the large ones, x_train, at the places found",
                (): "this is one number, the mean of everything: average over the neighbours, dim=1",
                (m, k): "these are the places of the neighbours: take the images that stand there",
            }
            _name_the_average(tensor(found, shape, hints).double(), small, small_train, x_train, k)
    return Result(True, "With k = 1 it is the nearest training image itself, with more an average of the k nearest.")


def _name_the_average(found: Tensor, small: Tensor, small_train: Tensor, x_train: Tensor, k: int) -> None:
    a, b, x = small.flatten(1).double(), small_train.flatten(1).double(), x_train.double()
    distance = torch.cdist(a, b)
    order, count = distance.argsort(1), len(x)
    near = x[order[:, :k]]
    weights = 1 / distance.gather(1, order[:, :k]).clamp(min=1e-6)
    unlike = torch.where(distance < 1e-4, torch.inf, distance).argsort(1)
    centred = (a - a.mean(1, keepdim=True)), (b - b.mean(1, keepdim=True))
    mistakes = {
        "it takes the images that are *farthest*: topk returns the largest unless told largest=False": (
            x[order[:, count - k :]].mean(1)
        ),
        "the nearest is left out: all k count, an equal one too": x[order[:, 1 : k + 1]].mean(1),
        "a small image that is equal, at distance 0, is left out: it counts": x[unlike[:, :k]].mean(1),
        "only the first channel is compared: compare all": (
            x[torch.cdist(small[:, 0].flatten(1), small_train[:, 0].flatten(1)).argsort(1)[:, :k]].mean(1)
        ),
        "the largest difference of one pixel decides: the distance sums the squares of all": (
            x[torch.cdist(a, b, p=torch.inf).argsort(1)[:, :k]].mean(1)
        ),
        "it takes one image whatever k is: average the k nearest": x[order[:, 0]],
        "it averages one neighbour too many": x[order[:, : k + 1]].mean(1),
        "it averages all training images": x.mean(0).expand_as(found),
        "it adds the neighbours up: average them": near.sum(1),
        "near ones weigh more here: each of the k counts once": (
            (near * weights.view(*weights.shape, 1, 1, 1)).sum(1) / weights.sum(1).view(-1, 1, 1, 1)
        ),
        "it takes the median of the k images: average them": near.median(1).values,
        "the result is clamped to the range from 0 to 1": near.mean(1).clamp(0, 1),
        "it takes the k-th neighbour alone: average all k": x[order[:, k - 1]],
        "the nearest are chosen by the sum of absolute differences: the distance is Euclidean": (
            x[torch.cdist(a, b, p=1).argsort(1)[:, :k]].mean(1)
        ),
        "the nearest are chosen by a dot product: take the distance": x[
            (a @ b.T).argsort(1, descending=True)[:, :k]
        ].mean(1),
        "the nearest are chosen by the angle: take the distance": (
            x[
                torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=2).argsort(1, descending=True)[:, :k]
            ].mean(1)
        ),
        "the small images are centred or scaled first: take their distance as they are": (
            x[torch.cdist(*centred).argsort(1)[:, :k]].mean(1)
        ),
        "the nearest are chosen by mean brightness alone: compare pixel by pixel": (
            x[(a.mean(1)[:, None] - b.mean(1)[None]).abs().argsort(1)[:, :k]].mean(1)
        ),
    }
    expect(
        found, near.mean(1), mistakes,
        f"with k={k} the result is not the average of the k training images whose small versions are nearest", atol=1e-4,
    )  # fmt: skip


# --- feature_distance -----------------------------------------------------------------------------------------------


def feature_distance_reference(h: Tensor, h_hat: Tensor) -> Tensor:
    """Squared distance between two stacks of feature maps, as a share of the first one's squared size.

    Args:
        h, h_hat: maps of the true images and of the drawn ones, (N, C, H, W).
    Returns:
        0-d tensor: 0 for equal maps, 1 for blank ones; gradients reach h_hat.
    """
    return (h_hat - h).square().sum() / h.square().sum()


def _check_feature_distance(feature_distance: Callable) -> Result:
    for seed, shape, gain in ((1, (6, 4, 3, 5), 1.3), (2, (3, 2, 4, 4), 4), (3, (5, 7, 2, 2), 0.8)):
        size = torch.linspace(0.2, 2, shape[0]).view(-1, 1, 1, 1) * torch.linspace(0.5, 3, shape[1]).view(1, -1, 1, 1)
        h, h_hat = size * draw(*shape, seed=seed, low=0), gain * size * draw(*shape, seed=seed + 10, low=0)
        h_hat.requires_grad_()
        hints = {
            (shape[0],): "this is one number an image: sum over the batch, above and below the line",
            shape[:2]: "this is one number for each image and map: sum over all of them",
        }
        with fits(
            f"maps of shape {shape} stop it: h_hat carries gradients, so NumPy cannot take it and -= cannot write into "
            "it; or is a size fixed?"
        ):
            found = tensor(call(feature_distance, h, h_hat), (), hints, slopes=True)
        _name_the_share(float(found.detach()), h.double(), h_hat.detach().double())
        given = {"h": h, "h_hat": h_hat.detach()}
        expect_gradients(feature_distance, feature_distance_reference, given, ["h_hat"])
    return Result(True, "It is 0 for equal maps and 1 for blank ones, in any unit, and gradients reach what was drawn.")


def _name_the_share(found: float, h: Tensor, h_hat: Tensor) -> None:
    rest, true = h_hat - h, float(feature_distance_reference(h, h_hat))
    each, size = rest.square().flatten(1).sum(1), h.square().flatten(1).sum(1)
    channels = rest.square().sum((0, 2, 3)) / h.square().sum((0, 2, 3))
    mistakes = {
        "it is cut off at 1: drawn maps can be farther from the true ones than blank ones": min(true, 1.0),
        "only one sign of the differences counts here: square all": rest.relu().square().sum() / h.square().sum(),
        "this divides number by number: sum first, then divide": (rest / h).square().sum(),
        "this compares directions only (a cosine): brighter maps would cost nothing": (
            1 - (h * h_hat).sum() / (h.norm() * h_hat.norm())
        ),
        "the division is missing: maps of layers are of unlike size, and the largest would decide alone": rest.square().mean(),
        "the division is missing, and all is summed: a larger batch would look worse": rest.square().sum(),
        "the division is missing: maps of large layers would decide alone": each.mean(),
        "it divides by the size of what was *drawn*: a net could then win by bright maps. Divide by the true maps'": (
            rest.square().sum() / h_hat.square().sum()
        ),
        "this takes the share image by image: an empty image would count without bounds. Sum first, then divide": (
            (each / size).mean()
        ),
        "this takes the share map by map: a map that is nearly silent would count as much as any. Sum first, then divide": (
            channels.mean()
        ),
        "this adds the maps' shares: sum first, then divide": channels.sum(),
        "the differences are absolute: square them": rest.abs().sum() / h.abs().sum(),
        "the differences are absolute above the line, squared below: square both": rest.abs().sum() / h.square().sum(),
        "the root is taken: leave the squares": true**0.5,
        "the factor 1/2 is not in the formula": true / 2,
        "differences of unlike sign cancel: square before you sum": rest.sum() / h.sum(),
        "differences of unlike sign cancel: square before you sum them": rest.sum().square() / h.square().sum(),
        "it divides by the sum of the maps: square them": rest.square().sum() / h.sum(),
        "it divides by the maps' variance: the formula has their squares, without a mean taken off": (
            rest.square().mean() / h.var()
        ),
        "it divides by the maps' variance: the formula has their squares": rest.square().mean() / h.var(correction=0),
        "a mean stands above the line and a sum below, or the other way round: take the same in both": (
            rest.square().mean() / h.square().sum()
        ),
        "a sum stands above the line and a mean below: take the same in both": rest.square().sum() / h.square().mean(),
        "it divides by the largest value: divide by the sum of the squares": rest.square().mean() / h.max(),
    }
    expect(found, true, mistakes, f"it gives {found:.5g} where the formula gives {true:.5g}")


psnr = Exercise("psnr", psnr_reference, _check_psnr, float)
look_up = Exercise("look_up", look_up_reference, _check_look_up, lambda found: torch.as_tensor(found).float())
feature_distance = Exercise("feature_distance", feature_distance_reference, _check_feature_distance)
