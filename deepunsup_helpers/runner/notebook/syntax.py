"""Python's own parser, for threads: before Python 3.13, two of them in it at once can end in a SystemError."""

import ast
import re
import threading
from typing import Any

from .files import source_of

MAGIC = re.compile(r"^\s*[%!].*$", flags=re.MULTILINE)  # IPython's own lines
_ONE_AT_A_TIME = threading.Lock()


def parse_python(source: str) -> ast.Module:
    """`ast.parse`, one at a time: parse_python("x = 3").body[0].targets[0].id == "x"."""
    with _ONE_AT_A_TIME:
        return ast.parse(source)


def parse_literal(text: str) -> Any:
    """`ast.literal_eval`, one at a time: parse_literal("[1, 2]") == [1, 2]."""
    with _ONE_AT_A_TIME:
        return ast.literal_eval(text)


def tree_of(cell: dict) -> ast.Module:
    """The tree of a code cell without IPython's lines; one without statements where it is not Python."""
    try:
        return parse_python(MAGIC.sub("", source_of(cell)))
    except SyntaxError:
        return ast.Module([], [])
