"""Colours, sizes and type: what makes figures of different notebooks look like one course."""

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager

# Lines: Okabe & Ito, "Color Universal Design" (2008), without yellow, which vanishes on white; black became a grey.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5A5A5A")
# Classes: Paul Tol's "muted" scheme (SRON/EPS/TN/09-002) and a black: ten colours for every kind of sight.
CLASS_COLOURS = (
    "#332288",
    "#DDCC77",
    "#44AA99",
    "#882255",
    "#88CCEE",
    "#117733",
    "#CC6677",
    "#999933",
    "#AA4499",
    "#1A1A1A",
)
INK, QUIET, GRID = "#222222", "#8A8A8A", "#E6E6E6"
GUESS_COLOUR = "#000000"  # dashed: no line of the data is black
WIDTH = 8.0  # inches of a full-width figure, 800 CSS pixels: the column of JupyterLab on a laptop
PIXELS_PER_INCH = 100  # as displayed
# For what DejaVu Sans, which comes with Matplotlib, has no glyphs: those of these that are installed, in this order.
FALLBACK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Hiragino Sans GB",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Nirmala UI",
    "Leelawadee UI",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Thai",
    "Arial Unicode MS",
)
LARGEST = 1e150  # what is drawn of larger numbers: axes with room for margins and squares stay below float64's 1.8e308


def use_style() -> None:
    """Set the course's look for all following figures."""
    installed = set(font_manager.get_font_names())
    mpl.rcParams.update(
        {
            "figure.dpi": PIXELS_PER_INCH,
            "figure.figsize": (WIDTH, 3.6),
            "figure.constrained_layout.use": True,
            "font.family": ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)],
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.titlepad": 8,
            "axes.labelsize": 11,
            "axes.labelcolor": INK,
            "axes.edgecolor": QUIET,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": mpl.cycler(color=LINE_COLOURS),
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "xtick.color": QUIET,
            "ytick.color": QUIET,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "text.color": INK,
            "lines.linewidth": 2.0,
            "lines.solid_capstyle": "round",
            "legend.frameon": False,
            "legend.fontsize": 10,
            "image.cmap": "cividis",
        }
    )


def as_text(name, *, most: int = 40) -> str:
    """A name so that Matplotlib writes it as it is, never as markup, wherever it takes a text.

    A `$` stands for itself, and with it `_`, `^` and backslashes. A line of more than `most` characters ends with three
    dots, tabs and the like are spaces.

    ax.set_title(as_text(data.name))
    """
    name = "".join(c if c.isprintable() or c == "\n" else " " for c in str(name))
    lines = (line if len(line) <= most else line[: most - 1] + "\u2026" for line in name.split("\n"))
    return "\n".join(lines).replace("$", r"\$")


def text_colour(colour: str) -> str:
    """A line's colour, darkened until text in it reads well on white: contrast 4.5, WCAG 2's bound for body text."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    while 1.05 / (luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.95
    return mpl.colors.to_hex(rgb)


def luminance(colour) -> float:
    """Relative luminance of a colour, from 0 (black) to 1 (white), by WCAG 2."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def as_array(values) -> np.ndarray:
    """A tensor on any device, or anything array-like, as a NumPy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
    elif isinstance(values, (list, tuple)) and any(hasattr(v, "detach") for v in values):
        values = [as_array(v) for v in values]
    return np.asarray(values)
