"""What the metrics share: bringing arrays to one form, with errors that name the shapes."""

import numpy as np
import torch
from torch import Tensor


def as_tensor(values, *, name: str, device=None, dtype=None) -> Tensor:
    """`values` (tensor, array or list) as a detached tensor.

    Raises:
        ValueError: `values` is empty, no numbers, or not finite.
    """
    values = any_tensor(values, name=name, device=device, dtype=dtype)
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name}, shape {tuple(values.shape)}, holds NaN or infinite values; expected finite numbers")
    return values


def any_tensor(values, *, name: str, device=None, dtype=None) -> Tensor:
    """As `as_tensor`, for values that need not be finite."""
    if not isinstance(values, Tensor):
        try:
            values = np.array(values)
            values = torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} is no array of numbers ({str(error).splitlines()[0]}); expected numbers"
            ) from error
    values = values.detach().to(device).to(dtype)  # in this order: Apple's GPUs have no float64
    if values.numel() == 0:
        raise ValueError(f"{name} is empty, shape {tuple(values.shape)}; expected at least one example")
    return values


def float64_device(values) -> torch.device:
    """The device of `values` if it has float64, else the CPU."""
    device = values.device if isinstance(values, Tensor) else torch.device("cpu")
    return torch.device("cpu") if device.type == "mps" else device


def centred(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds, (N, D) and (M, D), with an example near the middle of the first as the origin.

    Distances by matrix products subtract squares; without an offset they have digits to lose. The origin's numbers are
    examples' own, so that whole numbers stay whole and equal distances equal.
    """
    origin = a[:1001].median(dim=0).values
    return a - origin, b - origin


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
