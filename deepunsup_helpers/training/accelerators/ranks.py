"""Several processes that train one model: what must be the same everywhere, and who writes. Alone, nothing happens."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from deepunsup_helpers.training.devices import rng_state, seed_everything, set_rng_state


def ranks() -> int:
    """How many processes train together; 1 unless a process group was started."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if ranks() > 1 else 0


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, in place; every process calls it."""
    if ranks() > 1:
        distributed.all_reduce(values)
    return values


def averaged(numbers: dict[str, float], device: torch.device) -> dict[str, float]:
    """Means over the processes of numbers with the same names everywhere."""
    if ranks() == 1 or not numbers:
        return numbers
    dtype = torch.float32 if device.type == "mps" else torch.float64
    values = summed(torch.tensor(list(numbers.values()), dtype=dtype, device=device)) / ranks()
    return dict(zip(numbers, values.tolist()))


@torch.no_grad()
def share_buffers(modules: Iterable[nn.Module]) -> None:
    """Give every process the first one's buffers: each has averaged its own batches in batch normalisation."""
    if ranks() > 1:
        for module in modules:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)


def wait() -> None:
    """Go on when all processes are here."""
    if ranks() > 1:
        distributed.barrier()


def rng_states() -> list[dict[str, Any]]:
    """`rng_state` of each process, in order."""
    states: list[Any] = [None] * ranks()
    if ranks() == 1:
        return [rng_state()]
    distributed.all_gather_object(states, rng_state())
    return states


def set_rng_states(states: list[dict[str, Any]]) -> None:
    """Each process goes on with its own; one that has none gets a seed of its own, drawn from the last."""
    mine = rank()
    set_rng_state(states[min(mine, len(states) - 1)])
    if mine >= len(states):
        seed_everything(int(torch.randint(2**31, ())) + mine)
