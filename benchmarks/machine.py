"""What a benchmark asks the machine: its name, who else computes, how much memory a process took (from Linux's /proc)."""

import os
import platform
import re
from pathlib import Path


def machine(device: str) -> str:
    """The processor or the card, cores, torch."""
    import torch

    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        name = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())[1]
    card = f", {torch.cuda.get_device_name()}" if device == "cuda" else ""
    return f"{name}, {torch.get_num_threads()} threads{card}, torch {torch.__version__}"


def busy_seconds() -> float:
    """CPU seconds that all processes of this machine have used."""
    try:
        ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
    except OSError:
        return float("nan")
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # without idle and waiting for disks


def cpu_seconds(pid: int) -> float:
    """CPU seconds that one process has used."""
    try:
        user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    except OSError:
        return float("nan")
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_status(name: str) -> float:
    """MB of this process, VmRSS (now) or VmHWM (the most so far); nan where there is no /proc."""
    try:
        text = Path("/proc/self/status").read_text()
        return int(re.search(rf"{name}:\s*(\d+)", text)[1]) / 1024
    except OSError:
        return float("nan")


def forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
