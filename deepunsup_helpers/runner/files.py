"""Files that are whole or absent, and what a run.json or sweep.json says."""

import itertools
import json
import os
import secrets
import socket
from collections.abc import Iterator
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
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(text, encoding="utf-8")
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """`write_text` of readable JSON; NaN and infinities raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def numbered(path: Path) -> Iterator[Path]:
    """'a.txt', 'a-2.txt', 'a-3.txt', ... for the first name that is free."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def notebook_text(content: dict) -> str:
    """A notebook's JSON as it is committed: one space of indent, no escapes, a newline at the end."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def code_notebook(sources: list[str], title: str = "") -> dict:
    """A notebook with these code cells."""
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [blank | {"id": f"cell-{number}", "source": source} for number, source in enumerate(sources)]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"deepunsup": {"title": title}}, "cells": cells}


def read_facts(path: Path) -> dict[str, Any]:
    """The table in a JSON file; empty when it is missing or damaged."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def is_alive(path: Path) -> bool:
    """Whether a run.json or sweep.json says "running" and its process lives; of another machine nobody here knows."""
    import psutil

    facts = read_facts(path)
    if facts.get("status") != "running":
        return False
    if facts.get("host", socket.gethostname()) != socket.gethostname():
        return True
    try:
        began = psutil.Process(int(facts["pid"])).create_time()
        return began <= path.stat().st_mtime + 1  # else the number is another's now
    except (psutil.Error, OSError, KeyError, TypeError, ValueError, OverflowError):
        return False
