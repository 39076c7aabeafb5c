"""A kernel that is this very interpreter, whatever kernelspecs the machine has; and its end with all that it started."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ..notebook.files import PACKAGE_ROOT

MARK = "DEEPUNSUP_EXECUTION"  # every process of an execution has its id here, children that left their parents too
KERNEL = {
    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "Python 3 (course)",
    "language": "python",
}


def jupyter_environment(scratch: Path, cwd: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Environment of a process that starts kernels.

    Args:
        scratch: a folder that outlives the process; the kernelspec goes there.
        cwd: the folder relative paths were given against.
        base: the environment to start from.
    """
    spec = scratch / "kernels" / "python3"
    spec.mkdir(parents=True, exist_ok=True)
    (spec / "kernel.json").write_text(json.dumps(KERNEL), encoding="utf-8")
    environment = dict(base)
    environment["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(scratch), base.get("JUPYTER_PATH")]))
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else a warning in every kernel's log
    environment.pop("MPLBACKEND", None)  # a desktop backend would swallow every figure
    if base.get("DEEPUNSUP_DATA"):
        environment["DEEPUNSUP_DATA"] = str((cwd / Path(base["DEEPUNSUP_DATA"]).expanduser()).resolve())
    if "site-packages" not in PACKAGE_ROOT.parts:  # a checkout that need not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), base.get("PYTHONPATH")]))
    return environment


def end_processes(mark: str) -> None:
    """Kill every process of an execution but this one: worker, kernel, and what the notebook started and left behind."""
    import psutil

    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and mark in process.environ().get(MARK, "").split(":"):
                process.kill()
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
