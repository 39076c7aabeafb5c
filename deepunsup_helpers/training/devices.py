"""Where to compute, in which precision, from which seed."""

import contextlib
import random
import time
from collections.abc import Iterator

import numpy as np
import torch


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


def fast_products() -> bool:
    """Have oneDNN compute the CPU's fp32 matrix products, where that is faster and still fp32; says whether it does.

    torch asks MKL; oneDNN took half the time on an AMD processor (EPYC, family 26). torch asks oneDNN only where it may round
    to bfloat16, which it can do on processors with hardware for that. So: allow it, compare a few products with float64 and
    with MKL's time, and forbid it again if they were rounded or no faster. Resuming bit for bit needs the same choice.

    A global setting of torch, for the CPU alone; before torch 2.9 there is none, and nothing changes.
    """
    setting = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(setting, "fp32_precision") or not torch.backends.mkldnn.is_available():
        return False
    before = setting.fp32_precision
    generator = torch.Generator().manual_seed(0)
    pairs = [
        (torch.randn(m, k, generator=generator), torch.randn(k, n, generator=generator))
        for m, k, n in ((128, 784, 400), (784, 128, 400), (128, 20, 400), (33, 65, 7))
    ]
    slow = _product_seconds(*pairs[0])
    setting.fp32_precision = "bf16"  # a permission, not an order
    if all(_is_fp32(a, b) for a, b in pairs) and _product_seconds(*pairs[0]) < 0.9 * slow:
        return True
    setting.fp32_precision = before
    return False


def _is_fp32(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether a @ b is as near to float64's as fp32 is: bfloat16, with its 8 bits, is a thousand times as far."""
    exact = a.double() @ b.double()
    scale = a.double().abs() @ b.double().abs()  # what the roundings of a row are measured by
    return bool(((a @ b - exact).abs() < 1e-6 * scale).all())


def _product_seconds(a: torch.Tensor, b: torch.Tensor, times: int = 10) -> float:
    """The shortest of some runs: other processes can only lengthen one."""

    def once() -> float:
        start = time.perf_counter()
        a @ b
        return time.perf_counter() - start

    return min(once() for _ in range(times))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (CPU and GPU): once at the top of a notebook.

    Denormal numbers are set to flush to zero here too, and not in `fit` alone: torch's helper threads take this over from
    the thread that first computes on several cores, and are not reached any more by then.
    """
    torch.set_flush_denormal(True)
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
