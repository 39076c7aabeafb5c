"""Tables: what a file holds arrives unchanged, in two disjoint parts; what cannot be loaded is said in one line."""

import numpy as np
import pandas
import pytest
import torch
from sklearn.datasets import load_wine

from deepunsup_helpers.data import DataError, load
from deepunsup_helpers.data.splits import split, stratified_order


def line(error) -> str:
    message = str(error.value)
    assert "\n" not in message and len(message) < 700
    return message


# --- splits ---------------------------------------------------------------------------------------------------------


def test_every_beginning_and_end_holds_the_classes_in_their_proportions():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = stratified_order(labels, 1000, seed=0)
    assert sorted(order) == list(range(1000))
    for n in (10, 50, 333, 900):
        for part in (order[:n], order[-n:]):
            counts = np.bincount(labels[part], minlength=3)
            assert np.abs(counts - n * np.array([0.6, 0.3, 0.1])).max() <= 1 + 1e-9


def test_within_a_class_the_order_is_random():
    labels = np.repeat([0, 1], 500)
    first = np.array([stratified_order(labels, 1000, seed=seed)[0] for seed in range(200)])
    assert 150 < (first % 500).mean() < 350 and len(np.unique(first)) > 100
    unequal = np.array([stratified_order(labels[200:], 800, seed=seed)[0] for seed in range(200)])
    assert 20 < (unequal < 300).sum() < 130  # the larger class does not always come first


@pytest.mark.parametrize("labelled", [True, False])
def test_splits_are_disjoint_seeded_and_keep_the_test_part(labelled):
    labels = np.arange(200) % 4 if labelled else None
    train, test = split(labels, 200, None, None, name="x", seed=1)
    assert sorted([*train, *test]) == list(range(200)) and len(test) == 40
    if labelled:
        assert (np.bincount(labels[test]) == 10).all()
    fewer, same_test = split(labels, 200, 20, None, name="x", seed=1)
    assert (same_test == test).all() and (fewer == train[:20]).all()
    again, _ = split(labels, 200, None, None, name="x", seed=1)
    other, _ = split(labels, 200, None, None, name="x", seed=2)
    assert (again == train).all() and not (other == train).all()
    assert len(split(labels, 200, 195, None, name="x", seed=1)[1]) == 5
    assert [len(part) for part in split(labels, 200, None, 0, name="x", seed=1)] == [200, 0]


# --- scikit-learn's tables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, rows, columns, classes", [("wine", 178, 13, 3), ("iris", 150, 4, 3), ("breast_cancer", 569, 30, 2)]
)
def test_sklearn_tables(name, rows, columns, classes):
    data = load(name)
    assert len(data.x_train) + len(data.x_test) == rows and data.x_train.shape[1] == columns
    assert len(data.feature_names) == columns and len(data.class_names) == classes
    assert data.x_train.dtype == torch.float32 and data.y_train.dtype == torch.int64 and data.value_range is None
    share = torch.bincount(torch.cat([data.y_train, data.y_test])) / rows
    stratified = len(data.y_test) * share  # to within one example of each class
    assert (torch.bincount(data.y_test) - stratified).abs().max() <= 1
    with pytest.raises(DataError, match="not images"):
        _ = data.image_shape


def test_the_rows_of_wine_keep_their_labels():
    table, data = load_wine(), load("wine", seed=3)
    rows = {tuple(row): label for row, label in zip(table.data.astype(np.float32).tolist(), table.target.tolist())}
    x, y = torch.cat([data.x_train, data.x_test]), torch.cat([data.y_train, data.y_test])
    assert [rows[tuple(row)] for row in x.tolist()] == y.tolist() and len(rows) == len(x)


def test_a_measured_target_stays_a_measurement():
    data = load("diabetes")
    assert data.y_train.dtype == torch.float32 and data.class_names is None and float(data.y_train.max()) > 300


# --- CSV ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def csv(tmp_path, monkeypatch):
    """Writes a file and loads it by its relative path."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str | bytes, **options):
        (tmp_path / "table.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load("csv:table.csv", **options)

    return write_and_load


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_file_arrives_as_it_is(csv, separator, encoding):
    frame = pandas.DataFrame({"Größe": np.arange(20) / 4, "n": np.arange(20), "kind": list("ab") * 10})
    data = csv(frame.to_csv(sep=separator, index=False).encode(encoding), label="kind")
    assert data.feature_names == ("Größe", "n") and data.class_names == ("a", "b")
    x, y = torch.cat([data.x_train, data.x_test]), torch.cat([data.y_train, data.y_test])
    order = x[:, 1].argsort()
    assert torch.equal(x[order, 0], torch.arange(20) / 4) and torch.equal(y[order], torch.arange(20) % 2)
    assert torch.bincount(data.y_test).tolist() == [2, 2]


def test_kinds_of_labels(csv):
    body = "a,y\n" + "".join(f"{i},{{}}\n" for i in range(4))
    assert csv(body.format(10, 2, 10, 1), label="y").class_names == ("1", "2", "10")
    assert csv(body.format(*("yes", "no") * 2), label="y").class_names == ("no", "yes")
    measured = csv(body.format(0.5, 1.5, 2.5, 3.0), label="y", train_size=3)
    assert measured.class_names is None and measured.y_train.dtype == torch.float32
    assert csv(body.format(1, 2, 3, 4)).y_train is None


@pytest.mark.parametrize(
    "text, options, words",
    [
        ("a,b\n1,\n3,4\n,5\n", {}, ["'a' (1)", "'b' (1)", "missing='drop'"]),
        ("a,y\n1,\n3,u\n", {"label": "y"}, ["'y' (1)", "missing"]),
        ("colour,kind\nred,1\nblue,2\n", {"label": "kind"}, ["'colour'", "'red'", "beside kind"]),
        ("a,b\n1,?\n2,3\n", {}, ["'b'", "'?'", "ignore="]),
        ("a,b\n1,inf\n2,3\n", {}, ["infinity", "'b'", "example 0"]),
        ("a,b\n1,2\n1e300,3\n", {}, ["float32", "'a'", "example 1"]),
        ("a,kind\n1,u\n2,v\n", {"label": "Kind"}, ["no column 'Kind'", "did you mean 'kind'"]),
        ("y\n1\n2\n", {"label": "y"}, ["no column of numbers beside y"]),
        ("1,2\n3,4\n5,6\n", {}, ["begins with numbers", "column names"]),
        (",a\n7,1\n1,2\n", {}, ["column 1 has no name"]),
        ("a,b\n1,2,3\n4,5,6\n", {}, ["more values than"]),
        ("a,b\n1,2\n1,2,3\n", {}, ["line 3", "column names"]),
        ("a b\n1 2\n3 4\n", {}, ["single column 'a b'", "semicolons"]),
        ("", {}, ["cannot be read"]),
        ("a,b\n", {}, ["no rows"]),
        ("a,b\n1,2\n", {}, ["at least 2"]),
        ("é,b\n1,2\n".encode("latin-1"), {}, ["UTF-8"]),
        ("a,b\n1,2\n3,4\n", {"train_size": 2}, ["train_size=2", "2 examples"]),
        ("a,b\n1,2\n3,4\n", {"image_size": 2}, ["holds no images"]),
    ],
)
def test_a_bad_csv_file_is_told_in_one_line(csv, text, options, words):
    with pytest.raises(DataError) as error:
        csv(text, **options)
    message = line(error)
    assert all(word in message for word in [*words, "table.csv"]), message


# --- NPZ ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def npz(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_and_load(arrays: dict, **options):
        np.savez(tmp_path / "arrays.npz", **arrays)
        return load("npz:arrays.npz", **options)

    return write_and_load


def test_npz_tables_and_images(npz):
    rng = np.random.default_rng(0)
    table = npz({"X": rng.random((10, 3)), "y": np.array(list("ababababab"))})
    assert table.x_train.shape == (8, 3) and table.class_names == ("a", "b") and table.value_range is None
    assert npz({"X": rng.random((4, 2)), "y": np.array([2.0, 7.0, 2.0, 7.0])}).class_names == ("2", "7")
    pixels = rng.integers(0, 256, (10, 6, 7, 3), dtype=np.uint8)
    last, first = npz({"X": pixels}), npz({"X": pixels.transpose(0, 3, 1, 2)})
    assert last.image_shape == (3, 6, 7) and torch.equal(last.x_train, first.x_train)
    sums = (pixels.reshape(10, -1) / 255).sum(1)
    found = torch.cat([last.x_train, last.x_test]).flatten(1).double().sum(1)
    np.testing.assert_allclose(np.sort(sums), found.sort().values, rtol=1e-5)
    floats = npz({"X": rng.random((10, 6, 7))}, image_size=3, channels=3)
    assert floats.image_shape == (3, 3, 3) and floats.value_range == (0.0, 1.0)


@pytest.mark.parametrize(
    "arrays, options, words",
    [
        ({"x": np.ones((3, 2))}, {}, ["no array 'X'", "it has x"]),
        ({"X": np.array([[1, np.nan]] * 5)}, {}, ["NaN", "example 0"]),
        ({"X": np.full((4, 3, 3), np.inf)}, {}, ["infinity"]),
        ({"X": 255 * np.random.default_rng(0).random((4, 3, 3))}, {}, ["uint8", "[0, 1]"]),
        ({"X": np.ones(4)}, {}, ["(4,)", "(N, D)"]),
        ({"X": np.ones((4, 2, 5, 5))}, {}, ["C 1 or 3"]),
        ({"X": np.ones((4, 2)), "y": np.ones(3)}, {}, ["one label for each of the 4"]),
        ({"X": np.ones((4, 2), dtype=complex)}, {}, ["complex"]),
        ({"X": np.ones((4, 0))}, {}, ["(4, 0)"]),
        ({"X": np.array([{}, []], dtype=object)}, {}, ["plain arrays"]),
        ({"X": np.ones((4, 2))}, {"channels": 1}, ["is a table"]),
    ],
)
def test_bad_arrays_are_told_in_one_line(npz, arrays, options, words):
    with pytest.raises(DataError) as error:
        npz(arrays, **options)
    message = line(error)
    assert all(word in message for word in [*words, "arrays.npz"]), message


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "bare"])
def test_a_damaged_npz_file_is_told_in_one_line(npz, tmp_path, damage):
    npz({"X": np.random.default_rng(0).random((50, 8))})
    path = tmp_path / "arrays.npz"
    whole = path.read_bytes()
    flipped = whole[:400] + bytes(255 - b for b in whole[400:420]) + whole[420:]
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "flipped": flipped, "bare": b""}[damage])
    if damage == "bare":
        with open(path, "wb") as file:
            np.save(file, np.ones((3, 2)))
    with pytest.raises(DataError, match="numpy.savez"):
        load("npz:arrays.npz")


@pytest.mark.parametrize("kind", ["csv", "npz", "folder"])
def test_missing_files_are_told_with_their_full_path(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        load(f"{kind}:nowhere/at.all")
    assert str(tmp_path / "nowhere" / "at.all") in line(error)
