"""From a figure to what the notebook stores: a small, sharp PNG and the text that stands for it."""

import base64
import io
import math
import sys

import matplotlib.pyplot as plt

from deepunsup_helpers.plotting.charts import spread_labels
from deepunsup_helpers.plotting.style import PIXELS_PER_INCH

LARGE = 120_000  # bytes: a PNG above this gets fewer pixels; fifteen figures stay under 2 MB
UNSEEN = 1.0  # mean error, of 255 levels, up to which 256 colours pass for all


def show(fig, alt: str) -> None:
    """Display a figure as a PNG with a text that stands for it, and close it. The way a figure cell ends.

    Outside a notebook, where nothing can be displayed, the text is printed.

    Args:
        fig: a Matplotlib figure, or the ax of one.
        alt: what the figure shows, for those who cannot see it, in one or two sentences. It is also the output's
            plain text, which tests compare: say what holds in every run, not this run's numbers.
    Raises:
        ValueError: `alt` is empty.
    """
    fig = _figure(fig)
    try:
        if not alt.strip():
            raise ValueError("show needs alt, a sentence that says what the figure shows; it is empty")
        if not in_notebook():
            print(alt)
            return
        from IPython.display import display

        data, metadata = png_bundle(fig, alt)
        display(data, metadata=metadata, raw=True)
    finally:
        plt.close(fig)


def png_bundle(fig, alt: str) -> tuple[dict[str, str], dict[str, dict]]:
    """A figure as (data, metadata) of one Jupyter output: PNG in base64 and text; alt and size in CSS pixels."""
    png, width, height = render_png(fig)
    metadata = {"image/png": {"alt": alt, "width": width, "height": height}}
    return {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}, metadata


def render_png(fig, *, scales=(2.0, 1.5, 1.0)) -> tuple[bytes, int, int]:
    """A figure as PNG bytes, with its width and height in CSS pixels.

    Two PNG pixels for each CSS pixel, for sharp text on dense screens; fewer where the file would be large.
    """
    fig = _figure(fig)
    for ax in fig.axes:
        spread_labels(ax)
    fig.draw_without_rendering()  # settles the layout, and with it the distances between labels
    for ax in fig.axes:
        spread_labels(ax)
    for scale in scales:
        image = _rasterise(fig, dpi=PIXELS_PER_INCH * scale)
        png = _encode(image)
        if len(png) <= LARGE:
            break
    else:  # a page of photographs: rather 256 colours than megabytes
        png = _encode(image, most_error=math.inf)
    width, height = (max(1, round(side / scale)) for side in image.size)
    return png, width, height


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, not a terminal or a script."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _figure(fig):
    return fig.figure if hasattr(fig, "transAxes") else fig


def _rasterise(fig, *, dpi: float):
    from PIL import Image

    buffer = io.BytesIO()
    look = {"bbox_inches": "tight", "pad_inches": 0.06, "facecolor": "white", "pil_kwargs": {"compress_level": 0}}
    fig.savefig(buffer, format="png", dpi=dpi, **look)
    return Image.open(buffer).convert("RGB")


def _encode(image, *, most_error: float = UNSEEN) -> bytes:
    """PNG bytes of an RGB image: with a palette, a third of the size, where the eye does not see the difference."""
    from PIL import ImageChops, ImageStat

    palette = image.quantize(256, dither=0)
    if max(ImageStat.Stat(ImageChops.difference(image, palette.convert("RGB"))).mean) < most_error:
        image = palette
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
