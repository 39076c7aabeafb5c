"""Tiny notebooks for the runner's tests: no torch, so that a run costs little more than its kernel's start."""

import base64
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = """\
dataset = "strokes"  # which images; one of: strokes, digits, folder:PATH
epochs = 3  # passes over the data
rate = 0.5  # learning rate
quick = True  # whether to hurry
sizes = [2, 4]  # bottlenecks
guess = None  # your guess
"""


def text(source: str):
    """A Markdown cell."""
    return new_markdown_cell(source)


def code(source: str, *tags: str, outputs=(), count=None):
    """A code cell with tags, and what it would have printed."""
    return new_code_cell(
        source, metadata={"tags": list(tags)} if tags else {}, outputs=list(outputs), execution_count=count
    )


def write(path: Path, *cells, title: str = "A toy", **about) -> Path:
    """Write a notebook with these cells below a parameters cell."""
    notebook = new_notebook(cells=[text(f"# {title}"), code(PARAMETERS, "parameters"), *cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["deepunsup"] = {"title": title, **about}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def png(width: int = 4, height: int = 4) -> str:
    """A grey PNG in base64, made from the format's definition."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    ).decode()


def deepunsup(*arguments, cwd: Path, timeout: float = 90, **environment) -> subprocess.CompletedProcess:
    """The command line as a user starts it, in `cwd`; variables set to None are removed."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=variables(**environment), capture_output=True, text=True, timeout=timeout
    )


def command(*arguments) -> list[str]:
    """The command line of this interpreter, installed or not."""
    return [sys.executable, "-c", "from deepunsup_helpers.runner.cli import main; main()", *map(str, arguments)]


def variables(**changes) -> dict[str, str]:
    """The environment with the project's root importable and `changes` applied."""
    root = str(Path(__file__).resolve().parent.parent)
    base = {name: value for name, value in os.environ.items() if name not in ("DEEPUNSUP_OUTPUT", "DEEPUNSUP_DEBUG")}
    base["PYTHONPATH"] = os.pathsep.join(filter(None, [root, base.get("PYTHONPATH")]))
    return {name: value for name, value in (base | changes).items() if value is not None}


def only_run(folder: Path, name: str) -> Path:
    """The one run folder of a notebook below `folder/runs`."""
    (run,) = (folder / "runs" / name).iterdir()
    return run


def facts(run: Path, file: str = "run.json") -> dict:
    """A JSON file of a run."""
    return json.loads((run / file).read_text(encoding="utf-8"))
