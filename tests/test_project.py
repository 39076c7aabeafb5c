"""The project files agree with one another."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "nbconvert-core": "nbconvert"}
IMPORTED_AS = {"scikit-learn": "sklearn", "scikit-image": "skimage", "pillow": "pil", "pyyaml": "yaml"}
BROUGHT = {"ipython", "jinja2", "packaging", "pygments"}  # by ipykernel, nbconvert, matplotlib
STARTED = {"dask", "ipykernel", "jupyterlab"}  # as programs, or beside another package


def requirement(text: str) -> tuple[str, frozenset[str]]:
    """("torch", {">=2.6", "<3"}) of "torch>=2.6,<3"."""
    name, rest = re.match(r"^([A-Za-z0-9_.-]+)\s*(.*)$", text.strip()).groups()
    return CONDA_NAMES.get(name, name).lower(), frozenset(part.strip() for part in rest.split(",") if part.strip())


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_environment_yml_names_the_same_requirements_as_pyproject(project):
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").split("dependencies:\n")[1].splitlines()
    conda = dict(
        requirement(line.strip()[2:]) for line in lines if re.match(r" +- [a-z]", line) and not line.endswith(":")
    )
    assert conda.pop("python") == frozenset([project["requires-python"]])
    assert conda.pop("pip") == frozenset()
    assert conda == dict(requirement(text) for text in project["dependencies"])


def test_each_dependency_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r'^    "[a-zA-Z0-9_.-]+[><=]', line)]
    assert len(lines) > 20
    assert [line for line in lines if "# " not in line] == []


def test_what_the_package_imports_is_declared_and_what_is_declared_is_used(project):
    extras = [
        text for group in ("search", "cluster", "distributed") for text in project["optional-dependencies"][group]
    ]
    names = {requirement(text)[0] for text in [*project["dependencies"], *extras]}
    declared = {IMPORTED_AS.get(name, name.replace("-", "_")).lower() for name in names}
    imported = set()
    notebooks = [nbformat.read(path, as_version=4) for path in (ROOT / "notebooks").glob("*.ipynb")]
    cells = [cell.source for notebook in notebooks for cell in notebook.cells if cell.cell_type == "code"]
    for text in [path.read_text(encoding="utf-8") for path in (ROOT / "deepunsup_helpers").rglob("*.py")] + cells:
        for node in ast.walk(ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", text))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0].lower() for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0].lower())
    imported -= {"deepunsup_helpers", *sys.stdlib_module_names}
    assert imported - declared == BROUGHT
    assert declared - imported == STARTED


def test_constraints_pin_every_dependency_and_name_no_address(project):
    lines = [
        line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+-]+", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    extras = [text for group in project["optional-dependencies"].values() for text in group]
    assert {requirement(text)[0] for text in [*project["dependencies"], *extras]} <= pinned


def test_importing_the_package_is_light():
    code = (
        "import sys, deepunsup_helpers, deepunsup_helpers.exercises\n"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.split() == ["False", "False"]


def test_threads_are_fixed_and_workers_share_the_cores():
    """conftest.py gives each of N workers cores/N threads, whatever the caller had set."""
    import torch

    assert os.environ["OMP_NUM_THREADS"] == str(torch.get_num_threads())
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    assert torch.get_num_threads() <= max(1, os.cpu_count() // workers)
