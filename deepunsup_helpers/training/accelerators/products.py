"""Which library computes the CPU's fp32 matrix products: MKL, which torch asks by default, or oneDNN where that is faster."""

import contextlib
import hashlib
import json
import os
import platform
import re
import time
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from deepunsup_helpers.files import cache_folder, write_atomically

CLEARLY_FASTER = 0.8  # of MKL's time
SHAPES = ((128, 784, 400), (784, 128, 400), (128, 20, 400), (33, 65, 7))  # a VAE's products, and an odd one


@cache
def use_fastest_products() -> bool:
    """Have oneDNN compute fp32 products where it was measured to be clearly faster, and still fp32; says whether it does.

    oneDNN took half of MKL's time on an AMD processor (EPYC, family 26). torch asks it only where it may round to bfloat16,
    which it does on processors with hardware for that, and not elsewhere. So the permission is given
    (`torch.set_float32_matmul_precision("medium")`), some products are compared with float64, and it is taken back if they
    were rounded.

    Measured once for each model of processor and version of torch, and remembered in the user's cache folder: all runs on a
    machine choose alike. Nothing is changed where DEEPUNSUP_PRODUCTS=default or CI is set, where torch's precision was set
    before, and where there is a GPU, since the setting is also the GPU's.
    """
    if os.environ.get("DEEPUNSUP_PRODUCTS") == "default" or os.environ.get("CI"):
        return False
    if torch.cuda.is_available() or torch.backends.mps.is_available() or not torch.backends.mkldnn.is_available():
        return False
    with contextlib.suppress(RuntimeError):  # torch raises where its two ways to set a precision were mixed
        if torch.get_float32_matmul_precision() == "highest":
            return _chosen() and _permitted()
    return False


def _chosen() -> bool:
    """What was remembered, else what is measured now."""
    key = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"
    path = cache_folder() / f"products-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"
    remembered = _read(path)
    if remembered is not None:
        return remembered
    ratio = _time_ratio()
    found = {"machine": key, "onednn_time_over_mkl": round(ratio, 3), "use_onednn": ratio < CLEARLY_FASTER}
    with contextlib.suppress(OSError):  # a cache that cannot be written: measured again next time
        if _read(path) is None:  # else another process was first, and its choice counts
            write_atomically(path, lambda name: Path(name).write_text(json.dumps(found, indent=1) + "\n"))
    remembered = _read(path)
    return found["use_onednn"] if remembered is None else remembered


def _read(path: Path) -> bool | None:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))["use_onednn"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return answer if isinstance(answer, bool) else None


def _processor() -> str:
    with contextlib.suppress(OSError, TypeError):
        return re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())[1]
    return platform.processor() or platform.machine()


def _permitted() -> bool:
    """Give the permission, and look at what it does: True if products are still fp32, else it is taken back."""
    torch.set_float32_matmul_precision("medium")
    if all(_is_fp32(a, b) for a, b in _pairs()):
        return True
    torch.set_float32_matmul_precision("highest")
    return False


def _pairs() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(m, k, generator=generator), torch.randn(k, n, generator=generator)) for m, k, n in SHAPES]


def _is_fp32(a: Tensor, b: Tensor) -> bool:
    """Whether a @ b is as near to float64's as fp32 is: bfloat16, with its 8 bits, is a thousand times as far."""
    exact = a.double() @ b.double()
    scale = a.double().abs() @ b.double().abs()  # what the roundings of a row are measured by
    return bool(((a @ b - exact).abs() < 1e-6 * scale).all())


def _time_ratio(rounds: int = 40) -> float:
    """oneDNN's time for the products by MKL's; infinite if it rounds.

    The two alternate, the shortest time of each counts, and one thread computes: what other processes do meanwhile can
    lengthen a product, but hardly forty.
    """
    if not _permitted():
        return float("inf")
    threads, pairs = torch.get_num_threads(), _pairs()
    shortest = {precision: [float("inf")] * len(pairs) for precision in ("highest", "medium")}
    torch.set_num_threads(1)
    try:
        for _ in range(rounds):
            for precision, seconds in shortest.items():
                torch.set_float32_matmul_precision(precision)
                seconds[:] = [min(least, _seconds(a, b)) for least, (a, b) in zip(seconds, pairs)]
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.set_num_threads(threads)
    return sum(shortest["medium"]) / sum(shortest["highest"])


def _seconds(a: Tensor, b: Tensor) -> float:
    start = time.perf_counter()
    a @ b
    return time.perf_counter() - start
