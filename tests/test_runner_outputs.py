"""What cells recorded is collected whatever a kernel sent; pictures, headings, the failing cell."""

import base64
import math
import random

import pytest
from toy_notebooks import code, png, text

from deepunsup_helpers.record import CLAIM_MIME_TYPE, MIME_TYPE, WARNING_MIME_TYPE
from deepunsup_helpers.runner.notebook.files import PACKAGE_ROOT
from deepunsup_helpers.runner.notebook.outputs import (
    claims_summary,
    collect,
    find_failure,
    outputs_of,
    slug,
    write_figures,
)
from deepunsup_helpers.runner.report.page import number, render_cells


def shown(count: int, kind: str, *bundles) -> dict:
    """An executed cell that displayed these bundles."""
    return code("x", outputs=[], count=count) | {"outputs": [{"data": {kind: bundle}} for bundle in bundles]}


def recorded(count: int, **metrics) -> dict:
    return shown(count, MIME_TYPE, {"metrics": metrics})


def claimed(count: int, text: object, holds: object) -> dict:
    return shown(count, CLAIM_MIME_TYPE, {"text": text, "holds": holds})


def test_a_metric_recorded_twice_or_not_finite_is_a_problem_and_left_out():
    found = collect([
        recorded(3, loss=1.0, kept=2), recorded(5, loss=1.0), recorded(7, bad=math.inf, worse="x", list=[1], huge=10**400)
    ])  # fmt: skip
    assert found.metrics == {"kept": 2} and len(found.problems) == 5
    assert "'loss' is made twice, in cells [3] and [5]" in found.problems[0]
    assert max(map(len, found.problems)) < 200
    assert collect([recorded(1, a=1), recorded(2, b=1)]).problems == []


def test_claims_keep_their_order_and_cell_and_a_text_made_twice_is_a_problem():
    cells = [
        claimed(2, "a", True), claimed(3, "b", None), claimed(4, "c", False), claimed(5, "twice", True),
        claimed(6, "twice", True), claimed(7, "odd", "yes"), claimed(8, "odder", 1),
    ]  # fmt: skip
    found = collect(cells)
    assert found.claims == [
        {"text": "a", "holds": True, "cell": 2},
        {"text": "b", "holds": None, "cell": 3},
        {"text": "c", "holds": False, "cell": 4},
    ]
    assert "claim 'twice' is made twice, in cells [5] and [6]" in found.problems[0] and len(found.problems) == 3


def test_claims_are_counted_among_those_that_were_asked():
    held, broken, not_asked = ({"holds": holds} for holds in (True, False, None))
    assert claims_summary([held] * 17 + [broken, not_asked]) == "17 of 18 claims hold"
    assert claims_summary([held]) == "1 of 1 claims hold"
    assert claims_summary([not_asked]) == claims_summary([]) == ""


def test_warnings_come_once_each():
    cells = [
        shown(1, WARNING_MIME_TYPE, {"text": "dark"}, {"text": "dark"}),
        shown(2, WARNING_MIME_TYPE, {"text": "odd"}),
    ]
    assert collect(cells).warnings == ["dark", "odd"]


def test_only_pictures_are_written(tmp_path):
    picture = png(3, 2)
    outputs = [{"data": {"image/png": data}} for data in ("bm8gcGljdHVyZQ==", "?", 7, [picture[:10], picture[10:]])]
    cells = [text("# Title"), text("## Look $x$"), code("draw()", "flagship", count=1) | {"outputs": outputs}]
    assert write_figures(cells, tmp_path) == "figures/01-look-x.png"
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["01-look-x.png"]
    assert (tmp_path / "figures" / "01-look-x.png").read_bytes() == base64.b64decode(picture)


def test_slugs_are_short_plain_file_names():
    assert slug("Fehler gegen $d$: größer/kleiner?") == "fehler-gegen-d-groer-kleiner"
    assert slug("???") == "figure" and len(slug("word " * 50)) <= 60


@pytest.mark.parametrize(("value", "told"), [
    (0.123456789, "0.12346"), (12000, "12,000"), (12000.0, "12,000"), (123456.78, "123,457"), (1e308, "1e+308"),
    (1e-300, "1e-300"), (2**53 + 1, "9.0072e+15"), (-0.5, "-0.5"), (0, "0"), (10**400, "10000... (401 digits)"),
    (math.inf, "inf"), (math.nan, "nan"),
])  # fmt: skip
def test_a_metric_is_shown_readable(value, told):
    assert number(value) == told


@pytest.mark.parametrize(("frame", "line", "kept"), [
    ("deepunsup_helpers/training/devices.py", 'raise ValueError("no such device")', 0),
    ("deepunsup_helpers/training/devices.py", "return torch.device(name)", 5), ("elsewhere.py", "raise ValueError()", 5),
])  # fmt: skip
def test_an_error_that_the_package_raised_itself_is_told_without_its_traceback(frame, line, kept):
    lines = ["-----", "ValueError   Traceback", "Cell In[3], line 2", "----> 2 pick_device(device)",
             f"File {PACKAGE_ROOT / frame}:25, in pick_device(name)", f"---> 25     {line}"]  # fmt: skip
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no such device", "traceback": lines}
    failure = find_failure([code("pick_device(device)", count=3) | {"outputs": [error]}], 0)
    assert len(failure.traceback.splitlines()) == kept and failure.error == "ValueError: no such device"


KINDS = [
    "stream", "error", "display_data", "image/png", "image/jpeg", "image/svg+xml", "text/html", "text/markdown",
    "text/latex", "text/plain", MIME_TYPE, CLAIM_MIME_TYPE, WARNING_MIME_TYPE, "data", "metadata", "name", "text",
    "ename", "evalue", "traceback", "output_type", "metrics", "holds", "interrupted", "alt", "width",
]  # fmt: skip
LEAVES = [
    None,
    True,
    0,
    -1,
    10**400,
    1e308,
    math.nan,
    "",
    "x",
    "<b>$x$</b>",
    png(),
    "\ud800",
    [],
    {},
    ["a", 1],
    "data:,",
]


def wild(random_: random.Random, depth: int) -> object:
    """Any JSON whose keys are those of an output."""
    if depth == 0 or random_.random() < 0.2:
        return random_.choice(LEAVES)
    if random_.random() < 0.2:
        return [wild(random_, depth - 1) for _ in range(random_.randrange(3))]
    return {random_.choice(KINDS): wild(random_, depth - 1) for _ in range(random_.randrange(5))}


def test_outputs_of_any_shape_are_survived(tmp_path):
    random_ = random.Random(0)
    for _ in range(400):
        output = {"output_type": random_.choice(["stream", "error", "display_data", 3]), "data": wild(random_, 3)}
        output |= {random_.choice(KINDS): wild(random_, 2) for _ in range(3)}
        cell = {"cell_type": "code", "source": "x", "execution_count": random_.choice([1, None, "2", [3]]),
                "metadata": {}, "outputs": random_.choice([[output], [output, wild(random_, 2)], wild(random_, 3)])}  # fmt: skip
        outputs_of(cell), write_figures([cell], tmp_path), find_failure([cell], 0)
        blocks, _ = render_cells([cell], folder=tmp_path, failure=find_failure([cell], 0))
        assert len(blocks) == 1
        assert all(isinstance(metric, int | float) for metric in collect([cell]).metrics.values())
