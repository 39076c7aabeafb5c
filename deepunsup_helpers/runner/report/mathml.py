r"""LaTeX formulas as MathML that a browser draws by itself.

latex2mathml does the work; what it leaves undone is mended here: spaces around function names, `\sim` as a relation,
fences that grew without \left and \right, `aligned`.
"""

import re
from collections.abc import Iterator
from html import escape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert

FENCES = set("()[]{}|‖∣∥⌈⌉⌊⌋⟨⟩")
OPENING = set("([{⌈⌊⟨")
CLOSING = set(")]}⌉⌋⟩")
SCRIPTS = ("msub", "msup", "msubsup", "munder", "mover", "munderover")
REPLACED = (
    (re.compile(r"\{aligned\}"), "{split}"),
    (re.compile(r"\\operatorname\*"), r"\\operatorname"),
    (re.compile(r"\\arg(?![a-zA-Z])"), r"\\operatorname{arg}"),
)
LIMITS = {"max", "min", "sup", "inf", "lim", "argmax", "argmin"}  # whose subscript stands below in a displayed formula
THIN = "0.167em"


def formula(latex: str, *, display: bool) -> str:
    """LaTeX as MathML; what cannot be converted is shown as source."""
    known = latex.strip()
    for pattern, text in REPLACED:
        known = pattern.sub(text, known)
    try:
        mathml = convert(known, xmlns="", display="block" if display else "inline")
        root = ElementTree.fromstring(mathml)
        unknown = [text for text in root.itertext() if text.startswith("\\")]
    except Exception:  # the converter raises its own zoo; a formula must not cost the report
        unknown = [latex]
    if unknown:
        html = f'<code class="latex">{escape(latex.strip())}</code>'
    else:
        _mend(root, display=display)
        html = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return f'<div class="formula">{html}</div>' if display else html


def _mend(root: Element, *, display: bool) -> None:
    """Mend a formula in place."""
    for element in root.iter():
        if element.tag == "mi" and element.text == "~":
            element.tag, element.text = "mo", "∼"
        elif element.tag == "mo" and element.text in FENCES and not element.attrib:
            element.set("stretchy", "false")
        elif display and element.tag == "msub" and _name(element[0]) in LIMITS:
            element.tag = "munder"
    for element in root.iter():
        if element.tag in ("math", "mrow", "mtd", "mstyle"):
            element[:] = list(_spaced(list(element)))


def _spaced(children: list[Element]) -> Iterator[Element]:
    """Children of a row with a thin space wherever TeX puts one around a function's name."""
    previous = None
    for child in children:
        if _is_word(child):
            _as_name(child)
            if previous is not None and _wants_space_after(previous):
                yield Element("mspace", width=THIN)
        elif previous is not None and _is_word(previous) and _wants_space_before(child):
            yield Element("mspace", width=THIN)
        yield child
        previous = child


def _is_word(element: Element) -> bool:
    """A function's name such as log or max, with or without scripts."""
    if element.tag in SCRIPTS:
        return len(element) > 0 and _is_word(element[0])
    return len(_name(element)) > 1


def _name(element: Element) -> str:
    """The letters of an identifier or operator, or '' where it holds a sign."""
    text = re.sub(r"\s", "", element.text or "")
    return text if element.tag in ("mi", "mo") and text.isascii() and text.isalpha() else ""


def _as_name(element: Element) -> None:
    """An operator's wide spaces suit signs, not names."""
    if element.tag in SCRIPTS:
        _as_name(element[0])
    elif element.tag == "mo":
        element.tag = "mi"
        element.attrib.clear()


def _wants_space_after(element: Element) -> bool:
    """Whether a name stands off from what is before it: a letter, a number, a closing bracket."""
    if element.tag == "mo":
        return element.text in CLOSING
    return element.tag != "mspace"


def _wants_space_before(element: Element) -> bool:
    """Whether what follows a name stands off from it: a letter or number does, a bracket or sign does not."""
    if element.tag == "mrow" and len(element):
        return element[0].tag != "mo" or element[0].text not in OPENING | {"|", "‖"}
    return element.tag not in ("mo", "mspace")
