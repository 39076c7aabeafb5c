"""Every notebook: what is stored is whole and clean, and it runs as a program on other data."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from deepunsup_helpers.runner.notebook.digest import code_digest
from deepunsup_helpers.runner.notebook.files import read_notebook, source_of
from deepunsup_helpers.runner.notebook.outputs import collect

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PLACES = re.compile(r"/(work|home|root|tmp|Users)/|[A-Z]:\\\\Users")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def tagged(notebook, tag: str) -> list:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def data_of(path: Path) -> str | None:
    """The name of the parameter that changes the images: `dataset`, or `images` where the main data are toys."""
    source = tagged(read(path), "parameters")[0].source
    return next((name for name in ("images", "dataset") if re.search(rf"^{name} = ", source, re.M)), None)


@every_notebook
def test_outputs_are_stored_whole_and_in_order(path):
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    assert "widgets" not in notebook.metadata and "papermill" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    assert not PLACES.search(json.dumps([cell.get("outputs", []) for cell in code])), (
        "an output names a folder of one machine"
    )
    assert path.stat().st_size < 1_500_000, "larger than a notebook should be: fewer or smaller figures"


@every_notebook
def test_anatomy(path):
    notebook = read(path)
    about = notebook.metadata.deepunsup
    assert about.title and about.seconds > 0 and "smoke" in about.presets
    assert len(tagged(notebook, "parameters")) == 1
    assert len(tagged(notebook, "flagship")) == 1
    assert any("image/png" in output.get("data", {}) for output in tagged(notebook, "flagship")[0].outputs)
    blanks = [cell for cell in notebook.cells if "### BEGIN SOLUTION" in cell.source]
    assert len(blanks) == 3
    text = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    )
    assert text.count(": passed.") >= 3, "the stored solutions pass their own checks"


@every_notebook
def test_every_figure_has_alt_text(path):
    for output in outputs(read(path)):
        if "image/png" in output.get("data", {}):
            alt = output.metadata.get("image/png", {}).get("alt", "") or output.data.get("text/plain", "")
            assert len(alt) >= 20 and not alt.startswith("<"), f"a figure says nothing to who cannot see it: {alt!r}"


@every_notebook
def test_cells_with_claims_are_not_compared(path):
    """A claim that another processor tips must not fail the comparison too: claims are counted after the last cell."""
    code = [cell for cell in read(path).cells if cell.cell_type == "code"]
    if any("def claim(" in cell.source for cell in code):
        pytest.skip("has a claim() of its own")
    claiming = [cell for cell in code if re.search(r"\bclaim\(", cell.source)]
    assert not [cell.source for cell in claiming if "nbval-ignore-output" not in cell.metadata.get("tags", [])]


@every_notebook
def test_its_batches_go_to_the_device_that_was_chosen(path):
    """On a GPU, batches that stay on the CPU meet weights that do not."""
    for cell in read(path).cells:
        if cell.cell_type == "code":
            calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
            batches = [call for call in calls if getattr(call.func, "id", "") == "Batches"]
            assert all("device" in {word.arg for word in call.keywords} for call in batches), cell.source


@every_notebook
def test_what_was_measured_of_its_claims_was_measured_with_this_code(path):
    """Expected to fail, by name, where code changed since: measure the claims again when the work on it is done."""
    measured = read(path).metadata.deepunsup.get("claims")
    if measured and measured["digest"] != code_digest(read_notebook(path)):
        pytest.xfail(f"{path.name}: its claims were measured on {measured['date']}, before its code changed")


@every_notebook
def test_it_names_no_notebook_that_is_not_there(path):
    text = "\n".join(cell.source for cell in read(path).cells)
    assert named_notebooks(text) <= {other.name[:2] for other in NOTEBOOKS}


def test_named_notebooks_are_found():
    assert named_notebooks("notebook 04, Notebooks 01 and 09, 00_start_here, [x](10_variational.ipynb)") == {
        "04", "01", "09", "00", "10",
    }  # fmt: skip
    assert named_notebooks("notebook four; 12 notebooks; in 14 of 16 runs; 2026_01") == set()


def named_notebooks(text: str) -> set[str]:
    """The numbers of the notebooks that a text names: "notebooks 04 and 10", "15_gans"."""
    lists = re.findall(r"\bnotebooks?\s+(\d\d(?:(?:,|\s+and|\s+or|,\s+and)\s+\d\d)*)\b", text, re.I)
    return set(re.findall(r"\d\d", " ".join(lists))) | set(re.findall(r"\b(\d\d)_[a-z]{2,}", text))


def deepunsup(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    code = "from deepunsup_helpers.runner.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=600
    )


def smoke(path: Path, folder: Path, *parameters: str) -> dict:
    """A smoke run; returns its metrics."""
    options = [part for parameter in parameters for part in ("-p", parameter)]
    run = deepunsup("run", str(path), "--preset", "smoke", "-o", str(folder / "run"), *options, cwd=folder)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    status = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
    assert status["status"] == "completed"
    metrics = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics and np.isfinite(list(metrics.values())).all()
    assert (folder / "run" / "report.html").stat().st_size > 10_000
    return metrics


@pytest.mark.smoke
@every_notebook
def test_smoke_run_on_other_data(path, tmp_path):
    """scikit-learn's digits in place of the default images, where a notebook shows images: 8x8, real, 17 grey levels."""
    parameter = data_of(path)
    smoke(path, tmp_path, *([f"{parameter}=digits"] if parameter else []))


@pytest.mark.smoke
def test_deep_autoencoders_on_mnist(tmp_path, mnist_folder):
    smoke(ROOT / "notebooks" / "04_deep_autoencoders.ipynb", tmp_path, "dataset=mnist")


@pytest.mark.smoke
def test_plain_papermill_runs_a_notebook_with_other_parameters(tmp_path):
    """The notebooks are papermill's too: parameters by name, metrics and claims from the outputs."""
    import papermill

    notebook = read_notebook(ROOT / "notebooks" / "04_deep_autoencoders.ipynb")
    values = notebook.presets["smoke"] | {"dataset": "digits"}
    output = tmp_path / "executed.ipynb"
    papermill.execute_notebook(notebook.path, output, parameters=values, cwd=tmp_path, progress_bar=False)
    executed = read_notebook(output)
    recorded = collect(executed.cells)
    assert recorded.metrics and recorded.problems == []
    assert recorded.claims or any("def claim(" in source_of(cell) for cell in executed.cells), (
        "claims of its own so far"
    )


def write_colour_folder(folder: Path) -> Path:
    """Two classes of 12x10 colour images: red ones and blue ones, with noise."""
    from PIL import Image

    random = np.random.default_rng(0)
    for label, channel in (("red", 0), ("blue", 2)):
        (folder / label).mkdir(parents=True)
        for k in range(150):
            pixels = random.integers(0, 100, (12, 10, 3), dtype=np.uint8)
            pixels[3:9, 2 + k % 4 : 6 + k % 4, channel] += 150
            Image.fromarray(pixels).save(folder / label / f"{k}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["strokes", "mnist", "fashion_mnist", "kmnist", "folder"])
@every_notebook
def test_every_notebook_on_every_data_set(path, dataset, tmp_path, request):
    parameter = data_of(path)
    if parameter is None:
        pytest.skip("this notebook uses no images")
    if dataset == "mnist":
        request.getfixturevalue("mnist_folder")
    if dataset in ("fashion_mnist", "kmnist"):
        folder = {"fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}[dataset]
        if not (Path(os.environ.get("DEEPUNSUP_DATA", "")) / folder / "raw").exists():
            pytest.skip(f"{dataset} is not here: set DEEPUNSUP_DATA to a folder with {folder}/raw")
    value = f"folder:{write_colour_folder(tmp_path / 'images')}" if dataset == "folder" else dataset
    smoke(path, tmp_path, f"{parameter}={value}")
