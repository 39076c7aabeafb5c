"""Losses: pure functions of tensors. They sum over what describes one example and average over the batch."""

from torch import Tensor


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Squared error of a reconstruction, summed over all values of an example, averaged over the batch.

    Args:
        x_hat: reconstructions, (N, ...).
        x: originals, of the same shape.
    Returns:
        0-d tensor, in squared units of x.
    Raises:
        ValueError: the shapes differ.
    Source: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647 (figure 2 reports this number).
    """
    if x_hat.shape != x.shape:
        raise ValueError(f"squared_error: x_hat is {tuple(x_hat.shape)} and x is {tuple(x.shape)}; the shapes must agree.")
    return (x_hat - x).square().flatten(1).sum(dim=1).mean()
