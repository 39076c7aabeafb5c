"""The learner's copies under `work/`, and JupyterLab on them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ..files import write_bytes, write_text
from ..notebook.files import Notebook
from ..run.kernels import jupyter_environment


def build_copies(notebooks: list[Notebook], work: Path, *, fresh: bool, edition: Callable[[Path], str]) -> list[str]:
    """Write the copies that are missing; an existing copy is never overwritten.

    Args:
        work: the learner's folder, made if missing.
        fresh: an existing copy that differs is first renamed: NAME-YYYYMMDD-HHMMSS.ipynb.
        edition: path of a notebook to the text of its student's copy.
    Returns:
        what was done, a line a notebook.
    """
    work.mkdir(parents=True, exist_ok=True)
    lines = []
    for notebook in notebooks:
        text = edition(notebook.path)
        copy = work / notebook.path.name
        if not copy.exists():
            lines.append(f"{notebook.name}: new")
        elif copy.read_text(encoding="utf-8", errors="replace") == text:
            lines.append(f"{notebook.name}: as built")
            continue
        elif fresh:
            lines.append(f"{notebook.name}: new; yours is now {set_aside(copy).name}")
        else:
            lines.append(f"{notebook.name}: yours, kept")
            continue
        write_text(copy, text)
    _copy_beside(notebooks, work)
    return lines


def set_aside(copy: Path) -> Path:
    """Rename a file to a dated name that is free."""
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    for again in range(1, 1000):
        aside = copy.with_name(f"{copy.stem}-{stamp}{'' if again == 1 else f'-{again}'}{copy.suffix}")
        if not aside.exists():
            copy.rename(aside)
            return aside
    raise FileExistsError(f"no free name for {copy}")


def _copy_beside(notebooks: list[Notebook], work: Path) -> None:
    """Copy what lies beside the notebooks and is missing under `work/` (pictures, small tables)."""
    for folder in {notebook.path.parent for notebook in notebooks}:
        for item in folder.iterdir():
            skip = item.suffix == ".ipynb" or item.name.startswith((".", "_")) or os.path.lexists(work / item.name)
            if skip or not item.exists() or item.resolve() == work.resolve():  # a dangling link does not exist
                continue
            if item.is_dir():
                shutil.copytree(item, work / item.name, ignore_dangling_symlinks=True)
            elif item.is_file():
                write_bytes(work / item.name, item.read_bytes())


def start_lab(work: Path, *, browser: bool, port: int | None, cwd: Path) -> int:
    """JupyterLab in `work`, with this interpreter as its kernel, until it ends or we do; returns its exit code."""
    arguments = [f"--ServerApp.root_dir={work}"] + ([] if browser else ["--no-browser"])
    arguments += [f"--port={port}"] if port else []
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # a container; the server listens on this machine only
        arguments.append("--allow-root")
    with tempfile.TemporaryDirectory(prefix="deepunsup-") as scratch:
        environment = jupyter_environment(Path(scratch), cwd, os.environ)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is JupyterLab's, which asks first
        try:
            if os.name == "nt":
                server = subprocess.Popen(
                    [sys.executable, "-P", "-m", "jupyterlab", *arguments], cwd=work, env=environment
                )
                return server.wait()
            reading, writing = os.pipe()  # `writing` is ours alone and ends with us
            server = subprocess.Popen(
                [sys.executable, "-P", "-m", "deepunsup_helpers.runner.course.server", str(reading), *arguments], cwd=work,
                env=environment, pass_fds=[reading], preexec_fn=lambda: signal.signal(signal.SIGINT, before),
            )  # fmt: skip
            signal.signal(signal.SIGTERM, lambda *_: server.terminate())
            signal.signal(signal.SIGHUP, lambda *_: server.terminate())
            return server.wait()
        finally:
            signal.signal(signal.SIGINT, before)
