"""Figures: what is drawn where, who can tell it apart, and what the notebook stores."""

import base64
import io
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.datasets import load_digits

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from deepunsup_helpers import plotting  # noqa: E402
from deepunsup_helpers.plotting import (  # noqa: E402
    CLASS_COLOURS,
    LINE_COLOURS,
    curves,
    dots,
    guess_line,
    image_grid,
    image_rows,
    label_points,
)
from deepunsup_helpers.plotting.style import luminance, text_colour  # noqa: E402


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context():
        plotting.use_style()
        yield
    plt.close("all")


def images(n=6, channels=1, side=28):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0))


def canvas(ax) -> np.ndarray:
    (picture,) = ax.images  # one imshow, however many images
    return np.asarray(picture.get_array())


# image grids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_each_image_row_by_row_between_white_lines(channels):
    x = images(channels=channels)
    drawn = canvas(image_grid(x, columns=4))
    for i in range(6):
        top, left = 1 + (i // 4) * 29, (i % 4) * 29
        tile = drawn[top : top + 28, left : left + 28]
        np.testing.assert_allclose(tile, x[i].expand(3, 28, 28).permute(1, 2, 0), atol=1e-6)
    assert (drawn[[0, 29]] == 1).all() and (drawn[:, [28, 57]] == 1).all()
    assert (drawn[30:, 58:] == 1).all()  # the two places left over
    assert drawn.shape == (2 * 29, 4 * 29 - 1, 3)


def test_values_are_clamped_to_the_range():
    x = torch.tensor([-3.0, -1.0, 0.0, 1.0, 7.0, float("nan")]).reshape(6, 1, 1, 1).expand(6, 1, 28, 28)
    drawn = canvas(image_grid(x, columns=6, value_range=(-1, 1)))
    assert drawn[14, 14::29, 0].tolist() == [0, 0, 0.5, 1, 1, 0]


def test_small_images_are_enlarged_by_a_whole_factor_so_that_lines_stay_thin():
    x = images(n=2, side=8)
    drawn = canvas(image_grid(x, columns=2))
    assert drawn.shape == (1 + 24, 24 + 1 + 24, 3)
    np.testing.assert_array_equal(drawn[2::3, 26::3, 0], x[1, 0].numpy())  # the middle of each 3 x 3 block


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (5, 5), (16, 8), (40, 10), (64, 16), (100, 20)])
def test_default_columns_fill_the_rows(count, columns):
    ax = image_grid(images(n=count))
    assert canvas(ax).shape[1] == columns * 29 - 1
    width, height = ax.figure.get_size_inches()
    assert width <= plotting.WIDTH and height <= 8


def test_titles_stand_above_their_images():
    ax = image_grid(images(), columns=3, titles=list("abcdef"))
    gap = (canvas(ax).shape[0] - 2 * 28) // 2
    for i, text in enumerate(ax.texts):
        column, row = text.get_position()
        assert text.get_text() == "abcdef"[i]
        assert column == pytest.approx((i % 3) * 29 + 13.5)  # the middle
        assert (i // 3) * (28 + gap) < row < (i // 3) * (28 + gap) + gap  # in the white above
    with pytest.raises(ValueError, match="2 texts for 6 images"):
        image_grid(images(), titles=["a", "b"])


def test_rows_keep_their_order_and_labels():
    x = images(n=3)
    ax = image_rows({"original": x, "reconstruction": 1 - x}, titles=[0, 1, 2])
    drawn = canvas(ax)
    np.testing.assert_allclose(drawn[1:29, 29:57, 0], x[1, 0], atol=1e-6)
    np.testing.assert_allclose(drawn[30:58, 29:57, 0], 1 - x[1, 0], atol=1e-6)
    names = {text.get_text(): text.xy for text in ax.texts}
    assert 1 < names["original"][1] < 29 and 30 < names["reconstruction"][1] < 58
    assert [names[str(i)][0] for i in range(3)] == [13.5, 42.5, 71.5]


def test_no_batch_of_images_is_named():
    for x in (torch.rand(28, 28), torch.rand(2, 2, 28, 28), torch.rand(0, 1, 28, 28)):
        with pytest.raises(ValueError, match=rf"images have shape \({x.shape[0]}, "):
            image_grid(x)
    with pytest.raises(ValueError, match=r"rows have the shapes.*'b': \(2, 1, 28, 28\)"):
        image_rows({"a": images(n=3), "b": images(n=2)})
    with pytest.raises(ValueError, match="at least one row"):
        image_rows({})
    with pytest.raises(ValueError, match=r"value_range is \(1, 0\)"):
        image_grid(images(), value_range=(1, 0))


# curves and guesses --------------------------------------------------------------------------------------------------


def label_boxes(ax):
    plotting.render_png(ax.figure, scales=(1.0,))  # labels are put in place when drawn
    return {text.get_text(): text.get_window_extent() for text in ax.texts}


def test_curves_start_at_epoch_one_and_leave_out_what_is_not_finite():
    ax = curves({"a": [3.0, 2.0, 1.0], "b": torch.tensor([1.0, float("nan"), float("inf"), 4.0]).bfloat16()})
    a, b = ax.lines
    assert (list(a.get_xdata()), list(a.get_ydata())) == ([1, 2, 3], [3, 2, 1])
    assert (list(b.get_xdata()), list(b.get_ydata())) == ([1, 4], [1, 4])
    assert (a.get_color(), b.get_color()) == LINE_COLOURS[:2]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


@pytest.mark.parametrize("yscale", ["linear", "log"])
def test_names_stand_at_the_ends_in_the_lines_order_without_overlap(yscale):
    values = {"far": 100.0, "c": 10.3, "a": 10.1, "d": 10.4, "b": 10.2}
    ax = curves({name: [50.0, value] for name, value in values.items()}, yscale=yscale)
    boxes = label_boxes(ax)
    names = sorted(values, key=values.get)
    middles = [(boxes[name].y0 + boxes[name].y1) / 2 for name in names]
    line = 1.2 * 11 * ax.figure.dpi / 72  # pixels: the usual distance of lines in type of 11 points
    assert np.diff(middles).min() >= line
    end = ax.transAxes.transform((1, 0))[0]
    assert all(end <= box.x0 < end + 15 for box in boxes.values())


def test_a_name_stays_in_view_when_its_line_leaves():
    ax = curves({"healthy": [50.0, 20.0], "exploding": [60.0, 1e6]})
    ax.set_ylim(0, 100)
    boxes = label_boxes(ax)
    top = ax.transAxes.transform((0, 1))[1]
    assert abs((boxes["exploding ↑"].y0 + boxes["exploding ↑"].y1) / 2 - top) < 3
    healthy = (boxes["healthy"].y0 + boxes["healthy"].y1) / 2
    assert abs(healthy - ax.transData.transform((0, 20))[1]) < 3


def test_a_line_that_stops_early_is_named_where_it_stops():
    ax = curves({"long": [1.0] * 10, "stopped": [5.0, 6.0]})
    box = label_boxes(ax)["stopped"]
    assert ax.transData.transform((2, 0))[0] < box.x0 < ax.transData.transform((3, 0))[0]


def test_a_guess_is_a_dashed_line_and_none_is_nothing():
    ax = curves({"a": [3.0, 2.0]})
    before = len(ax.get_children())
    for nothing in (None, "many", "", float("nan"), [1, 2]):
        assert guess_line(ax, nothing) is ax and len(ax.get_children()) == before
    assert guess_line(ax, 3.5) is ax
    line = ax.lines[-1]
    assert list(line.get_ydata()) == [3.5, 3.5] and line.is_dashed()
    assert ax.get_ylim()[1] > 3.5 and "your guess" in label_boxes(ax)
    guess_line(ax, "1,5", axis="x", label="guess")
    assert list(ax.lines[-1].get_xdata()) == [1.5, 1.5]
    with pytest.raises(ValueError, match="axis is 'z'"):
        guess_line(ax, None, axis="z")


@pytest.mark.parametrize("yscale", ["linear", "log"])
@pytest.mark.parametrize("guess", [1e6, -1e6, "12,000,000", 10**400, -3])
def test_a_guess_far_away_is_named_inside_the_axes_and_the_data_keep_their_room(guess, yscale):
    ax = curves({"a": [3.0, 2.0]}, yscale=yscale)
    ax.set_title("A title that nothing covers")
    low, high = ax.get_ylim()
    guess_line(ax, guess)
    assert ax.get_ylim() == (low, high)
    ax.figure.draw_without_rendering()
    frame = ax.get_window_extent()
    for text in ax.texts:
        if "guess" in text.get_text():
            box = text.get_window_extent()
            assert frame.y0 <= box.y0 and box.y1 <= frame.y1, "over the title or the axis"


def test_dots_show_every_seed_and_the_median():
    ax = dots(
        {"calm": [1.0, 2.0, 9.0], "odd": [3.0, float("nan")], "none": []}, ylabel="nats", reference={"floor": 0.5}
    )
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [sorted(line.get_ydata()) for line in points] == [[1, 2, 9], [3]]
    assert [bar.get_segments()[0][0][1] for bar in ax.collections] == [2, 3]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["calm", "odd", "none"]
    assert "floor" in label_boxes(ax) and ax.get_ylabel() == "nats"


def test_names_of_points_do_not_cover_each_other():
    ax = plt.subplots()[1]
    x, y = [1, 1, 1, 3], [1, 1.01, 1.02, 5]
    ax.plot(x, y, "o")
    label_points(ax, x, y, ["first", "second", "third", "far"])
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    with pytest.raises(ValueError, match="2 x, 2 y and 1 names"):
        label_points(ax, [1, 2], [1, 2], ["one"])


# latent maps ---------------------------------------------------------------------------------------------------------


def test_each_point_has_its_classes_colour_and_each_class_its_name():
    rng = np.random.default_rng(0)
    y = torch.tensor(rng.permutation(np.repeat(np.arange(10), 7)))
    z = torch.tensor(rng.normal(size=(70, 2)), dtype=torch.float32)
    ax = plotting.latent_scatter(z, y)
    (points,) = ax.collections
    colours = {tuple(at): tuple(rgba[:3]) for at, rgba in zip(points.get_offsets().tolist(), points.get_facecolors())}
    for point, label in zip(z.tolist(), y.tolist()):
        assert colours[tuple(point)] == pytest.approx(to_rgb(CLASS_COLOURS[label]))
    for text in ax.texts:
        np.testing.assert_allclose(text.xy, np.median(z[y == int(text.get_text())].numpy(), axis=0))
    assert sorted(text.get_text() for text in ax.texts) == [str(i) for i in range(10)]


def test_a_map_without_classes_or_with_names():
    z = torch.rand(20, 2)
    assert not plotting.latent_scatter(z).texts
    ax = plotting.latent_scatter(z, torch.arange(20) % 2, class_names=["cat", "dog"])
    assert [text.get_text() for text in ax.texts] == ["cat", "dog"]
    with pytest.raises(ValueError, match=r"z has shape \(20, 3\)"):
        plotting.latent_scatter(torch.rand(20, 3))
    with pytest.raises(ValueError, match=r"y has shape \(19,\) for 20 points"):
        plotting.latent_scatter(z, torch.zeros(19))


# colours -------------------------------------------------------------------------------------------------------------

# Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113: severity 1.0, on linear RGB
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, sight) -> np.ndarray:
    """CIELAB (D65) of a colour as somebody with this sight sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(sight) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    t = xyz / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("colours", [CLASS_COLOURS, LINE_COLOURS], ids=["classes", "lines"])
def test_colours_can_be_told_apart_by_everybody(colours, sight):
    seen = [lab(colour, SIGHT[sight]) for colour in colours]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 12  # a just noticeable difference is 2.3


def test_text_in_a_lines_colour_can_be_read_on_white():
    for colour in LINE_COLOURS:
        assert 1.05 / (luminance(text_colour(colour)) + 0.05) >= 4.5
    assert text_colour("#0072B2").lower() == "#0072b2"  # dark enough as it is


# what the notebook stores --------------------------------------------------------------------------------------------


SCRIPT = """
import matplotlib; matplotlib.use("agg")
from deepunsup_helpers import show
from deepunsup_helpers.plotting import curves
show(curves({"a": [1.0, 2.0]}), "A line that rises.")
show(curves({"a": [2.0, 1.0]}).figure, "A line that falls.")
"""


def test_show_in_a_script_without_a_display_writes_a_file_and_says_where(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    for folder in (None, tmp_path / "run"):
        variables = {name: value for name, value in os.environ.items() if name != "DEEPUNSUP_OUTPUT"}
        variables |= {} if folder is None else {"DEEPUNSUP_OUTPUT": str(folder)}
        run = subprocess.run(
            [sys.executable, "train.py"], capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=60
        )
        where = "" if folder is None else f"{folder}{os.sep}"
        assert run.stdout.splitlines() == [
            f"A line that rises. (figure written to {where}train-1.png)",
            f"A line that falls. (figure written to {where}train-2.png)",
        ], run.stderr
        for number in (1, 2):
            assert Image.open((folder or tmp_path) / f"train-{number}.png").size[0] > 400


def test_show_in_a_script_with_a_display_opens_a_window_and_closes_the_figure(monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(plt, "show", lambda: opened.append(plt.get_fignums()))
    monkeypatch.delenv("DEEPUNSUP_OUTPUT", raising=False)
    ax = curves({"a": [1.0, 2.0]})
    ax.figure.canvas.required_interactive_framework = "qt"
    plotting.show(ax, "A line that rises.")
    assert opened == [[1]] and not plt.get_fignums() and capsys.readouterr().out == "A line that rises.\n"


def test_a_figure_that_cannot_be_written_does_not_stop_a_script(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPUNSUP_OUTPUT", str(tmp_path / "file"))
    plotting.show(curves({"a": [1.0, 2.0]}), "A line that rises.")
    assert capsys.readouterr().out.startswith("A line that rises. (the figure could not be written to ")
    assert not plt.get_fignums()


def test_show_in_a_notebook_gives_png_text_and_size(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr("deepunsup_helpers.plotting.display.in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", lambda data, metadata, raw: shown.append((data, metadata, raw)))
    plotting.show(curves({"a": [1.0, 2.0]}).figure, "A line that rises.")
    ((data, metadata, raw),) = shown
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert raw and data["text/plain"] == metadata["image/png"]["alt"] == "A line that rises."
    width, height = metadata["image/png"]["width"], metadata["image/png"]["height"]
    assert abs(image.width - 2 * width) <= 1 and abs(image.height - 2 * height) <= 1
    assert 700 <= width <= 820  # a page's width
    assert not plt.get_fignums()


def test_show_needs_a_figure_and_a_text():
    with pytest.raises(TypeError, match="got Tensor; image_grid"):
        plotting.show(images(), "Six images.")
    ax = curves({"a": [1.0, 2.0]})
    with pytest.raises(ValueError, match="alt"):
        plotting.show(ax, " ")
    assert not plt.get_fignums()


def busy_scatter():
    rng = np.random.default_rng(0)
    return plotting.latent_scatter(rng.normal(size=(3000, 2)), rng.integers(0, 10, 3000))


def many_digits():
    digits = torch.tensor(load_digits().images[:100] / 16).float()[:, None]
    return image_grid(torch.nn.functional.interpolate(digits, size=28, mode="bicubic"))


def many_photographs():
    """As noisy as photographs: PNG finds nothing to save in the pixels themselves."""
    x, y = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    scene = torch.stack([torch.sin(x / 5), torch.cos(y / 4), torch.sin((x + y) / 6)]) / 2 + 0.5
    return image_grid(scene + 0.05 * torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("draw", [busy_scatter, many_digits, many_photographs])
def test_stored_figures_stay_small(draw):
    png, width, _ = plotting.render_png(draw().figure)
    assert len(png) <= 120_000 and width <= 820


def few_colours():
    return np.array([[to_rgb(colour) for colour in CLASS_COLOURS]])


def many_colours():
    return np.random.default_rng(0).random((18, 40, 3))  # 720, more than a palette holds


@pytest.mark.parametrize("colours", [few_colours(), many_colours()], ids=["few", "many"])
def test_colours_survive_the_palette(colours):
    fig, ax = plt.subplots(figsize=(8, 3.6), layout="none")
    ax.set_position([0, 0, 1, 1])
    ax.set_axis_off()
    ax.imshow(colours, aspect="auto", interpolation="nearest")
    drawn = np.asarray(Image.open(io.BytesIO(plotting.render_png(fig)[0])).convert("RGB"))
    rows, columns = (((np.arange(n) + 0.5) * size / n).astype(int) for n, size in zip(colours.shape[:2], drawn.shape))
    np.testing.assert_allclose(drawn[rows][:, columns] / 255, colours, atol=2 / 255)


def test_the_same_figure_gives_the_same_bytes():
    first, second = (plotting.render_png(curves({"a": [1.0, 2.0]}).figure, scales=(1.0,))[0] for _ in range(2))
    assert first == second


def test_drawing_says_nothing():
    """Deprecations are told to developers only: an older matplotlib meets a newer pyparsing."""
    program = """
import warnings; warnings.simplefilter("error"); warnings.simplefilter("ignore", DeprecationWarning)
import matplotlib; matplotlib.use("agg")
from deepunsup_helpers.plotting import *
import numpy as np
use_style()
ax = curves({"a": [3.0, 1.0], "b": [1e9, 1e12], "none": [float("nan")]}, yscale="log")
ax.set_ylim(0.5, 10); guess_line(ax, 2.0); render_png(ax.figure)
render_png(image_grid(np.zeros((3, 1, 8, 8)), titles="abc").figure)
render_png(latent_scatter(np.zeros((3, 2)), [0, 1, 2]).figure)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
