"""Tables and pictures: what is written is what was given, under names and in cells that harm nobody."""

import csv
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from deepunsup_helpers.results import plain_cell, safe_name, save_images, save_table


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """The folder of a run under way."""
    monkeypatch.setenv("DEEPUNSUP_OUTPUT", str(tmp_path))
    return tmp_path


def test_a_table_holds_what_was_given(run):
    rows = [
        {"file": 'a, "b"\nc.png', "score": torch.tensor(0.1)},
        {"file": "ü.png", "score": np.float32(2), "n": np.int64(3)},
    ]
    path = save_table(rows, "scores")
    assert path == run / "tables" / "scores.csv"
    with open(path, encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["file", "score", "n"], ['a, "b"\nc.png', "0.1", ""], ["ü.png", "2.0", "3.0"]]
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index([5, 6], name="row"))
    again = pd.read_csv(save_table(frame, "scores"))
    assert (
        again.columns.tolist() == ["row", "a", "b"]
        and again["row"].tolist() == [5, 6]
        and again["a"].tolist() == [1, 2]
    )
    assert len(list((run / "tables").iterdir())) == 1
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_an_empty_table_and_columns_of_one_name_are_written_too(run):
    assert save_table([], "none").read_text() == "\n"
    assert save_table(pd.DataFrame({"a": [], "b": []}), "none").read_text() == "a,b\n"
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert save_table(twice, "twice").read_text() == "a,a\n1,2\n"


@pytest.mark.parametrize(("value", "cell"), [
    ('=HYPERLINK("http://x")', "'=HYPERLINK(\"http://x\")"), ("+49 170", "'+49 170"), ("-x", "'-x"), ("@SUM(1)", "'@SUM(1)"),
    ("\t=1", "'\t=1"), ("-1.5", "-1.5"), ("+2e3", "+2e3"), ("plain = text", "plain = text"), (-1.5, -1.5), (None, None),
    (torch.tensor(3), 3), (np.float32(0.1), 0.1), (np.array(True), True), (torch.tensor(0.5, requires_grad=True), 0.5),
])  # fmt: skip
def test_no_cell_is_taken_for_a_formula(value, cell, run):
    assert plain_cell(value) == cell and type(plain_cell(value)) is type(cell)
    if isinstance(cell, str):
        path = save_table([{value: value}], "t")
        assert next(csv.reader(open(path, newline=""))) == [cell] or "\t" in value


def test_outside_a_run_tables_and_pictures_go_where_they_are_told(tmp_path, monkeypatch):
    monkeypatch.delenv("DEEPUNSUP_OUTPUT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert save_table([{"a": 1}], "t") == Path("tables/t.csv") and Path("tables/t.csv").exists()
    assert save_table([{"a": 1}], "t", path=tmp_path / "own" / "x.csv").read_text() == "a\n1\n"
    assert save_images(torch.zeros(1, 1, 2, 2), path="own")[0] == Path("own/0001.png")


def test_images_come_back_as_they_were(run):
    grey, colour = torch.rand(2, 1, 5, 7), np.random.default_rng(0).random((1, 3, 4, 4))
    for path, image in zip(save_images(grey, ["a", "b"]), grey, strict=True):
        assert np.abs(np.asarray(Image.open(path)) / 255 - image[0].numpy()).max() <= 0.5 / 255 + 1e-6
    (path,) = save_images(colour)
    assert np.abs(np.asarray(Image.open(path)) / 255 - colour[0].transpose(1, 2, 0)).max() <= 0.5 / 255 + 1e-6
    (path,) = save_images([Image.new("RGB", (3, 2), (1, 2, 3))], ["c"])
    assert Image.open(path).getpixel((0, 0)) == (1, 2, 3)


def test_names_are_safe_and_never_meet(run):
    names = ["cat/1.png", "cat/1.jpg", "CAT/1", "../../etc/passwd", "stack.tif#3", "con", "", "ü 漢.png", "a" * 300]
    paths = save_images(torch.zeros(len(names), 1, 2, 2), names)
    assert all(path.parent == run / "pictures" for path in paths) and len({path.name.lower() for path in paths}) == len(
        names
    )
    assert [path.stem for path in paths[:8]] == [
        "cat-1",
        "cat-1-2",
        "CAT-1-3",
        "etc-passwd",
        "stack-3",
        "con-",
        "unnamed",
        "ü-漢",
    ]
    assert safe_name("a:b*c?") == "a-b-c"


def test_values_that_are_no_images_are_cut_with_a_warning(run):
    with pytest.warns(UserWarning, match="from -1 to 3 were cut"):
        (path,) = save_images(torch.tensor([[[[-1.0, 0.5, 3.0]]]]))
    assert np.asarray(Image.open(path)).tolist() == [[0, 128, 255]]
    with pytest.warns(UserWarning, match="no number"):
        save_images(torch.full((1, 1, 2, 2), float("nan")))
    save_images(torch.tensor([[[[1.0000001, -0.001]]]]))
    with pytest.raises(ValueError, match="1 images, but 2 names"):
        save_images(torch.zeros(1, 1, 2, 2), ["a", "b"])
    with pytest.raises(ValueError, match=r"got \(2, 2\)"):
        save_images(torch.zeros(1, 2, 2))
