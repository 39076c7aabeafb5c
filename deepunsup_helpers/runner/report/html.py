"""Notebook text as HTML that asks nothing of any server and runs nothing: Markdown, formulas, code, a cell's own HTML."""

import base64
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from html import escape, unescape
from pathlib import Path
from typing import Any

import nh3
from math_core import LatexToMathML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

# Of HTML, SVG and MathML only what is named here passes: nh3 reads as browsers do, and drops the rest.
MATHML = set("math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt "
             "mstyle msub msubsup msup mtable mtd mtext mtr munder munderover".split())  # fmt: skip
TAGS = nh3.ALLOWED_TAGS - {"map", "area"} | MATHML | {"audio", "input", "source", "video"}
CONTENT_TOO = {"script", "style", "svg", "title", "iframe", "object", "noscript", "template", "textarea", "select"}
MATH_ATTRIBUTES = set("display displaystyle scriptlevel mathvariant stretchy symmetric fence form lspace rspace "
                      "minsize maxsize linethickness accent accentunder movablelimits largeop separator notation depth "
                      "voffset".split())  # fmt: skip
ATTRIBUTES = nh3.ALLOWED_ATTRIBUTES | dict.fromkeys(MATHML, MATH_ATTRIBUTES) | {
    "*": set("class id lang dir title style width height align valign".split()),
    "video": {"src", "controls", "loop"}, "audio": {"src", "controls"}, "source": {"src", "type"}, "details": {"open"},
    "input": {"checked", "disabled"},
}  # fmt: skip
STYLES = set("color background-color font-weight font-style font-size font-family text-align text-decoration "
             "vertical-align white-space width max-width min-width height margin margin-left margin-right margin-top "
             "margin-bottom padding padding-left padding-right padding-top padding-bottom border border-left "
             "border-right border-top border-bottom border-collapse border-radius justify-items".split())  # fmt: skip
EMBEDDED = re.compile(r"data:(image|video|audio)/[\w.+-]+[;,]", flags=re.IGNORECASE)
NO_IMAGE = re.compile(r'<img((?: (?!src)[\w-]+="[^"]*")*)>')  # as nh3 writes one without an address
MOST_COMMANDS = 400  # of one formula: deeper nesting than any formula's would crash the converter
CONVERTER = LatexToMathML(fancy_error=False)


def formula(latex: str, *, display: bool) -> str:
    """LaTeX as MathML that a browser draws by itself; what cannot be converted is shown as source."""
    try:
        if latex.count("\\") + latex.count("{") > MOST_COMMANDS:
            raise ValueError("too long")
        html = CONVERTER.convert_with_local_state(latex.strip(), displaystyle=display)
    except Exception:  # whatever it is, a formula must not cost the report
        html = f'<code class="latex">{escape(latex.strip())}</code>'
    return f'<div class="formula">{html}</div>' if display else html


class Renderer(IPythonRenderer):
    """Markdown with MathML and attachments, and headings collected for the table of contents."""

    def __init__(self, folder: Path, attachments: dict, first_heading: int):
        super().__init__(escape=False, path=str(folder), attachments=attachments)
        self.headings: list[tuple[int, str, str]] = []  # level, id, HTML
        self._first = first_heading

    def heading(self, text: str, level: int, **_: Any) -> str:
        anchor = f"section-{self._first + len(self.headings)}"
        self.headings.append((level, anchor, harmless(text, tags=TAGS - {"a", "img"})))
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    block_math = staticmethod(partial(formula, display=True))
    inline_math = staticmethod(partial(formula, display=False))

    def latex_environment(self, name: str, body: str) -> str:
        return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", display=True)

    def block_mermaidjs(self, code: str) -> str:  # to draw it would need a script
        return f"<pre>{escape(code)}</pre>"

    def embed(self, address: str) -> str | None:
        """The data URI of a picture below the folder; None of anything else."""
        with suppress(OSError):
            return self._src_to_base64(address)


def markdown(source: str, *, folder: Path, attachments: dict, first_heading: int) -> tuple[str, list]:
    """Markdown as HTML, and its headings as (level, id, HTML), the ids numbered from `first_heading`.

    Images are taken from the cell's attachments and, their paths being relative, from `folder`.
    """
    renderer = Renderer(folder, attachments, first_heading)
    try:
        html = MarkdownWithMath(renderer=renderer).render(source)
        return harmless(html, embed=renderer.embed), renderer.headings
    except Exception:  # a missing attachment, a parser's surprise
        return f"<pre>{escape(source)}</pre>", []


def harmless(html: str, *, embed: Callable[[str], str | None] = lambda address: None, tags: set[str] = TAGS) -> str:
    """HTML without scripts, handlers, forms, or anything that a browser would fetch; links stay links.

    Images stay where `embed` turns their addresses into data URIs.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "src" and not EMBEDDED.match(value):
            return embed(value) if tag == "img" else None
        return None if name == "href" and value.strip().lower().startswith("data:") else value

    cleaned = nh3.clean(
        html, tags=tags, clean_content_tags=CONTENT_TOO - tags, attributes=ATTRIBUTES, attribute_filter=attribute,
        url_schemes={"http", "https", "mailto", "data"}, filter_style_properties=STYLES,
        set_tag_attribute_values={"input": {"type": "checkbox"}},
    )  # fmt: skip
    return NO_IMAGE.sub(_described, cleaned)


def _described(image: re.Match) -> str:
    """An image whose address had to go as its description."""
    alt = re.search(r' alt="([^"]+)"', image[1])
    return f"[image not embedded: {escape(unescape(alt[1])) if alt else 'no description'}]"


def picture(kind: str, data: bytes, *, alt: str, width: float | None = None) -> str:
    """An image of MIME type `kind`, embedded; an SVG too, which as an image neither runs nor fetches anything."""
    size = f' width="{width:.0f}"' if width else ""
    return f'<img src="data:{kind};base64,{base64.b64encode(data).decode()}" alt="{escape(alt)}"{size}>'


def code(source: str) -> str:
    """Python source, coloured by classes."""
    return highlight(source, PythonLexer(), HtmlFormatter(cssclass="code"))
