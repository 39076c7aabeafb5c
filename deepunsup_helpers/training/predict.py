"""A function of many examples, a part at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from deepunsup_helpers.training.threads import follow_load


def predict(f: Callable, x: Tensor, *, batch_size: int = 1000):
    """`f(x)` without gradients, computed in batches: `x_hat = predict(model, data.x_test)`.

    Args:
        f: a module, put in eval mode meanwhile, or a function; takes (B, ...), returns a tensor (B, ...) or a tuple of such.
        x: (N, ...), at least one example.
        batch_size: examples at a time, at least 1.
    Returns:
        a tensor (N, ...), or a tuple of them if `f` returns one.
    Raises:
        ValueError: `x` is empty, or `batch_size` is below 1.
    """
    if not len(x) or batch_size < 1:
        raise ValueError(f"{len(x)} examples, batch_size={batch_size}: expected at least one of each.")
    module = f if isinstance(f, torch.nn.Module) else torch.nn.Identity()
    training = module.training
    module.eval()
    parts = []
    try:
        with torch.no_grad():
            for part in x.split(batch_size):
                if part.device.type == "cpu":
                    follow_load()
                parts.append(f(part))
    finally:
        module.train(training)
    if isinstance(parts[0], tuple):
        return tuple(torch.cat(column) for column in zip(*parts))
    return torch.cat(parts)
