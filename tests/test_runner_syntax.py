"""The runner's threads parse one at a time."""

import gc
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepunsup_helpers.runner.notebook.syntax import parse_python, tree_of


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

    def parse(_):
        Cycle()
        return len(parse_python(source).body) > 0

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(parse, range(200)))


@pytest.mark.parametrize(
    "source, statements",
    [
        ("%matplotlib inline\nx = 3", 1),
        ("!pip list\n  %time y = 2\nx = 3", 1),
        ("text = ('%d'\n  % 3)\ny = 2", 2),  # Python's own
        ("x = (", 0),
        ("x = 'a\0b'", 0),
    ],
)
def test_lines_of_ipython_are_left_out_and_those_of_python_kept(source, statements):
    assert len(tree_of({"cell_type": "code", "source": source}).body) == statements
