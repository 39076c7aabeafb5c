"""The report of a run: one HTML file that needs nothing but itself."""

import csv
import itertools
import mimetypes
from html import escape
from pathlib import Path
from typing import Any

import jinja2
from nbconvert.filters.ansi import ansi2html

from deepunsup_helpers.record import CLAIM_MIME_TYPE, MIME_TYPE, WARNING_MIME_TYPE
from deepunsup_helpers.saving import MODELS, read_header

from ..console import duration
from ..files import write_text
from ..notebook.files import source_of, tags_of
from ..notebook.outputs import Failure, Output, Recorded, claims_summary, count_of, outputs_of, table
from ..notebook.parameters import read_parameters
from . import html as markup

TEMPLATES = Path(__file__).parent / "templates"
STATUS_WORDS = {"timeout": "stopped by the time limit", "died": "the kernel died"}  # the others are words themselves
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MOST_ROWS, MOST_COLUMNS = 8, 12  # of a table that is shown in part
MOST_PICTURES, LARGE_PICTURE = 12, 400_000  # shown, and bytes up to which one is
MOST_TEXT = 100_000  # characters of one printed text


def write_report(
    folder: Path, *, request: Any, facts: dict, recorded: Recorded, cells: list[dict], failure: Failure | None
) -> None:
    """Write `folder/report.html`.

    Args:
        request: the run's Request (notebook, injected values, preset).
        facts: the content of run.json.
        cells: the executed notebook's cells; empty when the kernel never started.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "shown": shown, "duration": duration, "code": markup.code}
    blocks, headings = render_cells(cells, folder=request.workplace, failure=failure)
    saved = [path for path in sorted((folder / "pictures").glob("*")) if path.is_file()]
    asked = [] if request.preset == "smoke" else recorded.claims
    html = environment.get_template("report.html").render(
        request=request,
        facts=facts,
        status=STATUS_WORDS.get(facts["status"], facts["status"]),
        failure=failure,
        recorded=recorded,
        claims=claims_summary(asked),
        not_held=[claim for claim in asked if claim["holds"] is False],
        tables={path.name: first_rows(path) for path in sorted((folder / "tables").glob("*.csv"))},
        pictures={path.name: thumbnail(path) for path in saved[:MOST_PICTURES]},
        more_pictures=len(saved[MOST_PICTURES:]),
        parameters=read_parameters(request.notebook).values(),
        models={path.name: loading(path) for path in sorted(folder.glob("*.safetensors"))},
        blocks=blocks,
        contents=[heading for heading in headings if heading[0] in (2, 3)],  # the title is left out
        style="".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "code.css")),
    )
    write_text(folder / "report.html", html.encode("utf-8", "replace").decode())


def shown(value: Any) -> str:
    """A parameter's value as one reads it."""
    return value if isinstance(value, str) and value else repr(value)


def number(value: Any) -> str:
    """A metric with at most five digits that count, a whole number with all; what is no number as it is."""
    if not isinstance(value, int | float):
        return str(value)
    if abs(value) < 1e15 and (value == int(value) or abs(value) >= 1e5):
        return f"{value:,.0f}"
    try:
        return f"{value:.5g}"
    except OverflowError:  # a whole number beyond any float
        return f"{str(value)[:5]}... ({len(str(abs(value)))} digits)"


def loading(path: Path) -> str:
    """The lines that load a saved model."""
    try:
        name = read_header(path).class_name or "model"
    except (OSError, ValueError) as error:
        return f"# {' '.join(str(error).split())}"
    load = f"from deepunsup_helpers import load_model\nmodel = load_model({path.name!r}"
    if name.startswith(MODELS):
        return f"{load})"
    return f"{load}, model)  # model: an untrained {name.rpartition('.')[2]}, built as in the notebook"


def first_rows(path: Path) -> dict[str, Any]:
    """A CSV file's header and first rows, and how many rows it has; no lines where it cannot be read."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            first = [[cell[:80] for cell in line[:MOST_COLUMNS]] + ["..."] * (len(line) > MOST_COLUMNS)
                     for line in itertools.islice(lines, MOST_ROWS + 1)]  # fmt: skip
            return {"lines": first, "count": len(first) - 1 + sum(1 for _ in lines)}
    except (OSError, ValueError, csv.Error):
        return {"lines": []}


def thumbnail(path: Path) -> str:
    """A small picture embedded; '' for a large one or another kind of file."""
    kind = mimetypes.guess_type(path)[0]
    small = kind in ("image/png", "image/jpeg") and path.stat().st_size <= LARGE_PICTURE
    return markup.picture(kind, path.read_bytes(), alt="") if small else ""


def render_cells(cells: list[dict], *, folder: Path, failure: Failure | None) -> tuple[list[dict], list]:
    """Each cell as what the template needs; all headings in order, as (level, id, HTML)."""
    blocks, headings = [], []
    for index, cell in enumerate(cells):
        source = source_of(cell)
        if cell.get("cell_type") == "markdown":
            attachments = table(cell.get("attachments"))
            html, found = markup.markdown(source, folder=folder, attachments=attachments, first_heading=len(headings))
            headings += found
            blocks.append({"html": html})
        elif cell.get("cell_type") == "code" and source.strip():
            failed = failure is not None and index == failure.cell
            outputs, tags = outputs_of(cell), tags_of(cell)
            figures = (render_output(output) for output in outputs if output.picture() and "flagship" in tags)
            blocks.append({
                "source": source,
                "tags": tags,
                "count": failure.count if failed else count_of(cell),
                "failed": ("failed" if failure.error else "stopped") if failed else "",
                "outputs": list(filter(None, map(render_output, outputs))),
                "flagship": next(figures, ""),
            })  # fmt: skip
    return blocks, headings


def render_output(output: Output) -> str:
    """One output as HTML; what cannot be drawn is shown as text."""
    try:
        if output.kind == "stream":
            return _printed(output.text, output.name)
        if output.kind == "error":
            return _printed(output.traceback or f"{output.name}: {output.text}", "error")
        return _displayed(output)
    except Exception:  # whatever it is, an output must not cost the report
        return _printed(repr(output.data or output.text))


def _printed(text: str, kind: str = "") -> str:
    """Text with a terminal's colours, a line rewritten by carriage returns as it ended; of very much the beginning."""
    rest = len(text) - MOST_TEXT
    more = f"\n... {rest:,} more characters, in the executed notebook" if rest > 0 else ""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in (text[:MOST_TEXT] + more).split("\n"))
    html = ansi2html("\n".join(lines))
    return f'<pre class="{escape(kind)}">{html}</pre>' if text else ""


def _displayed(output: Output) -> str:
    """The richest form of a display that needs no script and no server."""
    data = output.data
    for kind in ("image/png", "image/jpeg", "image/gif", "image/svg+xml"):
        if picture := output.picture(kind):
            width = table(output.metadata.get(kind)).get("width")
            return markup.picture(kind, picture, alt=output.alt, width=width)
    if MIME_TYPE in data:
        metrics = table(table(data[MIME_TYPE]).get("metrics")).items()
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(number(value))}</td></tr>" for name, value in metrics)
        return f'<table class="recorded">{"".join(rows)}</table>'
    if "text/html" in data:
        return f'<div class="rich">{markup.harmless(data["text/html"])}</div>'
    if "text/markdown" in data:
        return markup.markdown(data["text/markdown"], folder=Path(), attachments={}, first_heading=10_000)[0]
    if "text/latex" in data:
        return markup.harmless(markup.formula(data["text/latex"].strip().strip("$"), display=True))
    if WIDGET_VIEW in data:  # a progress bar or slider without a picture
        return ""
    warned = WARNING_MIME_TYPE in data or table(data.get(CLAIM_MIME_TYPE)).get("holds") is False
    unread = "[a picture that cannot be read]" if any(kind.startswith("image/") for kind in data) else ""
    return _printed(data.get("text/plain", "") or unread, "warning" if warned else "")
