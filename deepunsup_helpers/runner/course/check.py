"""`check`: is everything here that the notebooks need, and if not, what to do."""

import os
import shutil
import sys
import tempfile
import threading
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import psutil
from packaging.requirements import Requirement

from ..errors import CommandError
from ..files import code_notebook, read_facts
from ..notebook.files import Notebook, course
from ..run.execution import Request, execute

PROBE = """
import json
facts = {}
try:
    import torch
    facts["torch"] = torch.__version__
    facts["device"] = ("cuda: " + torch.cuda.get_device_name() if torch.cuda.is_available() else
                       "mps" if torch.backends.mps.is_available() else "cpu")
    facts["threads"] = torch.get_num_threads()
    import torchvision
    facts["torchvision"] = torchvision.__version__
    from deepunsup_helpers.data.downloads import FILES, TORCHVISION_CLASSES, data_folder, find
    facts["data"] = str(data_folder())
    facts["found"] = [name for name, folder in TORCHVISION_CLASSES.items()
                      if all(find(data_folder() / folder / "raw", file) for files in FILES.values() for file in files)]
except Exception as error:
    facts["error"] = f"{type(error).__name__}: {error}"
with open("facts.json", "w") as file:
    json.dump(facts, file)
"""
PROBE_SECONDS = 120


class Finding(NamedTuple):
    """One line of the check: what was looked at, whether it will do, and what was seen or is to be done."""

    what: str
    ok: bool
    text: str

    def __str__(self) -> str:
        return f"{self.what:<9} {'ok' if self.ok else 'MISSING':<8} {self.text}"


def check_all(cwd: Path) -> list[Finding]:
    """Everything, in the order in which one would put it right."""
    kernel, *torch = check_kernel(cwd)
    version = ".".join(map(str, sys.version_info[:3]))
    return [
        Finding("Python", sys.version_info >= (3, 11), f"{version}, {sys.executable} (needed: 3.11 or newer)"),
        check_packages(),
        *torch,
        check_memory(),
        check_disk(cwd),
        check_notebooks(cwd),
        kernel,
    ]


def check_packages() -> Finding:
    """Every requirement of the project is installed in a version that it allows."""
    try:
        requirements = [Requirement(line) for line in metadata.requires("deepunsup") or []]
    except metadata.PackageNotFoundError:
        return Finding("packages", False, "the project is not installed: pip install -e . in its folder")
    requirements = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = []
    for requirement in requirements:
        try:
            found = metadata.version(requirement.name)
            if not requirement.specifier.contains(found, prereleases=True):
                wrong.append(f"{requirement.name} is {found}, needed {requirement.specifier}")
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
    text = "; ".join(wrong) + ": pip install -e ." if wrong else f"{len(requirements)} seen"
    return Finding("packages", not wrong, text)


def check_kernel(cwd: Path) -> list[Finding]:
    """A kernel starts and computes, by the very way that `run` takes; then what it knows of torch, device and data."""
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        notebook = Notebook(Path(scratch) / "check.ipynb", code_notebook(["assert 6 * 7 == 42", PROBE]))
        request = Request(notebook, {}, cwd=cwd, timeout=PROBE_SECONDS)
        outcome = execute(request, Path(scratch), stop=threading.Event(), progress=lambda outcome: None)
        facts = read_facts(Path(scratch) / "facts.json")
    seen = f"{outcome.status} {outcome.message}".strip()
    if outcome.last_cell != 1:
        return [
            Finding("kernel", False, f"{seen}: reinstall ipykernel and nbclient (pip install -e .)"),
            Finding("torch", False, "cannot be looked at without a kernel"),
        ]
    kernel = Finding("kernel", True, f"starts, computes and ends in {outcome.seconds:.1f} s, torch loaded")
    if "found" not in facts:
        advice = "install torch and torchvision together, from the same index"
        return [kernel, Finding("torch", False, f"{facts.get('error', f'importing it: {seen}')}; {advice}")]
    data = f"strokes, always there; no MNIST in {facts['data']}: it is downloaded on demand, or set DEEPUNSUP_DATA"
    return [
        kernel,
        Finding("torch", True, f"{facts['torch']}, torchvision {facts['torchvision']}"),
        Finding("device", True, f"{facts['device']}, {facts['threads']} threads"),
        Finding("data", True, f"{', '.join(facts['found'])} in {facts['data']}" if facts["found"] else data),
    ]


def check_memory() -> Finding:
    """2 GiB of memory to spare."""
    free = psutil.virtual_memory().available / 2**30
    return Finding("memory", free >= 2, f"{free:.1f} GiB free{'; close other programs (2 needed)' * (free < 2)}")


def check_disk(cwd: Path) -> Finding:
    """1 GiB of disk in the working directory, and the right to write there."""
    if not os.access(cwd, os.W_OK):
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
