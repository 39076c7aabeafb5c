"""One look for every figure of the course: image grids, curves, latent maps.

Plots take tensors or arrays and an optional `ax`, return the `ax` and display nothing; `show` displays.
"""

from deepunsup_helpers.plotting.charts import curves, latent_scatter
from deepunsup_helpers.plotting.display import png_bundle, render_png, show
from deepunsup_helpers.plotting.images import image_grid, image_rows
from deepunsup_helpers.plotting.marks import dots, guess_line, label_points, reference_line
from deepunsup_helpers.plotting.style import CLASS_COLOURS, GUESS_COLOUR, LINE_COLOURS, WIDTH, as_text, use_style

__all__ = [
    "CLASS_COLOURS",
    "GUESS_COLOUR",
    "LINE_COLOURS",
    "WIDTH",
    "as_text",
    "curves",
    "dots",
    "guess_line",
    "image_grid",
    "image_rows",
    "label_points",
    "latent_scatter",
    "png_bundle",
    "reference_line",
    "render_png",
    "show",
    "use_style",
]
