"""From a figure to what the notebook stores: a small, sharp PNG and the text that stands for it."""

import base64
import io
import itertools
import math
import os
import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.text import Text

from deepunsup_helpers.files import write_atomically
from deepunsup_helpers.plotting.charts import spread_labels
from deepunsup_helpers.plotting.style import PIXELS_PER_INCH

LARGE = 120_000  # bytes: a PNG above this gets fewer pixels; fifteen figures stay under 2 MB
UNSEEN = 1.0  # mean error, of 255 levels, up to which 256 colours pass for all
MANY = 60_000  # colours: a page that has more is one of photographs, for which 256 never pass


def show(fig, alt: str) -> None:
    """Display a figure as a PNG with a text that stands for it, and close it. The way a figure cell ends.

    In a script it opens a window, as `plt.show()` does. Where there is no display, and under `deepunsup run` (the variable
    DEEPUNSUP_OUTPUT), the figure goes into a file, `train-1.png` for the first one of train.py, and a line says where.

    Args:
        fig: a Matplotlib figure, or the ax of one.
        alt: what the figure shows, for those who cannot see it, in one or two sentences. It is also the output's
            plain text, which tests compare: say what holds in every run, not this run's numbers.
    Raises:
        ValueError: `alt` is empty.
        TypeError: `fig` is no figure.

    show(image_grid(vae.sample(40)), "Forty digits that the VAE has made up.")
    """
    fig = _figure(fig)
    try:
        if not alt.strip():
            raise ValueError("show needs alt, a sentence that says what the figure shows; it is empty")
        if not in_notebook():
            _show_in_a_script(fig, alt)
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
    _lay_out(fig)
    size = 0
    for scale in scales:
        if scale > scales[-1] and size > 2.5 * LARGE:  # a page of photographs: a little smaller will not do
            continue
        image = _rasterise(fig, dpi=PIXELS_PER_INCH * scale)
        png = _encode(image)
        size = len(png)
        if size <= LARGE:
            break
    else:  # rather 256 colours than megabytes
        png = _encode(image, most_error=math.inf)
    width, height = (max(1, round(side / scale)) for side in image.size)
    return png, width, height


_COUNT = itertools.count(1)  # of the figures that this script has written


def _show_in_a_script(fig, alt: str) -> None:
    window = fig.canvas.manager is not None and getattr(fig.canvas, "required_interactive_framework", None)
    if window and not os.environ.get("DEEPUNSUP_OUTPUT"):
        for ax in fig.axes:
            spread_labels(ax)
        print(alt)
        plt.show()
        return
    script = Path(sys.argv[0]).stem
    script = "figure" if script in ("", "-c", "-", "__main__") else script
    path = Path(os.environ.get("DEEPUNSUP_OUTPUT") or "") / f"{script}-{next(_COUNT)}.png"
    png, _, _ = render_png(fig)
    try:
        write_atomically(path, lambda part: Path(part).write_bytes(png))
    except OSError as error:  # a picture is not worth a long script's end
        print(f"{alt} (the figure could not be written to {path}: {error.strerror})")
    else:
        print(f"{alt} (figure written to {path})")


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, not a terminal or a script."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _figure(fig):
    fig = fig.figure if hasattr(fig, "transAxes") else fig
    if not hasattr(fig, "savefig"):
        raise TypeError(f"expected a figure or an ax, got {type(fig).__name__}; image_grid(images) makes one of images")
    return fig


def _lay_out(fig) -> None:
    """Settle the layout, and with it the distances between labels; a text that is no valid markup becomes plain."""
    for ax in fig.axes:
        spread_labels(ax)
    try:
        _quietly(fig.draw_without_rendering)
    except ValueError:  # somebody's "$" in a title
        for text in fig.findobj(Text):
            text.set_parse_math(False)
        _quietly(fig.draw_without_rendering)
    for ax in fig.axes:
        spread_labels(ax)


def _quietly(draw, *arguments, **keywords) -> None:
    """Draw without a warning for what can be seen: a glyph that no installed font has is a box, long names leave little room."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from|constrained_layout not applied")
        draw(*arguments, **keywords)


def _rasterise(fig, *, dpi: float):
    from PIL import Image

    buffer = io.BytesIO()
    look = {"bbox_inches": "tight", "pad_inches": 0.06, "facecolor": "white", "pil_kwargs": {"compress_level": 0}}
    _quietly(fig.savefig, buffer, format="png", dpi=dpi, **look)
    return Image.open(buffer).convert("RGB")


def _encode(image, *, most_error: float = UNSEEN) -> bytes:
    """PNG bytes of an RGB image: with a palette, a third of the size, where the eye does not see the difference."""
    from PIL import ImageChops, ImageStat

    if most_error == math.inf or image.getcolors(MANY) is not None:
        palette = image.quantize(256, dither=0)  # slow where colours are many, and then in vain
        if max(ImageStat.Stat(ImageChops.difference(image, palette.convert("RGB"))).mean) < most_error:
            image = palette
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=6)  # 9 makes it 3 % smaller and takes five times as long
    return buffer.getvalue()
