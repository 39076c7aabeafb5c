"""The table and the page of a sweep: rows written by hand, numbers worked out by hand."""

import base64
import csv
import io
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_runs import write_trial
from PIL import Image
from toy_notebooks import png, write

from deepunsup_helpers.runner.notebook.files import notebooks_folder, read_notebook
from deepunsup_helpers.runner.sweep.plots import positions
from deepunsup_helpers.runner.sweep.summary import write_summary
from deepunsup_helpers.runner.sweep.table import (
    Row,
    claim_counts,
    configurations,
    csv_cell,
    mean_of,
    metric_names,
    read_row,
    read_rows,
    varied,
    write_tables,
)
from deepunsup_helpers.runner.sweep.trial import trial_key

WIDTHS, SEEDS = (2, 8), (0, 1, 2)


def row(
    width: int, seed: int, status: str = "completed", claims: dict | None = None, preset=None, **metrics: float
) -> Row:
    parameters = {"dataset": "a,b", "width": width, "seed": seed, "sizes": [1, 2]}
    error = "" if status == "completed" else "ValueError: <b>"
    return Row(key=f"k{width}-{seed}", status=status, seconds=10.0, parameters=parameters, metrics=metrics, error=error,
               flagship="figures/01.png", preset=preset, claims=claims or {})  # fmt: skip


@pytest.fixture
def rows() -> list[Row]:
    return [row(width, seed, loss=width + seed**2, share=1 / width) for width in WIDTHS for seed in SEEDS]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return read_notebook(write(tmp_path_factory.mktemp("toy") / "04_toy.ipynb", title="A toy & more"))


@pytest.fixture
def page(tmp_path, rows, notebook):
    """summary.html of six completed runs and a failed one, with a picture beside each."""
    rows = [*rows, row(32, 0, status="failed")]
    for one in rows:
        place = tmp_path / "trials" / one.key / "figures"
        place.mkdir(parents=True)
        (place / "01.png").write_bytes(base64.b64decode(png(900, 300)))
        (place.parent / "report.html").write_text("<p>report</p>")
    write_summary(tmp_path, notebook=notebook, rows=rows, others=3, minimize="share")
    return tmp_path / "summary.html"


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def words(path: Path) -> str:
    """What a page says, without its style and tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8").split("</style>")[1]))


def test_what_varies_and_what_is_averaged(rows):
    assert varied(rows) == ["width", "seed"] and metric_names(rows) == ["loss", "share"]
    found = configurations(rows)
    assert [one.values for one in found] == [{"width": 2}, {"width": 8}]
    mean, spread, count = found[0].mean_and_spread("loss")  # 2, 3, 6
    assert (mean, count) == (11 / 3, 3) and spread == pytest.approx(np.std([2, 3, 6], ddof=1))
    assert found[1].mean_and_spread("share") == (0.125, 0.0, 3)
    assert found[0].mean_and_spread("none") is None
    assert configurations(rows[:1])[0].mean_and_spread("loss") == (2.0, None, 1), "one run has no spread"
    failed = configurations([*rows, row(2, 7, status="failed", loss=1e9)])[0]
    assert len(failed.rows) == 4 and failed.mean_and_spread("loss")[2] == 3, "a failed run does not count"


def test_means_of_the_largest_numbers():
    assert mean_of([1.5e308, 1.7e308]) == pytest.approx(1.6e308)
    assert mean_of([0.1] * 10) == 0.1
    one = configurations([row(2, seed, loss=value) for seed, value in enumerate([-1.79e308, 1.79e308])])[0]
    assert one.mean_and_spread("loss") == (0.0, math.inf, 2)


def test_the_table_can_be_read_again(tmp_path, rows):
    rows = [*rows, row(8, 3, status="failed")]
    write_tables(tmp_path, rows)
    lines = read(tmp_path / "results.csv")
    assert list(lines[0]) == [
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
    assert [(int(line["width"]), int(line["seed"])) for line in lines] == [
        (one.parameters["width"], one.parameters["seed"]) for one in rows
    ]
    assert lines[0]["dataset"] == "a,b" and json.loads(lines[0]["sizes"]) == [1, 2]
    assert float(lines[3]["share"]) == 1 / 8 and lines[-1]["loss"] == "" and lines[-1]["error"] == "ValueError: <b>"
    assert not (tmp_path / "claims.csv").exists(), "a notebook without claims"


def test_every_name_keeps_its_own_column(tmp_path, rows):
    clash = [Row(**{**vars(one), "metrics": {"width": 0.5, "seconds": 1.0}, "parameters": one.parameters | {"status": 7}})
             for one in rows]  # fmt: skip
    write_tables(tmp_path, clash)
    line = read(tmp_path / "results.csv")[0]
    told = (line["metric:width"], line["metric:seconds"], line["parameter:status"], line["width"], line["status"])
    assert told == ("0.5", "1.0", "7", "2", "completed")


@pytest.mark.parametrize(
    "value, cell",
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+cmd", "'+cmd"),
        ("-x", "'-x"),
        ("@sum", "'@sum"),
        ("\t=1", "'\t=1"),
        ("-2+3", "'-2+3"),
        ("-1e-3", "-1e-3"),
        ("+.5", "+.5"),
        ("folder:/a", "folder:/a"),
        ("", ""),
        (-2, -2),
        (1e-05, 1e-05),
        (True, "true"),
        (None, "null"),
        ([1, "a"], '[1, "a"]'),
    ],
)
def test_a_formula_stays_text(value, cell):
    assert csv_cell(value) == cell


def test_formulas_are_quoted_wherever_they_stand(tmp_path):
    some = [Row(**{**vars(row(2, seed, claims={"=1+1": True})), "error": "=cmd()", "parameters": {"name": name}})
            for seed, name in enumerate(["=a", "b"])]  # fmt: skip
    write_tables(tmp_path, some)
    first, claim = read(tmp_path / "results.csv")[0], read(tmp_path / "claims.csv")[0]
    assert (first["name"], first["error"], claim["name"], claim["claim"]) == ("'=a", "'=cmd()", "'=a", "'=1+1")


A, B = "it is better", "it is faster"


def counted(*rows: Row) -> list[tuple]:
    """(width, claim, runs, asked, held, share) of each line."""
    return [(one.values.get("width"), *(counts.get(name) for name in ("claim", "runs", "asked", "held", "share")))
            for one, counts in claim_counts(list(rows))]  # fmt: skip


def test_claims_are_counted_by_configuration():
    found = counted(
        row(2, 0, claims={A: True, B: False}), row(2, 1, claims={A: True, B: None}), row(2, 2, claims={A: False, B: None}),
        row(8, 0, claims={A: True, B: None}),
    )  # fmt: skip
    assert found == [(2, A, 3, 3, 2, 0.6667), (2, B, 3, 1, 0, 0.0), (8, A, 1, 1, 1, 1.0), (8, B, 1, 0, 0, None)]


def test_a_run_that_died_does_not_hold():
    some = counted(row(2, 0, claims={A: True}), row(2, 1, "died"), row(2, 2, "failed", claims={A: True}))
    assert some == [(None, A, 3, 3, 1, 0.3333)], "whatever it claimed before"
    everything = counted(row(2, 0, claims={A: True, B: True}), row(8, 0, "died"), row(8, 1, "timeout"))
    assert everything[2:] == [(8, A, 2, 2, 0, 0.0), (8, B, 2, 2, 0, 0.0)], "a configuration of which nothing is left"
    other = counted(row(2, 0, claims={A: True}), row(8, 0, claims={B: True}), row(8, 1, "died"))
    assert other == [(2, A, 1, 1, 1, 1.0), (8, B, 2, 2, 1, 0.5)], "only what its own configuration claims"


def test_smoke_runs_count_no_claims():
    assert counted(*(row(2, seed, claims={A: True}, preset="smoke") for seed in SEEDS)) == [(None, A, 3, 0, 0, None)]
    assert counted(row(2, 0, "died", preset="smoke"), row(2, 1, claims={A: True})) == [(None, A, 2, 1, 1, 1.0)]


def test_the_worst_claims_come_first(tmp_path, notebook):
    some = [
        row(width, seed, claims={A: True, B: width == 2 or seed == 1, "never": None})
        for width in WIDTHS
        for seed in SEEDS
    ]
    write_tables(tmp_path, some)
    assert len(read(tmp_path / "claims.csv")) == 6
    write_summary(tmp_path, notebook=notebook, rows=some, others=0)
    text = words(tmp_path / "summary.html")
    assert text.index(f"{B} 8 1 of 3 3") < text.index(f"{A} 2 3 of 3 3") < text.index("never 2 not asked 3")
    many = [row(width, 0, claims={A: True, B: width > 0}) for width in range(30)]
    write_summary(tmp_path, notebook=notebook, rows=many, others=0)
    text = words(tmp_path / "summary.html")
    assert f"{B} 0 0 of 1" in text and f"{A} 0" not in text and "59 more lines" in text


def test_rows_are_those_that_would_be_computed_alike_today(tmp_path):
    parameters = {"width": 2, "seed": 0, "sizes": [1]}
    for code in ("today", "older"):
        write_trial(tmp_path / "trials" / trial_key((code, ""), parameters), parameters, {"loss": 1.5})
    (tmp_path / "trials" / "broken").mkdir()
    found, others = read_rows(tmp_path, lambda values: trial_key(("today", ""), values))
    assert [one.metrics for one in found] == [{"loss": 1.5}] and others == 1


def test_numbers_are_ordered_by_size(tmp_path):
    for number in (8, 32, 2, 100):
        write_trial(tmp_path / "trials" / str(number), {"width": number}, {})
    assert [one.parameters["width"] for one in read_rows(tmp_path, lambda values: str(values["width"]))[0]] == [
        2,
        8,
        32,
        100,
    ]


def test_a_row_holds_what_the_files_say(tmp_path):
    claims = [{"text": A, "holds": True, "cell": 3}, {"text": B, "holds": None, "cell": 4}]
    write_trial(
        tmp_path / "k", {"width": 2}, {"loss": 1}, claims=claims, status="failed", error=None, problems=["a", "b"]
    )
    found = read_row(tmp_path / "k")
    assert (found.key, found.status, found.error, found.claims) == ("k", "failed", "a; b", {A: True, B: None})
    (tmp_path / "k" / "claims.json").unlink()
    assert read_row(tmp_path / "k").claims == {}, "a run from before there were claims"


def test_the_page_says_what_was_found(page):
    html, text = page.read_text(encoding="utf-8"), words(page)
    assert "6 runs completed" in text and "1 did not" in text and "A toy &amp; more" in text
    assert "3 more runs in this folder are left out" in text
    assert "ValueError: &lt;b&gt;" in text, "nothing of a run's text is taken for markup"
    assert "8 9.6667 ± 2.1 0.125 ± 0" in text and "2 3.6667 ± 2.1 0.5 ± 0" in text and "32 0 failed" in text
    assert text.index("8 9.6667") < text.index("2 3.6667"), "the least share first"
    assert html.count('<li><a href="trials/k') == 1 + 2, "the failure, and a picture of each configuration"
    for link in re.findall(r'href="(trials/[^"]+)"', html):
        assert (page.parent / link).exists()


@pytest.mark.parametrize(
    "values", [("$a$ $", "<b>\\frac{"), (1e308, 1e-308), (float("1e300"), 2.0), (True, None), ("", "x" * 300)]
)
def test_no_value_of_a_parameter_costs_a_picture(tmp_path, notebook, values):
    some = [Row(**{**vars(row(0, seed, loss=seed)), "parameters": {"$x_{": value, "seed": seed}})
            for value in values for seed in SEEDS]  # fmt: skip
    write_summary(tmp_path, notebook=notebook, rows=some, others=0)
    html = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert html.count("data:image/png") == 1 and "Not drawn" not in html


@pytest.mark.parametrize("value", [1e308, -1.7e308, 1e200, 5e-324])
def test_no_metric_costs_a_table_or_the_picture_of_another(tmp_path, notebook, value):
    some = [row(width, seed, **{"$loss$": value, "share": 0.5 + seed}) for width in WIDTHS for seed in SEEDS]
    write_tables(tmp_path, some)
    write_summary(tmp_path, notebook=notebook, rows=some, others=0)
    html = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert len(read(tmp_path / "results.csv")) == 6 and html.count("data:image/png") == 1
    assert ("Not drawn: $loss$ has values beyond 1e+100" in html) == (abs(value) > 1)


def test_a_picture_that_fails_is_said_to_be_missing(tmp_path, notebook, rows, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no ink")

    monkeypatch.setattr("deepunsup_helpers.runner.sweep.summary.metric_plot", fail)
    write_summary(tmp_path, notebook=notebook, rows=rows, others=0)
    assert "Not drawn: against width (RuntimeError: no ink)" in words(tmp_path / "summary.html")


def test_nothing_at_all_makes_a_page(tmp_path, notebook):
    write_tables(tmp_path, [])
    write_summary(tmp_path, notebook=notebook, rows=[], others=0)
    assert "0 runs completed" in words(tmp_path / "summary.html") and read(tmp_path / "results.csv") == []


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
        xaxis = SimpleNamespace(set_major_formatter=lambda _: None, set_minor_formatter=lambda _: None)

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
