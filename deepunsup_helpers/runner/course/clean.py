"""What `clean` removes: what runs and sweeps wrote below `runs/`, and caches. Never `work/`, never what it does not know."""

import contextlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..files import is_alive, read_facts

CACHES = ("deepunsup.egg-info", ".pytest_cache", ".ruff_cache")
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
    found = Found()
    runs, sweeps, everything = [], [], []
    for name, below, files in os.walk(cwd / "runs"):
        place = Path(name)
        everything += [place / entry for entry in files + [entry for entry in below if (place / entry).is_symlink()]]
        runs += [place] * ("run.json" in files)
        sweeps += [place] * ({"trials", "source"} <= set(below))
    alive = [run for run in runs if is_alive(run / "run.json")]
    found.busy = [
        sweep for sweep in sweeps if is_alive(sweep / "sweep.json") or any(_below(run, [sweep]) for run in alive)
    ]
    found.busy += [run for run in alive if not _below(run, found.busy)]
    ended = [folder for folder in runs + sweeps if not _below(folder, found.busy)]
    found.runs = sum(folder in runs for folder in set(ended))
    written = {path for folder in ended for path in (_of_run(folder) | _of_sweep(folder))}
    for path in everything:
        if _below(path, ended) and not _below(path, found.busy):
            (found.files if path in written or ".ipynb_checkpoints" in path.parts else found.foreign).append(path)
    if (cwd / "deepunsup_helpers").is_dir() and (cwd / "pyproject.toml").is_file():
        found.caches = [cwd / name for name in CACHES if (cwd / name).is_dir()]
        for part in ("deepunsup_helpers", "tests", "tools", "notebooks"):
            found.caches += [
                path for name in ("__pycache__", ".ipynb_checkpoints") for path in (cwd / part).rglob(name)
            ]
    return found


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _of_run(folder: Path) -> set[Path]:
    """What a run wrote into its folder and nobody has changed since."""
    if not (folder / "run.json").is_file():
        return set()
    facts = read_facts(folder / "run.json")
    if isinstance(facts.get("files"), list):
        paths = {folder / str(name) for name in facts["files"]}
    else:
        paths = {
            path for pattern in (*RUN_FILES, f"{facts.get('notebook', '')}.ipynb") for path in folder.glob(pattern)
        }
    ended = (folder / "run.json").stat().st_mtime + 2
    return {folder / "run.json"} | {path for path in paths if os.path.lexists(path) and path.lstat().st_mtime <= ended}


def _of_sweep(folder: Path) -> set[Path]:
    """What a sweep wrote beside its trials."""
    is_sweep = (folder / "trials").is_dir() and (folder / "source").is_dir()
    return {path for pattern in SWEEP_FILES for path in folder.glob(pattern)} if is_sweep else set()


def remove(found: Found, cwd: Path) -> None:
    """Remove what was found, then what is empty below runs/."""
    for path in found.files:
        path.unlink(missing_ok=True)
    for folder in found.caches:
        shutil.rmtree(folder, ignore_errors=True)
    for name, _, _ in os.walk(cwd / "runs", topdown=False):
        with contextlib.suppress(OSError):  # not empty, or a link
            os.rmdir(name)
