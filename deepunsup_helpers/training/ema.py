"""A slow copy of a network: the average of its recent weights."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def ema_copy(model: nn.Module, decay: float = 0.999) -> AveragedModel:
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
    copy = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    copy.requires_grad_(False)
    return copy
