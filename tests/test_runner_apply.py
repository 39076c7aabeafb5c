"""`apply`: a finished run's model over new files, and what is refused before a kernel starts."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from toy_notebooks import code, deepunsup, facts, text, write

from deepunsup_helpers import load_model, save_model
from deepunsup_helpers.models import MLPAutoencoder

TRAIN = """
import torch
from deepunsup_helpers import load, save_model
from deepunsup_helpers.models import MLPAutoencoder
data = load("folder:images", seed=0)
net = MLPAutoencoder(data.image_shape, 2, [8])
save_model(net, preprocessing=data.preprocessing)
"""
APPLY = """
def apply(model, data):
    \"\"\"Reconstruction error, and the first number of the code times the run's parameter.\"\"\"
    with torch.no_grad():
        x_hat, z = model(data.x)
    errors = (x_hat - data.x).square().flatten(1).sum(1)
    return [{"error": error, "code": rate * code[0]} for error, code in zip(errors, z)]
"""


def images(folder, count: int, side: int = 6, seed: int = 0):
    """Grey pictures of noise; returns them as an array (count, side, side)."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return pixels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a completed run in `run`, and new pictures in `new`."""
    folder = tmp_path_factory.mktemp("trained")
    images(folder / "notebooks" / "images", 30)
    write(folder / "notebooks" / "01_toy.ipynb", code(TRAIN), text("## New data"), code(APPLY, "apply"), code("1 / 1"))
    done = deepunsup("run", "1", "-p", "rate=2", "-o", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_each_new_file_gets_its_row(trained):
    pixels = images(trained / "new" / "deeper", 3, seed=1)
    done = deepunsup("apply", "run", "folder:new", "-o", "out", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "table: out/tables/results.csv" in done.stdout and "report: out/report.html" in done.stdout
    with open(trained / "out" / "tables" / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["deeper/0.png", "deeper/1.png", "deeper/2.png"]
    x = torch.tensor(pixels).float().div(255)[:, None]
    with torch.no_grad():
        x_hat, z = load_model(trained / "run" / "model.safetensors")(x)
    assert np.allclose([float(row["error"]) for row in rows], (x_hat - x).square().sum((1, 2, 3)), rtol=1e-5)
    assert np.allclose([float(row["code"]) for row in rows], 2 * z[:, 0], rtol=1e-4, atol=1e-6)
    assert "folder:new" in (trained / "out" / "report.html").read_text(encoding="utf-8")


def test_new_data_that_cannot_be_read_end_in_one_line(trained):
    (trained / "empty").mkdir()
    done = deepunsup("apply", "run", "folder:empty", "-o", "out_empty", cwd=trained)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "folder:" in done.stderr


@pytest.mark.parametrize(("words", "told"), [
    (["nothing", "folder:notebooks/images"], "is no run's folder"),
    (["run", "folder:nothing"], "there is no folder"),
    (["run", "notebooks/images"], "such as folder:notebooks/images"),
    (["run", "csv:table.csv"], "the model was trained on images"),
    (["run", "new.zip"], "expected folder:PATH"),
    (["failed", "folder:notebooks/images"], "is failed"),
    (["no_model", "folder:notebooks/images"], "holds no model"),
    (["two_models", "folder:notebooks/images"], "several models (a.safetensors, b.safetensors)"),
    (["bare_model", "folder:notebooks/images"], "save_model(model, preprocessing=data.preprocessing)"),
    (["damaged", "folder:notebooks/images"], "model.safetensors"),
    (["no_cell", "folder:notebooks/images"], "has no cell tagged `apply`"),
    (["no_notebook", "folder:notebooks/images"], "cannot read the notebook"),
])  # fmt: skip
def test_what_cannot_be_applied_is_said_before_a_kernel_starts(words, told, trained, monkeypatch):
    monkeypatch.setenv("DEEPUNSUP_OUTPUT", str(trained))
    folder = trained / words[0]
    (trained / "table.csv").write_text("a,b\n1,2\n")
    if words[0] not in ("nothing", "run"):
        shutil.copytree(trained / "run", folder, dirs_exist_ok=True)
    model = folder / "model.safetensors"
    if words[0] == "failed":
        (folder / "run.json").write_text(json.dumps(facts(folder) | {"status": "failed"}))
    elif words[0] == "no_model":
        model.unlink()
    elif words[0] == "two_models":
        shutil.copy(model, folder / "a.safetensors")
        model.rename(folder / "b.safetensors")
    elif words[0] == "bare_model":
        save_model(MLPAutoencoder((1, 6, 6), 2, [8]), model)
    elif words[0] == "damaged":
        model.write_bytes(b"\xff" * 40)
    elif words[0] == "no_cell":
        write(folder / "01_toy.ipynb", code("1"))
    elif words[0] == "no_notebook":
        (folder / "01_toy.ipynb").unlink()
    done = deepunsup("apply", *words, cwd=trained)
    assert done.returncode == 2 and told in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (trained / "runs").exists()
