"""`check`: is everything here that the notebooks need, and if not, what to do."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..errors import CommandError
from ..files import code_notebook, write_text
from ..notebook.files import course
from ..run.execution import Plan, execute
from ..run.kernels import jupyter_environment

PROBE = """
import json, os, pathlib
facts = {}
try:
    import torch
    facts["torch"] = torch.__version__
    facts["device"] = ("cuda: " + torch.cuda.get_device_name() if torch.cuda.is_available() else
                       "mps" if torch.backends.mps.is_available() else "cpu")
    facts["threads"] = torch.get_num_threads()
    import torchvision
    facts["torchvision"] = torchvision.__version__
    from deepunsup_helpers.data import downloads
    folder = pathlib.Path(downloads.data_folder())
    facts["data"] = str(folder)
    facts["found"] = [name for name, files in SETS.items() if all((folder / files / f).exists() for f in FILES)]
except Exception as error:
    facts["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(facts))
"""
SETS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw", "kmnist": "KMNIST/raw"}
FILES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
PROBE_SECONDS = 120


@dataclass(frozen=True)
class Finding:
    """One line of the check: what was looked at, whether it will do, and what was seen or is to be done."""

    what: str
    ok: bool
    text: str

    def __str__(self) -> str:
        return f"{self.what:<9} {'ok' if self.ok else 'MISSING':<8} {self.text}"


def check_all(cwd: Path) -> list[Finding]:
    """Everything, in the order in which one would put it right."""
    return [
        check_python(), check_packages(), *check_torch(cwd), check_memory(), check_disk(cwd), check_notebooks(cwd),
        check_kernel(cwd),
    ]  # fmt: skip


def check_python() -> Finding:
    """Python 3.11 or newer."""
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Finding("Python", ok, f"{version}, {sys.executable}" if ok else f"{version}; install Python 3.11 or newer")


def check_packages() -> Finding:
    """Every requirement of the project is installed in a version that it allows."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in metadata.requires("deepunsup") or []]
    except metadata.PackageNotFoundError:
        return Finding("packages", False, "the project is not installed: pip install -e . in its folder")
    requirements = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = []
    for requirement in requirements:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, needed {requirement.specifier}")
    return Finding(
        "packages", not wrong, "; ".join(wrong) + ": pip install -e ." if wrong else f"{len(requirements)} seen"
    )


def check_torch(cwd: Path) -> list[Finding]:
    """torch, torchvision, the device and the data found: asked of another process, which may fail or hang."""
    script = f"SETS = {SETS!r}\nFILES = {FILES!r}\n{PROBE}"
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        environment = jupyter_environment(Path(scratch), cwd, os.environ)
        try:
            answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True,
                                    timeout=PROBE_SECONDS)  # fmt: skip
            facts = json.loads(answer.stdout.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            facts = {"error": f"importing torch took more than {PROBE_SECONDS} s"}
        except (ValueError, IndexError):
            last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
            facts = {"error": f"the process ended with {answer.returncode}: {last}"}
    if "error" in facts:
        return [
            Finding("torch", False, f"{facts['error']}; install torch and torchvision together, from the same index")
        ]
    data = f"strokes, always there; no MNIST in {facts['data']}: it is downloaded on demand, or set DEEPUNSUP_DATA"
    return [
        Finding("torch", True, f"{facts['torch']}, torchvision {facts['torchvision']}"),
        Finding("device", True, f"{facts['device']}, {facts['threads']} threads"),
        Finding("data", True, f"{', '.join(facts['found'])} in {facts['data']}" if facts["found"] else data),
    ]


def check_memory() -> Finding:
    """2 GiB of memory to spare."""
    import psutil

    free = psutil.virtual_memory().available / 2**30
    return Finding("memory", free >= 2, f"{free:.1f} GiB free{'; close other programs (2 needed)' * (free < 2)}")


def check_disk(cwd: Path) -> Finding:
    """1 GiB of disk in the working directory, and the right to write there."""
    try:
        with tempfile.NamedTemporaryFile(dir=cwd):
            pass
    except OSError:
        return Finding("disk", False, f"{cwd} cannot be written to: go to another folder")
    free = shutil.disk_usage(cwd).free / 2**30
    return Finding("disk", free >= 1, f"{free:.1f} GiB free{'; make room (1 needed)' * (free < 1)}")


def check_notebooks(cwd: Path) -> Finding:
    """The course's notebooks are there."""
    try:
        found = course(cwd)
    except CommandError as error:
        return Finding("notebooks", False, str(error))
    return Finding("notebooks", True, f"{len(found)} in {found[0].path.parent}")


def check_kernel(cwd: Path) -> Finding:
    """A kernel starts and computes, by the very way that `run` takes."""
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        source = Path(scratch) / "check.ipynb"
        write_text(source, code_notebook(["assert 6 * 7 == 42"]))
        plan = Plan(notebook=source, parameters={}, output=Path(scratch) / "done.ipynb", cwd=cwd, timeout=90)
        outcome = execute(plan, stop=threading.Event(), progress=lambda outcome: None)
    if outcome.status == "completed":
        return Finding("kernel", True, f"starts, computes and ends in {outcome.seconds:.1f} s")
    seen = f"{outcome.status} {outcome.message}".strip()
    return Finding("kernel", False, f"{seen}: reinstall ipykernel and nbclient (pip install -e .)")
