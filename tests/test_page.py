"""The page that a learner meets: how much code stands on the screen, what may be folded, names bound once."""

import re
from pathlib import Path

import pytest
from page import bound, bound_twice, is_folded, lines_of, measure

from deepunsup_helpers.runner.notebook.files import read_notebook, source_of, tags_of

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
LONG = ("04", "10", "15")
LINK = re.compile(r"\]\((\d\d_\w+\.ipynb)\)")


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@every_notebook
def test_the_budget_of_the_page(path):
    page, long = measure(read_notebook(path).cells), path.stem[:2] in LONG
    assert page.cells <= (66 if long else 50) and page.words <= (2900 if long else 2200)
    assert page.shown <= (320 if long else 260) and page.longest <= 30 and page.first <= 40 and page.wide == 0
    assert page.idea >= 0.785, "four fifths, counted to a point or two"


@every_notebook
def test_no_name_is_bound_in_two_cells(path):
    found = bound_twice(read_notebook(path).cells)
    found.pop("device", None)  # the parameter's word becomes a device in the set-up cell, which may run again
    assert found == {}


@every_notebook
def test_it_says_what_it_is_for_and_how_long_a_person_takes(path):
    about = read_notebook(path).about
    assert about["tier"] in ("core", "at work", "deeper")
    low, high = about["people"]
    assert 20 <= low < high <= 150


@every_notebook
def test_what_is_folded_may_be(path):
    for cell in read_notebook(path).cells:
        tags = tags_of(cell)
        assert is_folded(cell) == ("hide-input" in tags)
        if is_folded(cell):
            source = source_of(cell)
            assert cell["cell_type"] == "code" and source.startswith("# "), (
                "a bar needs a line that says what is under it"
            )
            assert "nbgrader" not in cell["metadata"] and "parameters" not in tags
            assert not re.search(r"nn\.Module\)|\bupdate\(|\.backward\(|(?<!\.)\bfit\(", source), "an idea under a bar"


@every_notebook
def test_links_between_notebooks_lead_somewhere(path):
    for name in LINK.findall("\n".join(source_of(cell) for cell in read_notebook(path).cells)):
        assert (path.parent / name).exists(), name


def cell(source: str, **metadata) -> dict:
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": []}


def test_the_count_of_lines():
    source = '''import torch

# a comment
def loss(x):
    """A docstring."""
    return x.square().sum()


for k in range(3):
    print(k)
ax.plot([1, 2])
claim("three", k == 2)
y = loss(
    x)
'''
    lines = lines_of(source)
    assert sorted(n for n, idea in lines.items() if idea) == [4, 6, 13, 14]
    assert sorted(n for n, idea in lines.items() if not idea) == [1, 9, 10, 11, 12]
    page = measure(
        [cell(source), cell("z = 1", jupyter={"source_hidden": True}), cell("epochs = 2", tags=["parameters"])]
    )
    assert page.shown == page.first == page.longest == 9 and page.idea == pytest.approx(4 / 9)
    solved = "def f():\n    ### BEGIN SOLUTION\n    a = 1\n    return a\n    ### END SOLUTION"
    assert measure([cell(solved)]).shown == 2


def test_the_names_that_a_cell_binds():
    assert bound("a, (b, *c) = 1, (2, 3)\nd += 1\ne: int = 2\nfig, ax = f()\n[g for h in i]") == {
        "a",
        "b",
        "c",
        "d",
        "e",
    }
    assert bound("for k in x:\n    y = k\nif (n := 3):\n    z = 1\nwith open() as w:\n    pass") == {"y", "n", "z", "w"}
    assert bound("def f(p):\n    q = p\nclass C:\n    r = 1\nx[0] = 1\no.p = 2") == {"f", "C"}
    twice = bound_twice([cell("x = 1"), cell("for x in y: pass"), cell("x = 2"), cell("f = 1", nbgrader={})])
    assert twice == {"x": [0, 2]}
