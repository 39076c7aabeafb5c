"""The report of a run: one HTML file that needs nothing but itself."""

import csv
import itertools
from html import escape
from pathlib import Path
from typing import Any

import jinja2

from deepunsup_helpers.record import CLAIM_MIME_TYPE, MIME_TYPE, WARNING_MIME_TYPE
from deepunsup_helpers.saving import MODELS, read_header

from ..console import duration
from ..files import write_text
from ..notebook.files import source_of, tags_of
from ..notebook.outputs import Failure, Output, Recorded, claims_summary, count_of, decoded, outputs_of, table
from ..notebook.parameters import read_parameters
from . import html as markup

TEMPLATES = Path(__file__).parent / "templates"
STATUS_WORDS = {
    "completed": "completed",
    "failed": "failed",
    "timeout": "stopped by the time limit",
    "died": "the kernel died",
    "interrupted": "interrupted",
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MOST_ROWS, MOST_COLUMNS = 8, 12  # of a table that is shown in part
MOST_PICTURES, LARGE_PICTURE = 12, 400_000  # shown, and bytes up to which one is
MOST_TEXT = 100_000  # characters of one printed text


def write_report(
    folder: Path, *, request: Any, facts: dict[str, Any], recorded: Recorded, cells: list[dict],
    failure: Failure | None,
) -> None:  # fmt: skip
    """Write `folder/report.html`.

    Args:
        request: the run's Request (notebook, injected values, preset).
        facts: the content of run.json.
        recorded: metrics, claims and warnings of the cells.
        cells: the executed notebook's cells; empty when the kernel never started.
        failure: the failing cell.
    """
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True)  # fmt: skip
    blocks, headings = render_cells(cells, folder=request.workplace, failure=failure)
    smoke = request.preset == "smoke"
    html = environment.get_template("report.html").render(
        title=request.notebook.title,
        facts=facts,
        status=STATUS_WORDS[facts["status"]],
        duration=duration(facts["seconds"]),
        headline=headline(facts, failure),
        failure=failure,
        warnings=recorded.warnings,
        smoke=smoke,
        claims="" if smoke else claims_summary(recorded.claims),
        not_held=[] if smoke else [claim for claim in recorded.claims if claim["holds"] is False],
        tables=[first_rows(path) for path in sorted((folder / "tables").glob("*.csv"))],
        pictures=pictures([path for path in sorted((folder / "pictures").glob("*")) if path.is_file()]),
        metrics={name: number(value) for name, value in recorded.metrics.items()},
        flagship=next((block for block in blocks if block.get("flagship")), None),
        parameters=parameter_rows(request),
        models={path.name: markup.code(loading(path)) for path in sorted(folder.glob("*.safetensors"))},
        blocks=blocks,
        contents=[heading for heading in headings if heading[0] in (2, 3)],  # the title is left out
        style="".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "code.css")),
    )
    write_text(folder / "report.html", html.encode("utf-8", "replace").decode())


def headline(facts: dict[str, Any], failure: Failure | None) -> str:
    """What is said first about a run that did not complete; '' about one that did."""
    if facts["status"] == "completed" or (facts["status"] == "failed" and failure is None):
        return ""  # a problem with what was recorded speaks for itself
    words = STATUS_WORDS[facts["status"]]
    return f"{words[0].upper()}{words[1:]}" + (f" in {failure.place}." if failure else ".")


def parameter_rows(request: Any) -> list[dict[str, Any]]:
    """Name, value, meaning, and the default where the run departs from it."""
    rows = []
    for parameter in read_parameters(request.notebook).values():
        value = request.values.get(parameter.name, parameter.default)
        default = shown(parameter.default) if value != parameter.default else ""
        rows.append({"name": parameter.name, "value": shown(value), "default": default, "meaning": parameter.meaning})
    return rows


def shown(value: Any) -> str:
    """A parameter's value as one reads it."""
    return value if isinstance(value, str) and value else repr(value)


def number(value: float) -> str:
    """A metric with at most five digits that count, a whole number with all; the exact one is in metrics.json."""
    if abs(value) < 1e15 and (value == int(value) or abs(value) >= 1e5):
        return f"{value:,.0f}"
    try:
        return f"{value:.5g}"
    except OverflowError:  # a whole number beyond any float
        return f"{str(value)[:5]}... ({len(str(abs(value)))} digits)"


def loading(path: Path) -> str:
    """The lines that load a saved model."""
    try:
        name = read_header(path).class_name or ""
    except (OSError, ValueError) as error:
        return f"# {' '.join(str(error).split())}"
    load = "from deepunsup_helpers import load_model"
    if name.startswith(MODELS):
        return f"{load}\nmodel = load_model({path.name!r})"
    kind = name.rpartition(".")[2] or "model"
    return f"{load}\nmodel = load_model({path.name!r}, model)  # model: an untrained {kind}, built as in the notebook"


def first_rows(path: Path) -> dict[str, Any]:
    """A CSV file's header, first rows, and how many there are; without them where it cannot be read."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            top = [[cell[:80] for cell in line[:MOST_COLUMNS]] + ["..."] * (len(line) > MOST_COLUMNS)
                   for line in itertools.islice(lines, MOST_ROWS + 1)]  # fmt: skip
            return {"name": path.name, "header": top[0], "rows": top[1:], "count": len(top) - 1 + sum(1 for _ in lines)}
    except (OSError, ValueError, csv.Error, IndexError):
        return {"name": path.name, "header": [], "rows": [], "count": None}


def pictures(paths: list[Path]) -> dict[str, Any]:
    """The first pictures a run saved, embedded where they are small; the number of the others."""
    kinds = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
    first = []
    for path in paths[:MOST_PICTURES]:
        kind = kinds.get(path.suffix.lower())
        small = kind and path.stat().st_size <= LARGE_PICTURE
        first.append((path.name, markup.picture(kind, path.read_bytes(), alt="") if small else ""))
    return {"first": first, "more": max(0, len(paths) - MOST_PICTURES)}


def render_cells(cells: list[dict], *, folder: Path, failure: Failure | None) -> tuple[list[dict], list]:
    """Each cell as what the template needs; all headings in order, as (level, id, HTML)."""
    blocks, headings = [], []
    for index, cell in enumerate(cells):
        source = source_of(cell)
        if cell.get("cell_type") == "markdown":
            attachments = table(cell.get("attachments"))
            html, found = markup.markdown(source, folder=folder, attachments=attachments, first_heading=len(headings))
            headings += found
            blocks.append({"kind": "text", "html": html})
        elif cell.get("cell_type") == "code" and source.strip():
            failed = failure is not None and index == failure.cell
            outputs = outputs_of(cell)
            flagship = next((output for output in outputs if output.png), None) if "flagship" in tags_of(cell) else None
            blocks.append({
                "kind": "code",
                "html": markup.code(source),
                "count": count_of(cell) or (failure.count if failed else 0),
                "lines": len(source.splitlines()),
                "tags": tags_of(cell),
                "ran": bool(cell.get("execution_count")),
                "failed": ("failed" if failure.name else "stopped") if failed else "",
                "outputs": list(filter(None, map(render_output, outputs))),
                "flagship": render_output(flagship) if flagship else "",
            })  # fmt: skip
    return blocks, headings


def render_output(output: Output) -> str:
    """One output as HTML; what cannot be drawn is shown as text."""
    try:
        if output.kind == "stream":
            return _printed(output.text, output.name)
        if output.kind == "error":
            return _printed(output.traceback or f"{output.name}: {output.text}", "error")
        return _render_data(output.data, output)
    except Exception:  # whatever it is, an output must not cost the report
        return _printed(repr(output.data or output.text))


def _printed(text: str, kind: str = "") -> str:
    """Text as it stands in a terminal; of very much of it the beginning."""
    rest = len(text) - MOST_TEXT
    more = f"\n... {rest:,} more characters, in the executed notebook" if rest > 0 else ""
    return f'<pre class="{escape(kind)}">{markup.terminal_text(text[:MOST_TEXT] + more)}</pre>' if text else ""


def _render_data(data: dict[str, Any], output: Output) -> str:
    """The richest form of a display that needs no script and no server."""
    if output.png:
        width = table(output.metadata.get("image/png")).get("width")
        return markup.picture("image/png", output.png, alt=output.alt, width=width)
    for kind in ("image/jpeg", "image/gif"):
        if picture := decoded(data.get(kind, "")):
            return markup.picture(kind, picture, alt=output.alt)
    if "image/svg+xml" in data:
        return markup.picture("image/svg+xml", data["image/svg+xml"].encode(), alt=output.alt)
    if MIME_TYPE in data:
        return _recorded(table(table(data[MIME_TYPE]).get("metrics")))
    for kind in (CLAIM_MIME_TYPE, WARNING_MIME_TYPE):
        if kind in data:
            holds = table(data[kind]).get("holds")
            return _printed(
                data.get("text/plain", ""), "warning" if kind == WARNING_MIME_TYPE or holds is False else ""
            )
    if "text/html" in data:
        return f'<div class="rich">{markup.harmless(data["text/html"])}</div>'
    if "text/markdown" in data:
        return markup.markdown(data["text/markdown"], folder=Path(), attachments={}, first_heading=10_000)[0]
    if "text/latex" in data:
        return markup.harmless(markup.formula(data["text/latex"].strip().strip("$"), display=True))
    if WIDGET_VIEW in data:  # a progress bar or slider without a picture
        return ""
    unread = "[a picture that cannot be read]" if any(kind.startswith("image/") for kind in data) else ""
    return _printed(data.get("text/plain", "") or unread)


def _recorded(metrics: dict[str, Any]) -> str:
    """The metrics that a cell recorded, whatever they are."""
    rows = ""
    for name, value in metrics.items():
        text = number(value) if isinstance(value, int | float) else str(value)
        rows += f"<tr><th>{escape(str(name))}</th><td>{escape(text)}</td></tr>"
    return f'<table class="recorded">{rows}</table>'
