"""The report: one file that asks nothing of anybody, with everything in it that a reader needs."""

import base64
import http.server
import json
import re
import shutil
import threading
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_output
from toy_notebooks import code, png, text, write

from deepunsup_helpers.record import CLAIM_MIME_TYPE, MIME_TYPE, WARNING_MIME_TYPE
from deepunsup_helpers.runner.notebook.files import PACKAGE_ROOT as ROOT
from deepunsup_helpers.runner.notebook.files import notebooks_folder, read_notebook
from deepunsup_helpers.runner.notebook.outputs import Recorded, collect, find_failure
from deepunsup_helpers.runner.report import html as markup
from deepunsup_helpers.runner.report.html import formula
from deepunsup_helpers.runner.report.page import WIDGET_VIEW, loading, write_report
from deepunsup_helpers.runner.run.run import Request

FORMULAS = r"""
## Formulas
Inline $\mathbb{E}_{q}[\log p(x \mid z)] \le \tfrac12$ and
$$\begin{aligned} \mathrm{KL}(q\,\|\,p) &= \underbrace{\log\sigma}_{\text{width}} \\ &\ge 0 \end{aligned}$$
\begin{align} a &= b \end{align}
$$\operatorname*{arg\,min}_\theta \unknowncommand{x}$$
$${nested}$$
""".replace("{nested}", "{" * 5000 + "}" * 5000)
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
    facts = run_facts(
        status="failed", preset="smoke", training_interrupted=True, command="deepunsup run 04 -p 'dataset=<x>'",
        error="ValueError: <b>not</b> this", problems=["metric 'a' is recorded twice."],
    )  # fmt: skip
    failure = find_failure(cells, next(i for i, cell in enumerate(cells) if cell.source == "fail()"))
    request = Request(notebook=notebook, values={"epochs": 9}, preset="smoke")
    recorded = Recorded(metrics={"loss": 0.123456789, "n": 12000}, claims=[{"text": "a", "holds": False, "cell": 3}])
    write_report(folder, request=request, facts=facts, recorded=recorded, cells=cells, failure=failure)
    return folder / "report.html"


def run_facts(**changes):
    """What run.json says of a run."""
    return {
        "notebook": "04_toy", "status": "completed", "seconds": 200.4, "device": "cpu", "gpu": None, "threads": 2,
        "preset": None, "started": "2026-01-02T03:04:05+00:00", "training_interrupted": False, "error": None,
        "versions": {"python": "3.11", "torch": "2.6"}, "command": "deepunsup run 04", "problems": [],
    } | changes  # fmt: skip


def completed_report(folder, *cells, preset=None, name="report.html"):
    """The HTML of the report of a completed run with these executed cells."""
    path = write(folder / "notebooks" / "04_toy.ipynb", *cells)
    cells = nbformat.read(path, as_version=4).cells
    request = Request(notebook=read_notebook(path), values={}, preset=preset)
    write_report(
        folder, request=request, facts=run_facts(preset=preset), recorded=collect(cells), cells=cells, failure=None
    )
    return (folder / "report.html").read_text(encoding="utf-8")


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
        "A &lt;toy&gt; &amp; more", "failed", "3 min", "preset smoke", "2026-01-02 03:04", "stopped by hand",
        "0.12346", "12,000", "torch 2.6", "2 threads", "&#39;dataset=&lt;x&gt;&#39;",
        "metric &#39;a&#39; is recorded twice.",
    ):  # fmt: skip
        assert said in top, said
    assert re.search(r'class="changed"><th scope="row">epochs</th><td>9 <small>default 3</small>', top)
    assert "Failed in cell [6] under &#34;Break&#34;." in top and "ValueError: &lt;b&gt;not&lt;/b&gt; this" in top


def test_formulas_are_mathml_and_what_is_not_known_is_shown_as_source(report):
    html = report.read_text(encoding="utf-8")
    assert html.count("<math") >= 5 and "$" not in re.sub(
        r"<pre>.*?</pre>|<style>.*?</style>", "", html, flags=re.DOTALL
    )
    assert '<code class="latex">' in html and r"\unknowncommand{x}" in html
    assert "&amp;=" not in html and ">&amp;<" not in html, "alignment marks became columns"
    assert "{" * 5000 in html, "nested so deeply that the converter would crash"


def test_a_formula_is_set_as_tex_sets_it():
    assert "<munder>" in formula(r"\max_D V", display=True) and "<munder>" not in formula(r"\max_D V", display=False)
    assert "<mo" in formula(r"z \sim p", display=False) and "∼" in formula(r"z \sim p", display=False)
    assert formula(r"\lVert x \rVert", display=False).count('stretchy="false"') == 2
    rows = formula(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", display=True)
    assert rows.count("<mtr>") == 2 and rows.count("<mtd") == 4


def test_every_formula_of_the_course_is_drawn():
    for path in sorted(notebooks_folder(ROOT).glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                html, _ = markup.markdown("".join(cell["source"]), folder=path.parent, attachments={}, first_heading=0)
                assert 'class="latex"' not in html, path.name


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
    assert re.search(r'id="cell-6">\s*<details open><summary>\[6\] code, 1 line, failed here', html)
    assert html.count("<details open>") == 1 and "not run" in html
    assert re.search(r"<details><summary>Answer</summary>\s*<p>It is <strong>7</strong>", html)


def claims_and_warnings():
    """Executed cells that make claims and warn."""
    bundles = [("Deep <b>beats</b> PCA", True), ("more $n$ is better", False), ("not asked", None)]
    outputs = [new_output("display_data", data={CLAIM_MIME_TYPE: {"text": text, "holds": holds}, "text/plain": text})
               for text, holds in bundles]  # fmt: skip
    warning = new_output("display_data", data={WARNING_MIME_TYPE: {"text": "the <images> are dark"}, "text/plain": "w"})
    return [code("claim()", outputs=outputs, count=4), code("load()", outputs=[warning], count=5)]


def head(html):
    return html[: html.index("<article>")]


def test_claims_that_do_not_hold_are_named_with_their_cell_and_warnings_stand_on_top(tmp_path):
    html = completed_report(tmp_path, *claims_and_warnings())
    assert "1 of 2 claims hold" in head(html) and "this claim does not hold" in head(html)
    assert re.search(r'<li>more \$n\$ is better <a href="#cell-4">cell \[4\]</a></li>', head(html))
    assert "beats" not in head(html) and 'id="cell-4"' in html
    assert "the &lt;images&gt; are dark" in head(html)


def test_a_smoke_run_says_that_its_numbers_support_nothing_and_counts_no_claims(tmp_path):
    top = head(completed_report(tmp_path, *claims_and_warnings(), preset="smoke"))
    assert "do not support the text" in top and "claim" not in re.sub(r"<style>.*</style>", "", top, flags=re.DOTALL)


def test_what_a_run_saved_is_listed_on_top_with_links(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "pictures").mkdir()
    lines = ["file,score", *(f"a<{i}>.png,{i}" for i in range(30))]
    (tmp_path / "tables" / "my scores.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "tables" / "broken.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "tables" / "empty.csv").write_text("")
    for name in ("a#1.png", "b.tif", *(f"c{i:02d}.png" for i in range(20))):
        (tmp_path / "pictures" / name).write_bytes(base64.b64decode(png()))
    (tmp_path / "pictures" / "a folder.png").mkdir()
    top = head(completed_report(tmp_path))
    assert (
        'href="tables/my%20scores.csv"' in top and "The first 8 of 30 rows" in top and "<td>a&lt;7&gt;.png</td>" in top
    )
    assert "a&lt;8&gt;" not in top and 'href="tables/broken.csv"' in top and 'href="tables/empty.csv"' in top
    assert 'href="pictures/a%231.png"' in top and top.count("data:image/png") == 11 and "10 more" in top


def test_an_output_that_cannot_be_drawn_is_shown_as_text_and_costs_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(markup, "harmless", fail)
    html = completed_report(
        tmp_path, text("kept *text*"), code("x", outputs=[display(text__html="<p>kept</p>")], count=1)
    )
    assert "&lt;p&gt;kept&lt;/p&gt;" in html and "<pre>kept *text*</pre>" in html


def test_of_a_very_long_line_the_beginning_is_shown(tmp_path):
    html = completed_report(
        tmp_path, code("x", outputs=[new_output("stream", name="stdout", text="a" * 10**6)], count=1)
    )
    assert "900,000 more characters" in html and len(html) < 200_000


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


def test_the_loading_lines_build_the_very_model(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from deepunsup_helpers import save_model
    from deepunsup_helpers.models import MLPAutoencoder

    model = MLPAutoencoder(image_shape=(1, 8, 8), latent_dim=2, hidden=(16,))
    lines, names = loading(save_model(model, tmp_path / "it's.safetensors")), {}
    monkeypatch.chdir(tmp_path)
    exec(lines, names)
    for name, weight in model.state_dict().items():
        assert torch.equal(names["model"].state_dict()[name], weight)
    own = torch.nn.Linear(2, 2)
    lines, names = loading(save_model(own, tmp_path / "own.safetensors")), {"model": torch.nn.Linear(2, 2)}
    exec(lines, names)
    assert "an untrained Linear" in lines and torch.equal(names["model"].weight, own.weight)


def test_a_broken_or_foreign_weights_file_costs_nothing(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"short")
    (tmp_path / "b.safetensors").mkdir()
    write_weights(tmp_path / "c.safetensors", {})
    assert [loading(path)[0] for path in sorted(tmp_path.iterdir())] == ["#", "#", "f"]
    assert "untrained model" in loading(tmp_path / "c.safetensors")


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests of this file."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here: the report was parsed, not looked at")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_chromium_asks_for_nothing_and_draws_the_formulas(report, chromium):
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
    page.context.close()
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == [] and asked.count(report.as_uri()) == 1
    assert said == []
    assert len(boxes) >= 5 and all(width > 5 and height > 5 for width, height in boxes)
    assert len(set(rows)) >= 2, "aligned lines stand one below another"
    assert pictures == [40, 40] and wide <= 0, "the main figure on top and in its place"


SVG = "<svg xmlns='http://www.w3.org/2000/svg'>{}</svg>"
# Each way out is taken by a browser that opens the bare text; ADDRESS is a server that counts who asks.
WAYS_OUT = {
    "a heading": "# A <meta http-equiv=refresh content='0;url=ADDRESS'>",
    "a heading with an image": "## A <img src=ADDRESS>",
    "a comment": "<!--><meta http-equiv=refresh content='0;url=ADDRESS'>-->",
    "a comment that ends early": "<!-- --!><meta http-equiv=refresh content='0;url=ADDRESS'><!-- -->",
    "a style in an svg": "<svg><style><!--</style><meta http-equiv=refresh content='0;url=ADDRESS'>--></style></svg>",
    "CDATA": "<![CDATA[><meta http-equiv=refresh content='0;url=ADDRESS'>]]>",
    "a processing instruction": "<?x ><meta http-equiv=refresh content='0;url=ADDRESS'>?>",
    "a form": "<form id=f action=ADDRESS><button autofocus id=go>send</button></form><input form=f type=image src=ADDRESS>",
    "a math that hides a style": "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=ADDRESS&gt;'>",
    "sources": "<img srcset='ADDRESS 2x'><video poster=ADDRESS></video><audio src=ADDRESS></audio>"
    "<picture><source srcset=ADDRESS>",
    "styles": "<p style='background:url(ADDRESS)'>a</p><style>@import url(ADDRESS);</style>"
    "<ul style='list-style:url(ADDRESS)'><li>",
    "frames": "<iframe srcdoc='<img src=ADDRESS>'></iframe><iframe src=ADDRESS></iframe><object data=ADDRESS></object>",
    "an svg": "<svg><image href=ADDRESS /><use href='ADDRESS#a' /><script>fetch('ADDRESS')</script></svg>",
    "a script": "<script>location = 'ADDRESS'</script><img src=x onerror=\"location='ADDRESS'\"><base href=ADDRESS>",
    "a link that runs": "[x](javascript:location='ADDRESS') <a id=go href=\"javascript:location='ADDRESS'\">y</a>",
    "a link asked for beforehand": "<link rel=prefetch href=ADDRESS><link rel=stylesheet href=ADDRESS><a ping=ADDRESS href='#'>",
    "a formula": "$\\text{<img src=ADDRESS>}$ $$\\href{ADDRESS}{x} \\includegraphics{ADDRESS}$$",
    "a picture of Markdown": "![x](ADDRESS) ![y][z]\n\n[z]: ADDRESS",
}


def test_nothing_lets_a_request_out(tmp_path, chromium):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cells = []
    for number, way in enumerate(WAYS_OUT.values()):
        way = way.replace("ADDRESS", f"http://127.0.0.1:{server.server_port}/{number}")
        shown = {"text/html": way, "text/markdown": way, "text/latex": way, "image/svg+xml": SVG.format(way)}
        outputs = [new_output("display_data", data={kind: data}) for kind, data in shown.items()]
        outputs.append(new_output("stream", name="stdout", text=way))
        outputs.append(new_output("error", ename=way, evalue=way, traceback=[way]))
        for kind, bundle in ((CLAIM_MIME_TYPE, {"text": way, "holds": False}), (WARNING_MIME_TYPE, {"text": way})):
            outputs.append(new_output("display_data", data={kind: bundle, "text/plain": way}))
        cells += [text(way), text(f"a {way} b"), code(f"# {way}", outputs=outputs, count=number + 1)]
    completed_report(tmp_path, *cells)
    page = chromium.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate("document.querySelectorAll('button, input, #go').forEach(one => one.click())")
    page.evaluate("document.querySelectorAll('form').forEach(one => one.submit())")
    page.wait_for_timeout(300)
    assert page.url == (tmp_path / "report.html").as_uri()
    assert (
        page.eval_on_selector_all(
            "form, meta[http-equiv=refresh], script, base, iframe, [onerror]", "all => all.length"
        )
        == 0
    )
    assert asked == []

    bare = tmp_path / "bare.html"  # the same in a page that lets everything through: the server would have known
    way = WAYS_OUT["a comment"].replace("ADDRESS", f"http://127.0.0.1:{server.server_port}/bare")
    bare.write_text(f"<!DOCTYPE html>{way}")
    page.goto(bare.as_uri())
    page.wait_for_timeout(300)
    page.close()
    server.shutdown()
    assert asked == ["/bare"]
