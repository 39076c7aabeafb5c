"""The folder of one run, and its `run.json`."""

import json
import os
import socket
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import CommandError, describe_os_error
from ..files import create_text, read_facts, write_json

PACKAGES = (
    "deepunsup", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib",
    "torchmetrics", "safetensors", "ipykernel", "nbclient",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Version of Python and of what a notebook rests on, without importing any of it."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def claim_folder(name: str, output: str | None, cwd: Path) -> Path:
    """Make the folder of a run and return its absolute path; it belongs to this run alone.

    Without `output` it is `runs/NAME/YYYYMMDD-HHMMSS` below the cwd, with -2, -3, ... in the same second.

    Args:
        output: the folder given with -o, relative to the cwd; it may exist if it is empty.
    Raises:
        CommandError: it holds something already (two runs are never mixed), is below a file, or cannot be written.
    """
    try:
        if output is not None:
            return _claim_given((cwd / Path(output).expanduser()).resolve())
        parent = cwd.resolve() / "runs" / name
        parent.mkdir(parents=True, exist_ok=True)
        stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
        for again in range(1, 1000):
            folder = parent / (stamp if again == 1 else f"{stamp}-{again}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return _claim_given(folder)
        raise CommandError(f"{parent} holds a thousand runs of one second: give another folder with -o.")
    except OSError as error:
        raise CommandError(f"cannot make the run's folder: {describe_os_error(error)}") from error


def _claim_given(folder: Path) -> Path:
    """Make `folder`, or take it if it is empty; creating run.json exclusively decides between two claimants."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = sorted(path.name for path in folder.iterdir())
    if "run.json" in contents:
        raise CommandError(f"{folder} already holds a run ({status_of(folder)}): give another folder with -o, or none.")
    if contents:
        raise CommandError(f"{folder} is not empty (it holds {contents[0]}): give a new or an empty folder with -o.")
    claim = {"status": "running", "pid": os.getpid(), "host": socket.gethostname()}
    try:
        create_text(folder / "run.json", json.dumps(claim) + "\n")
    except FileExistsError as error:
        raise CommandError(f"{folder} was just taken by another run: give another folder with -o.") from error
    return folder


def status_of(folder: Path) -> str:
    """The status in a folder's run.json, or 'status unknown'."""
    return str(read_facts(folder / "run.json").get("status", "status unknown"))


def write_run(folder: Path, facts: dict[str, Any]) -> None:
    """Write run.json; on a full disk its bare status goes into the place of the old one, which has room for it.

    Raises:
        OSError: not even that can be written.
    """
    try:
        write_json(folder / "run.json", facts)
    except OSError as error:
        bare = {"status": "failed", "notebook": facts.get("notebook"), "error": describe_os_error(error)}
        if facts["status"] not in ("running", "completed"):
            bare["status"] = facts["status"]
        with open(folder / "run.json", "r+b") as file:
            file.write(json.dumps(bare).encode() + b"\n")
            file.truncate()


def files_of(folder: Path) -> list[str]:
    """All files below a run's folder but run.json: what this run wrote, as long as it has the folder to itself."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return [path.as_posix() for path in paths if path.as_posix() != "run.json"]
