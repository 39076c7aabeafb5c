"""What a notebook's digest depends on: its code and what that can import, in a package written here."""

import json

import pytest
from toy_notebooks import code, write

from deepunsup_helpers.runner.notebook import digest
from deepunsup_helpers.runner.notebook.digest import code_digest, looked_up, reached_modules
from deepunsup_helpers.runner.notebook.files import Notebook, course, read_notebook

FILES = {
    "__init__.py": "from .record import record\n_HOMES = {'load': 'data', 'fit': 'training.loop'}\n"
    "def __getattr__(name):\n    ...\n",
    "record.py": "",
    "data/__init__.py": "from .batches import Batches\n\ndef load():\n    from .sizes import size\n",
    "data/sizes.py": "",
    "metrics/__init__.py": '"""Scores."""\nfrom .distances import far\nfrom .pictures import ssim\n__all__ = ["far", "ssim"]\n',
    "metrics/pictures.py": "",
    "metrics/distances.py": "from .arrays import rows\n",
    "metrics/arrays.py": "",
    "data/batches.py": "",
    "training/__init__.py": "",
    "training/loop.py": "def fit():\n    from deepunsup_helpers import losses\n",
    "losses.py": "",
    "exercises/__init__.py": "",
    "exercises/gans.py": "",
    "runner/__init__.py": "from . import cli\n",
    "runner/cli.py": "",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a few empty modules in the place of ours."""
    for name, text in FILES.items():
        path = tmp_path / "deepunsup_helpers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(digest, "PACKAGE_ROOT", tmp_path)
    return tmp_path / "deepunsup_helpers"


def reached(folder, *sources) -> set[str]:
    """The modules that these cells reach, without the package's name before them."""
    notebook = read_notebook(write(folder / "notebooks" / "04_toy.ipynb", *map(code, sources)))
    return {name.removeprefix("deepunsup_helpers").lstrip(".") for name in reached_modules(notebook)}


@pytest.mark.parametrize(
    "source, modules",
    [
        ("import math", set()),
        ("from deepunsup_helpers import record", {"record"}),
        ("from deepunsup_helpers.data import load", {"data", "data.batches", "data.sizes"}),
        ("from deepunsup_helpers import load", {"data", "data.batches", "data.sizes"}),
        ("if True:\n    from deepunsup_helpers import fit", {"training", "training.loop", "losses"}),
        ("import deepunsup_helpers as du", {"record", "data", "data.batches", "training.loop", "losses"}),
        ("from deepunsup_helpers.exercises import gans", {"exercises", "exercises.gans"}),
        ("from deepunsup_helpers.metrics import ssim", {"metrics.pictures"}),
        ("from deepunsup_helpers.metrics import far, ssim", {"metrics.pictures", "metrics.distances", "metrics.arrays"}),
        ("from deepunsup_helpers import metrics", {"metrics.pictures", "metrics.distances", "metrics.arrays"}),
        ("import deepunsup_helpers.metrics as m", {"metrics.pictures", "metrics.distances", "metrics.arrays"}),
        ("from deepunsup_helpers.metrics.distances import far", {"metrics.distances", "metrics.arrays"}),
        ("%matplotlib inline\n!ls\nimport deepunsup_helpers.losses", {"losses"}),
        ("from deepunsup_helpers.runner import cli", set()),
        ("import mine", {"mine", "yours"}),
    ],
)  # fmt: skip
def test_imports_are_followed(package, tmp_path, source, modules):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "mine.py").write_text("import yours, os.path\n")
    (tmp_path / "notebooks" / "yours.py").write_text("")
    if "du" in source:  # what a package looks up may be anything that it mentions
        assert modules <= reached(tmp_path, source)
    else:
        assert reached(tmp_path, source) == modules


def test_a_cell_that_cannot_be_read_reaches_all_but_the_runner(package, tmp_path):
    assert reached(tmp_path, "for") == {
        "record", "data", "data.batches", "data.sizes", "training.loop", "losses", "exercises.gans",
        "metrics.pictures", "metrics.distances", "metrics.arrays", "training", "exercises",
    }  # fmt: skip


def test_what_the_digest_depends_on(package, tmp_path):
    notebook = read_notebook(write(tmp_path / "04_toy.ipynb", code("from deepunsup_helpers.data import load")))
    before = code_digest(notebook)
    for out_of_reach in ("losses.py", "exercises/gans.py", "runner/cli.py"):
        (package / out_of_reach).write_text("x = 1\n")
    content = json.loads(json.dumps(notebook.content))
    content["cells"][0]["source"] = "# Another title"
    content["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    assert code_digest(Notebook(notebook.path, content)) == before, "prose, outputs and what is out of reach"
    (package / "data" / "batches.py").write_text("x = 1\n")
    assert code_digest(notebook) != before
    (package / "data" / "batches.py").write_text("")
    assert code_digest(notebook) == before
    content["cells"][-1]["source"] += " "
    assert code_digest(Notebook(notebook.path, content)) != before


@pytest.mark.parametrize(
    "line", ["x = 1 + f()", "def far():\n    return 2", "from .a import b as c", "for k in ():\n    x = k", ""]
)
def test_an_init_that_does_more_than_name_counts(package, tmp_path, line):
    (package / "metrics" / "__init__.py").write_text(f"from .pictures import ssim\n{line}\n")
    assert ("metrics" in reached(tmp_path, "from deepunsup_helpers.metrics import ssim")) == bool(line)


def test_another_module_of_a_part_changes_no_digest_but_that_of_who_uses_it(package, tmp_path):
    notebooks = [
        read_notebook(write(tmp_path / f"0{k}_toy.ipynb", code(f"from deepunsup_helpers.metrics import {name}")))
        for k, name in enumerate(("far", "ssim"))
    ]
    before = [code_digest(notebook) for notebook in notebooks]
    text = (package / "metrics" / "__init__.py").read_text()
    (package / "metrics" / "__init__.py").write_text(text + "from .anomalies import threshold\n")
    (package / "metrics" / "anomalies.py").write_text("x = 1\n")
    assert [code_digest(notebook) for notebook in notebooks] == before
    (package / "metrics" / "pictures.py").write_text("x = 1\n")
    assert [code_digest(notebook) == old for notebook, old in zip(notebooks, before)] == [True, False]


def test_tables_of_both_kinds_are_understood():
    asked = "def __getattr__(name): ...\n"
    assert "p.data" in looked_up("HOMES = {'load': '.data', 'fit': '.training'}\n" + asked, "p", "load")
    assert "p.training" not in looked_up("HOMES = {'load': '.data', 'fit': '.training'}\n" + asked, "p", "load")
    assert "p.data" in looked_up("NAMES = {'data': ('load', 'Batches'), 'models': ()}\n" + asked, "p", "load")
    assert looked_up("NAMES = {'data': ('load',)}\n", "p", "load") == ()


def test_no_notebook_of_the_course_reaches_anothers_exercises():
    owned = {notebook.path.stem[3:] for notebook in course()}
    for notebook in course():
        reached = {name.rpartition(".")[2] for name in reached_modules(notebook) if ".exercises." in name}
        assert reached & owned == {notebook.path.stem[3:]} and "deepunsup_helpers.training.fit" in reached_modules(
            notebook
        )
