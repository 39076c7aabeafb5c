"""The names at the top: there, the same as in their parts, and not before they are asked for."""

import subprocess
import sys
from importlib import import_module

import pytest

import deepunsup_helpers

PARTS = ("data", "losses", "metrics", "models", "plotting", "training", "saving", "results", "record", "printing")


@pytest.mark.parametrize("name", deepunsup_helpers.__all__)
def test_a_name_at_the_top_is_that_of_its_part(name):
    value = getattr(deepunsup_helpers, name)
    parts = [import_module(f"deepunsup_helpers.{part}") for part in PARTS]
    assert any(getattr(part, name, None) is value for part in parts) and value.__doc__
    assert name in dir(deepunsup_helpers)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, deepunsup_helpers\n"
        "from deepunsup_helpers import record, claim, warn\n"
        "print({'torch', 'numpy', 'matplotlib', 'IPython', 'sklearn', 'ipywidgets'} & set(sys.modules))\n"
        "from deepunsup_helpers import show\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == ["set()", "False"], run.stderr


def test_the_parts_are_there_without_an_import_of_their_own():
    code = "import deepunsup_helpers as d; print(d.losses.vae_loss.__name__, d.models.ConvVAE.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["vae_loss", "ConvVAE"], run.stderr


def test_a_name_that_is_not_there_is_said_as_python_says_it():
    with pytest.raises(AttributeError, match="module 'deepunsup_helpers' has no attribute 'fti'"):
        getattr(deepunsup_helpers, "fti")  # noqa: B009
    with pytest.raises(ImportError, match="cannot import name 'fti'"):
        from deepunsup_helpers import fti  # noqa: F401


@pytest.mark.parametrize("part", ["data", "losses", "metrics", "models", "plotting", "training"])
def test_a_parts_face_names_what_it_has(part):
    module = import_module(f"deepunsup_helpers.{part}")
    assert len(module.__all__) == len(set(module.__all__)) and all(hasattr(module, name) for name in module.__all__)
