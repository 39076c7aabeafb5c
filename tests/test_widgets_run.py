"""Live curves and sliders where they live: notebooks run by papermill and nbval, a static page, JupyterLab."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbconvert
import nbformat
import pytest
from traitlets.config import Config

from deepunsup_helpers.widgets import WIDGET_VIEW

ALT = "A line whose slope is set by a slider."
CELLS = (
    """
from types import SimpleNamespace
from deepunsup_helpers.plotting import curves, show, use_style
from deepunsup_helpers.widgets import LiveCurves, explore
use_style()
""",
    """
live = LiveCurves(every_seconds=0)
for epoch in range(1, 4):
    live(epoch, SimpleNamespace(train={"loss": [1 / (i + 1) for i in range(epoch)]}, validation={}))
""",
    """
live.close()
show(curves({"loss": [3, 2, 1]}), "The loss falls.")
""",
    f"""
explore(lambda slope: curves({{"y": [slope * x for x in range(5)]}}, xlabel="x", ylabel="y"), {ALT!r}, slope=[1, 2, 4])
""",
    "2 + 3",
)


def clean_environment(folder: Path) -> dict[str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    own = {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_CONFIG_DIR": str(folder / "jupyter")}
    return {**os.environ, "PYTHONPATH": path, **own}


def module(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", *arguments]
    environment = clean_environment(folder)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def write_notebook(path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Path:
    """A notebook with live curves, a figure and a slider, run by papermill."""
    folder = tmp_path_factory.mktemp("executed")
    write_notebook(folder / "in.ipynb")
    done = module(folder, "papermill", "--no-progress-bar", "in.ipynb", "out.ipynb")
    assert done.returncode == 0, done.stderr
    return folder / "out.ipynb"


def outputs(path: Path) -> list[list]:
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells]


def test_papermill_stores_one_output_each_with_picture_and_text(executed):
    setup, live, figure, slider, last = outputs(executed)
    assert not setup
    assert [set(output.data) for output in live] == [{WIDGET_VIEW, "text/plain"}]
    assert [set(output.data) for output in figure] == [{"image/png", "text/plain"}]
    assert [set(output.data) for output in slider] == [{WIDGET_VIEW, "image/png", "text/plain"}]
    assert slider[0].data["text/plain"] == slider[0].metadata["image/png"]["alt"] == ALT
    assert last[0].data["text/plain"] == "5"
    assert not [o for cell in (live, figure, slider) for o in cell if o.output_type == "stream"]  # nothing was said


def test_nbval_passes_on_what_papermill_stored(executed):
    cleaned = nbformat.read(executed, as_version=4)  # as it would be committed: without widget views
    cleaned.metadata.pop("widgets", None)
    for output in (output for cell in cleaned.cells for output in cell.outputs):
        output.data.pop(WIDGET_VIEW, None)
    cleaned.cells[2].outputs[0].data["text/plain"] = "The loss rises."  # nbval does compare the texts
    nbformat.write(cleaned, executed.parent / "cleaned.ipynb")
    options = ("-q", "-rf", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env")
    done = module(executed.parent, "pytest", *options, "cleaned.ipynb")
    assert f"1 failed, {len(CELLS) - 1} passed" in done.stdout, done.stdout
    assert "FAILED cleaned.ipynb::Cell 2" in done.stdout


def test_static_html_shows_the_slider_as_a_picture(executed):
    priority = {"display_data_priority": ["image/png", "text/html", "text/plain"]}
    exporter = nbconvert.HTMLExporter(template_name="classic", config=Config(NbConvertBase=priority))
    html, _ = exporter.from_filename(executed)
    pictures = re.findall(r"<img[^>]*data:image/png[^>]*>", html, flags=re.DOTALL)
    assert [re.search(r'alt="([^"]*)"', picture).group(1) for picture in pictures] == ["The loss falls.", ALT]
    assert all('width="' in picture for picture in pictures)  # CSS pixels: half of the file's


# a real browser ------------------------------------------------------------------------------------------------------


@pytest.fixture
def jupyterlab(tmp_path):
    """JupyterLab over a folder with the notebook; its address, with a token."""
    write_notebook(tmp_path / "widgets.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    places = {name: str(tmp_path / "lab") for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    options += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={tmp_path}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    settings = tmp_path / "lab" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # asks no other machine, and nobody here
    with open(tmp_path / "lab.log", "w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        environment = {**clean_environment(tmp_path), **places}
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, tmp_path / "lab.log")
            yield f"http://127.0.0.1:{port}/lab/tree/widgets.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(timeout=30)


def wait_for(address: str, server: subprocess.Popen, log: Path, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture
def page():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine: on Debian, apt install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield chromium.new_page(viewport={"width": 1280, "height": 1000})
        chromium.close()


@pytest.mark.slow
def test_a_slider_moved_by_keyboard_changes_the_picture_in_jupyterlab(jupyterlab, page, tmp_path):
    page.goto(jupyterlab)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    handle, picture = page.locator(".noUi-handle"), page.locator(".widget-vbox img")
    try:
        handle.wait_for(state="attached", timeout=60_000)
        picture.wait_for(state="attached", timeout=60_000)
        handle.scroll_into_view_if_needed()
    finally:
        page.screenshot(path=tmp_path / "slider-0.png")  # to look at when this fails

    def pixels() -> str:
        """The picture's own bytes; its blob has a new address at each change."""
        return page.evaluate(
            """async () => {
                const answer = await fetch(document.querySelector('.widget-vbox img').src);
                return Array.from(new Uint8Array(await answer.arrayBuffer())).join();
            }"""
        )

    pictures = [pixels()]
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        handle.focus()
        handle.press(key)
        end = time.monotonic() + 20
        while pixels() == pictures[-1] and time.monotonic() < end:
            time.sleep(0.1)
        pictures.append(pixels())
        page.screenshot(path=tmp_path / f"slider-{len(pictures)}.png")
    assert len(set(pictures)) == 3 and pictures[1] == pictures[3]
    box = picture.bounding_box()
    assert 600 < box["width"] <= 820 and box["height"] > 200  # CSS pixels, not the file's twice as many
