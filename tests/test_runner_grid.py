"""The grammar of `deepunsup sweep`: what each text means, and what each mistake is told."""

import math

import pytest
from toy_notebooks import write

from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.notebook.files import read_notebook
from deepunsup_helpers.runner.notebook.parameters import Parameter
from deepunsup_helpers.runner.sweep.grid import Span, from_values, from_words, read_axes, read_parameter_file

WHOLE, NUMBER, TEXT, LIST, TRUTH = (Parameter("p", default) for default in (3, 0.5, "strokes", [2, 4], True))


@pytest.fixture
def notebook(tmp_path):
    return read_notebook(write(tmp_path / "notebooks" / "04_toy.ipynb", presets={"small": {"epochs": 1, "rate": 2.0}}))


@pytest.mark.parametrize(
    "parameter, text, values",
    [
        (WHOLE, "2", [2]),
        (WHOLE, "2,8,32", [2, 8, 32]),
        (WHOLE, " 2 , 8 ", [2, 8]),
        (WHOLE, "0..4", [0, 1, 2, 3, 4]),
        (WHOLE, "-2..1,7", [-2, -1, 0, 1, 7]),
        (WHOLE, "3..3", [3]),
        (NUMBER, "0..2", [0.0, 1.0, 2.0]),
        (NUMBER, "1e-3,.5,-2", [0.001, 0.5, -2.0]),
        (TEXT, "strokes,digits", ["strokes", "digits"]),
        (TEXT, '"a,b",c', ["a,b", "c"]),
        (TEXT, "'0..4'", ["0..4"]),
        (TEXT, "it's, fine", ["it's", "fine"]),
        (TEXT, "folder:a:b", ["folder:a:b"]),
        (TEXT, "1:2", ["1:2"]),
        (TEXT, "v0..4", ["v0..4"]),
        (TEXT, "", [""]),
        (LIST, "[2, 4]", [[2, 4]]),
        (LIST, "[2,4],[8]", [[2, 4], [8]]),
        (TRUTH, "true,false", [True, False]),
    ],
)
def test_what_a_text_means(parameter, text, values):
    found = from_words(parameter, text)
    assert found == values and [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    "parameter, text, said",
    [
        (WHOLE, "2,,8", "empty value"),
        (WHOLE, "2,8,", "empty value"),
        (WHOLE, "4..0", "write 0..4"),
        (WHOLE, "0..1000000", "more than 100,000 values"),
        (WHOLE, "[2,8]", "expected a whole number"),
        (WHOLE, "2,x", "got 'x'"),
        (WHOLE, "2.5", "expected a whole number"),
        (NUMBER, "0.1..0.5", "expected a number, got '0.1..0.5'"),
        (NUMBER, "1e-2:1e-4", "smaller number first"),
        (NUMBER, "0:1:log", "above 0"),
        (NUMBER, "-1.7e308:1.7e308", "wider than numbers reach"),
        (WHOLE, "1.." + "9" * 5000, "expected a whole number"),
        (TEXT, "0..4", "put it in quotes"),
        (TEXT, "'a", "no closing '"),
        (LIST, "[2,4", "no closing ]"),
        (TRUTH, "0..1", "expected true or false"),
        (TRUTH, "0:1", "expected true or false"),
    ],
)  # fmt: skip
def test_what_a_mistake_is_told(parameter, text, said):
    with pytest.raises(CommandError, match="'p'") as fault:
        from_words(parameter, text)
    assert said in str(fault.value)


def test_a_range_to_draw_from():
    assert from_words(NUMBER, "1e-4:1e-2:log") == Span(1e-4, 1e-2, log=True)
    assert from_words(WHOLE, "16:512") == Span(16, 512, whole=True)
    assert from_words(Parameter("p", None, declared=int), "16:512") == Span(16, 512, whole=True)
    span = Span(1e-4, 1e-2, log=True)
    assert [span.draw(share) for share in (0, 0.5, 1)] == pytest.approx([1e-4, 1e-3, 1e-2])  # the middle of two decades
    assert Span(0.0, 4.0).draw(0.25) == 1.0
    counts = [Span(1, 4, whole=True).draw((i + 0.5) / 4000) for i in range(4000)]
    assert {value: counts.count(value) for value in set(counts)} == {1: 1000, 2: 1000, 3: 1000, 4: 1000}
    draws = [Span(1, 64, log=True, whole=True).draw((i + 0.5) / 1000) for i in range(1000)]
    assert min(draws) == 1 and max(draws) == 64 and sorted(draws)[500] == pytest.approx(math.sqrt(0.5 * 64.5), abs=1)


@pytest.mark.parametrize(
    "parameter, value, values",
    [
        (WHOLE, [2, 8], [2, 8]),
        (WHOLE, range(3), [0, 1, 2]),
        (WHOLE, 5, [5]),
        (NUMBER, ["1e-4", 1], [1e-4, 1.0]),
        (TEXT, ["a,b", "c"], ["a,b", "c"]),
        (LIST, [2, 4], [[2, 4]]),
        (LIST, [[2, 4], [8]], [[2, 4], [8]]),
        (TRUTH, False, [False]),
    ],
)
def test_values_of_python_and_yaml(parameter, value, values):
    assert from_values(parameter, value) == values


def test_the_grid_is_every_combination_with_the_preset_beneath(notebook, tmp_path):
    axes = read_axes(
        notebook, preset="small", requested={"epochs": "1,2", "quick": "false,true", "guess": "7"}, cwd=tmp_path
    )
    assert axes.fixed == {"rate": 2.0, "guess": 7}
    assert axes.grid() == [
        {"rate": 2.0, "guess": 7, "epochs": epochs, "quick": quick} for epochs in (1, 2) for quick in (False, True)
    ]
    assert len(read_axes(notebook, preset=None, requested={"epochs": "2,2,3,2"}, cwd=tmp_path).grid()) == 2


@pytest.mark.parametrize(
    "requested, said",
    [
        ({"epoch": "1,2"}, "did you mean 'epochs'"),
        ({"dataset": "strokes,stroke"}, "expected one of"),
        ({"dataset": "strokes,folder:none"}, "there is no folder"),
        ({"epochs": "0..999", "rate": "0..999"}, "1,000,000 combinations"),
        ({"epochs": []}, "no values"),
    ],
)
def test_everything_is_checked_first(notebook, tmp_path, requested, said):
    with pytest.raises(CommandError) as fault:
        read_axes(notebook, preset=None, requested=requested, cwd=tmp_path)
    assert said in str(fault.value)


def test_one_checkpoint_for_many_runs_is_refused(tmp_path):
    path = write(tmp_path / "05_toy.ipynb")
    path.write_text(path.read_text().replace("guess = None  # your guess", "checkpoint = ''  # a file"))
    notebook = read_notebook(path)
    assert read_axes(notebook, preset=None, requested={"checkpoint": "a.pt", "epochs": "1"}, cwd=tmp_path).fixed
    with pytest.raises(CommandError, match="same file"):
        read_axes(notebook, preset=None, requested={"checkpoint": "a.pt", "epochs": "1,2"}, cwd=tmp_path)


def test_a_parameter_file(tmp_path, notebook):
    file = tmp_path / "grid.yaml"
    file.write_text("epochs: 0..2\nrate: [1e-4, 0.5]\nquick: true\nsizes: [[2], [4, 8]]\ndataset: strokes, digits\n")
    axes = read_axes(notebook, preset=None, requested=read_parameter_file(file), cwd=tmp_path)
    assert axes.swept == {
        "epochs": [0, 1, 2],
        "rate": [1e-4, 0.5],
        "sizes": [[2], [4, 8]],
        "dataset": ["strokes", "digits"],
    }
    assert axes.fixed == {"quick": True}
    for content, said in (("- 1\n- 2\n", "a table"), ("a: [1,\n", "not YAML"), ("a: " + "[" * 20_000, "not YAML"),
                          ("a: 1\nb: 1\na: 2\n", "'a' stands there twice"), ("", "a table")):  # fmt: skip
        file.write_text(content)
        with pytest.raises(CommandError, match=said):
            read_parameter_file(file)
    with pytest.raises(CommandError, match="cannot read"):
        read_parameter_file(tmp_path / "none.yaml")
