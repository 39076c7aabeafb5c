"""The runner's threads parse one at a time."""

import gc
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepunsup_helpers.runner.notebook.syntax import parse_literal, parse_python


class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        for _ in range(100):  # Python code within the parser, when the collector runs there: threads change
            pass


@pytest.fixture
def restless():
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6), gc.set_threshold(5)
    yield
    sys.setswitchinterval(interval), gc.set_threshold(*thresholds)


def test_threads_do_not_meet_in_the_parser(restless):
    """With `ast.parse` in its place, Python 3.11.7 fails in one of seven of these calls."""
    source = inspect.getsource(inspect)[:4000].rpartition("\n\n\n")[0]

    def parse(number):
        Cycle()
        return len(parse_python(source).body) > 0 and parse_literal(f"[{number}, ('a', 2.5)]")[0] == number

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(parse, range(200)))
