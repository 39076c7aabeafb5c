"""The folder of one run, and its `run.json`."""

import contextlib
import json
import os
import socket
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import CommandError, describe_os_error
from ..files import create_text, numbered, read_facts, write_json

PACKAGES = (
    "deepunsup", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "pandas", "matplotlib",
    "safetensors", "ipykernel", "nbclient",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Version of Python and of what a notebook rests on, without importing any of it."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def claim_folder(name: str, output: str | None, cwd: Path) -> Path:
    """Make the folder of a run and return its absolute path; it belongs to this run alone.

    Without `output` it is `runs/NAME/YYYYMMDD-HHMMSS` below the cwd, with -2, -3, ... in the same second. Of two who
    want one folder, the one that creates run.json has it.

    Raises:
        CommandError: see `empty_folder`.
    """
    mine = {"status": "running", "pid": os.getpid(), "host": socket.gethostname()}
    try:
        folder = empty_folder(output, cwd) if output is not None else _dated_folder(cwd.resolve() / "runs" / name)
        create_text(folder / "run.json", json.dumps(mine) + "\n")
    except OSError as error:
        raise CommandError(f"cannot make the run's folder: {describe_os_error(error)}") from error
    return folder


def empty_folder(output: str, cwd: Path) -> Path:
    """The folder given with -o, relative to the cwd; made if it is missing.

    Raises:
        CommandError: it holds something already (two runs are never mixed), is below a file, or cannot be written.
    """
    folder = (cwd / Path(output).expanduser()).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        contents = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise CommandError(f"cannot make the run's folder: {describe_os_error(error)}") from error
    if "run.json" in contents:
        status = read_facts(folder / "run.json").get("status", "status unknown")
        raise CommandError(f"{folder} already holds a run ({status}): give another folder with -o, or none.")
    if contents:
        raise CommandError(f"{folder} is not empty (it holds {contents[0]}): give a new or an empty folder with -o.")
    return folder


def _dated_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    for folder in numbered(parent / f"{datetime.now():%Y%m%d-%H%M%S}"):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder


def write_run(folder: Path, facts: dict[str, Any]) -> None:
    """Write run.json; on a full disk its bare status goes into the place of the old one, which has room for it.

    Raises:
        OSError: not even that can be written.
    """
    try:
        write_json(folder / "run.json", facts)
    except OSError as error:
        status = "failed" if facts["status"] in ("running", "completed") else facts["status"]
        bare = {"status": status, "notebook": facts.get("notebook"), "error": describe_os_error(error)}
        with open(folder / "run.json", "r+b") as file:
            file.write(json.dumps(bare).encode() + b"\n")
            file.truncate()


def files_of(folder: Path) -> list[str]:
    """All files below a run's folder but run.json: what this run wrote, as long as it has the folder to itself."""
    paths = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted({path.relative_to(folder).as_posix() for path in paths} - {"run.json"})
