"""Files that are whole or absent: written beside their place, then moved there."""

import json
import os
import threading
from pathlib import Path
from typing import Any

from deepunsup_helpers.files import write_atomically


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that no reader ever sees half of it, nor a crash leaves it.

    Raises:
        OSError: the folder is not writable or full; nothing is left behind.
    """
    write_atomically(path, lambda name: Path(name).write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 with Unix line ends."""
    write_bytes(path, text.encode("utf-8"))


def create_text(path: Path, text: str) -> None:
    """Like `write_text`, but only where nothing is: of several who try at once, one succeeds.

    Raises:
        FileExistsError: the path exists.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    temporary.write_text(text, encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """`write_text` of readable JSON; NaN and infinities raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def notebook_text(content: dict) -> str:
    """A notebook's JSON as it is committed: one space of indent, no escapes, a newline at the end."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
