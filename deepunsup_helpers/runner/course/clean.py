"""What `clean` removes: what runs and sweeps wrote below `runs/`, and caches. Never `work/`, never what it does not know."""

import contextlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..files import is_alive, read_facts

CACHES = ("deepunsup.egg-info", ".pytest_cache", ".ruff_cache")
CACHES_BELOW = [f"{part}/**/{name}" for part in ("deepunsup_helpers", "tests", "tools", "notebooks")
                for name in ("__pycache__", ".ipynb_checkpoints")]  # fmt: skip
SWEEP_FILES = ("results.csv", "claims.csv", "summary.html", "search.log", "sweep.json", "figures/*.png",
               "running/**/*", "locks/*", "status/*", "source/**/*")  # fmt: skip
# of a run that was killed before it could list what it wrote
RUN_FILES = ("parameters.json", "metrics.json", "claims.json", "report.html", "*.safetensors", ".*.part",
             "figures/*.png", "tables/*.csv", "pictures/*.png")  # fmt: skip


@dataclass
class Found:
    """Files and whole caches that may go, folders where something is under way, files that no run wrote."""

    runs: int = 0
    files: list[Path] = field(default_factory=list)
    caches: list[Path] = field(default_factory=list)
    busy: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)


def find_removable(cwd: Path) -> Found:
    """Look through `runs/`, without following links, and for caches in the project's own folder."""
    found, top = Found(), cwd / "runs"
    runs = [path.parent for path in top.rglob("run.json")]
    sweeps = [path.parent for path in top.rglob("trials") if (path.parent / "source").is_dir()]
    alive = [run for run in runs if is_alive(run / "run.json")]
    above = {folder for run in alive for folder in run.parents}
    found.busy = [sweep for sweep in sweeps if sweep in above or is_alive(sweep / "sweep.json")]
    found.busy += [run for run in alive if not _below(run, found.busy)]
    ended = [folder for folder in runs + sweeps if not _below(folder, found.busy)]
    found.runs = len(set(ended) & set(runs))
    written = {path for folder in ended for path in _written(folder, folder in sweeps)}
    for path in top.rglob("*"):
        if (path.is_symlink() or not path.is_dir()) and _below(path, ended) and not _below(path, found.busy):
            (found.files if path in written or ".ipynb_checkpoints" in path.parts else found.foreign).append(path)
    if (cwd / "deepunsup_helpers").is_dir() and (cwd / "pyproject.toml").is_file():
        found.caches = _glob(cwd, [*CACHES, *CACHES_BELOW])
    return found


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _written(folder: Path, is_sweep: bool) -> set[Path]:
    """What a sweep wrote beside its trials, and a run into its folder where nobody has changed it since."""
    facts, record = read_facts(folder / "run.json"), folder / "run.json"
    patterns = (*RUN_FILES, f"{facts.get('notebook', '')}.ipynb")
    listed = [str(name) for name in facts["files"]] if isinstance(facts.get("files"), list) else None
    found = set(_glob(folder, SWEEP_FILES)) if is_sweep else set()
    if record.is_file():
        files = _glob(folder, patterns) if listed is None else [folder / name for name in listed]
        latest = record.stat().st_mtime + 2
        found |= {record} | {path for path in files if os.path.lexists(path) and path.lstat().st_mtime <= latest}
    return found


def _glob(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern)]


def remove(found: Found, cwd: Path) -> None:
    """Remove what was found, then what is empty below runs/."""
    for path in found.files:
        path.unlink(missing_ok=True)
    for folder in found.caches:
        shutil.rmtree(folder, ignore_errors=True)
    for name, _, _ in os.walk(cwd / "runs", topdown=False):
        with contextlib.suppress(OSError):  # not empty, or a link
            os.rmdir(name)
