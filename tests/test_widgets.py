"""Live curves and sliders by themselves; test_widgets_run.py executes them in notebooks and a browser."""

import base64
import io
import json
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from deepunsup_helpers import widgets  # noqa: E402
from deepunsup_helpers.plotting import curves  # noqa: E402
from deepunsup_helpers.widgets import LiveCurves, explore  # noqa: E402

ALT = "A line whose slope is set by a slider."


def history(epochs: int, **terms):
    values = list(np.linspace(5, 1, epochs))
    return SimpleNamespace(train=terms.get("train", {"loss": values}), validation=terms.get("validation", {}))


@pytest.fixture
def notebook(monkeypatch):
    """As in a notebook: what is displayed is kept, and the clock stands still until it is moved."""
    page = SimpleNamespace(shown=[], now=100.0)

    def display(widget, data, metadata=None):
        page.shown.append((widget, data, metadata))

    monkeypatch.setattr(widgets, "in_notebook", lambda: True)
    monkeypatch.setattr(widgets, "_display", display)
    monkeypatch.setattr(widgets.time, "monotonic", lambda: page.now)
    yield page
    assert not plt.get_fignums()  # nothing is left open


# live curves ---------------------------------------------------------------------------------------------------------


def test_live_curves_are_displayed_once_and_redrawn(notebook):
    live = LiveCurves(every_seconds=1)
    live(1, history(1))
    first = live.image.value
    notebook.now += 0.9
    live(2, history(2))
    assert live.image.value == first  # too soon
    notebook.now += 0.2
    live(3, history(3))
    assert live.image.value != first
    assert [data for _, data, _ in notebook.shown] == [{"text/plain": "live curves, redrawn while the training runs"}]
    live.close()
    assert live.image.layout.display == "none"


def test_drawing_takes_a_tenth_of_the_time_at_most(notebook, monkeypatch):
    drawn = []

    def two_seconds_of_drawing(fig, **arguments):
        notebook.now += 2.0
        drawn.append(len(drawn))
        return b"png", 800, 300

    monkeypatch.setattr(widgets, "render_png", two_seconds_of_drawing)
    live, start = LiveCurves(every_seconds=1), notebook.now
    for epoch in range(1, 1001):
        notebook.now += 0.5
        live(epoch, history(1))
    assert 2.0 * (len(drawn) - 1) <= 0.1 * (notebook.now - start)
    assert len(drawn) >= 20  # but it is not idle either


@pytest.mark.parametrize("broken", ["panel", "history"])
def test_a_drawing_that_fails_is_said_once_and_the_training_goes_on(notebook, capsys, broken):
    def panel():
        raise ZeroDivisionError("no samples")

    live = LiveCurves(every_seconds=0, panel=panel if broken == "panel" else None)
    for epoch in (1, 2, 3):
        live(epoch, history(epoch) if broken == "panel" else SimpleNamespace(train=None, validation=None))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith("live curves stopped, the training goes on: ")
    assert ("ZeroDivisionError: no samples" if broken == "panel" else "TypeError: ") in lines[0]
    assert not notebook.shown
    live.close()


def test_ctrl_c_while_drawing_is_not_swallowed(notebook):
    def panel():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LiveCurves(panel=panel)(1, history(1))


BLACK = np.zeros((4, 1, 8, 8))


@pytest.mark.parametrize("panel", [BLACK, {"x": BLACK, "x_hat": 1 - BLACK}], ids=["grid", "rows"])
def test_a_panel_of_images_stands_beside_the_curves(notebook, panel):
    alone, both = LiveCurves(), LiveCurves(panel=lambda: panel)
    for live in (alone, both):
        live(1, history(5))
    black = [np.mean(np.asarray(Image.open(io.BytesIO(live.image.value)).convert("L")) < 10) for live in (alone, both)]
    assert black[1] > black[0] + 0.02
    assert not both.failed


def test_terms_are_named_as_short_as_is_clear():
    one = widgets._series(history(0, train={"loss": [1]}, validation={"loss": [2]}))
    assert one == {"training": [1], "validation": [2]}
    several = widgets._series(history(0, train={"kl": [1], "total": [2]}, validation={"kl": [3], "accuracy": [4]}))
    assert several == {"kl": [1], "total": [2], "kl, validation": [3], "accuracy": [4]}


def test_outside_a_notebook_live_curves_do_nothing(capsys):
    live = LiveCurves(panel=lambda: 1 / 0)
    live(1, history(1))
    live.close()
    assert capsys.readouterr().out == "" and live.image is None


# sliders -------------------------------------------------------------------------------------------------------------


def slope(slope, power=1):
    return curves({"y": [slope * x**power for x in range(4)]})


def test_moving_a_slider_redraws_and_coming_back_gives_the_first_picture(notebook):
    explore(slope, ALT, slope=[1, 2, 4], power=(1, 3, 1))
    (box, data, metadata), *more = notebook.shown
    assert not more and data["text/plain"] == ALT == metadata["image/png"]["alt"]
    first_slider, second_slider, image, complaint = box.children
    assert [slider.description for slider in (first_slider, second_slider)] == ["slope", "power"]
    first = image.value
    assert first == base64.b64decode(data["image/png"])  # what is stored is what the widget starts with
    first_slider.value = 4
    second = image.value
    second_slider.value = 3
    assert len({first, second, image.value}) == 3
    second_slider.value, first_slider.value = 1, 1
    assert image.value == first and complaint.value == ""


def states_of(notebook, *arguments, **keywords):
    explore(*arguments, **keywords)
    _, data, metadata = notebook.shown[-1]
    assert set(data) == {"image/png", "text/plain"}
    return metadata.get(widgets.STATES)


def test_the_sliders_pictures_are_stored_where_outputs_are_made_to_be_kept(notebook, monkeypatch):
    assert states_of(notebook, slope, ALT, slope=[1, 2]) is None
    monkeypatch.setenv("DEEPUNSUP_STATES", "1")
    stored = states_of(notebook, slope, ALT, slope=[1, 2, 4], power=(1, 3, 1))
    assert stored["sliders"] == {"slope": [1, 2, 4], "power": [1, 2, 3]}
    assert [state["values"] for state in stored["states"]] == [
        {"slope": a, "power": b} for a in (1, 2, 4) for b in (1, 2, 3)
    ]
    pictures = {state["png"] for state in stored["states"]}
    assert len(pictures) == 9 and all(Image.open(io.BytesIO(base64.b64decode(png))).width > 400 for png in pictures)
    json.dumps(stored)


def test_stored_pictures_are_few_and_small_and_take_no_random_number(notebook, monkeypatch):
    monkeypatch.setenv("DEEPUNSUP_STATES", "1")

    def noise(a, b):
        return 1 / 0 if b == 7 else curves({"y": torch.rand(20 if a else 3).tolist()})

    torch.manual_seed(0)
    torch.rand(3)  # as `noise` takes at the start
    expected = torch.rand(1)
    torch.manual_seed(0)
    stored = states_of(notebook, noise, ALT, a=(0.0, 1.0, 0.1), b=list(range(40)))
    assert torch.equal(torch.rand(1), expected)
    values = [state["values"] for state in stored["states"]]
    assert 5 < len(values) <= 30 and all(v["a"] == 0 or v["b"] == 0 for v in values) and values[0] == {"a": 0, "b": 0}
    assert sum(len(state["png"]) for state in stored["states"]) <= 250_000
    monkeypatch.setattr(widgets, "MOST_BYTES", 50_000)
    fewer = states_of(notebook, noise, ALT, a=(0.0, 1.0, 0.1), b=[0])
    assert 1 <= len(fewer["states"]) < 11 and sum(len(state["png"]) for state in fewer["states"]) <= 50_000


def test_the_start_can_be_chosen(notebook):
    seen = []
    explore(lambda **values: seen.append(values) or slope(1), ALT, start={"b": 0.5}, a=["x", "y"], b=(0.0, 1.0, 0.25))
    assert seen == [{"a": "x", "b": 0.5}]


def test_an_error_behind_a_slider_is_written_on_the_page(notebook):
    def fails_at_zero(x):
        return slope(1 / x)

    explore(fails_at_zero, ALT, x=[1, 0, 2])
    slider, image, complaint = notebook.shown[0][0].children
    first = image.value
    slider.value = 0
    assert complaint.value == "ZeroDivisionError: division by zero" and image.value == first
    slider.value = 2
    assert complaint.value == "" and image.value != first


def test_explore_refuses_what_it_cannot_offer(notebook):
    wrong = [{}, {"a": []}, {"a": (1, 2)}, {"a": (2, 1, 1)}, {"a": (0, 1, 0)}, {"a": [1], "start": {"a": 2}}]
    wrong += [{"a": [1], "start": {"b": 1}}, {"a": (0, 1, 1), "start": {"a": 5}}]
    for sliders in wrong:
        with pytest.raises(ValueError, match="expected|needs|among|names"):
            explore(lambda a: slope(a), ALT, **sliders)
    with pytest.raises(ZeroDivisionError):  # at the start an error is the cell's
        explore(lambda a: 1 / 0, ALT, a=[1])


def test_explore_outside_a_notebook_is_the_starting_figure(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPUNSUP_OUTPUT", str(tmp_path))
    explore(slope, ALT, slope=[1])
    (picture,) = tmp_path.iterdir()
    assert capsys.readouterr().out == f"{ALT} (figure written to {picture})\n" and not plt.get_fignums()
