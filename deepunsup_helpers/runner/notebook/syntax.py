"""Python's own parser, for threads: before Python 3.13, two of them in it at once can end in a SystemError."""

import ast
import contextlib
import re
import threading

from .files import source_of

MAGIC = re.compile(r"^\s*[%!].*$", flags=re.MULTILINE)  # IPython's own lines
_ONE_AT_A_TIME = threading.Lock()


def parse_python(source: str, mode: str = "exec") -> ast.AST:
    """`ast.parse`, one at a time: parse_python("x = 3").body[0].targets[0].id == "x"."""
    with _ONE_AT_A_TIME:
        return ast.parse(source, mode=mode)


def tree_of(cell: dict) -> ast.Module:
    """The tree of a code cell, without IPython's lines where it has some; one without statements if it is not Python."""
    source = source_of(cell)
    for text in (
        source,
        MAGIC.sub("", source),
    ):  # a line of Python's may begin with %, too: the second half of a modulo
        with contextlib.suppress(SyntaxError, ValueError):
            return parse_python(text)
    return ast.Module([], [])
