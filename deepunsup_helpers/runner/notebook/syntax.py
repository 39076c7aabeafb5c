"""Python's own parser, for threads: before Python 3.13, two of them in it at once can end in a SystemError."""

import ast
import threading
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


def parse_python(source: str) -> ast.Module:
    """`ast.parse`, one at a time: parse_python("x = 3").body[0].targets[0].id == "x"."""
    with _ONE_AT_A_TIME:
        return ast.parse(source)


def parse_literal(text: str) -> Any:
    """`ast.literal_eval`, one at a time: parse_literal("[1, 2]") == [1, 2]."""
    with _ONE_AT_A_TIME:
        return ast.literal_eval(text)
