"""Notebook text as HTML that asks nothing of any server: Markdown, formulas as MathML, safe outputs."""

import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import bs4
from nbconvert.filters.ansi import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from .mathml import formula

FORBIDDEN = ("script", "link", "iframe", "object", "embed", "base", "meta", "form", "frame", "applet", "title")
LOADING = ("src", "srcset", "href", "xlink:href", "data", "poster", "background", "action", "formaction", "ping")
REMOTE_CSS = re.compile(r"@import[^;]*;?|url\(\s*(?!['\"]?(?:data:|#))[^)]*\)", flags=re.IGNORECASE)


class Renderer(IPythonRenderer):
    """Markdown with MathML, embedded local images, and headings collected for the table of contents."""

    def __init__(self, folder: Path, attachments: dict, first_heading: int):
        super().__init__(escape=False, embed_images=True, exclude_anchor_links=True, path=str(folder),
                         attachments=attachments)  # fmt: skip
        self.embed = self._src_to_base64
        self.headings: list[tuple[int, str, str]] = []  # level, id, HTML
        self._first = first_heading

    def heading(self, text: str, level: int, **_: Any) -> str:
        """A heading with an id of its own."""
        anchor = f"section-{self._first + len(self.headings)}"
        self.headings.append((level, anchor, text))
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def block_html(self, html: str) -> str:
        """HTML as it stands: an opening <details> is closed by a later block, so nothing may balance it here."""
        return html

    inline_html = block_html

    def block_math(self, body: str) -> str:
        """A displayed formula."""
        return formula(body, display=True)

    def inline_math(self, body: str) -> str:
        """A formula within a line."""
        return formula(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        """A bare environment such as align."""
        return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", display=True)

    def block_mermaidjs(self, code: str) -> str:
        """A diagram's source: drawing it would need a script."""
        return f"<pre>{escape(code)}</pre>"


def markdown(source: str, *, folder: Path, attachments: dict, first_heading: int) -> tuple[str, list]:
    """Markdown as HTML, and its headings as (level, id, HTML).

    Args:
        folder: where relative image paths start.
        attachments: the cell's attachments.
        first_heading: number of the first heading's id.
    """
    renderer = Renderer(folder, attachments, first_heading)
    try:
        html = MarkdownWithMath(renderer=renderer).render(source)
    except Exception as error:  # a missing attachment, a parser's surprise
        return f"<pre>{escape(source)}</pre><!-- {escape(type(error).__name__)} -->", []
    return harmless(html, embed=renderer.embed), renderer.headings


def harmless(html: str, *, embed: Callable[[str], str | None] = lambda address: None) -> str:
    """HTML without scripts, handlers, or anything that a browser would fetch; links stay links.

    Args:
        embed: turns an image's address into a data URI, or None where it cannot.
    """
    soup = bs4.BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(FORBIDDEN):
        tag.decompose()
    for image in soup.find_all("img", src=True):
        if not image["src"].startswith("data:"):
            image["src"] = embed(image["src"]) or image["src"]
    for tag in soup.find_all(True):
        _disarm(tag)
    for style in soup.find_all("style"):
        style.string = REMOTE_CSS.sub("", style.string or "")
    return str(soup)


def _disarm(tag: bs4.Tag) -> None:
    """Drop a tag's handlers and addresses; an image that would be fetched becomes its description."""
    for name in list(tag.attrs):
        value = str(tag.attrs[name]).strip()
        link = tag.name == "a" and name == "href"
        allowed = re.match(r"(?i)https?:|mailto:|#|[^:]*$", value) if link else re.match(r"(?i)data:|#", value)
        if name.lower().startswith("on") or (name.lower() in LOADING and not allowed):
            del tag.attrs[name]
        elif name.lower() == "style":
            tag.attrs[name] = REMOTE_CSS.sub("", value)
    if tag.name == "img" and "src" not in tag.attrs:
        tag.replace_with(f"[image not embedded: {tag.attrs.get('alt') or 'no description'}]")


def code(source: str) -> str:
    """Python source, coloured by classes."""
    return highlight(source, PythonLexer(), HtmlFormatter(cssclass="code"))


def code_style() -> str:
    """CSS of those classes, for light and dark paper."""
    light = HtmlFormatter(style="xcode").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    return f"{_no_background(light)}\n@media screen and (prefers-color-scheme: dark) {{\n{_no_background(dark)}\n}}"


def _no_background(css: str) -> str:
    """Pygments' rules without its line numbers and the block's own background."""
    return "\n".join(line for line in css.splitlines() if line.startswith(".code .") and "linenos" not in line)


def terminal_text(text: str) -> str:
    """Printed text: colours kept, a line rewritten by carriage returns shown as it ended."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return ansi2html("\n".join(lines))
