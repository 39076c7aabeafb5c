"""Which notebooks there are, and what their JSON says without starting anything."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import deepunsup_helpers

from ..errors import CommandError, describe_os_error, nearest

PACKAGE_ROOT = Path(deepunsup_helpers.__file__).resolve().parent.parent
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
        match = NUMBERED.match(self.name)
        return match[1] if match else ""

    @property
    def about(self) -> dict:
        """What the course wrote into the metadata: title, seconds, presets."""
        about = self.content.get("metadata", {}).get("deepunsup", {})
        return about if isinstance(about, dict) else {}

    @property
    def title(self) -> str:
        """The title in the metadata, else the first heading, else the name."""
        if self.about.get("title"):
            return str(self.about["title"])
        for cell in self.cells:
            if cell.get("cell_type") == "markdown":
                match = re.search(r"^#\s+(.+)$", source_of(cell), flags=re.MULTILINE)
                if match:
                    return match[1].strip()
        return self.name

    @property
    def seconds(self) -> float | None:
        """Measured seconds of the default run, or None."""
        seconds = self.about.get("seconds")
        return seconds if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None

    @property
    def presets(self) -> dict[str, dict]:
        """Preset name to parameter values."""
        return self.about.get("presets", {})

    @property
    def cells(self) -> list[dict]:
        """The cells, in order."""
        return self.content["cells"]


def source_of(cell: dict) -> str:
    """A cell's text; the format allows one string or a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: dict) -> list[str]:
    """A cell's tags."""
    return cell.get("metadata", {}).get("tags", [])


def read_notebook(path: Path) -> Notebook:
    """Read one notebook.

    Raises:
        CommandError: the file is missing, unreadable or not a notebook of format 4.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"cannot read the notebook: {describe_os_error(error)}") from error
    except ValueError as error:  # bad JSON, bad UTF-8
        raise CommandError(f"{path} is not a notebook: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list) or content.get("nbformat") != 4:
        raise CommandError(f"{path} is not a notebook of format 4: open it in JupyterLab and save it.")
    return Notebook(path=path.resolve(), content=content)


def notebooks_folder(cwd: Path | None = None) -> Path:
    """`./notebooks` of the cwd if it holds numbered notebooks, else the folder beside the installed package.

    Raises:
        CommandError: neither holds a notebook.
    """
    cwd = cwd or Path.cwd()
    candidates = [cwd / "notebooks", PACKAGE_ROOT / "notebooks"]
    for folder in candidates:
        if any(NUMBERED.match(path.stem) for path in folder.glob("*.ipynb")):
            return folder.resolve()
    raise CommandError(
        f"no notebooks found in {candidates[0]} or {candidates[1]}: go to the course's folder, or give a path."
    )


def course(cwd: Path | None = None) -> list[Notebook]:
    """Every numbered notebook of the course, in order."""
    folder = notebooks_folder(cwd)
    return [read_notebook(path) for path in sorted(folder.glob("*.ipynb")) if NUMBERED.match(path.stem)]


def find_notebook(text: str, cwd: Path | None = None) -> Notebook:
    """The notebook meant by '04', '4', 'deep_autoencoders', '04_deep_autoencoders' or a path.

    Raises:
        CommandError: there is none; the nearest name is suggested.
    """
    cwd = cwd or Path.cwd()
    if text.endswith(".ipynb") or "/" in text or "\\" in text:
        path = cwd / Path(text).expanduser()
        if not path.is_file():
            beside = path.parent.glob("*.ipynb") if path.parent.is_dir() else []
            raise CommandError(
                f"there is no notebook {path}{nearest(path.name, sorted(other.name for other in beside))}"
            )
        return read_notebook(path)

    paths = [path for path in sorted(notebooks_folder(cwd).glob("*.ipynb")) if NUMBERED.match(path.stem)]
    for path in paths:
        number, short = NUMBERED.match(path.stem).groups()
        if text in (path.stem, short) or (text.isdecimal() and int(text) == int(number)):
            return read_notebook(path)
    names = [path.stem for path in paths]
    if text.isdecimal():
        raise CommandError(f"there is no notebook {text}; there are: {', '.join(names)}.")
    raise CommandError(f"there is no notebook {text!r}{nearest(text, [name[3:] for name in names] + names)}")
