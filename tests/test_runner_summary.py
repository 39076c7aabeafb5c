"""The table and the page of a sweep: rows written by hand, figures worked out by hand."""

import base64
import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_notebooks import png, write

from deepunsup_helpers.runner.notebook.files import notebooks_folder, read_notebook
from deepunsup_helpers.runner.sweep.summary import positions, write_summary
from deepunsup_helpers.runner.sweep.table import Row, groups, metric_names, read_rows, varied, write_results
from deepunsup_helpers.runner.sweep.trial import trial_key

WIDTHS, SEEDS = (2, 8), (0, 1, 2)


def row(width: int, seed: int, status: str = "completed", **metrics: float) -> Row:
    parameters = {"dataset": "a,b", "width": width, "seed": seed, "sizes": [1, 2]}
    error = "" if status == "completed" else "ValueError: <b>"
    return Row(key=f"k{width}-{seed}", status=status, seconds=10.0, parameters=parameters, metrics=metrics, error=error,
               flagship="figures/01.png", figures=("01.png",))  # fmt: skip


@pytest.fixture
def rows() -> list[Row]:
    return [row(width, seed, loss=width + seed**2, share=1 / width) for width in WIDTHS for seed in SEEDS]


@pytest.fixture
def page(tmp_path, rows):
    """summary.html of six completed runs and a failed one, with a picture beside each."""
    rows = [*rows, row(32, 0, status="failed")]
    for one in rows:
        place = tmp_path / "trials" / one.key / "figures"
        place.mkdir(parents=True)
        (place / "01.png").write_bytes(base64.b64decode(png(900, 300)))
        (place.parent / "report.html").write_text("<p>report</p>")
    notebook = read_notebook(write(tmp_path / "notebooks" / "04_toy.ipynb", title="A toy & more"))
    write_summary(tmp_path, notebook=notebook, rows=rows, others=3, minimize="share")
    return tmp_path / "summary.html"


def test_what_varies_and_what_is_averaged(rows):
    assert varied(rows) == ["width", "seed"] and metric_names(rows) == ["loss", "share"]
    found = groups(rows)
    assert [group.values for group in found] == [{"width": 2}, {"width": 8}]
    mean, spread, count = found[0].mean_and_spread("loss")  # 2, 3, 6
    assert (mean, count) == (11 / 3, 3) and spread == pytest.approx(np.std([2, 3, 6], ddof=1))
    assert found[1].mean_and_spread("share") == (0.125, 0.0, 3)
    assert found[0].mean_and_spread("none") is None
    assert groups(rows[:1])[0].mean_and_spread("loss") == (2.0, None, 1), "one run has no spread"
    assert len(groups([*rows, row(2, 7, status="failed", loss=1e9)])[0].rows) == 3, "a failed run does not count"


def test_the_table_can_be_read_again(tmp_path, rows):
    rows = [*rows, row(8, 3, status="failed")]
    write_results(tmp_path / "results.csv", rows)
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == [
        "width",
        "seed",
        "status",
        "seconds",
        "loss",
        "share",
        "dataset",
        "sizes",
        "error",
        "folder",
    ]
    assert [(int(r["width"]), int(r["seed"])) for r in read] == [
        (r.parameters["width"], r.parameters["seed"]) for r in rows
    ]
    assert read[0]["dataset"] == "a,b" and json.loads(read[0]["sizes"]) == [1, 2]
    assert float(read[3]["share"]) == 1 / 8 and read[-1]["loss"] == "" and read[-1]["error"] == "ValueError: <b>"


def test_a_metric_named_as_a_parameter_keeps_its_own_column(tmp_path, rows):
    clash = [Row(**{**vars(one), "metrics": {"width": 0.5, "seconds": 1.0}}) for one in rows]
    write_results(tmp_path / "results.csv", clash)
    header = (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert len(header) == len(set(header)) and {"metric:width", "metric:seconds"} <= set(header)


def test_rows_are_those_that_would_be_computed_alike_today(tmp_path):
    parameters = {"width": 2, "seed": 0, "sizes": [1]}
    for key, status in (
        (trial_key("n", "p", parameters), "completed"),
        (trial_key("n", "older", parameters), "completed"),
    ):
        place = tmp_path / "trials" / key
        place.mkdir(parents=True)
        (place / "parameters.json").write_text(json.dumps(parameters))
        (place / "metrics.json").write_text('{"loss": 1.5}')
        (place / "run.json").write_text(json.dumps({"status": status, "seconds": 1.0, "flagship": None}))
    (tmp_path / "trials" / "broken").mkdir()
    found, others = read_rows(tmp_path, notebook="n", package="p")
    assert [one.metrics for one in found] == [{"loss": 1.5}] and others == 1


def test_numbers_are_ordered_by_size(tmp_path):
    for number in (8, 32, 2, 100):
        parameters = {"width": number}
        place = tmp_path / "trials" / trial_key("n", "p", parameters)
        place.mkdir(parents=True)
        for name, content in (("parameters", parameters), ("metrics", {}), ("run", {"status": "completed"})):
            (place / f"{name}.json").write_text(json.dumps(content))
    assert [one.parameters["width"] for one in read_rows(tmp_path, notebook="n", package="p")[0]] == [2, 8, 32, 100]


def test_the_page_says_what_was_found(page):
    html = page.read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split("</style>")[1]))
    assert "6 runs completed" in text and "1 did not" in text and "A toy &amp; more" in text
    assert "3 more runs in this folder are left out" in text
    assert "ValueError: &lt;b&gt;" in text, "nothing of a run's text is taken for markup"
    assert "8 9.6667 ± 2.1 0.125 ± 0" in text and "2 3.6667 ± 2.1 0.5 ± 0" in text
    assert text.index("8 9.6667") < text.index("2 3.6667"), "the least share first"
    assert html.count('<li><a href="trials/k') == 1 + 2, "the failure, and a picture of each configuration"
    for link in re.findall(r'href="(trials/[^"]+)"', html):
        assert (page.parent / link).exists()


def test_pictures_are_small_and_inside(page):
    html = page.read_text(encoding="utf-8")
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(text))) for text in re.findall(r"data:image/png;base64,([^\"]+)", html)
    ]
    assert [picture.size for picture in pictures[-2:]] == [(480, 160)] * 2
    assert len(pictures) == 1 + 2, "one figure for the only swept parameter but the seed"
    assert "http" not in html.replace("http-equiv", "")


def test_chromium_asks_for_nothing_else(page):
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("Debian's chromium is not here")
    playwright = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        browser.close()
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]


def test_where_values_stand():
    place, _ = positions([2, 8, 32])
    assert [place(value) for value in (2, 8, 32)] == [2.0, 8.0, 32.0]
    place, dress = positions(["mlp", "conv", "mlp", True])
    assert [place(value) for value in ("mlp", "conv", True)] == [0.0, 1.0, 2.0]
    scales = {}

    class Panel:
        def set_xscale(self, name):
            scales["x"] = name

        def set_xticks(self, *ticks, **more):
            scales.setdefault("ticks", ticks)

    positions([0.001, 0.1])[1](Panel())
    assert scales["x"] == "log" and math.isclose(scales["ticks"][0][0], 0.001)
    scales.clear()
    positions([0.0, 0.1])[1](Panel())
    assert "x" not in scales, "zero has no place on a logarithmic axis"


def test_every_metric_of_the_course_can_be_minimised():
    """The names are read from the `record` calls; a notebook that cannot be read so takes any name."""
    from deepunsup_helpers.runner.sweep.search import recorded_names

    for path in sorted(notebooks_folder().glob("[0-9][0-9]_*.ipynb")):
        names = recorded_names(read_notebook(path))
        assert names is None or len(names) >= 1
