"""What an executed notebook leaves behind: metrics, claims, warnings, figures, the failing cell."""

import base64
import re
import sys
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepunsup_helpers.record import CLAIM_MIME_TYPE, MIME_TYPE, WARNING_MIME_TYPE

from ..files import write_bytes
from .files import PACKAGE_ROOT, source_of, tags_of

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", flags=re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", flags=re.MULTILINE | re.DOTALL)
PNG_HEADER = b"\x89PNG\r\n\x1a\n"
LAST_LINES = 6  # of a traceback


@dataclass(frozen=True)
class Output:
    """One output of a cell, each part of its right type whatever a kernel sent."""

    kind: str  # stream, error, display_data or execute_result
    name: str  # of a stream, or of an error
    text: str  # of a stream; an error's value
    traceback: str
    data: dict[str, Any]  # MIME type to text, or to the value of a +json type
    metadata: dict[str, Any]

    def picture(self, kind: str = "image/png") -> bytes:
        """The picture of a MIME type; nothing where there is none that could be read."""
        text = self.data.get(kind, "")
        try:
            picture = text.encode() if kind.endswith("xml") else base64.b64decode(text)
        except ValueError:  # not base64, or half a character
            return b""
        return b"" if kind == "image/png" and not picture.startswith(PNG_HEADER) else picture

    @property
    def alt(self) -> str:
        """A picture's description: its metadata's `alt`, else its plain text unless that is matplotlib's repr."""
        described = table(self.metadata.get("image/png")).get("alt") or self.metadata.get("alt")
        text = self.data.get("text/plain", "").strip()
        return str(described or ("" if text.startswith("<") else text))


@dataclass
class Recorded:
    """What cells recorded."""

    metrics: dict[str, float] = field(default_factory=dict)  # name to finite number
    claims: list[dict[str, Any]] = field(default_factory=list)  # {"text", "holds": true, false or null, "cell": number}
    warnings: list[str] = field(default_factory=list)  # about the user's data
    interrupted: bool = False  # training was stopped by hand
    problems: list[str] = field(default_factory=list)  # told to the user, a line each


@dataclass(frozen=True)
class Failure:
    """The cell where a run ended; without an error where the run was cut short, by the time limit for example."""

    cell: int  # from 0
    count: int  # as Jupyter shows it
    place: str  # 'cell [7] under "Train"'
    error: str  # 'ValueError: what was wrong', or ''
    value: str  # 'what was wrong', or ''
    traceback: str  # its last lines


def outputs_of(cell: dict) -> list[Output]:
    """A cell's outputs; none for a cell that is not code."""
    outputs = cell.get("outputs") if cell.get("cell_type") == "code" else None
    return [
        Output(
            kind=str(output.get("output_type")),
            name=str(output.get("ename", output.get("name", ""))),
            text=joined(output.get("evalue", output.get("text", ""))),
            traceback=joined(output.get("traceback", ""), between="\n"),
            data={kind: value if kind.endswith("json") else joined(value)
                  for kind, value in table(output.get("data")).items()},
            metadata=table(output.get("metadata")),
        )
        for output in (outputs if isinstance(outputs, list) else []) if isinstance(output, dict)
    ]  # fmt: skip


def table(value: Any) -> dict:
    """`value` where it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def joined(text: Any, between: str = "") -> str:
    """Notebook text, which may be stored as a list of lines."""
    return between.join(map(str, text)) if isinstance(text, list) else str(text)


def count_of(cell: dict) -> int:
    """A cell's number as Jupyter shows it; 0 where it did not run."""
    count = cell.get("execution_count")
    return count if isinstance(count, int) else 0


def collect(cells: list[dict]) -> Recorded:
    """What all cells recorded; a metric or claim made twice, or of a wrong type, is a problem and left out."""
    found, made = Recorded(), defaultdict(list)  # kind and name of a metric or claim to [(cell, value), ...]
    for cell in cells:
        for output in outputs_of(cell):
            recorded = table(output.data.get(MIME_TYPE))
            found.interrupted |= recorded.get("interrupted") is True
            for name, value in table(recorded.get("metrics")).items():
                made["metric", name].append((count_of(cell), value))
            if CLAIM_MIME_TYPE in output.data:
                claim = table(output.data[CLAIM_MIME_TYPE])
                made["claim", str(claim.get("text"))].append((count_of(cell), claim.get("holds", "nothing")))
            warning = table(output.data.get(WARNING_MIME_TYPE)).get("text")
            if warning and str(warning) not in found.warnings:
                found.warnings.append(str(warning))
    wrong = {"metric": "is not a finite number", "claim": "is neither true nor false"}
    for (kind, name), [(cell, value), *others] in made.items():
        what = f"{kind} {name!r}"
        if others:
            found.problems.append(f"{what} is made twice, in cells [{cell}] and [{others[0][0]}]: change one.")
        elif kind == "metric" and type(value) in (int, float) and abs(value) <= sys.float_info.max:  # not NaN either
            found.metrics[name] = value
        elif kind == "claim" and isinstance(value, bool | None):
            found.claims.append({"text": name, "holds": value, "cell": cell})
        else:
            found.problems.append(f"{what} in cell [{cell}] {wrong[kind]}: {str(value)[:80]!r}.")
    return found


def claims_summary(claims: list[dict]) -> str:
    """'17 of 18 claims hold', of those that were asked; '' where none was."""
    asked = [claim["holds"] for claim in claims if claim["holds"] is not None]
    return f"{sum(asked)} of {len(asked)} claims hold" if asked else ""


def headings_above(cells: list[dict]) -> list[str]:
    """For each cell the text of the nearest heading at or above it, or ''."""
    above = [""]
    for cell in cells:
        prose = FENCE.sub("", source_of(cell)) if cell.get("cell_type") == "markdown" else ""
        above.append([above[-1], *HEADING.findall(prose)][-1])
    return above[1:]


def slug(text: str) -> str:
    """'Error against bottleneck $d$' as 'error-against-bottleneck-d': lower-case ASCII for a file name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:60].rstrip("-") or "figure"


def write_figures(cells: list[dict], folder: Path) -> str | None:
    """Write every PNG that can be read to `folder/figures/NN-slug.png`, named after the nearest heading above.

    Returns:
        'figures/NN-slug.png' of the first figure of a cell tagged `flagship`, or None.
    """
    flagship, count = None, 0
    for cell, heading in zip(cells, headings_above(cells)):
        for picture in filter(None, (output.picture() for output in outputs_of(cell))):
            count += 1
            name = f"figures/{count:02d}-{slug(heading)}.png"
            write_bytes(folder / name, picture)
            if "flagship" in tags_of(cell):
                flagship = flagship or name
    return flagship


def find_failure(cells: list[dict], index: int | None) -> Failure | None:
    """What the terminal and the report say about the code cell at `index`; None where there is none.

    Where this package itself refused something, its message says all, and no traceback is kept.
    """
    if index is None or index >= len(cells) or cells[index].get("cell_type") != "code":
        return None
    errors = [output for output in outputs_of(cells[index]) if output.kind == "error"]
    parts = (errors[0].name, errors[0].text, errors[0].traceback) if errors else ("", "", "")
    name, value, traceback = (ANSI.sub("", part) for part in parts)
    lines = [line for line in traceback.splitlines() if line.strip().strip("-")]
    counted = max(map(count_of, cells[:index]), default=0)
    count = count_of(cells[index]) or counted + 1  # a kernel that died at once had no time to say its number
    heading = headings_above(cells)[index]
    return Failure(
        cell=index,
        count=count,
        place=f"cell [{count}]" + (f' under "{heading}"' if heading else ""),
        error=f"{name}: {value}" if value else name,
        value=value,
        traceback="" if _raised_by_the_package(traceback) else "\n".join(lines[-LAST_LINES:]),
    )


def _raised_by_the_package(traceback: str) -> bool:
    """Whether the innermost frame is a `raise` of this package."""
    frames = re.findall(r"^(?:File (.+):\d+|Cell )", traceback, flags=re.MULTILINE)
    lines = re.findall(r"^-+> \d+ +(.*)", traceback, flags=re.MULTILINE)
    inside = bool(frames) and Path(frames[-1]).is_relative_to(PACKAGE_ROOT / "deepunsup_helpers")
    return inside and bool(lines) and lines[-1].startswith("raise ")
