"""README, CONTRIBUTING and docs/ name only what is there: files, make targets, commands, notebooks, Python names."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, named_notebooks

from deepunsup_helpers.runner.cli import cli
from deepunsup_helpers.runner.notebook.files import read_notebook
from deepunsup_helpers.runner.notebook.parameters import read_parameters

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("make", "python", "conda", "pip", "git", "bash", "torchrun", "srun", ".venv/bin/", ".venv\\Scripts\\")
HOME = (
    "deepunsup_helpers",
    "deepunsup_helpers.data",
    "deepunsup_helpers.training",
)  # where examples take their names from

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The code blocks of a document, fenced or indented, without their margin."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    indented = re.findall(r"(?:^\n)((?:^    .*\n|^\n(?=    ))+)", outside, re.M)
    return [inspect.cleandoc(block) for block in fenced + indented]


def lines_of(text: str, shell: bool) -> list[str]:
    """The code blocks that are commands, or those that are Python."""
    return [block for block in blocks(text) if block.startswith(SHELL) == shell]


@every_document
def test_links_lead_to_files(path):
    for link in re.findall(r"\]\(((?!https?:)[^)#]+)", read(path)):
        assert (path.parent / link).exists(), link


@every_document
def test_files_named_are_there(path):
    folders = r"(?:deepunsup_helpers|benchmarks|tools|tests|docs|images|notebooks|\.ci|\.github)"
    for name in re.findall(rf"[`\s]({folders}/[\w./]+\w)(?=[`\s,;.])", read(path)):
        assert any((ROOT / f"{name}{ending}").exists() for ending in ("", ".py")), name


@every_document
def test_make_targets_are_there(path):
    makefile = read(ROOT / "Makefile")
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", read(path), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), f"make {target}"


@every_document
def test_commands_have_the_options_that_are_shown(path):
    for line in re.findall(r"(?:`|^    \S*/?)deepunsup ([a-z]+[^`\n#]*)", read(path), re.M):
        name, *words = line.split()
        assert name in cli.commands, f"deepunsup {name}"
        known = {option for parameter in cli.commands[name].params for option in parameter.opts}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known | {"--help"}, line


@every_document
def test_parameters_shown_are_the_notebooks(path):
    for number, rest in re.findall(r"deepunsup (?:run|sweep) (\d\d) ([^\n#]*)", read(path)):
        (notebook,) = (notebook for notebook in NOTEBOOKS if notebook.name.startswith(number))
        known = read_parameters(read_notebook(notebook))
        for name in re.findall(r"-p (\w+)=", rest):
            assert name in known, f"notebook {number} has no parameter {name}"


@every_document
def test_notebooks_named_are_there(path):
    assert named_notebooks(read(path)) <= {notebook.name[:2] for notebook in NOTEBOOKS} | {"NN"}


def test_the_code_names_only_notebooks_that_are_there():
    there = {notebook.name[:2] for notebook in NOTEBOOKS}
    for folder in ("deepunsup_helpers", "tools", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert named_notebooks(read(path)) <= there, path


@every_document
def test_python_lines_compile_and_name_what_the_package_has(path):
    """Imports are followed; where a name of the package is called, it takes the keywords that are given."""
    for block in lines_of(read(path), shell=False):
        tree, names = ast.parse(block), {}
        for module in map(importlib.import_module, HOME):
            names |= {name: getattr(module, name) for name in module.__all__}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("deepunsup_helpers"):
                module = imported(node.module)
                names |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and callable(names.get(node.func.id)):
                takes = inspect.signature(names[node.func.id]).parameters
                assert {keyword.arg for keyword in node.keywords if keyword.arg} <= set(takes), ast.unparse(node)


def imported(name: str):
    """A module of the package; skips where it needs an extra that is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").startswith("deepunsup_helpers"):
            raise
        pytest.skip(str(error))


def test_the_readme_shows_the_two_commands_and_python_lines():
    text = read(ROOT / "README.md")
    assert "    make run " in text and "    make test " in text
    assert len(lines_of(text, shell=True)) >= 5 and len(lines_of(text, shell=False)) >= 1
    assert lines_of("See\n\n    make run\n\n    f(1)\n\nand\n\n```python\nx = 1\n```\n", shell=False) == ["x = 1"]


def test_the_readme_shows_the_measured_times():
    """One source: the notebooks' metadata; `make times` writes both."""
    from times import readme_table, with_table

    from deepunsup_helpers.runner.notebook.files import course

    readme = read(ROOT / "README.md")
    assert with_table(readme, readme_table(course())) == readme, (
        "run: python tools/times.py --table-only --readme README.md"
    )


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_the_same_autoencoder_runs_in_both_frameworks(framework, monkeypatch, capsys):
    """Each beats a quarter of what always answering with the average costs, with a fifth to spare."""
    pytest.importorskip(framework)
    from deepunsup_helpers import load, seed_everything

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    seed_everything(0)
    program = next(block for block in blocks(read(ROOT / "docs" / "frameworks.md")) if f"import {framework}" in block)
    exec(compile(program, framework, "exec"), {})
    x = load("digits").x_train.flatten(1)
    average = (x - x.mean(0)).square().sum(1).mean().item()
    assert float(capsys.readouterr().out.split()[-1]) < 1.2 * average / 4
