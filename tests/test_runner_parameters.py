"""Notebooks and their parameters are read and checked before any kernel starts."""

import copy
import json
import random
from pathlib import Path

import pytest
from toy_notebooks import PARAMETERS, code, write

from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.notebook.describe import parameter_lines
from deepunsup_helpers.runner.notebook.files import PACKAGE_ROOT, course, find_notebook, read_notebook
from deepunsup_helpers.runner.notebook.parameters import (
    check_choice,
    checked_type,
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
    assert parse_parameters("sizes = [  # widths; at least 1\n    1,\n]").popitem()[1].bounds == (("at least", 1),)


@pytest.mark.parametrize(
    "source",
    [
        "x = y",
        "x = f(1)",
        "import os",
        "x, y = 1, 2",
        "x = y = 1",
        "x = 1\nx = 2",
        "x = ",
        "x = {1, 2}",
        "x = 1e999",
        "x = b'a'",
        "x = [1j]",
        "x = {(1, 2): 3}",
        "x = 1  # one of: a, b",
        "(",
        "x = '\0'",
        "x = " + "(" * 999,
    ],
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


BOUNDED = parse_parameters("""\
rate = 0.5  # learning rate; above 0
epochs = 3  # passes; at least 1
mix = 0.5  # share of noise; between 0 and 1
width = 8  # channels; falls to 0 in the end; at least 1 and at most 64
sizes = [2, 4]  # widths; at least 1
train_size = None  # images; None takes all; a whole number, at least 1
sigma = None  # of the noise; a number, above 0
channels = None  # of the images; one of: 1, 3, None
bodies = ["mlp"]  # what is compared; one of: mlp, conv
""")


def test_bounds_are_read_and_the_meaning_keeps_what_is_no_rule():
    assert BOUNDED["rate"].bounds == (("above", 0),) and BOUNDED["rate"].meaning == "learning rate"
    assert BOUNDED["mix"].bounds == (("at least", 0), ("at most", 1))
    assert BOUNDED["width"].bounds == (("at least", 1), ("at most", 64))
    assert BOUNDED["width"].meaning == "channels; falls to 0 in the end"
    assert BOUNDED["train_size"].meaning == "images; None takes all" and BOUNDED["train_size"].type is int
    assert BOUNDED["train_size"].comment == "images; None takes all; a whole number, at least 1"


@pytest.mark.parametrize(("name", "given", "told"), [
    ("rate", "0", "expected above 0, got 0.0"), ("rate", "-1e-3", "above 0"), ("rate", "inf", "expected a number"),
    ("epochs", "0", "expected at least 1, got 0"), ("epochs", "-2", "at least 1"), ("epochs", "1.5", "a whole number"),
    ("mix", "1.01", "expected at least 0 and at most 1"), ("mix", "nan", "a number"), ("width", "65", "at most 64"),
    ("sizes", "[2, 0]", "at least 1, got 0"), ("sizes", "[2, 1e999]", "expected a list"), ("train_size", "0", "at least 1"),
    ("train_size", "2.5", "expected a whole number or None, got 2.5"), ("train_size", "all", "a whole number or None"),
    ("train_size", "true", "whole number"), ("sigma", "0", "above 0"), ("sigma", "-Infinity", "a number or None"),
    ("channels", "2", "one of 1, 3, None"), ("channels", "true", "one of 1, 3"), ("bodies", "['gru']", "one of mlp, conv"),
    ("rate", "1" + "0" * 400, "expected a number"), ("epochs", "9" * 5000, "whole number"),
])  # fmt: skip
def test_a_value_outside_its_bounds_is_refused_in_one_line(name, given, told):
    with pytest.raises(CommandError, match=f"parameter '{name}': expected") as refused:
        check_choice(BOUNDED[name], from_text(BOUNDED[name], given))
    assert told in str(refused.value) and len(str(refused.value)) < 200


@pytest.mark.parametrize(("name", "given", "value"), [
    ("rate", "1e-9", 1e-9), ("epochs", "1", 1), ("mix", "0", 0.0), ("mix", "1", 1.0), ("sizes", "[1]", [1]),
    ("train_size", "none", None), ("train_size", "7", 7), ("sigma", "3", 3.0), ("channels", "none", None),
    ("channels", "3", 3), ("bodies", "['conv', 'mlp']", ["conv", "mlp"]),
])  # fmt: skip
def test_a_value_within_its_bounds_is_taken(name, given, value):
    got = from_text(BOUNDED[name], given)
    check_choice(BOUNDED[name], got)
    assert got == value and type(got) is type(value)


def test_a_bare_path_is_told_how_to_be_written(toy, tmp_path):
    with pytest.raises(CommandError, match="for your own data write -p dataset=folder:/data/x$"):
        chosen_values(toy, None, {"dataset": "/data/x"}, tmp_path)
    open_to_both = parse_parameters('data = "a"  # one of: a, folder:PATH, npz:PATH\n')["data"]
    with pytest.raises(CommandError, match="-p data=npz:my/arrays.npz$"):
        check_choice(open_to_both, "my/arrays.npz")
    with pytest.raises(CommandError, match="expected one of ring, grid"):
        check_choice(parse_parameters('plane = "ring"  # one of: ring, grid\n')["plane"], "folder:/data/x")


def test_a_prefix_may_hold_digits_and_takes_any_path():
    network = parse_parameters('features = "none"  # one of: none, resnet18:PATH\n')["features"]
    check_choice(network, "resnet18:/data/weights.pth")
    with pytest.raises(CommandError, match="expected one of none, resnet18:PATH"):
        check_choice(network, "vgg16:/data/weights.pth")


def test_a_file_is_no_folder(toy, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CommandError, match="file is no folder"):
        chosen_values(toy, None, {"dataset": "folder:file"}, tmp_path)


def test_the_courses_own_values_keep_their_rules():
    checked = 0
    for notebook in course(PACKAGE_ROOT):
        parameters = read_parameters(notebook)
        for values in [{name: one.default for name, one in parameters.items()}, *notebook.presets.values()]:
            for name, value in values.items():
                check_choice(parameters[name], checked_type(parameters[name], value))
                checked += 1
        numbers = [one for one in parameters.values() if one.type in (int, float, list) and not one.choices]
        free = {"x_seen", "threshold", "my_titles"}  # any number; of ratings on any scale; texts
        assert [one.name for one in numbers if not one.bounds and one.name not in free] == [], notebook.name
    assert checked > 80


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
    for wrong, told in (("epochs", "write -p epochs=VALUE"), ("=3", "-p epochs=10"), ("", "-p epochs=10"),
                        ("/data/x", "write -p dataset=folder:/data/x for a folder of your own images")):  # fmt: skip
        with pytest.raises(CommandError, match=f"expected name=value in one word; .*{told}"):
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


EMPTY = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
CELL = {"cell_type": "code", "metadata": {}, "source": "", "outputs": []}


@pytest.mark.parametrize(("content", "told"), [
    (b"", "is empty"), (b"{", "Expecting"), (b"[]", "the whole is a list"), (b"\xff", "utf-8"),
    (b"[" * 99999, "recursion"), (b"\xef\xbb\xbf{}", "BOM"), ({"nbformat": 3, "worksheets": []}, "its format is 3"),
    ({"cells": None}, "cells is missing"), ({"metadata": None}, "metadata is missing"), ({"cells": 3}, "is a number"),
    ({"metadata": []}, "metadata is a list"), ({"metadata": {"deepunsup": 1}}, "metadata.deepunsup is a number"),
    ({"metadata": {"deepunsup": {"presets": ["smoke"]}}}, "presets is a list"),
    ({"metadata": {"deepunsup": {"presets": {"smoke": 3}}}}, "preset 'smoke' is a number"),
    ({"metadata": {"deepunsup": {"seconds": True}}}, "no number of seconds"), ({"cells": ["x"]}, "cell 1 is a text"),
    ({"cells": [CELL, CELL | {"source": 3}]}, "the source of cell 2 is a number"),
    ({"cells": [CELL | {"cell_type": "heading"}]}, "the type of cell 1 is 'heading'"),
    ({"cells": [CELL | {"metadata": {"tags": "x"}}]}, "the tags of cell 1"), ({"metadata": {"a": "\ud800"}}, "surrogate"),
    ({"cells": [CELL | {"outputs": [1]}]}, "a part of the outputs of cell 1 is a number"),
])  # fmt: skip
def test_what_is_no_notebook_is_refused_in_one_line_that_says_why(content, told, tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(EMPTY | content).encode())
    with pytest.raises(CommandError, match="is not a notebook") as refused:
        read_notebook(path)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_is_no_notebook_and_costs_none(tmp_path):
    (tmp_path / "notebooks" / "02_folder.ipynb").mkdir(parents=True)
    write(tmp_path / "notebooks" / "04_toy.ipynb")
    assert [notebook.name for notebook in course(tmp_path)] == ["04_toy"]
    with pytest.raises(CommandError, match="is a folder, not a notebook"):
        find_notebook("notebooks/02_folder.ipynb", tmp_path)
    with pytest.raises(CommandError, match="cannot read the notebook"):
        read_notebook(tmp_path / "nothing.ipynb")


LEAVES = [
    None,
    True,
    0,
    -3,
    2**70,
    1e308,
    float("nan"),
    "",
    "x = [",
    "x = 1  # at least 2; one of: a",
    "# A\n",
    [],
    {},
    [[]],
]


def mutated(notebook: dict, random_: random.Random) -> dict:
    """A copy with one to three values anywhere in it replaced or removed."""
    notebook = copy.deepcopy(notebook)
    for _ in range(random_.randint(1, 3)):
        place = notebook
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            deep = [key for key in keys if place[key] and isinstance(place[key], dict | list)]
            key = random_.choice(deep if deep and random_.random() < 0.8 else keys)
            if key in deep and random_.random() < 0.9:
                place = place[key]
            elif random_.random() < 0.2:
                del place[key]
                break
            else:
                place[key] = copy.deepcopy(random_.choice(LEAVES))
                break
    return notebook


@pytest.mark.filterwarnings("ignore:Cell is missing an id")
def test_a_damaged_notebook_is_refused_in_a_line_or_serves(tmp_path):
    papermill = pytest.importorskip("papermill.iorw")
    path = write(tmp_path / "04_toy.ipynb", code("x"), presets=PRESETS, seconds=3)
    whole, random_, served = json.loads(path.read_text()), random.Random(1), 0
    for _ in range(600):
        path.write_text(json.dumps(mutated(whole, random_)))
        try:
            notebook = read_notebook(path)
            assert isinstance(notebook.title, str) and f"{notebook.seconds or 0:.0f}"
            parameter_lines(notebook)
            json.dumps(chosen_values(notebook, "smoke", {"epochs": "2"}, tmp_path), allow_nan=False)
        except CommandError as error:
            assert "\n" not in str(error)
            continue
        served += 1
        papermill.load_notebook_node(str(path))  # what is taken is taken by papermill too
    assert 50 < served < 550


def test_a_home_folder_is_expanded(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "pictures").mkdir()
    assert chosen_values(toy, None, {"dataset": "folder:~/pictures"}, Path("/")) == {
        "dataset": f"folder:{tmp_path / 'pictures'}"
    }
