"""Files that are whole or not there, and the folder for what can be made again. Imports nothing heavy."""

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | Path, write: Callable[[str], object]) -> Path:
    """Have `write(name)` fill a file beside `path`, which then takes its place: no reader ever sees half a file.

        write_atomically("scores.csv", lambda name: table.to_csv(name))

    The file has the permissions of any other new file (0644 less the umask), it is on the disk before it takes the place
    (a crash of the machine leaves the old file or the new one), and a write that fails leaves nothing behind. A link is
    followed: the file it points to is replaced.

    Args:
        path: its folders are made.
        write: given the name of an empty file that is to be filled.
    Returns:
        the path.
    Raises:
        OSError: the folder cannot be written, or the disk is full; `path` is as it was.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        part.touch(exist_ok=False)  # not mkstemp: that one is readable by its owner alone
        write(str(part))
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def cache_folder() -> Path:
    """Where this user's system keeps what can be made again; the folder may not be there yet."""
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "deepunsup"
