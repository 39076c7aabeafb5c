"""A slow copy of a network: the average of its recent weights."""

from itertools import chain

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class SlowCopy(AveragedModel):
    """PyTorch's AveragedModel whose update neither waits for the device nor decides anything in Python.

    So it costs a GPU nothing but its kernels, and can be part of a `graphed` step.
    """

    def __init__(self, model: nn.Module, decay: float):
        device = next((tensor.device for tensor in chain(model.parameters(), model.buffers())), None)
        super().__init__(model, device=device, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """w <- decay w + (1 - decay) w_model; the first time, w <- w_model. Integer buffers are copied."""
        weights = {}
        for mine, theirs in zip(
            chain(self.module.parameters(), self.module.buffers()), chain(model.parameters(), model.buffers())
        ):
            if not mine.is_floating_point():
                mine.copy_(theirs)
                continue
            if mine.dtype not in weights:
                later = torch.full((), 1 - self.decay, dtype=mine.dtype, device=self.n_averaged.device)
                weights[mine.dtype] = torch.where(self.n_averaged == 0, 1.0, later)
            mine.lerp_(theirs.to(mine.device), weights[mine.dtype])
        self.n_averaged += 1


def ema_copy(model: nn.Module, decay: float = 0.999) -> SlowCopy:
    """A copy that `copy.update_parameters(model)` moves a little towards the model: w <- decay w + (1 - decay) w_model.

    The first update copies the model. Buffers of floating point (batch normalisation's running mean and variance) are
    averaged as the weights are, so the copy is whole in evaluation mode; it is never trained itself. `copy.module` is the
    network of the model's own class, `copy.state_dict()` belongs into a checkpoint.

    Args:
        model: copied as it is now, on its device.
        decay: in [0, 1); about 1 / (1 - decay) updates are remembered.
    Raises:
        ValueError: a decay outside [0, 1).
    Source: Yazici and others 2018, arXiv:1806.04498, for generators; the copy is PyTorch's AveragedModel.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay={decay}: expected at least 0 and below 1, for example 0.999.")
    copy = SlowCopy(model, decay)
    copy.requires_grad_(False)
    return copy
