"""Where to compute, in which precision, from which seed."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from deepunsup_helpers.training.accelerators.products import use_fastest_products


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: the name is unknown, or that device is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in available.items() if there))
    kind = name.split(":")[0]
    if kind not in available:
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda, cuda:N or mps.")
    if not available[kind]:
        raise ValueError(f"device {name!r} is not available here: use device='auto' or 'cpu'.")
    return torch.device(name)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (CPU and GPU): once at the top of a notebook.

    What numbers depend on besides is set here too: the library of the CPU's matrix products.

    Denormal numbers are set to flush to zero here too, and not in `fit` alone: torch's helper threads take this over from
    the thread that first computes on several cores, and are not reached any more by then.
    """
    torch.set_flush_denormal(True)
    use_fastest_products()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The context a step runs in: nothing for "fp32", bfloat16 autocast for "bf16".

    Autocast's cache of converted weights is off: a step may update a network and use it again (a GAN does), and the cache
    would still hold the old weights.
    """
    if precision == "fp32":
        return contextlib.nullcontext()
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
    raise ValueError(f"unknown precision {precision!r}: expected fp32 or bf16.")


def rng_state() -> dict:
    """The state of every global generator, as plain values and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_rng_state(state: dict) -> None:
    """Put back what `rng_state` returned."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextlib.contextmanager
def undisturbed_rng() -> Iterator[None]:
    """Whatever is drawn inside leaves the global generators as they were: looking does not change the training."""
    before = rng_state()
    try:
        yield
    finally:
        set_rng_state(before)
