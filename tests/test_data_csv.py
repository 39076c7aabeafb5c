"""One's own tables: roles of columns, gaps, splits, and files as people write them; the truth is pandas or arithmetic."""

import numpy as np
import pandas
import pytest
import torch

from deepunsup_helpers.data import DataError, DataWarning, load

pytestmark = [
    pytest.mark.filterwarnings("error::deepunsup_helpers.data.DataWarning"),
    pytest.mark.filterwarnings("ignore:.*training (example|part)"),  # the tables are small
]


@pytest.fixture
def csv(tmp_path, monkeypatch):
    """Writes a file and loads it by its relative path."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(content, **options):
        content = content.to_csv(index=False) if isinstance(content, pandas.DataFrame) else content
        (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return load("csv:t.csv", **options)

    return write_and_load


def rows(data) -> dict:
    """id -> the row of features, of both parts."""
    x = torch.cat([data.x_train, data.x_test]).tolist()
    return dict(zip([*data.ids_train, *data.ids_test], x, strict=True))


def labels(data) -> dict:
    y = torch.cat([data.y_train, data.y_test]).tolist()
    return dict(zip([*data.ids_train, *data.ids_test], y, strict=True))


PEOPLE = pandas.DataFrame(
    {
        "name": [f"p{i:02}" for i in range(24)],
        "height": np.arange(24) + 150.5,
        "weight": np.arange(24) * 2 + 40,
        "day": pandas.date_range("2024-01-01", periods=24).strftime("%Y-%m-%d")[::-1],
        "site": [f"s{i % 6}" for i in range(24)],
        "kind": ["a", "b", "c"] * 8,
    }
)

# --- which row is which ---------------------------------------------------------------------------------------------


def test_rows_keep_their_numbers_and_labels(csv):
    data = csv(PEOPLE[["height", "weight", "kind"]], label="kind")
    assert sorted(rows(data)) == list(range(24))
    assert rows(data) == {i: [150.5 + i, 40 + 2 * i] for i in range(24)}
    assert labels(data) == {i: i % 3 for i in range(24)}


def test_the_columns_have_roles(csv):
    data = csv(PEOPLE, label="kind", id="name", ignore=["day", "site"])
    assert data.feature_names == ("height", "weight") and data.class_names == ("a", "b", "c")
    assert rows(data) == {f"p{i:02}": [150.5 + i, 40 + 2 * i] for i in range(24)}
    assert csv(PEOPLE, id="name", label="kind", ignore="day", text="onehot").feature_names[2:] == tuple(
        f"site=s{i}" for i in range(6)
    )


def test_by_time_the_last_part_is_the_test(csv):
    data = csv(PEOPLE, id="name", time="day", ignore=["site", "kind"])  # the days run backwards
    assert data.ids_train.tolist() == [f"p{i:02}" for i in range(23, 4, -1)]
    assert data.ids_test.tolist() == [f"p{i:02}" for i in range(4, -1, -1)]
    numbers = pandas.DataFrame({"x": range(12), "t": [10, 9, 11, *range(9)]})  # 10 comes after 9, not before 2
    assert csv(numbers, time="t").ids_test.tolist() == [0, 2]
    with pytest.raises(DataError, match="'31.12.2024'.*2024-03-31"):
        csv(pandas.DataFrame({"x": range(12), "t": ["31.12.2024"] * 12}), time="t")


@pytest.mark.parametrize("seed", range(5))
def test_a_group_lies_in_one_part(csv, seed):
    data = csv(PEOPLE, group="site", ignore=["name", "day"], label="kind", seed=seed)
    train, test = ({i % 6 for i in ids} for ids in (data.ids_train, data.ids_test))
    assert train | test == set(range(6)) and not train & test and len(data.ids_test) == 4
    fewer = csv(PEOPLE, group="site", ignore=["name", "day"], label="kind", seed=seed, test_size=6, train_size=9)
    assert len(fewer.ids_train) == 9 and len(fewer.ids_test) == 6
    assert not {i % 6 for i in fewer.ids_train} & {i % 6 for i in fewer.ids_test}


def test_groups_that_cannot_be_split_are_told(csv):
    with pytest.raises(DataError, match="all rows are of one group, 's'"):
        csv(PEOPLE[["height"]].assign(site="s"), group="site")
    two = PEOPLE[["height"]].assign(site=["s"] * 20 + ["t"] * 4)
    assert sorted(csv(two, group="site").ids_test) == [20, 21, 22, 23]  # the larger group is no 20 %
    with pytest.raises(DataError, match="no group is split"):
        csv(two, group="site", test_size=8)


def test_kept_order_is_the_file_s(csv):
    data = csv(PEOPLE[["height", "kind"]], label="kind", order="kept")
    assert data.ids_train.tolist() == list(range(19)) and data.ids_test.tolist() == list(range(19, 24))
    some = csv(PEOPLE[["height"]], order="kept", train_size=5, test_size=3)
    assert some.ids_train.tolist() == [0, 1, 2, 3, 4] and some.ids_test.tolist() == [21, 22, 23]


# --- gaps and text --------------------------------------------------------------------------------------------------


def test_gaps_by_a_stated_policy(csv):
    table = pandas.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7})
    table.loc[[3, 17, 30], "a"] = np.nan
    with pytest.raises(DataError, match=r"missing values in 'a' \(3\).*missing='drop'.*missing='median'"):
        csv(table)
    with pytest.warns(DataWarning, match="3 of 40 rows have gaps and are left out: 3, 17, 30"):
        dropped = csv(table, missing="drop")
    assert sorted(rows(dropped)) == [i for i in range(40) if i not in (3, 17, 30)]
    filled = csv(table, missing="median")
    median = float(table.a[filled.ids_train].median())  # pandas leaves gaps out; the training part alone
    assert median != float(table.a.median())
    assert all(rows(filled)[i][0] == (median if i in (3, 17, 30) else i) for i in range(40))
    assert all(rows(filled)[i][1] == i % 7 for i in range(40))


@pytest.mark.parametrize("gap", ["", " ", "NA", "n/a", "NaN", "null", "None", "#N/A"])
def test_what_a_gap_is_among_numbers(csv, gap):
    text = "a,b\n" + "".join(f"{gap if i == 4 else i},{i}\n" for i in range(12))
    assert rows(csv(text, missing="median"))[4][0] not in (4, 0)
    with pytest.raises(DataError, match=r"'a' \(1\)"):
        csv(text)


def test_among_words_na_is_a_word(csv):
    text = "a,continent\n" + "".join(f"{i},{('NA', 'EU', 'AS', 'nan')[i % 4]}\n" for i in range(16))
    assert csv(text, label="continent").class_names == ("AS", "EU", "NA", "nan")
    assert csv(text, text="onehot").feature_names[1:] == tuple(f"continent={c}" for c in ("AS", "EU", "NA", "nan"))
    empty = text.replace("EU", "")
    with pytest.raises(DataError, match=r"'continent' \(4\), which cannot be filled in"):
        csv(empty, label="continent", missing="median")
    with pytest.warns(DataWarning, match="4 of 16 rows"):
        assert csv(empty, label="continent", missing="drop").class_names == ("AS", "NA", "nan")


def test_text_is_left_out_and_named_or_one_hot(csv):
    with pytest.warns(DataWarning, match=r"columns of text are left out: 'kind' \(such as 'a'\)"):
        assert csv(PEOPLE[["height", "kind"]]).feature_names == ("height",)
    data = csv(PEOPLE[["kind", "height"]], text="onehot")
    assert data.feature_names == ("kind=a", "kind=b", "kind=c", "height")
    for i, row in rows(data).items():
        assert row == [float(i % 3 == k) for k in range(3)] + [150.5 + i]


def test_texts_unknown_to_the_training_part_are_of_no_kind(csv):
    table = pandas.DataFrame({"a": range(10), "t": ["u", "v"] * 4 + ["w", "w"]})
    with pytest.warns(DataWarning, match="not met in the training part.*t=w"):
        data = csv(table, text="onehot", order="kept")
    assert data.feature_names == ("a", "t=u", "t=v") and data.x_test.tolist() == [[8, 0, 0], [9, 0, 0]]


# --- numbers as they are written ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written, scale, told",
    [
        (lambda v: f"{v:.2f}".replace(".", ","), 1, "decimal commas"),
        (lambda v: f"{v * 1e6:,.1f}", 1e6, "separated thousands"),
        (lambda v: f"{v * 1e6:,.1f}".translate(str.maketrans(",.", ".,")), 1e6, "decimal commas"),
    ],
)
def test_commas_in_numbers_are_read_where_that_is_sure(csv, written, scale, told):
    values = np.linspace(1.25, 98.5, 14).round(2)
    text = "a;b\n" + "".join(f"{written(v)};{i}\n" for i, v in enumerate(values))
    with pytest.warns(DataWarning, match=f"column 'a' is read with {told}"):
        data = csv(text)
    for i, v in enumerate(values):
        assert rows(data)[i][0] == pytest.approx(v * scale, rel=1e-6)


def test_commas_in_labels(csv):
    with pytest.warns(DataWarning, match="label 'y' is read with decimal commas"):
        data = csv("a;y\n" + "".join(f"{i};{i},5\n" for i in range(12)), label="y")
    assert data.class_names is None and labels(data) == {i: i + 0.5 for i in range(12)}


def test_the_typographer_s_minus_and_booleans(csv):
    data = csv("a,b\n" + "".join(f"\u2212{i}.5,{i % 2 == 0}\n" for i in range(12)))
    assert rows(data) == {i: [-i - 0.5, float(i % 2 == 0)] for i in range(12)}


# --- files as they are written --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "sep=;\na;b\n",
        "# measured by hand\n# in May; in Rome\n\na;b\n",
        "# a;b\n",  # the header is a comment
        "\n\na;b\n",
    ],
)
def test_what_stands_before_the_rows(csv, header):
    data = csv(header + "".join(f"{i};{i / 2}\n" for i in range(12)))
    assert data.feature_names == ("a", "b") and rows(data) == {i: [i, i / 2] for i in range(12)}


def test_comments_between_rows_are_no_rows(csv):
    data = csv("a,b\n" + "".join(("# a break\n" if i == 5 else "") + f"{i},{i / 2}\n" for i in range(12)))
    assert rows(data) == {i: [i, i / 2] for i in range(12)}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_quoted_headers_may_hold_separators_and_line_breaks(csv, separator):
    frame = pandas.DataFrame({"height, cm; barefoot": range(12), "weight\n(kg)\t|": range(0, 24, 2)})
    data = csv(frame.to_csv(sep=separator, index=False, quoting=1))
    assert data.feature_names == ("height, cm; barefoot", "weight (kg) |")
    assert rows(data) == {i: [i, 2 * i] for i in range(12)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_ends_of_lines(csv, encoding, newline):
    text = "Größe,n\n" + "".join(f"{i},{i}\n" for i in range(12))
    assert csv(text.replace("\n", newline).encode(encoding)).feature_names == ("Größe", "n")


def test_a_column_without_a_name_that_counts_or_is_empty(csv):
    with pytest.warns(DataWarning, match="column 1, which has no name and counts the rows, is left out"):
        assert csv(PEOPLE[["height"]].to_csv()).feature_names == ("height",)
    assert csv("a,b,\n" + "".join(f"{i},1{i},\n" for i in range(12))).feature_names == ("a", "b")
    with pytest.warns(DataWarning, match="nothing in them: 'b'"):
        assert csv("a,b\n" + "".join(f"{i},\n" for i in range(12))).feature_names == ("a",)


def test_names_are_compared_after_composition(csv):
    kinds = ("e\u0301", "\u00e9", "z")
    text = "a,cafe\u0301\n" + "".join(f"{i},{kinds[i % 3]}\n" for i in range(12))
    data = csv(text, label="caf\u00e9")
    assert data.class_names == ("z", "\u00e9") and labels(data) == {i: int(i % 3 < 2) for i in range(12)}


def test_codes_keep_their_zeros(csv):
    text = "zip,y\n" + "".join(f"{i},{('01', '1', '10')[i % 3]}\n" for i in range(12))
    assert csv(text, label="y").class_names == ("01", "1", "10")
    names = "id,a\n" + "".join(f"00{i},{i}\n" for i in range(12))
    assert set(rows(csv(names, id="id"))) == {f"00{i}" for i in range(12)}


# --- what must not pass ---------------------------------------------------------------------------------------------


def twelve(row, header="a,b\n") -> str:
    return header + "".join(row(i) + "\n" for i in range(12))


@pytest.mark.parametrize(
    "text, options, words",
    [
        (twelve(lambda i: f"{i},1,1", "a,x,x\n"), {}, ["more than one column named 'x'"]),
        (twelve(lambda i: f"{i},{99_000 + 731 * i}"), {"label": "b"}, ["12 different whole numbers in 12 rows"]),
        (twelve(lambda i: f"{i},2024-01-{i + 1:02}"), {"label": "b"}, ["12 different texts", "label_type='classes'"]),
        (twelve(lambda i: f"{i},word"), {"label": "b", "label_type": "numbers"}, ["holds text", "'word'"]),
        (twelve(lambda i: f"{i},{100_100_000 + i}"), {}, ["'b' (100100000 and 100100001 become one)", "id="]),
        (twelve(lambda i: f'{i},"1,23{i % 10}"'), {}, ["'b'", "'1,230'", "decimal commas or separated thousands"]),
        (twelve(lambda i: f"{i},5;{i}.5", "a;b\n"), {}, ["'a' has decimal commas", "'b' has points", "'0.5'"]),
        (twelve(lambda i: f"{i},5;{i + 1}.500", "a;b\n"), {}, ["'a' has decimal commas", "'1.500'"]),
        (twelve(lambda i: f"{i},{'?' if i == 3 else i}"), {}, ["'b' holds numbers, but also '?' (1 of 12)", "ignore="]),
        (twelve(lambda i: f"{i},1,1"), {}, ["more values than there are column names"]),  # 0, 1, 2: as row names count
        (twelve(lambda i: f"{i},1" + ",1" * (i == 3)), {}, ["Expected 2 fields in line 5, saw 3"]),
        ("sep=,\n# x\n" + twelve(lambda i: f"{i},1" + ",1" * (i == 3)), {}, ["line 7"]),
        (twelve(lambda i: f"{i},{'inf' if i == 3 else i}"), {"missing": "median"}, ["infinity", "example 3", "'b'"]),
        (twelve(lambda i: f"{i},1"), {"ignore": ["c"]}, ["no column 'c'"]),
        (twelve(lambda i: f"{i},1"), {"label": "b", "id": "b"}, ["'b' is named for two things"]),
        (twelve(lambda i: f"{i},1"), {"time": "a", "group": "b"}, ["time= and group="]),
        (twelve(lambda i: f"{i},1"), {"missing": "mean"}, ["missing='mean'", "'median'"]),
        (twelve(lambda i: f"{i},1"), {"order": "random"}, ["order='random'", "'kept'"]),
        ("a,t\n" + "".join(f"{i},t{i}\n" for i in range(200)), {"text": "onehot"}, ["'t'", "160 different texts"]),
    ],
)
def test_what_would_go_wrong_in_silence_is_refused_in_one_line(csv, text, options, words):
    with pytest.raises(DataError) as error:
        csv(text, **options)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in [*words]), message


def test_what_the_user_says_about_labels_counts(csv):
    prices = twelve(lambda i: f"{i},{99_000 + 731 * i}")
    assert csv(prices, label="b", label_type="numbers").y_train.dtype == torch.float32
    assert len(csv(prices, label="b", label_type="classes").class_names) == 12
    assert csv(twelve(lambda i: f"{i},{i % 2}"), label="b", label_type="numbers").class_names is None


def test_whole_numbers_that_float32_rounds_harmlessly_are_told(csv):
    people = [331_002_651, 331_002_652, 1_380_004_385, 67_886_011, *range(5_000_000, 5_000_008)]
    with pytest.warns(DataWarning, match="fall together in column 'b'.*331002651 and 331002652"):
        data = csv(twelve(lambda i: f"{i},{people[i]}"))
    assert rows(data)[2][1] == pytest.approx(1_380_004_385, rel=1e-7)


@pytest.mark.parametrize("name", ["strokes", "wine", "digits", "ring"])
@pytest.mark.parametrize(
    "options", [{"id": "a"}, {"ignore": ["a"]}, {"missing": "drop"}, {"order": "kept"}, {"label_type": "classes"}]
)
def test_what_is_for_own_data_only_is_refused_elsewhere(name, options):
    with pytest.raises(DataError, match=f"{next(iter(options))}=.*leave it out"):
        load(name, **options)
