"""The exercises of notebook 15: a judge's verdict, a penalty on the discriminator's slope, a slow copy of the generator."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from deepunsup_helpers import losses
from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, number, require, sets_a_seed, tensor

# --- confident_fraction ----------------------------------------------------------------------------------------------


def confident_fraction_reference(logits: Tensor, threshold: float = 0.8) -> float:
    """The share of images whose largest probability is above the threshold and belongs to a class, not to "none of them".

    Args:
        logits: the judge's, (N, K + 1); the last column is "none of them".
        threshold: of the probability, in (0, 1).
    Returns:
        0 to 1.
    """
    probability, chosen = logits.softmax(dim=1).max(dim=1)
    return ((probability > threshold) & (chosen < logits.shape[1] - 1)).double().mean().item()


def _check_confident_fraction(confident_fraction: Callable) -> Result:
    for seed, (n, classes) in enumerate(((400, 10), (300, 13), (250, 4)), start=5):
        logits = 3 * draw(n, classes + 1, seed=seed)
        logits[:, -1] += 2
        logits[: n // 6, -1] -= 8  # some that only the threshold refuses
        for threshold in (0.8, 0.6, 0.3):
            found = number(call(confident_fraction, logits, threshold), "one number for all images")
            _name_the_fraction(found, logits, threshold)
        default = number(call(confident_fraction, logits))
        same = close(default, confident_fraction_reference(logits))
        require(same, "without a threshold another share comes out: it is 0.8 by default, `threshold=0.8`")
    return Result(True, 'It counts sure verdicts for a class, and neither doubt nor a sure "none of them".')


def _name_the_fraction(found: float, logits: Tensor, threshold: float) -> None:
    p, n = logits.softmax(1), len(logits)
    known, largest, chosen, none = p[:, :-1], p.amax(1), p.argmax(1), logits.shape[1] - 1

    def share(accepted: Tensor) -> float:
        return accepted.double().mean().item()

    right = share((largest > threshold) & (chosen < none))
    mistakes = {
        f'below 1/2 a class can pass the threshold of {threshold} and "none of them" be likelier still: the largest '
        "probability of all must belong to a class": share((known > threshold).any(1)),
        'the last column is counted too: a sure "none of them" is no confident class': share(largest > threshold),
        'the softmax runs over the real classes alone, so the judge can no longer say "none of them"': share(
            logits[:, :-1].softmax(1).amax(1) > threshold
        ),
        "the threshold is for probabilities; logits need a softmax first": share(logits[:, :-1].amax(1) > threshold),
        "the probabilities of one image add up to 1: a softmax, not a sigmoid": share(
            logits.sigmoid()[:, :-1].amax(1) > threshold
        ),
        'this adds up the classes\' probabilities: "a digit, but which?" is no confident verdict': share(
            known.sum(1) > threshold
        ),
        "the threshold is ignored: the likeliest answer may have a probability of 0.2": share(chosen < none),
        "this is the mean of the largest probability, not the share above the threshold": largest.mean().item(),
        "this is the mean of the classes' largest probability, not the share above the threshold": (
            known.amax(1).mean().item()
        ),
        "this is the number of images: divide by how many there are": right * n,
        "this is a percentage: the share lies between 0 and 1": right * 100,
        "this is the share of those refused": 1 - right,
        "the softmax runs over the batch, axis 0: each image has probabilities of its own, axis 1": share(
            (logits.softmax(0).amax(1) > threshold) & (chosen < none)
        ),
        "this divides by the verdicts for a class: divide by all images, or noise with one lucky digit wins": right
        * n
        / max(1, int((chosen < none).sum())),
        '"none of them" is the last column, not the first column': share((largest > threshold) & (chosen > 0)),
    }
    said = f"of {n} random verdicts on {none} classes {right:.3f} are confident at threshold {threshold}"
    said += f"; this answers {found:.3f}"
    if none != 10:
        said += ". Is the number of classes fixed, or the batch of 400?"
    expect(found, right, mistakes, said)


# --- r1_penalty ------------------------------------------------------------------------------------------------------


def r1_penalty_reference(D: Callable, real: Tensor) -> Tensor:
    """E |grad_x D(x)|^2 at the real images: squared slope, summed over an image, averaged over the batch.

    Args:
        D: images to logits, (N,).
        real: (N, C, H, W).
    Returns:
        0-d tensor, differentiable in D's parameters.
    Source: Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406, equation 9.
    """
    real = real.detach().requires_grad_()
    return losses.r1_penalty(D(real), real)


class _Bowl(nn.Module):
    """D(x) = s (w . x) + |x|^2 / 2 for each image: its slope at x is s w + x, known without autograd."""

    def __init__(self, w: Tensor, s: float):
        super().__init__()
        self.w, self.s, self.shift = w, nn.Parameter(torch.tensor(s)), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.shift + self.s * (x * self.w).flatten(1).sum(1) + 0.5 * x.square().flatten(1).sum(1)


def _check_r1_penalty(r1_penalty: Callable) -> Result:
    for seed, (n, *shape) in ((1, (5, 2, 3, 4)), (2, (3, 1, 5, 5))):
        w, real, s = draw(1, *shape, seed=seed), draw(n, *shape, seed=seed + 5), 0.7
        D = _Bowl(w, s)
        hints = {(n,): "this is one penalty an image: average over the batch"}
        try:
            found = tensor(call(r1_penalty, D, real), (), hints, slopes=True)
        except RuntimeError as error:
            unused = "not have been used" in str(error) or "does not require grad" in str(error)
            require(
                not unused, "the images take no part in the graph: real.detach().requires_grad_() before D sees them"
            )
            raise
        require(D.s.item() == torch.tensor(s).item(), "the weights of D were changed: the penalty is only measured")
        slope = (s * w + real).flatten(1)  # (n, pixels), by hand
        require(close(call(r1_penalty, D, real), found), "the answer is random: take the slope at the real images")
        _name_the_penalty(float(found.detach()), slope, D(real).detach(), real, w.flatten(1) * s)
        _check_the_penalty_teaches(found, D, 2 * (slope * w.flatten(1)).sum(1).mean().item())
    return Result(True, "A sum over pixels, a mean over the batch, and the discriminator can learn from it.")


def _name_the_penalty(found: float, slope: Tensor, logits: Tensor, real: Tensor, at_zero: Tensor) -> None:
    n, each, gate = len(slope), slope.square().sum(1), logits.sigmoid() * (1 - logits.sigmoid())
    right = each.mean().item()
    mistakes = {
        "this averages over the pixels: the squared slope of one image is a *sum* over its pixels": slope.square().mean(),
        "this sums over the batch: take the mean, or gamma depends on the batch size": each.sum(),
        "this is the slope's length, not its square": each.sqrt().mean(),
        "this is (length - 1) squared, the penalty of WGAN-GP: R1 pulls the slope to 0": (each.sqrt() - 1)
        .square()
        .mean(),
        "the slopes are averaged before they are squared, and opposite ones cancel": slope.mean(0).square().sum(),
        "this differentiates the *mean* logit, so each slope is N times too small: sum the logits first": right / n**2,
        "this differentiates the mean logit and sums over the batch: N times too small": right / n,
        "this is the slope itself, whose signs cancel: square it": slope.sum(1).mean(),
        "this is gamma / 2 of it already: the step multiplies": right / 2,
        "this penalises the logit, not its slope": logits.square().mean(),
        "the slope is taken after a sigmoid: it fades where D is sure; differentiate the logit": (
            (each * gate.square()).mean()
        ),
        "the slope is taken elsewhere: take it at the real images": at_zero.square().sum(),
        "only the first channel is summed: flatten(1) takes them all": (
            slope.reshape(real.shape)[:, 0].square().sum((1, 2)).mean()
        ),
    }
    said = (
        f"on a discriminator whose slope is known, and a batch of {n}, it should be {right:.3f}; this gives {found:.3f}"
    )
    expect(found, right, mistakes, said)


def _check_the_penalty_teaches(found: Tensor, D: _Bowl, expected: float) -> None:
    require(found.requires_grad, "the number is right, but no gradient reaches D's parameters: create_graph=True")
    D.zero_grad()
    found.backward()
    reached = D.s.grad is not None and close(D.s.grad, expected)
    require(reached, "the number is right, but its gradient is not: part of it is detached")


# --- ema_update ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def ema_update_reference(slow: nn.Module, fast: nn.Module, decay: float) -> None:
    """Move the slow copy a little towards the fast network, in place: w <- decay w + (1 - decay) w_fast.

    Floating-point buffers (running means and variances) are averaged too, the others copied.

    Args:
        slow, fast: two networks of one architecture.
        decay: in [0, 1), for example 0.998.
    """
    for mine, theirs in zip(slow.state_dict().values(), fast.state_dict().values()):
        mine.lerp_(theirs, 1 - decay) if mine.is_floating_point() else mine.copy_(theirs)


def _small_net(seed: int, looks: int) -> nn.Module:
    """A network whose batch normalisation has looked at `looks` batches."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    nn.init.normal_(net[1].weight), nn.init.normal_(net[1].bias)
    for k in range(looks):
        net[:2](5 - 3 * seed * k + torch.randn(6, 3))
    return net


def _check_ema_update(ema_update: Callable) -> Result:
    for seed, decay in ((0, 0.9), (4, 0.6)):
        slow, fast = _small_net(seed, looks=1), _small_net(seed + 1, looks=12)
        before, target = (copy.deepcopy(net.state_dict()) for net in (slow, fast))
        _move(ema_update, slow, fast, decay)
        unlike = [name for name, value in fast.state_dict().items() if not torch.equal(target[name], value)]
        require(not unlike, "the fast network was changed: the game is played with it, only the slow copy moves")
        weights = [name for name, _ in slow.named_parameters()]
        _name_the_move(slow.state_dict(), before, target, weights, decay)
        for _ in range(200):
            ema_update(slow, fast, decay)
        seeded = sets_a_seed(partial(ema_update, slow, fast, decay))
        require(not seeded, "a seed is set inside, though nothing is drawn: every later cell draws the same numbers")
        arrived = all(close(slow.state_dict()[name], target[name], atol=1e-4) for name in before)
        require(arrived, "with a fast network that stands still the copy must reach it, and it does not")
        shared = slow[0].weight.data_ptr() == fast[0].weight.data_ptr()
        require(not shared, "slow and fast now share their memory: copy values, not tensors")
    return Result(True, "Weights and running statistics follow slowly, in place, and the game is not disturbed.")


def _move(ema_update: Callable, slow: nn.Module, fast: nn.Module, decay: float) -> None:
    try:
        ema_update(slow, fast, decay)
    except RuntimeError as error:
        leaf = "leaf" not in str(error)
        require(
            leaf, "a weight that wants gradients was changed in place while they were recorded: work under no_grad()"
        )
        whole = any(word in str(error) for word in ("Long", "long", "dtype"))
        require(not whole, "integer buffers are copied, not averaged: ask is_floating_point() first")
        raise


def _name_the_move(after: dict, before: dict, target: dict, weights: list[str], decay: float) -> None:
    def moved(names: list[str], share: float) -> bool:
        return all(close(after[n], before[n].lerp(target[n], share), atol=1e-5) for n in names)

    buffers = [name for name in before if name not in weights and before[name].is_floating_point()]
    whole = [name for name in before if not before[name].is_floating_point()]
    nothing = "nothing moved: change the copy in place (a new tensor under the same name stays in your function)"
    require(not moved(weights, 0.0), nothing)
    require(not moved(weights, 1.0), "the copy took the fast network's weights: keep `decay` of its own")
    require(not moved(weights, decay), "the two shares are swapped: the slow copy keeps `decay` of itself")
    added = all(close(after[n], before[n] + (1 - decay) * target[n]) for n in weights)
    require(not added, "the two shares do not add up to 1: the copy's own weights need the factor `decay`")
    stay = [name for name in weights if close(after[name], before[name])]
    require(not stay, f"some weights did not move: {', '.join(stay)}. Go through all of them")
    each = f"with decay {decay}, a weight of 0 and a fast one of 1 make {1 - decay:.1f}; these do not"
    require(moved(weights, 1 - decay), each)
    require(
        not moved(buffers, 0.0),
        "the weights are right, but the running mean and variance of batch normalisation stayed behind: they are in "
        "state_dict(), not in parameters()",
    )
    either = moved(buffers, 1 - decay) or moved(buffers, 1.0)
    require(either, "the weights are right, but the running mean and variance are neither averaged nor copied")
    copied = all(torch.equal(after[name], target[name]) for name in whole)
    require(copied, f"integer buffers are copied: {', '.join(whole)} should be the fast network's")


confident_fraction = Exercise("confident_fraction", confident_fraction_reference, _check_confident_fraction, float)
r1_penalty = Exercise("r1_penalty", r1_penalty_reference, _check_r1_penalty)
ema_update = Exercise("ema_update", ema_update_reference, _check_ema_update)
