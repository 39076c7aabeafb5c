"""One player's update."""

import torch
from torch import Tensor

from deepunsup_helpers.training.threads import follow_load


def update(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    *,
    max_norm: float | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> None:
    """zero_grad, backward, clip, step: complete before the next player's begins.

    Args:
        optimizer: holds the parameters to move; gradients that reach other parameters are not used, but they are
            accumulated there, and the owner's own `update` clears them first.
        loss: 0-d tensor; backward runs outside autocast.
        max_norm: clip the gradients' joint Euclidean norm to this, if given.
        scheduler: stepped once, after the optimizer, if given.
    """
    if loss.device.type == "cpu":
        follow_load()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(loss.device.type, enabled=False):
        loss.backward()
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), max_norm)
    optimizer.step()
    if scheduler is not None:
        scheduler.step()
