"""What an executed notebook leaves behind: metrics, claims, warnings, figures, the failing cell."""

import base64
import re
import sys
import unicodedata
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


@dataclass(frozen=True)
class Output:
    """One output of a cell, each part of its right type whatever a kernel sent."""

    kind: str  # stream, error, display_data or execute_result
    name: str  # of a stream, or of an error
    text: str  # of a stream; an error's value
    traceback: str
    data: dict[str, Any]  # MIME type to text, or to the value of a +json type
    metadata: dict[str, Any]

    @property
    def png(self) -> bytes | None:
        """The PNG picture, or None where there is none that could be read."""
        data = decoded(self.data.get("image/png", ""))
        return data if data.startswith(PNG_HEADER) else None

    @property
    def alt(self) -> str:
        """A picture's description: its metadata's `alt`, else its plain text unless that is matplotlib's repr."""
        for place in (table(self.metadata.get("image/png")), self.metadata):
            if place.get("alt"):
                return str(place["alt"])
        text = self.data.get("text/plain", "").strip()
        return "" if text.startswith("<") else text


@dataclass
class Recorded:
    """What cells recorded. `problems` are told to the user, a line each.

    Args:
        metrics: name to finite number.
        claims: {"text", "holds": true, false or null, "cell": number as Jupyter shows it}, in order.
        warnings: about the user's data.
        interrupted: training was stopped by hand.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    claims: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)


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


def decoded(text: str) -> bytes:
    """Base64 as bytes; none where it is not base64."""
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def count_of(cell: dict) -> int:
    """A cell's number as Jupyter shows it; 0 where it did not run."""
    count = cell.get("execution_count")
    return count if isinstance(count, int) else 0


def collect(cells: list[dict]) -> Recorded:
    """What all cells recorded; a metric or claim made twice, or of a wrong type, is a problem and left out."""
    found = Recorded()
    metrics, claims = {}, {}  # name or text to [(cell, value), ...]
    for cell in cells:
        for output in outputs_of(cell):
            bundle = table(output.data.get(MIME_TYPE))
            found.interrupted |= bundle.get("interrupted") is True
            for name, value in table(bundle.get("metrics")).items():
                metrics.setdefault(name, []).append((count_of(cell), value))
            if CLAIM_MIME_TYPE in output.data:
                bundle = table(output.data[CLAIM_MIME_TYPE])
                claims.setdefault(str(bundle.get("text")), []).append((count_of(cell), bundle.get("holds", "nothing")))
            if text := table(output.data.get(WARNING_MIME_TYPE)).get("text"):
                found.warnings.append(str(text))
    for kind, places in (("metric", metrics), ("claim", claims)):
        for name, ((cell, value), *more) in places.items():
            if more:
                found.problems.append(
                    f"{kind} {name!r} is made twice, in cells [{cell}] and [{more[0][0]}]: change one."
                )
            elif kind == "metric" and not is_finite(value):
                found.problems.append(f"metric {name!r} in cell [{cell}] is not a finite number: {str(value)[:80]!r}.")
            elif kind == "claim" and not isinstance(value, bool | None):
                found.problems.append(
                    f"claim {name!r} in cell [{cell}] is neither true nor false: {str(value)[:80]!r}."
                )
            elif kind == "metric":
                found.metrics[name] = value
            else:
                found.claims.append({"text": name, "holds": value, "cell": cell})
    found.warnings = list(dict.fromkeys(found.warnings))
    return found


def is_finite(value: Any) -> bool:
    """Whether this is a number, and one that a float can hold."""
    return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max


def claims_summary(claims: list[dict]) -> str:
    """'17 of 18 claims hold', of those that were asked; '' where none was."""
    asked = [claim["holds"] for claim in claims if claim["holds"] is not None]
    return f"{sum(asked)} of {len(asked)} claims hold" if asked else ""


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


def write_figures(cells: list[dict], folder: Path) -> str | None:
    """Write every PNG that can be read to `folder/figures/NN-slug.png`, named after the nearest heading above.

    Returns:
        'figures/NN-slug.png' of the first figure of a cell tagged `flagship`, or None.
    """
    flagship, count = None, 0
    for cell, heading in zip(cells, headings_above(cells)):
        for data in filter(None, (output.png for output in outputs_of(cell))):
            count += 1
            name = f"figures/{count:02d}-{slug(heading)}.png"
            (folder / "figures").mkdir(exist_ok=True)
            write_bytes(folder / name, data)
            if flagship is None and "flagship" in tags_of(cell):
                flagship = name
    return flagship


def find_failure(cells: list[dict], index: int | None, lines: int = 6) -> Failure | None:
    """What the terminal and the report say about the code cell at `index`; None where there is none.

    Args:
        lines: how many of the traceback's last lines are kept; none where this package itself refused something: its
            message says all.
    """
    if index is None or index >= len(cells) or cells[index].get("cell_type") != "code":
        return None
    errors = [output for output in outputs_of(cells[index]) if output.kind == "error"]
    name, value, traceback = (ANSI.sub("", part) for part in (
        (errors[0].name, errors[0].text, errors[0].traceback) if errors else ("", "", "")
    ))  # fmt: skip
    kept = [line for line in traceback.splitlines() if line.strip() and not set(line.strip()) <= {"-"}]
    if _raised_by_the_package(traceback):
        kept = []
    counted = max(map(count_of, cells[:index]), default=0)
    return Failure(
        cell=index,
        count=count_of(cells[index]) or counted + 1,  # a kernel that died at once had no time to say its number
        heading=headings_above(cells)[index],
        name=name,
        value=value,
        traceback="\n".join(kept[-lines:]),
    )


def _raised_by_the_package(traceback: str) -> bool:
    """Whether the innermost frame is a `raise` of this package."""
    frames = re.findall(r"^(?:File (.+):\d+|Cell )", traceback, flags=re.MULTILINE)
    lines = re.findall(r"^-+> \d+ +(.*)", traceback, flags=re.MULTILINE)
    inside = bool(frames) and Path(frames[-1]).is_relative_to(PACKAGE_ROOT / "deepunsup_helpers")
    return inside and bool(lines) and lines[-1].startswith("raise ")
