"""Whatever is drawn, a picture comes out, without a warning: odd labels, odd numbers, nothing, very many classes."""

import io
import math
import warnings

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import font_manager
from PIL import Image

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from deepunsup_helpers.plotting import (  # noqa: E402
    as_text,
    curves,
    guess_line,
    image_grid,
    image_rows,
    latent_scatter,
    render_png,
    use_style,
)

NAMES = [
    "$",
    "$$",
    "$a_b$",
    r"\frac{",
    "a_b^c",
    "50 % of $x$",
    r"\$",
    "猫",
    "กา",
    "a" * 300,
    "",
    "\u2603",
    "tab\tnewline\n2",
]


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # for developers: an older matplotlib, a newer pyparsing
        use_style()
        yield
    plt.close("all")


def drawn(ax) -> np.ndarray:
    png, width, height = render_png(ax, scales=(1.0,))
    assert width < 2000 and height < 2000
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_any_name_is_drawn_in_every_figure():
    n = len(NAMES)
    x = torch.rand(n, 1, 8, 8)
    drawn(image_grid(x, titles=NAMES))
    drawn(image_rows({name: x for name in NAMES}, titles=NAMES[::-1]))
    drawn(curves({name: [1.0, i] for i, name in enumerate(NAMES)}))
    drawn(latent_scatter(torch.rand(n, 2), torch.arange(n), class_names=NAMES))
    for i, axis in enumerate("xyx"):
        drawn(guess_line(curves({"calm": [1.0, 2.0]}), 1.5, label=NAMES[2 * i + 1], axis=axis))


@pytest.mark.parametrize("name", ["$", "$$", "$a_b$", r"\$", r"\alpha$", r"a\$b$", "a_b"])
def test_a_name_is_drawn_as_it_is_and_not_as_markup(name):
    fig, (as_it_is, ours) = plt.subplots(2, figsize=(4, 2))
    as_it_is.set_title(name, parse_math=False)
    ours.set_title(as_text(name))
    fig.draw_without_rendering()
    a, b = as_it_is._left_title, ours._left_title
    assert a._get_layout(fig.canvas.get_renderer())[0].width == b._get_layout(fig.canvas.get_renderer())[0].width
    assert not b._preprocess_math(b.get_text())[1] and b._preprocess_math(b.get_text())[0] == name


def test_broken_markup_in_a_title_of_ones_own_becomes_plain_and_good_markup_stays():
    fig, ax = plt.subplots()
    ax.set(title=r"costs $\frac{$", xlabel="$x_1$")
    broken = drawn(ax)
    fig, ax = plt.subplots()
    ax.set_title(r"costs $\frac{$", parse_math=False)
    ax.set_xlabel("$x_1$", parse_math=False)
    np.testing.assert_array_equal(broken, drawn(ax))


def test_a_script_that_no_installed_font_has_costs_no_warning_and_a_font_for_it_is_used():
    assert drawn(image_grid(torch.rand(1, 1, 8, 8), titles=["\U00013000"])).size  # a hieroglyph
    fonts = matplotlib.rcParams["font.family"]
    assert fonts[0] == "DejaVu Sans" and set(fonts) <= set(font_manager.get_font_names())
    with_fallbacks = drawn(curves({"plain": [1.0, 2.0]}))
    matplotlib.rcParams["font.family"] = ["DejaVu Sans"]
    np.testing.assert_array_equal(with_fallbacks, drawn(curves({"plain": [1.0, 2.0]})))


ODD = {
    "huge": [1.0, 1e308, -1e308],
    "tiny": [1e-320, 5e-324, 1e-300],
    "not finite": [1.0, math.nan, math.inf, -math.inf],
    "nothing finite": [math.nan, math.inf],
    "nothing": [],
    "one": [3.0],
    "zeros": [0.0, 0.0, 0.0],
    "negative": [-1.0, -2.0],
    "whole": [2**62, 2**63 - 1],
}


@pytest.mark.parametrize("yscale", ["linear", "log"])
def test_any_numbers_are_drawn_as_curves_and_guesses(yscale):
    fig, axes = plt.subplots(4, len(ODD), figsize=(14, 8))
    for column, values in zip(axes.T, ODD.values()):
        guess_line(curves({"odd": values}, yscale=yscale, ax=column[0]), 1.0)
        curves({"odd": values, "calm": [1.0, 2.0]}, yscale=yscale, ax=column[1])
        curves({"calm": [1.0] * len(values)}, x=values, yscale=yscale, ax=column[2])
    for ax, guess in zip(axes[3], (1e308, -1e308, 5e-324)):
        guess_line(curves({"calm": [1.0, 2.0]}, yscale=yscale, ax=ax), guess)
    curves({}, yscale=yscale, ax=axes[3, 3])
    drawn(fig)


def test_positions_in_single_precision_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = curves({"a": [1.0, 2.0]}, x=torch.tensor([0.5, 1.5]))
        assert ax.lines[0].get_xdata().tolist() == [0.5, 1.5]
    plt.close("all")


def test_any_pixels_are_drawn():
    x = torch.tensor([math.nan, math.inf, -math.inf, 0.5], dtype=torch.float64).repeat(16).reshape(1, 1, 8, 8)
    assert len(np.unique(drawn(image_grid(x)))) > 2
    drawn(image_grid(np.full((3, 8, 8), 1e308)))
    drawn(image_grid(torch.zeros(1, 1, 1, 1)))
    drawn(image_grid(torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8), value_range=(0, 255)))
    with pytest.raises(ValueError, match="value_range is"):
        image_grid(x, value_range=(0, math.inf))


@pytest.mark.parametrize("classes", [0, 1, 2, 120, 3000])
def test_any_number_of_classes_is_drawn(classes):
    y = np.repeat(np.arange(classes), 3)
    z = np.random.default_rng(0).normal(size=(len(y), 2))
    ax = latent_scatter(z, y, class_names=[f"class {c}" for c in range(classes)])
    drawn(ax)
    assert len(ax.texts) == (0 if classes < 2 else min(classes, 20))


def test_points_that_are_not_finite_or_huge_are_no_obstacle():
    z = torch.tensor([[0.0, 1.0], [math.nan, 1.0], [1.0, math.inf], [1.0, 0.0]])
    ax = latent_scatter(z, [0, 0, 1, 1])
    assert len(ax.collections[0].get_offsets()) == 2 and drawn(ax).size
    drawn(latent_scatter(np.array([[1e308, -1e308], [-1e308, 1e308], [0, 0]]), [0, 1, 2]))
    drawn(latent_scatter(np.zeros((1, 2))))


def test_classes_without_a_name_are_said():
    z = torch.rand(3, 2)
    with pytest.raises(ValueError, match="y holds classes 0 to 2, class_names 2 names"):
        latent_scatter(z, [0, 1, 2], class_names=["a", "b"])
    with pytest.raises(ValueError, match="y holds classes -1 to 1"):
        latent_scatter(z, [-1, 0, 1], class_names=["a", "b"])
    with pytest.raises(ValueError, match="expected whole class numbers"):
        latent_scatter(z, [0.5, 1, 2])
