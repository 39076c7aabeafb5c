"""The exercises of notebook 15: a judge's verdict, a penalty on the discriminator's slope, a slow copy of the generator."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from deepunsup_helpers import losses
from deepunsup_helpers.exercises import Exercise, Result


def _recognise(found: float, known: dict[str, float]) -> str | None:
    """The message whose wrong answer this is, if any."""
    return next((message for message, wrong in known.items() if abs(found - wrong) < 1e-5 * max(1.0, abs(wrong))), None)


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
    draw = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(400, 11, generator=draw, dtype=torch.float64)
    logits[:, 10] += 2
    logits[:60, 10] -= 8  # some that only the threshold refuses
    p = logits.softmax(1)
    for threshold in (0.8, 0.6):
        found = confident_fraction(logits.clone(), threshold)
        if isinstance(found, Tensor) and found.numel() != 1:
            return Result(False, f"expected one number for all images, got shape {tuple(found.shape)}")
        message = _verdict(float(found), logits, p, threshold)
        if message:
            return Result(False, message)
    certain = torch.full((4, 11), -20.0)
    certain[[0, 1, 2, 3], [0, 9, 10, 10]] = 20.0
    if abs(float(confident_fraction(certain)) - 0.5) > 1e-6:
        return Result(
            False,
            "of four certain verdicts, 0, 9, none, none, two are digits: the answer is 0.5, with a "
            "threshold of 0.8 by default",
        )
    return Result(True, 'It counts sure verdicts for a digit, and neither doubt nor a sure "none of them".')


def _verdict(found: float, logits: Tensor, p: Tensor, threshold: float) -> str | None:
    ten, largest = p[:, :10], p.max(1).values

    def share(accepted: Tensor) -> float:
        return accepted.double().mean().item()

    right = share(ten.max(1).values > threshold)  # above one half: the largest of ten is then the largest of all
    if abs(found - right) < 1e-6:
        return None
    message = _recognise(
        found,
        {
            'the eleventh class is counted too: a sure "none of them" is no confident digit': share(
                largest > threshold
            ),
            'the softmax runs over the ten digits alone, so the judge can no longer say "none of them"': share(
                logits[:, :10].softmax(1).max(1).values > threshold
            ),
            "the threshold is for probabilities; logits need a softmax first": share(
                logits[:, :10].max(1).values > threshold
            ),
            'this adds up all ten probabilities: "a digit, but which?" is no confident verdict': share(
                ten.sum(1) > threshold
            ),
            "the threshold is ignored: the likeliest answer may have a probability of 0.2": share(p.argmax(1) < 10),
            "this is the mean of the largest probability, not the share above the threshold": largest.mean().item(),
            "this is the mean of the digits' largest probability, not the share above the threshold": ten.max(1)
            .values.mean()
            .item(),
            "this is the number of images: divide by how many there are": right * len(p),
            "this is a percentage: the share lies between 0 and 1": right * 100,
            "this is the share of those refused": 1 - right,
            "the softmax runs over the batch, axis 0: each image has probabilities of its own, axis 1": share(
                logits.softmax(0)[:, :10].max(1).values > threshold
            ),
            "this divides by the verdicts for a digit: divide by all images, or noise with one lucky digit wins": right
            * len(p)
            / max(1, int((p.argmax(1) < 10).sum())),
        },
    )
    return message or f"of random verdicts {right:.3f} are confident at threshold {threshold}; this answers {found:.3f}"


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
        self.w, self.s, self.shift = (
            w,
            nn.Parameter(torch.tensor(s, dtype=w.dtype)),
            nn.Parameter(torch.zeros((), dtype=w.dtype)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shift + self.s * (x * self.w).flatten(1).sum(1) + 0.5 * x.square().flatten(1).sum(1)


def _check_r1_penalty(r1_penalty: Callable) -> Result:
    draw = torch.Generator().manual_seed(1)
    w, real = (torch.randn(n, 1, 3, 4, generator=draw, dtype=torch.float64) for n in (1, 5))
    D = _Bowl(w, 0.7)
    found = r1_penalty(D, real.clone())
    if not isinstance(found, Tensor) or found.ndim:
        what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        return Result(False, f"expected one number, a 0-d tensor; got {what}")
    slope = (D.s.detach() * w + real).flatten(1)  # (5, 12), by hand
    each = slope.square().sum(1)
    right, logits = each.mean().item(), D(real).detach()
    if abs(found.item() - right) > 1e-6:
        message = _recognise(
            found.item(),
            {
                "this averages over the pixels: the squared slope of one image is a *sum* over its pixels": slope.square()
                .mean()
                .item(),
                "this sums over the batch: take the mean, or gamma depends on the batch size": each.sum().item(),
                "this is the slope's length, not its square": each.sqrt().mean().item(),
                "this is (length - 1) squared, the penalty of WGAN-GP: R1 pulls the slope to 0": (each.sqrt() - 1)
                .square()
                .mean()
                .item(),
                "the slopes are averaged before they are squared, and opposite ones cancel": slope.mean(0)
                .square()
                .sum()
                .item(),
                "this differentiates the *mean* logit, so each slope is N times too small: sum the logits first": right
                / len(real) ** 2,
                "this differentiates the mean logit and sums over the batch: N times too small": right / len(real),
                "this is the slope itself, whose signs cancel: square it": slope.sum(1).mean().item(),
                "this is gamma / 2 of it already: the step multiplies": right / 2,
                "this penalises the logit, not its slope": logits.square().mean().item(),
                "the slope is taken after a sigmoid: it fades where D is sure; differentiate the logit": (
                    each * (logits.sigmoid() * (1 - logits.sigmoid())).square()
                )
                .mean()
                .item(),
            },
        )
        known = f"on a judge whose slope is known it should be {right:.3f}; this gives {found.item():.3f}"
        return Result(False, message or known)
    if not found.requires_grad:
        return Result(False, "the number is right, but no gradient reaches D's parameters: create_graph=True")
    D.zero_grad()
    found.backward()
    expected = 2 * (slope * w.flatten(1)).sum(1).mean().item()
    if D.s.grad is None or abs(D.s.grad.item() - expected) > 1e-6:
        return Result(False, "the number is right, but its gradient is not: part of it is detached")
    return Result(True, "A sum over pixels, a mean over the batch, and the discriminator can learn from it.")


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


def _small_net(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
        net(5 + torch.randn(6, 3, dtype=torch.float64))  # gives the running mean and variance something to say
        if seed:
            net(2 - torch.randn(6, 3, dtype=torch.float64))
    return net


def _check_ema_update(ema_update: Callable) -> Result:
    slow, fast, decay = _small_net(0), _small_net(1), 0.9
    before, target = (copy.deepcopy(net.state_dict()) for net in (slow, fast))
    try:
        ema_update(slow, fast, decay)
    except RuntimeError as error:
        if "leaf" not in str(error):
            raise
        return Result(
            False,
            "a weight that wants gradients was changed in place while they were recorded: work under torch.no_grad()",
        )
    after = slow.state_dict()
    if any(not torch.equal(target[name], value) for name, value in fast.state_dict().items()):
        return Result(False, "the fast network was changed: the game is played with it, only the slow copy moves")
    weights = [name for name, _ in slow.named_parameters()]
    floats = [name for name in before if before[name].is_floating_point()]

    def moved(names: list[str], share: float) -> bool:
        return all(torch.allclose(after[n], before[n].lerp(target[n], share)) for n in names)

    buffers = [name for name in floats if name not in weights]
    wrong = {
        "nothing moved: change the copy in place (a new tensor under the same name stays in your function)": (
            weights,
            0.0,
        ),
        "the copy took the fast network's weights: keep `decay` of its own": (weights, 1.0),
        "the two shares are swapped: the slow copy keeps `decay` of itself": (weights, decay),
    }
    for message, (names, share) in wrong.items():
        if moved(names, share):
            return Result(False, message)
    if all(torch.allclose(after[n], before[n] + (1 - decay) * target[n]) for n in weights):
        return Result(False, "the two shares do not add up to 1: the copy's own weights need the factor `decay`")
    if not moved(weights, 1 - decay):
        return Result(
            False, f"with decay {decay}, a weight of 0 and a fast one of 1 make {1 - decay:.1f}; these do not"
        )
    if moved(buffers, 0.0):
        return Result(
            False,
            "the weights are right, but the running mean and variance of batch normalisation stayed behind: "
            "they are in state_dict(), not in parameters()",
        )
    if not (moved(buffers, 1 - decay) or moved(buffers, 1.0)):
        return Result(False, "the weights are right, but the running mean and variance are neither averaged nor copied")
    for _ in range(200):
        ema_update(slow, fast, decay)
    if any(not torch.allclose(slow.state_dict()[n], target[n], atol=1e-6) for n in floats):
        return Result(False, "with a fast network that stands still the copy must reach it, and it does not")
    if slow[0].weight.data_ptr() == fast[0].weight.data_ptr():
        return Result(False, "slow and fast now share their memory: copy values, not tensors")
    return Result(True, "Weights and running statistics follow slowly, in place, and the game is not disturbed.")


confident_fraction = Exercise("confident_fraction", confident_fraction_reference, _check_confident_fraction)
r1_penalty = Exercise("r1_penalty", r1_penalty_reference, _check_r1_penalty)
ema_update = Exercise("ema_update", ema_update_reference, _check_ema_update)
