"""Parameters are read from the tagged cell and checked before any kernel starts."""

from pathlib import Path

import pytest
from toy_notebooks import PARAMETERS, code, write

from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.notebook.files import find_notebook, read_notebook
from deepunsup_helpers.runner.notebook.parameters import (
    chosen_values,
    from_text,
    parse_parameters,
    read_parameters,
    split_assignments,
)

TOYS = parse_parameters(PARAMETERS)
PRESETS = {"smoke": {"epochs": 1, "rate": 1}, "wrong": {"epochs": "many"}, "stale": {"epoch": 1}}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return read_notebook(write(tmp_path_factory.mktemp("toy") / "04_toy.ipynb", presets=PRESETS))


def test_name_default_meaning_and_choices_are_read():
    assert list(TOYS) == ["dataset", "epochs", "rate", "quick", "sizes", "guess"]
    assert TOYS["epochs"].default == 3 and TOYS["epochs"].meaning == "passes over the data"
    assert TOYS["dataset"].meaning == "which images"
    assert TOYS["dataset"].choices == ("strokes", "digits", "folder:PATH")
    assert TOYS["rate"].choices is None


def test_choices_have_the_type_of_the_default_and_a_hash_in_a_string_is_no_comment():
    parsed = parse_parameters('size = 8  # one of: 2, 4, 8\ncolour = "#fff"  # of the line\nlow = -1.5\nn: int = 3\n')
    assert parsed["size"].choices == (2, 4, 8) and parsed["size"].meaning == ""
    assert parsed["colour"].default == "#fff" and parsed["colour"].meaning == "of the line"
    assert parsed["low"].default == -1.5 and parsed["n"].default == 3


def test_a_default_over_several_lines_keeps_its_comment():
    assert parse_parameters("sizes = [\n    1,\n    2,\n]  # widths").popitem()[1].meaning == "widths"


@pytest.mark.parametrize(
    "source", ["x = y", "x = f(1)", "import os", "x, y = 1, 2", "x = y = 1", "x = 1\nx = 2", "x = ", "x = {1, 2}"]
)
def test_a_line_that_is_not_name_equals_literal_is_refused(source, tmp_path):
    notebook = read_notebook(write(tmp_path / "00_bad.ipynb"))
    notebook.cells[1]["source"] = source
    with pytest.raises(CommandError, match="00_bad"):
        read_parameters(notebook)


def test_two_tagged_cells_are_refused_and_none_means_no_parameters(tmp_path):
    with pytest.raises(CommandError, match="2 cells"):
        read_parameters(read_notebook(write(tmp_path / "a.ipynb", code("x = 1", "parameters"))))
    notebook = read_notebook(write(tmp_path / "b.ipynb"))
    del notebook.cells[1]
    assert read_parameters(notebook) == {}


@pytest.mark.parametrize(("name", "given", "value"), [
    ("epochs", "12", 12), ("epochs", "-1", -1), ("rate", "1", 1.0), ("rate", "1e-3", 1e-3), ("dataset", "7", "7"),
    ("dataset", "true", "true"), ("quick", "false", False), ("quick", "TRUE", True), ("sizes", "[1, 2, 3]", [1, 2, 3]),
    ("sizes", "(8, 16)", [8, 16]), ("sizes", "8,16", [8, 16]), ("guess", "0.5", 0.5), ("guess", "none", None),
    ("guess", "True", True), ("guess", "[1]", [1]), ("guess", "'a'", "a"),
])  # fmt: skip
def test_text_becomes_a_value_of_the_defaults_type(name, given, value):
    got = from_text(TOYS[name], given)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(("name", "given"), [
    ("epochs", "3.0"), ("epochs", "true"), ("epochs", "three"), ("epochs", ""), ("rate", "fast"), ("rate", "nan"),
    ("rate", "inf"), ("quick", "1"), ("quick", "yes"), ("quick", ""), ("sizes", "8"), ("sizes", "[2, 'a']"),
    ("sizes", "[true]"), ("guess", "1e999"),
])  # fmt: skip
def test_a_value_of_another_type_is_refused_by_name(name, given):
    with pytest.raises(CommandError, match=f"{name}.*expected"):
        from_text(TOYS[name], given)


def test_unknown_names_suggest_the_nearest(toy, tmp_path):
    with pytest.raises(CommandError, match="did you mean 'epochs'"):
        chosen_values(toy, None, {"epoch": "1"}, tmp_path)
    with pytest.raises(CommandError, match="did you mean 'smoke'"):
        chosen_values(toy, "smok", {}, tmp_path)
    with pytest.raises(CommandError, match="one of strokes, digits.*did you mean 'digits'"):
        chosen_values(toy, None, {"dataset": "digit"}, tmp_path)


def test_presets_are_checked_and_overridden(toy, tmp_path):
    assert chosen_values(toy, "smoke", {}, tmp_path) == {"epochs": 1, "rate": 1.0}
    assert chosen_values(toy, "smoke", {"epochs": "7"}, tmp_path) == {"epochs": 7, "rate": 1.0}
    with pytest.raises(CommandError, match="epochs"):
        chosen_values(toy, "wrong", {}, tmp_path)
    with pytest.raises(CommandError, match="preset 'stale'.*did you mean 'epochs'"):
        chosen_values(toy, "stale", {}, tmp_path)


def test_paths_are_absolute_against_the_caller(toy, tmp_path):
    (tmp_path / "my images").mkdir()
    got = chosen_values(toy, None, {"dataset": "folder:my images"}, tmp_path)
    assert got == {"dataset": f"folder:{tmp_path / 'my images'}"}
    with pytest.raises(CommandError, match="there is no folder"):
        chosen_values(toy, None, {"dataset": "folder:elsewhere"}, tmp_path)


def test_assignments_split_at_the_first_equals_sign_and_the_last_counts():
    assert split_assignments(["a=b=c", "x=1", "x=2", "empty="]) == {"a": "b=c", "x": "2", "empty": ""}
    for wrong in ("epochs", "=3", ""):
        with pytest.raises(CommandError, match="name=value"):
            split_assignments([wrong])


@pytest.mark.parametrize("text", ["04", "4", "deep_toy", "04_deep_toy", "notebooks/04_deep_toy.ipynb"])
def test_a_notebook_goes_by_number_name_or_path(text, tmp_path):
    path = write(tmp_path / "notebooks" / "04_deep_toy.ipynb")
    write(tmp_path / "notebooks" / "14_other.ipynb")
    assert find_notebook(text, tmp_path).path == path.resolve()


@pytest.mark.parametrize(("text", "told"), [
    ("deep_toi", "did you mean 'deep_toy'"), ("5", "there are: 04_deep_toy"),
    ("notebooks/04_deep_toi.ipynb", "did you mean"), ("nowhere/x.ipynb", "there are none"),
])  # fmt: skip
def test_an_unknown_notebook_suggests_the_nearest(text, told, tmp_path):
    write(tmp_path / "notebooks" / "04_deep_toy.ipynb")
    with pytest.raises(CommandError, match=told):
        find_notebook(text, tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"cells": 3, "nbformat": 4}', '{"nbformat": 3, "cells": []}', "\udcff"]
)
def test_what_is_no_notebook_is_a_fault(content, tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CommandError, match="not a notebook"):
        read_notebook(path)


def test_a_home_folder_is_expanded(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "pictures").mkdir()
    assert chosen_values(toy, None, {"dataset": "folder:~/pictures"}, Path("/")) == {
        "dataset": f"folder:{tmp_path / 'pictures'}"
    }
