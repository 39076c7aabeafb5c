"""What the metrics share: bringing arrays to one form, with errors that name the shapes."""

import numpy as np
import torch
from torch import Tensor


def as_tensor(values, *, name: str, device=None, dtype=None) -> Tensor:
    """`values` (tensor, array or list) as a detached tensor.

    Raises:
        ValueError: `values` is empty, or not finite.
    """
    if not isinstance(values, Tensor):
        values = torch.from_numpy(np.array(values))
    values = values.detach().to(device=device, dtype=dtype)
    if values.numel() == 0:
        raise ValueError(f"{name} is empty, shape {tuple(values.shape)}; expected at least one example")
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name}, shape {tuple(values.shape)}, holds NaN or infinite values; expected finite numbers")
    return values


def pair(x, x_hat) -> tuple[Tensor, Tensor]:
    """Originals and reconstructions, both (N, ...), as float64 on the CPU.

    Raises:
        ValueError: the shapes differ (nothing is broadcast), or there is no example axis.
    """
    x = as_tensor(x, name="x", device="cpu", dtype=torch.float64)
    x_hat = as_tensor(x_hat, name="x_hat", device="cpu", dtype=torch.float64)
    if x.shape != x_hat.shape:
        raise ValueError(f"x has shape {tuple(x.shape)}, x_hat {tuple(x_hat.shape)}; expected the same shape for both")
    if x.ndim == 0:
        raise ValueError("x and x_hat are single numbers; expected a batch, shape (N, ...)")
    return x, x_hat


def labels(y, *, name: str, count: int | None = None, device="cpu") -> Tensor:
    """Class numbers as int64, (N,).

    Raises:
        ValueError: not one-dimensional, not whole numbers, or not `count` of them.
    """
    y = as_tensor(y, name=name, device="cpu")
    if y.ndim != 1:
        raise ValueError(f"{name} has shape {tuple(y.shape)}; expected one label an example, shape (N,)")
    if y.is_floating_point() and bool((y != y.round()).any()):
        raise ValueError(f"{name} holds fractions; expected whole class numbers")
    if count is not None and len(y) != count:
        raise ValueError(f"{name} has {len(y)} labels for {count} examples; expected one each")
    return y.to(device=device, dtype=torch.int64)


def features(z, *, name: str, device=None, dtype=torch.float32) -> Tensor:
    """Features flattened to one row an example, (N, D)."""
    z = as_tensor(z, name=name, device=device, dtype=dtype)
    if z.ndim < 2:
        raise ValueError(f"{name} has shape {tuple(z.shape)}; expected one row of features an example, shape (N, D)")
    return z.flatten(1)
