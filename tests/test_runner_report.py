"""The report: one file that asks nothing of anybody, with everything in it that a reader needs."""

import json
import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_output
from toy_notebooks import code, png, text, write

from deepunsup_helpers.record import MIME_TYPE
from deepunsup_helpers.runner.notebook.files import read_notebook
from deepunsup_helpers.runner.notebook.outputs import find_failure, model_snippets, write_figures
from deepunsup_helpers.runner.report import html as markup
from deepunsup_helpers.runner.report.mathml import formula
from deepunsup_helpers.runner.report.page import WIDGET_VIEW, write_report
from deepunsup_helpers.runner.run.run import Request

FORMULAS = r"""
## Formulas
Inline $\mathbb{E}_{q}[\log p(x \mid z)] \le \tfrac12$ and
$$\begin{aligned} \mathrm{KL}(q\,\|\,p) &= \underbrace{\log\sigma}_{\text{width}} \\ &\ge 0 \end{aligned}$$
\begin{align} a &= b \end{align}
$$\operatorname*{arg\,min}_\theta \unknowncommand{x}$$
"""
HOSTILE = """
<script src="https://example.org/a.js"></script>
<img src="https://example.org/b.png" alt="a remote picture" onerror="x()">
<link rel="stylesheet" href="https://example.org/c.css">
<style>@import url(https://example.org/d.css); p { background: url("https://example.org/e.png") }</style>
<p style="background-image: url(https://example.org/f.png)" onclick="go()">kept</p><iframe src="https://example.org"></iframe>
<video poster="//example.org/g.png"></video>
<svg><image xlink:href="https://example.org/h.png"></image></svg><a href="https://example.org/paper">a link</a>
<a href="javascript:alert(1)">no</a><object data="https://example.org/i"></object><input formaction="https://example.org/j">

![remote](https://example.org/k.png)
"""


def display(**data):
    """A display output; keyword names with __ stand for a slash."""
    return new_output("display_data", data={name.replace("__", "/"): value for name, value in data.items()})


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a made-up failed run with all that may occur in one, drawn from crafted cells."""
    folder = tmp_path_factory.mktemp("report")
    figure = new_output("display_data", data={"image/png": png(40, 20), "text/plain": "plain"},
                        metadata={"image/png": {"alt": 'Error "against" size.', "width": 20}})  # fmt: skip
    table = display(
        text__html="<style scoped>td {color: red}</style><table border=1 class='dataframe'><tr><td>7</td></tr></table>"
    )
    bar = new_output("display_data", data={WIDGET_VIEW: {"model_id": "1"}, "text/plain": "HBox()"})
    record = new_output(
        "display_data", data={MIME_TYPE: {"metrics": {"loss": 0.123456789}}, "text/plain": "recorded: loss"}
    )
    progress = new_output("stream", name="stderr", text="10%\r55%\rdone at last\n")
    failed = new_output(
        "error", ename="ValueError", evalue="<b>not</b> this", traceback=["\x1b[31mValueError\x1b[0m: <b>not</b> this"]
    )
    path = write(
        folder / "notebooks" / "04_toy.ipynb", text(FORMULAS), code("x = 1", outputs=[progress], count=2),
        text("## Look <here> $x^2$"), code("draw()", "flagship", outputs=[figure], count=3), text(HOSTILE),
        code("frame", outputs=[table, record, display(text__html=HOSTILE)], count=4),
        code("bar", outputs=[bar], count=5),
        text("<details><summary>Answer</summary>\n\nIt is **7**.\n\n</details>"),
        text("## Break"), code("fail()", outputs=[failed], count=6), code("never()"), title="A <toy> & more",
    )  # fmt: skip
    header = {
        "class": "deepunsup_helpers.models.MLPAutoencoder",
        "config": json.dumps({"image_shape": [1, 8, 8], "latent_dim": 2}),
    }
    write_weights(folder / "model.safetensors", header)
    notebook = read_notebook(path)
    cells = nbformat.read(path, as_version=4).cells
    facts = {
        "notebook": "04_toy", "status": "failed", "seconds": 200.4, "device": "cpu", "gpu": None,
        "threads": 2, "preset": "smoke",
        "started": "2026-01-02T03:04:05+00:00", "training_interrupted": True,
        "versions": {"python": "3.11", "torch": "2.6"}, "command": "deepunsup run 04 -p 'dataset=<x>'",
        "error": "ValueError: <b>not</b> this", "problems": ["metric 'a' is recorded twice."],
    }  # fmt: skip
    figures = write_figures(cells, folder)
    failure = find_failure(cells, next(i for i, cell in enumerate(cells) if cell.source == "fail()"))
    request = Request(notebook=notebook, values={"epochs": 9}, preset="smoke")
    write_report(
        folder, request=request, facts=facts, metrics={"loss": 0.123456789, "n": 12000}, cells=cells, failure=failure
    )
    assert [figure.file for figure in figures] == ["01-look-here-x-2.png"]
    return folder / "report.html"


def write_weights(path, header):
    """The smallest safetensors file: a header without tensors."""
    data = json.dumps({"__metadata__": header}).encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data)


class Addresses(HTMLParser):
    """Every address a browser would fetch on opening the page."""

    def __init__(self):
        super().__init__()
        self.found, self.tags, self.handlers = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "srcset", "poster", "data", "xlink:href", "background") or (
                name == "href" and tag != "a"
            ):
                self.found.append(value)
            if name.startswith("on") or str(value).lower().startswith("javascript:"):
                self.handlers.append((tag, name))
            if name == "style":
                self.found += re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", value)

    def handle_data(self, data):
        if self.get_starttag_text() and self.get_starttag_text().startswith("<style"):
            self.found += ["".join(found) for found in re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", data)]


def parsed(html: str) -> Addresses:
    addresses = Addresses()
    addresses.feed(html)
    return addresses


def test_nothing_in_it_is_fetched_or_run(report):
    page = parsed(report.read_text(encoding="utf-8"))
    assert page.found and all(address.startswith("data:") for address in page.found)
    assert page.handlers == []
    assert not {"script", "iframe", "object", "embed", "form"} & set(page.tags)


def test_the_parser_of_this_test_sees_what_it_should():
    page = parsed(HOSTILE)
    assert len(page.found) >= 9 and page.handlers and "script" in page.tags


def test_the_top_says_what_was_run_and_how_it_ended(report):
    html = report.read_text(encoding="utf-8")
    top = html[: html.index("<article>")]
    for said in (
        "A &lt;toy&gt; &amp; more", "failed", "3 min 20 s", "preset smoke", "2026-01-02 03:04", "stopped by hand",
        "0.12346", "12,000", "torch 2.6", "2 threads", "&#39;dataset=&lt;x&gt;&#39;",
        "metric &#39;a&#39; is recorded twice.",
    ):  # fmt: skip
        assert said in top, said
    assert re.search(r'class="changed"><th scope="row">epochs</th><td>9 <small>default 3</small>', top)
    assert "Failed in cell [6] under &#34;Break&#34;." in top and "ValueError: &lt;b&gt;not&lt;/b&gt; this" in top


def test_formulas_are_mathml_and_what_is_not_known_is_shown_as_source(report):
    html = report.read_text(encoding="utf-8")
    assert html.count("<math ") >= 5 and "$" not in re.sub(
        r"<pre>.*?</pre>|<style>.*?</style>", "", html, flags=re.DOTALL
    )
    assert '<code class="latex">' in html and r"\unknowncommand{x}" in html
    assert "&amp;=" not in html and ">&amp;<" not in html, "alignment marks became columns"


@pytest.mark.parametrize(("latex", "expected"), [
    (r"\log p", "log_p"), (r"2\ln 2", "2_ln_2"), (r"-\log(x)", "−log(x)"), (r"f(x) \log q", "f(x)_log_q"),
    ("a b", "ab"), (r"\log_2 x", "log2_x"), (r"\operatorname{KL}(q)", "KL(q)"), (r"\log\det A", "log_det_A"),
    (r"\exp\left(x\right)", "exp(x)"), (r"\arg\min_x f", "arg_minx_f"), (r"\log\, p", "log_p"),
])  # fmt: skip
def test_names_of_functions_stand_off_as_tex_sets_them(latex, expected):
    root = ElementTree.fromstring(formula(latex, display=False))
    assert "".join("_" if part.tag == "mspace" else part.text or "" for part in root.iter()) == expected


def test_signs_are_what_tex_means_by_them():
    similar = ElementTree.fromstring(formula(r"z \sim p", display=False))
    assert [part.text for part in similar.iter("mo")] == ["∼"], "a relation, with its spaces"
    bars = list(ElementTree.fromstring(formula(r"\lVert x \rVert^2", display=False)).iter("mo"))
    assert len(bars) == 2 and all(bar.get("stretchy") == "false" for bar in bars)
    grown = list(ElementTree.fromstring(formula(r"\left( x \right)", display=False)).iter("mo"))
    assert len(grown) == 2 and all(bracket.get("stretchy") == "true" for bracket in grown)
    assert "<munder>" in formula(r"\max_D V", display=True) and "<munder>" not in formula(r"\max_D V", display=False)


def test_figures_carry_their_alt_text_and_size_and_the_metrics_their_values(report):
    html = report.read_text(encoding="utf-8")
    assert re.search(
        r'<img alt="Error &quot;against&quot; size\."|alt="Error &#34;against&#34; size\."|alt="Error &quot;against',
        html,
    )
    assert 'width="20"' in html
    assert "recorded: loss" not in html and "HBox()" not in html
    assert "done at last" in html and "55%" not in html


def test_code_is_folded_and_the_failing_cell_is_open(report):
    html = report.read_text(encoding="utf-8")
    assert re.search(r'id="failed-cell">\s*<details open><summary>\[6\] code, 1 line, failed here', html)
    assert html.count("<details open>") == 1 and "not run" in html
    assert re.search(r"<details><summary>Answer</summary>\s*<p>It is <strong>7</strong>", html)


def test_contents_lead_to_the_headings(report):
    html = report.read_text(encoding="utf-8")
    targets = re.findall(r'<a href="#(section-\d+)">', html)
    assert len(targets) == 3 and all(f'id="{target}"' in html for target in targets)


def test_markdown_keeps_local_pictures_and_links_but_not_remote_ones(tmp_path):
    (tmp_path / "local.svg").write_text("<svg/>")
    html, _ = markup.markdown("![mine](local.svg) " + HOSTILE, folder=tmp_path, attachments={}, first_heading=0)
    assert 'src="data:image/svg+xml;base64,' in html and 'href="https://example.org/paper"' in html
    assert "[image not embedded: a remote picture]" in html and "[image not embedded: remote]" in html
    assert "kept" in html and not parsed(html).handlers
    html, _ = markup.markdown("a <b>bold *word*</b> here", folder=tmp_path, attachments={}, first_heading=0)
    assert html.strip() == "<p>a <b>bold <em>word</em></b> here</p>"


def test_the_loading_snippet_builds_the_very_model(tmp_path):
    torch = pytest.importorskip("torch")
    from deepunsup_helpers.models import MLPAutoencoder
    from deepunsup_helpers.training import save_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPUNSUP_OUTPUT", str(tmp_path))
        model = MLPAutoencoder(image_shape=(1, 8, 8), latent_dim=2, hidden=(16,))
        save_model(model)
    (snippet,) = model_snippets(tmp_path).values()
    assert len(snippet.splitlines()) == 3
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec(snippet, names)
    for name, weight in model.state_dict().items():
        assert torch.equal(names["model"].state_dict()[name], weight)


def test_a_broken_or_foreign_weights_file_costs_nothing(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"short")
    write_weights(tmp_path / "b.safetensors", {})
    write_weights(tmp_path / "c.safetensors", {"class": "__main__.Mine", "config": "null"})
    write_weights(tmp_path / "d.safetensors", {"class": "torch.nn.modules.container.Sequential", "config": "null"})
    snippets = model_snippets(tmp_path)
    assert "Sequential()" not in snippets["d.safetensors"] and "built as in the notebook" in snippets["d.safetensors"]
    assert "not a readable" in snippets["a.safetensors"] and "load_file" in snippets["b.safetensors"]
    assert (
        "Mine is defined in the notebook" in snippets["c.safetensors"] and "model = Mine()" in snippets["c.safetensors"]
    )


def test_chromium_asks_for_nothing_and_draws_the_formulas(report):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here: the report was parsed, not looked at")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_context(offline=True).new_page()
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(report.as_uri())
        page.wait_for_load_state("networkidle")
        boxes = page.eval_on_selector_all(
            "math", "all => all.map(m => [m.getBoundingClientRect().width, m.getBoundingClientRect().height])"
        )
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        pictures = page.eval_on_selector_all("img", "all => all.map(i => i.naturalWidth)")
        rows = page.eval_on_selector_all(".formula mtr", "all => all.map(r => r.getBoundingClientRect().top)")
        chromium.close()
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == [] and asked.count(report.as_uri()) == 1
    assert said == []
    assert len(boxes) >= 5 and all(width > 5 and height > 5 for width, height in boxes)
    assert len(set(rows)) >= 2, "aligned lines stand one below another"
    assert pictures == [40, 40] and wide <= 0, "the main figure on top and in its place"
