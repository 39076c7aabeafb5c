"""The learner's copies under `work/`, and JupyterLab on them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from ..files import numbered, write_bytes, write_text
from ..notebook.files import Notebook, source_of
from ..run.kernels import jupyter_environment
from .student_copy import student_edition


def build_copies(notebooks: list[Notebook], work: Path, *, fresh: bool) -> list[str]:
    """Write the copies that are missing; an existing copy is never overwritten.

    Args:
        work: the learner's folder, made if missing.
        fresh: an existing copy that differs is first renamed: NAME-YYYYMMDD-HHMMSS.ipynb.
    Returns:
        what was done, a line a notebook.
    """
    work.mkdir(parents=True, exist_ok=True)
    lines = []
    for notebook in notebooks:
        text = student_edition(notebook.path)
        copy = work / notebook.path.name
        if not copy.exists():
            lines.append(f"{notebook.name}: new")
        elif sources(copy.read_text(encoding="utf-8", errors="replace")) == sources(text):
            lines.append(f"{notebook.name}: as built")
            continue
        elif fresh:
            dated = copy.with_stem(f"{copy.stem}-{datetime.now():%Y%m%d-%H%M%S}")
            aside = copy.rename(next(path for path in numbered(dated) if not path.exists()))
            lines.append(f"{notebook.name}: new; yours is now {aside.name}")
        else:
            lines.append(f"{notebook.name}: yours, kept")
            continue
        write_text(copy, text)
    for folder in {notebook.path.parent for notebook in notebooks}:
        _copy_beside(folder, work)
    return lines


def sources(text: str) -> list:
    """What a learner may have changed: the cells' sources. JupyterLab rewrites the rest when it saves."""
    with contextlib.suppress(ValueError, KeyError, TypeError):  # no notebook any more
        return [(cell["cell_type"], source_of(cell)) for cell in json.loads(text)["cells"]]
    return [text]


def _copy_beside(folder: Path, work: Path) -> None:
    """Copy what lies beside the notebooks and is missing under `work/` (pictures, small tables)."""
    for item in folder.iterdir():
        copy = work / item.name
        if item.suffix == ".ipynb" or item.name.startswith((".", "_")) or os.path.lexists(copy):
            continue
        if item.is_file():  # a dangling link is none
            write_bytes(copy, item.read_bytes())
        elif item.is_dir() and not item.samefile(work):
            shutil.copytree(item, copy, ignore_dangling_symlinks=True)


def start_lab(work: Path, first: str, *, browser: bool, port: int | None, cwd: Path) -> int:
    """Become JupyterLab on work/`first`, without news, with this interpreter as its kernel: so nothing outlives the command.

    Returns:
        on Windows, where a program cannot become another one, JupyterLab's exit code; else it does not return.
    """
    command = [sys.executable, "-P", "-m", "jupyterlab", f"--ServerApp.root_dir={work}"]
    command += [f"--LabApp.default_url=/lab/tree/{first}"] + ["--no-browser"] * (not browser)
    command += [f"--port={port}"] * bool(port)
    command += ["--allow-root"] * (getattr(os, "geteuid", lambda: 1)() == 0)  # a container; others cannot reach it
    environment = jupyter_environment(work / ".kernel", cwd, os.environ)
    own = [str(Path(__file__).with_name("lab_config")), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(own).strip(os.pathsep)
    os.chdir(work)
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(sys.executable, command, environment)
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is JupyterLab's, which asks first
    return subprocess.call(command, env=environment)
