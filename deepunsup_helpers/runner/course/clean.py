"""What `clean` removes: runs and build products. Never `work/`, never what it does not know."""

import json
import shutil
from pathlib import Path

BUILT = ("build", "dist", "deepunsup.egg-info", ".pytest_cache", ".ruff_cache")


def removable(cwd: Path) -> tuple[list[Path], list[Path]]:
    """Folders that may go, and runs that are still under way and stay.

    A folder below `runs/` counts as a run when it holds run.json, and as a sweep when it holds trials/ and source/; a
    sweep with a run under way stays whole. Build products count only in the project's folder.
    """
    runs = sorted(path.parent for path in (cwd / "runs").glob("**/run.json"))
    busy = [run for run in runs if under_way(run)]
    sweeps = [path.parent for path in (cwd / "runs").glob("**/trials") if (path.parent / "source").is_dir()]
    folders = [run for run in runs if run not in busy and not any(run.is_relative_to(sweep) for sweep in sweeps)]
    folders += [sweep for sweep in sorted(sweeps) if not any(run.is_relative_to(sweep) for run in busy)]
    if (cwd / "deepunsup_helpers").is_dir() and (cwd / "pyproject.toml").is_file():
        folders += [cwd / name for name in BUILT if (cwd / name).is_dir()]
        for part in ("deepunsup_helpers", "tests", "notebooks"):
            folders += sorted((cwd / part).glob("**/__pycache__"))
            folders += sorted((cwd / part).glob("**/.ipynb_checkpoints"))
    return folders, busy


def under_way(run: Path) -> bool:
    """Whether run.json says running and its process lives."""
    import psutil

    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        return facts["status"] == "running" and psutil.pid_exists(int(facts["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def remove(folders: list[Path], cwd: Path) -> None:
    """Remove the folders, then what is empty below runs/."""
    for folder in folders:
        shutil.rmtree(folder)
    runs = cwd / "runs"
    for folder in sorted(runs.glob("**/"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
