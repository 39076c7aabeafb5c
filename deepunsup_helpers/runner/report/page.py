"""The report of a run: one HTML file that needs nothing but itself."""

from html import escape
from pathlib import Path
from typing import Any

import jinja2

from deepunsup_helpers.record import MIME_TYPE

from ..files import write_text
from ..notebook.files import source_of, tags_of
from ..notebook.outputs import Failure, alt_text, joined, model_snippets, outputs_of
from ..notebook.parameters import read_parameters
from . import html as markup
from .mathml import formula

TEMPLATES = Path(__file__).parent / "templates"
STATUS_WORDS = {
    "completed": "completed",
    "failed": "failed",
    "timeout": "stopped by the time limit",
    "died": "the kernel died",
    "interrupted": "interrupted",
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def write_report(
    folder: Path, *, request: Any, facts: dict[str, Any], metrics: dict[str, float], cells: list[dict],
    failure: Failure | None,
) -> None:  # fmt: skip
    """Write `folder/report.html`.

    Args:
        request: the run's Request (notebook, injected values, preset).
        facts: the content of run.json.
        cells: the executed notebook's cells; empty when the kernel never started.
        failure: the failing cell.
    """
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True)  # fmt: skip
    flagship = next((output for cell in cells if "flagship" in tags_of(cell) for output in outputs_of(cell)
                     if "image/png" in output.get("data", {})), None)  # fmt: skip
    blocks, headings = render_cells(cells, folder=request.workplace, failure=failure)
    html = environment.get_template("report.html").render(
        title=request.notebook.title,
        facts=facts,
        status=STATUS_WORDS[facts["status"]],
        parameters=parameter_rows(request),
        metrics={name: number(value) for name, value in metrics.items()},
        models={name: markup.code(text) for name, text in model_snippets(folder).items()},
        failure=failure,
        headline=headline(facts, failure),
        flagship=render_output(flagship) if flagship else "",
        blocks=blocks,
        contents=contents(headings),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8") + markup.code_style(),
        duration=duration(facts["seconds"]),
    )
    write_text(folder / "report.html", html)


def headline(facts: dict[str, Any], failure: Failure | None) -> str:
    """What is said first about a run that did not complete; '' about one that did."""
    if facts["status"] == "completed" or (facts["status"] == "failed" and failure is None):
        return ""  # a fault in the metrics speaks for itself
    words = STATUS_WORDS[facts["status"]]
    return f"{words[0].upper()}{words[1:]} in {failure.place}." if failure else f"{words[0].upper()}{words[1:]}."


def parameter_rows(request: Any) -> list[dict[str, Any]]:
    """Name, value, meaning, and the default where the run departs from it."""
    rows = []
    for parameter in read_parameters(request.notebook).values():
        value = request.values.get(parameter.name, parameter.default)
        changed = value != parameter.default
        rows.append({
            "name": parameter.name,
            "value": shown(value),
            "default": shown(parameter.default) if changed else "",
            "meaning": parameter.meaning,
        })  # fmt: skip
    return rows


def shown(value: Any) -> str:
    """A parameter's value as one reads it."""
    return value if isinstance(value, str) and value else repr(value)


def number(value: float) -> str:
    """A figure with at most five digits that count; the exact one is in metrics.json."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def duration(seconds: float) -> str:
    """'41 s', '3 min 20 s'."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def contents(headings: list[tuple[int, str, str]]) -> list[dict[str, str]]:
    """Entries of the table of contents: the second level, and the third below it; the title is left out."""
    return [{"level": level, "anchor": anchor, "html": html} for level, anchor, html in headings if level in (2, 3)]


def render_cells(cells: list[dict], *, folder: Path, failure: Failure | None) -> tuple[list[dict], list]:
    """Each cell as what the template needs; all headings in order."""
    blocks, headings = [], []
    for index, cell in enumerate(cells):
        source = source_of(cell)
        if cell.get("cell_type") == "markdown":
            html, found = markup.markdown(
                source, folder=folder, attachments=cell.get("attachments", {}), first_heading=len(headings)
            )
            headings += found
            blocks.append({"kind": "text", "html": html})
        elif cell.get("cell_type") == "code" and source.strip():
            failed = ("failed" if failure.name else "stopped") if failure and failure.cell == index else ""
            outputs = [html for html in map(render_output, outputs_of(cell)) if html]
            blocks.append({
                "kind": "code",
                "html": markup.code(source),
                "count": cell.get("execution_count"),
                "lines": len(source.splitlines()),
                "label": label(source, tags_of(cell)),
                "outputs": outputs,
                "failed": failed,
                "flagship": "flagship" in tags_of(cell),
            })  # fmt: skip
    return blocks, headings


def label(source: str, tags: list[str]) -> str:
    """What a folded cell is called."""
    if "injected-parameters" in tags:
        return "parameters of this run"
    if "parameters" in tags:
        return "default parameters"
    lines = len(source.splitlines())
    return "code, 1 line" if lines == 1 else f"code, {lines} lines"


def render_output(output: dict) -> str:
    """One output as HTML; pictures first, then figures recorded, HTML, text."""
    kind = output.get("output_type")
    if kind == "stream":
        text = joined(output.get("text", ""))
        return f'<pre class="{escape(output.get("name", "stdout"))}">{markup.terminal_text(text)}</pre>' if text else ""
    if kind == "error":
        text = "\n".join(output.get("traceback", [])) or f"{output.get('ename')}: {output.get('evalue')}"
        return f'<pre class="error">{markup.terminal_text(text)}</pre>'
    return _render_data(output)


def _render_data(output: dict) -> str:
    """The richest form of a display that needs no script and no server."""
    data = output.get("data", {})
    for kind in ("image/png", "image/jpeg", "image/gif"):
        if kind in data:
            picture = "".join(joined(data[kind]).split())
            return f'<img src="data:{kind};base64,{picture}" alt="{escape(alt_text(output))}"{_size(output, kind)}>'
    if isinstance(data.get(MIME_TYPE), dict):
        return _recorded(data[MIME_TYPE].get("metrics", {}))
    for kind in ("image/svg+xml", "text/html"):
        if kind in data:
            return f'<div class="rich">{markup.harmless(joined(data[kind]))}</div>'
    if "text/markdown" in data:
        return markup.markdown(joined(data["text/markdown"]), folder=Path(), attachments={}, first_heading=10_000)[0]
    if "text/latex" in data:
        return formula(joined(data["text/latex"]).strip().strip("$"), display=True)
    if WIDGET_VIEW in data:  # a progress bar or slider without a picture
        return ""
    text = joined(data.get("text/plain", ""))
    return f"<pre>{markup.terminal_text(text)}</pre>" if text else ""


def _size(output: dict, kind: str) -> str:
    """Width of a picture in CSS pixels, where its metadata tells it; the height follows."""
    about = output.get("metadata", {}).get(kind, {})
    width = about.get("width") if isinstance(about, dict) else None
    return f' width="{width:.0f}"' if isinstance(width, int | float) else ""


def _recorded(metrics: dict[str, Any]) -> str:
    """The figures that a cell recorded, whatever they are."""
    rows = ""
    for name, value in metrics.items():
        text = number(value) if isinstance(value, int | float) else str(value)
        rows += f"<tr><th>{escape(str(name))}</th><td>{escape(text)}</td></tr>"
    return f'<table class="recorded">{rows}</table>'
