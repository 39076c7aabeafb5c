"""What an executed notebook leaves behind: metrics, figures, the failing cell, saved models."""

import base64
import binascii
import json
import math
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepunsup_helpers.record import CLAIM_MIME_TYPE, MIME_TYPE, WARNING_MIME_TYPE

from ..files import write_bytes
from .files import source_of, tags_of

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", flags=re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", flags=re.MULTILINE | re.DOTALL)


@dataclass
class Metrics:
    """Collected figures: `values` is flat, name to finite number; `problems` are told to the user, a line each."""

    values: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """One PNG of the executed notebook: its cell's index, its file name, its alt text."""

    cell: int
    file: str
    alt: str
    flagship: bool


@dataclass(frozen=True)
class Failure:
    """The cell where a run ended: number as Jupyter shows it, heading above, error and the last lines of its traceback.

    Where the run was cut short, by the time limit for example, there is no error.
    """

    cell: int
    count: int
    heading: str
    name: str
    value: str
    traceback: str

    @property
    def error(self) -> str:
        """'ValueError: what was wrong', or ''."""
        return f"{self.name}: {self.value}" if self.value else self.name

    @property
    def place(self) -> str:
        """'cell [7] under "Train"'."""
        return f"cell [{self.count}]" + (f' under "{self.heading}"' if self.heading else "")


def outputs_of(cell: dict) -> list[dict]:
    """A cell's outputs; none for a cell that is not code."""
    return cell.get("outputs", []) if cell.get("cell_type") == "code" else []


def collect_metrics(cells: list[dict]) -> Metrics:
    """The figures recorded by all cells; a name recorded twice is a fault and is left out."""
    metrics = Metrics()
    where: dict[str, int] = {}
    for cell in cells:
        for output in outputs_of(cell):
            bundle = output.get("data", {}).get(MIME_TYPE)
            if not isinstance(bundle, dict):
                continue
            metrics.interrupted |= bundle.get("interrupted") is True
            for name, value in bundle.get("metrics", {}).items():
                _add_metric(metrics, where, name, value, cell.get("execution_count") or 0)
    return metrics


def _add_metric(metrics: Metrics, where: dict[str, int], name: str, value: Any, count: int) -> None:
    """Add one figure, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        metrics.problems.append(f"metric {name!r} in cell [{count}] is not a finite number: {value!r}.")
    elif name in where:
        metrics.problems.append(
            f"metric {name!r} is recorded twice, in cells [{where[name]}] and [{count}]: give one another name."
        )
        metrics.values.pop(name, None)
    else:
        where[name] = count
        metrics.values[name] = value


def collect_claims(cells: list[dict]) -> list[dict[str, Any]]:
    """The claims of all cells, in order: text, whether it holds (None: not asked), the cell's number."""
    found = []
    for cell in cells:
        for output in outputs_of(cell):
            bundle = output.get("data", {}).get(CLAIM_MIME_TYPE)
            if isinstance(bundle, dict) and isinstance(bundle.get("text"), str):
                holds = bundle.get("holds") if isinstance(bundle.get("holds"), bool) else None
                found.append({"text": bundle["text"], "holds": holds, "cell": cell.get("execution_count")})
    return found


def claim_problems(claims: list[dict[str, Any]]) -> list[str]:
    """A line for each text that is claimed twice: the text is a claim's identity over many runs."""
    cells: dict[str, list] = {}
    for claim in claims:
        cells.setdefault(claim["text"], []).append(claim["cell"])
    return [
        f"claim {text!r} is made twice, in cells {' and '.join(f'[{cell}]' for cell in where)}: give one other words."
        for text, where in cells.items()
        if len(where) > 1
    ]


def collect_warnings(cells: list[dict]) -> list[str]:
    """What `warn` said, in order, each text once."""
    bundles = [output.get("data", {}).get(WARNING_MIME_TYPE) for cell in cells for output in outputs_of(cell)]
    return list(
        dict.fromkeys(str(bundle["text"]) for bundle in bundles if isinstance(bundle, dict) and "text" in bundle)
    )


def headings_above(cells: list[dict]) -> list[str]:
    """For each cell the text of the nearest heading at or above it, or ''."""
    above, latest = [], ""
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            found = HEADING.findall(FENCE.sub("", source_of(cell)))
            latest = found[-1] if found else latest
        above.append(latest)
    return above


def slug(text: str) -> str:
    """'Error against bottleneck $d$' as 'error-against-bottleneck-d': lower-case ASCII for a file name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:60].rstrip("-") or "figure"


def find_figures(cells: list[dict]) -> list[Figure]:
    """Every PNG output in order, named `NN-slug.png` after the nearest heading above."""
    figures: list[Figure] = []
    headings = headings_above(cells)
    for index, cell in enumerate(cells):
        for output in outputs_of(cell):
            if "image/png" in output.get("data", {}):
                name = f"{len(figures) + 1:02d}-{slug(headings[index])}.png"
                flagship = "flagship" in tags_of(cell)
                figures.append(Figure(cell=index, file=name, alt=alt_text(output), flagship=flagship))
    return figures


def alt_text(output: dict) -> str:
    """The figure's description: its metadata's `alt`, else its plain text unless that is matplotlib's repr."""
    metadata = output.get("metadata", {})
    for place in (metadata.get("image/png", {}), metadata):
        if isinstance(place, dict) and place.get("alt"):
            return str(place["alt"])
    text = joined(output.get("data", {}).get("text/plain", ""))
    return "" if text.startswith("<") else text.strip()


def joined(text: str | list[str]) -> str:
    """Notebook text, which may be stored as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def write_figures(cells: list[dict], folder: Path) -> list[Figure]:
    """Write every PNG to `folder/figures`; returns those that could be decoded."""
    pictures = [
        joined(output["data"]["image/png"]) for cell in cells for output in outputs_of(cell)
        if "image/png" in output.get("data", {})
    ]  # fmt: skip
    written = []
    for figure, picture in zip(find_figures(cells), pictures, strict=True):
        try:
            data = base64.b64decode(picture)
        except (ValueError, binascii.Error):
            continue
        (folder / "figures").mkdir(exist_ok=True)
        write_bytes(folder / "figures" / figure.file, data)
        written.append(figure)
    return written


def find_failure(cells: list[dict], index: int | None, lines: int = 6) -> Failure | None:
    """What the terminal and the report say about the code cell at `index`; None where there is none.

    Args:
        lines: how many of the traceback's last lines are kept.
    """
    if index is None or index >= len(cells) or cells[index].get("cell_type") != "code":
        return None
    cell = cells[index]
    counted = max((other.get("execution_count") or 0 for other in cells[:index]), default=0)
    error = next((output for output in outputs_of(cell) if output.get("output_type") == "error"), {})
    traceback = ANSI.sub("", "\n".join(error.get("traceback", [])))
    kept = [line for line in traceback.splitlines() if line.strip() and not set(line.strip()) <= {"-"}]
    return Failure(
        cell=index,
        count=cell.get("execution_count") or counted + 1,  # a kernel that died at once had no time to say its number
        heading=headings_above(cells)[index],
        name=error.get("ename", ""),
        value=ANSI.sub("", error.get("evalue", "")),
        traceback="\n".join(kept[-lines:]),
    )


def model_snippets(folder: Path) -> dict[str, str]:
    """For each saved model of the run: file name to the three lines that load it."""
    snippets = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open(path, "rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            snippets[path.name] = loading_snippet(path.name, header.get("__metadata__", {}))
        except (OSError, ValueError, OverflowError, MemoryError):
            snippets[path.name] = f"# {path.name} is not a readable safetensors file"
    return snippets


def loading_snippet(file: str, about: dict[str, str]) -> str:
    """Python that loads saved weights, from the header's `class` and `config` (JSON of constructor arguments)."""
    load = "from safetensors.torch import load_file"
    if not about.get("class"):
        return f'{load}\nweights = load_file("{file}")'
    module, _, name = about["class"].rpartition(".")
    config = json.loads(about.get("config", "null"))
    if config is None and not module.startswith("__main__"):  # a plain nn.Sequential: its layers stand in the notebook
        return f'{load}\nweights = load_file("{file}")  # a {name}, built as in the notebook:\n# model.load_state_dict(weights)'
    config = config or {}
    arguments = ", ".join(f"{key}={_literal(value)}" for key, value in config.items())
    find = f"from {module} import {name}" if module != "__main__" else f"# {name} is defined in the notebook"
    return f'{load}; {find}\nmodel = {name}({arguments})\nmodel.load_state_dict(load_file("{file}"))'


def _literal(value: Any) -> str:
    """A JSON value as Python text; lists become tuples, as the constructors write them."""
    if isinstance(value, list):
        inner = ", ".join(map(_literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
