"""Losses of the adversarial game: the two players' cross-entropies, and R1."""

import torch
from torch import Tensor
from torch.nn import functional

from deepunsup_helpers.losses.checks import at_least_float32, require_examples


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's cross-entropy: -E log D(real) - E log(1 - D(fake)), where D = sigmoid(logit).

    2 ln 2 = 1.386 where D answers 1/2 everywhere; the least it can reach is 2 ln 2 - 2 JSD(real, fake).

    Args:
        real_logits: D's logits on data, any shape.
        fake_logits: on samples of the generator (detached by the step), any shape.
    Returns:
        0-d tensor, nats: the mean over the real plus the mean over the fake ones. Finite for any finite logits.
    Raises:
        ValueError: no logits.
    Source: Goodfellow and others 2014, arXiv:1406.2661, equation 1 and theorem 1.

    discriminator_loss(D(real), D(fake.detach()))
    """
    require_examples("discriminator_loss", "real_logits", real_logits)
    require_examples("discriminator_loss", "fake_logits", fake_logits)
    real_logits, fake_logits = at_least_float32(real_logits), at_least_float32(fake_logits)
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor, kind: str = "non_saturating") -> Tensor:
    """What the generator lowers, from the discriminator's logits on its samples.

    "non_saturating" is -E log D(fake): strong where D is sure. "minimax" is E log(1 - D(fake)), D's own term with its
    sign turned: its gradient, -D(fake), vanishes exactly there.

    Args:
        fake_logits: D's logits on samples through which the gradient reaches the generator, any shape.
        kind: "non_saturating" or "minimax".
    Returns:
        0-d tensor, nats, the mean over the samples. Finite for any finite logits.
    Raises:
        ValueError: an unknown kind, or no logits.
    Source: Goodfellow and others 2014, arXiv:1406.2661, section 3.

    generator_loss(D(fake))
    """
    require_examples("generator_loss", "fake_logits", fake_logits)
    fake_logits = at_least_float32(fake_logits)
    if kind == "non_saturating":
        return functional.softplus(-fake_logits).mean()
    if kind == "minimax":
        return -functional.softplus(fake_logits).mean()
    raise ValueError(f"generator_loss: unknown kind {kind!r}; expected non_saturating or minimax.")


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    """E |grad_x D(x)|^2 at the data: how steep D is there. The step adds gamma / 2 times this to D's loss.

    Without it two players that take turns circle around the solution; with it they spiral in.

    Args:
        real_logits: D's logits on `real`, (N,), each of its own example only (no batch normalisation in D).
        real: the batch they were computed from, (N, ...), with `requires_grad` set before D saw it.
    Returns:
        0-d tensor, squared logits for a squared unit of x, at least 0; differentiable in D's parameters.
    Raises:
        ValueError: `real` does not require a gradient or is empty, or there is not one logit an example.
    Source: Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406, equation 9.

    r1_penalty(D(real.requires_grad_()), real)
    """
    if not real.requires_grad:
        raise ValueError("r1_penalty: call real.requires_grad_() before D(real): the slope at the data is asked for.")
    if real_logits.shape != real.shape[:1]:
        raise ValueError(
            f"r1_penalty: real_logits is {tuple(real_logits.shape)}; expected one for each of the {len(real)} examples."
        )
    require_examples("r1_penalty", "real", real)
    (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return at_least_float32(slope).square().flatten(1).sum(dim=1).mean()
