"""Which notebooks there are, and what their JSON says without starting anything."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepunsup_helpers

from ..errors import CommandError, describe_os_error, nearest

PACKAGE_ROOT = Path(deepunsup_helpers.__file__).resolve().parent.parent
WORDS = {dict: "a table", list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}
NUMBERED = re.compile(r"(\d\d)_(\w+)$")


@dataclass(frozen=True)
class Notebook:
    """One notebook on disk: its absolute path and its JSON."""

    path: Path
    content: dict

    @property
    def name(self) -> str:
        """The file's name without its ending: '04_deep_autoencoders'."""
        return self.path.stem

    @property
    def number(self) -> str:
        """'04', or '' for a notebook that is not part of the course."""
        return self.name[:2] if NUMBERED.match(self.name) else ""

    @property
    def about(self) -> dict:
        """What the course wrote into the metadata: title, seconds, presets."""
        return self.content["metadata"].get("deepunsup", {})

    @property
    def title(self) -> str:
        """The title in the metadata, else the first heading, else the name."""
        prose = "\n".join(source_of(cell) for cell in self.cells if cell["cell_type"] == "markdown")
        heading = re.search(r"^#\s+(.+)$", prose, flags=re.MULTILINE)
        return self.about.get("title") or (heading[1].strip() if heading else self.name)

    @property
    def seconds(self) -> float | None:
        """Measured seconds of the default run, or None."""
        return self.about.get("seconds")

    @property
    def presets(self) -> dict[str, dict]:
        """Preset name to parameter values."""
        return self.about.get("presets", {})

    @property
    def cells(self) -> list[dict]:
        """The cells, in order."""
        return self.content["cells"]

    @property
    def code_cells(self) -> list[dict]:
        """The cells that hold code, in order."""
        return [cell for cell in self.cells if cell["cell_type"] == "code"]


def source_of(cell: dict) -> str:
    """A cell's text; the format allows one string or a list of lines."""
    return "".join(cell.get("source", ""))


def tags_of(cell: dict) -> list[str]:
    """A cell's tags."""
    return cell.get("metadata", {}).get("tags", [])


def read_notebook(path: Path) -> Notebook:
    """Read one notebook; a CommandError where it is missing, unreadable or not of format 4 in all parts used here."""
    try:
        text = path.read_text(encoding="utf-8")
        if not text:
            raise ValueError("the file is empty")
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()  # refuses halves of characters, which no file can hold
        _check(content)
    except OSError as error:
        raise CommandError(f"cannot read the notebook: {describe_os_error(error)}") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or another one's
        raise CommandError(f"{path} is not a notebook of format 4 that can be read: {error}") from error
    return Notebook(path=path.resolve(), content=content)


def _check(content: Any) -> None:
    """Raise a ValueError that says which part of a notebook's JSON is of a wrong type, if one is."""
    require(content, dict, "the whole")
    if content.get("nbformat") != 4:
        raise ValueError(f"its format is {content.get('nbformat')!r:.20}")
    require(content.get("nbformat_minor"), int, "nbformat_minor")
    about = require(require(content.get("metadata"), dict, "metadata").get("deepunsup", {}), dict, "metadata.deepunsup")
    require(about.get("title", ""), str, "metadata.deepunsup.title")
    seconds = require(about.get("seconds"), int | float | None, "metadata.deepunsup.seconds")
    if isinstance(seconds, bool) or not 0 <= (seconds or 0) < 1e9:
        raise ValueError("metadata.deepunsup.seconds is no number of seconds")
    for name, values in require(about.get("presets", {}), dict, "metadata.deepunsup.presets").items():
        require(values, dict, f"preset {name!r}")
    for number, cell in enumerate(require(content.get("cells"), list, "cells"), start=1):
        if require(cell, dict, f"cell {number}").get("cell_type") not in ("code", "markdown", "raw"):
            raise ValueError(f"the type of cell {number} is {cell.get('cell_type')!r:.20}")
        metadata = require(cell.get("metadata"), dict, f"the metadata of cell {number}")
        require(cell.get("id", ""), str, f"the id of cell {number}")
        require(cell.get("attachments", {}), dict, f"the attachments of cell {number}")
        source = cell.get("source")
        lists = {"source": ([source] if isinstance(source, str) else source, str), "tags": (metadata.get("tags", []), str),
                 "outputs": (cell.get("outputs", []), dict)}  # fmt: skip
        for name, (parts, kind) in lists.items():
            for part in require(parts, list, f"the {name} of cell {number}"):
                require(part, kind, f"a part of the {name} of cell {number}")


def require(value: Any, kind: Any, name: str) -> Any:
    """The value if it is of that type; else a ValueError that says what it is."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} {'is missing' if value is None else f'is {WORDS[type(value)]}'}")
    return value


def notebooks_folder(cwd: Path | None = None) -> Path:
    """`./notebooks` of `cwd` if it holds numbered notebooks, else the folder beside the package; else a CommandError."""
    candidates = [(cwd or Path.cwd()) / "notebooks", PACKAGE_ROOT / "notebooks"]
    for folder in filter(numbered, candidates):
        return folder.resolve()
    raise CommandError(
        f"no notebooks found in {' or '.join(map(str, candidates))}: go to the course's folder, or give a path."
    )


def numbered(folder: Path) -> list[Path]:
    """The files of a folder that are notebooks of a course, in order."""
    return [path for path in sorted(folder.glob("*.ipynb")) if NUMBERED.match(path.stem) and path.is_file()]


def course(cwd: Path | None = None) -> list[Notebook]:
    """Every numbered notebook of the course, in order."""
    return [read_notebook(path) for path in numbered(notebooks_folder(cwd))]


def find_notebook(text: str, cwd: Path | None = None) -> Notebook:
    """The notebook meant by '04', '4', 'deep_autoencoders', '04_deep_autoencoders' or a path.

    Where there is none, a CommandError suggests the nearest name.
    """
    if text.endswith(".ipynb") or "/" in text or "\\" in text:
        path = (cwd or Path.cwd()) / Path(text).expanduser()
        if path.is_file():
            return read_notebook(path)
        if path.exists():
            raise CommandError(f"{path} is {'a folder' if path.is_dir() else 'no file'}, not a notebook.")
        beside = sorted(other.name for other in path.parent.glob("*.ipynb"))
        raise CommandError(f"there is no notebook {path}{nearest(path.name, beside)}")

    paths = numbered(notebooks_folder(cwd))
    for path in paths:
        number, short = NUMBERED.match(path.stem).groups()
        if text in (path.stem, short) or (text.isdecimal() and int(text) == int(number)):
            return read_notebook(path)
    names = [path.stem for path in paths]
    if text.isdecimal():
        raise CommandError(f"there is no notebook {text}; there are: {', '.join(names)}.")
    raise CommandError(f"there is no notebook {text!r}{nearest(text, [name[3:] for name in names] + names)}")
