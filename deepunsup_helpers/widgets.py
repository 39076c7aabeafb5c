"""Live curves while a model trains, and sliders over figures: what also prints, tests and runs without a browser.

Both put a `widgets.Image` on the page and change its bytes. Nothing here needs an `Output` widget, `clear_output` or
`update_display`, which nbval does not know, and what is stored in the notebook is the same text in every run.
"""

import math
import time

import ipywidgets as widgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from deepunsup_helpers.plotting import curves, image_grid, image_rows, png_bundle, render_png, show
from deepunsup_helpers.plotting.display import in_notebook

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class LiveCurves:
    """A hook for `fit` that redraws the loss curves while training runs: `fit(..., hooks=[live])`.

    It observes only: a figure that cannot be drawn is reported once, and the training goes on. Drawing takes at most
    about a tenth of the time. Outside a notebook it does nothing.

    Args:
        ylabel: what the curves show, with its unit.
        panel: called without arguments at each redrawing; returns images (N, C, H, W) in [0, 1], or a dict of such rows
            as `image_rows` takes, drawn beside the curves. Let it use the same inputs each time.
        every_seconds: least time between two drawings.
    """

    def __init__(self, *, ylabel: str = "loss", panel=None, every_seconds: float = 1.0):
        self.ylabel, self.panel, self.every_seconds = ylabel, panel, every_seconds
        self.image: widgets.Image | None = None  # on the page from the first epoch on
        self.failed = False
        self._not_before = 0.0  # on the clock of time.monotonic

    def __call__(self, epoch: int, history) -> None:
        """After an epoch: redraw, unless the last drawing was just now."""
        if self.failed or not in_notebook():
            return
        try:
            self._redraw(history)
        except Exception as error:  # whatever it is, a long training must survive it
            self.failed = True
            print(f"live curves stopped, the training goes on: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Take the picture off the page; the cell after the training shows the figure that stays."""
        if self.image is not None:
            self.image.layout.display = "none"

    def _redraw(self, history) -> None:
        started = time.monotonic()
        if started < self._not_before:
            return
        png, width, _ = render_png(self._figure(history), scales=(1.5,))
        if self.image is None:
            self.image = _image(png, width)
            _display(self.image, {"text/plain": "live curves, redrawn while the training runs"})
        else:
            self.image.value = png
        now = time.monotonic()
        self._not_before = now + max(self.every_seconds, 9 * (now - started))

    def _figure(self, history) -> Figure:
        images = None if self.panel is None else self.panel()
        fig = Figure(figsize=(8.0, 2.8), layout="constrained")  # not through pyplot: it leaves no open figure behind
        if images is None:
            ax = fig.subplots()
        else:
            ax, beside = fig.subplots(ncols=2, width_ratios=(3, 2))
            if isinstance(images, dict):
                image_rows(images, ax=beside)
            else:
                image_grid(images, columns=math.ceil(math.sqrt(len(images))), ax=beside)
        curves(_series(history), ylabel=self.ylabel, ax=ax)
        return fig


def explore(draw, alt: str, *, start: dict | None = None, **sliders) -> None:
    """A figure with sliders; where no kernel answers (print, HTML, tests) the starting figure and its text.

    Args:
        draw: draw(name=value, ...) returns a figure or its ax.
        alt: what the figure shows, in one or two sentences; the output's plain text, so it must hold in every run.
        start: {name: value} to begin with; by default each slider's first value.
        **sliders: name=[values] or name=(lowest, highest, step).
    Raises:
        ValueError: no sliders, a slider of neither form, or a start that is not on its slider.
    """
    if not sliders:
        raise ValueError("explore needs a slider: name=[values] or name=(lowest, highest, step)")
    start = start or {}
    if unknown := set(start) - set(sliders):
        raise ValueError(f"start names {sorted(unknown)}; the sliders are {sorted(sliders)}")
    controls = {name: _slider(name, choices, start.get(name)) for name, choices in sliders.items()}
    fig = draw(**_values(controls))
    if not in_notebook():
        show(fig, alt)
        return
    png, width, _ = render_png(fig)
    data, metadata = png_bundle(fig, alt)
    _close(fig)
    image, complaint = _image(png, width), widgets.Label()

    def redraw(change) -> None:
        try:
            fig = draw(**_values(controls))
            image.value = render_png(fig)[0]
            _close(fig)
            complaint.value = ""
        except Exception as error:  # a widget's errors are lost unless they are written on the page
            complaint.value = f"{type(error).__name__}: {error}"

    for control in controls.values():
        control.observe(redraw, names="value")
    _display(widgets.VBox([*controls.values(), image, complaint]), data, metadata)


def _slider(name: str, choices, start) -> widgets.Widget:
    look = {
        "description": name.replace("_", " "),
        "style": {"description_width": "initial"},
        "layout": widgets.Layout(width="420px", max_width="100%"),
    }
    if isinstance(choices, tuple) and len(choices) == 3:
        low, high, step = choices
        start = low if start is None else start
        if not (step > 0 and low < high and low <= start <= high):
            raise ValueError(f"{name}={choices!r}, start {start!r}: expected lowest <= start <= highest and step > 0")
        kind = widgets.IntSlider if all(isinstance(c, int) for c in choices) else widgets.FloatSlider
        return kind(value=start, min=low, max=high, step=step, **look)
    if not isinstance(choices, list) or not choices:
        raise ValueError(f"{name}={choices!r}: expected [values] or (lowest, highest, step)")
    start = choices[0] if start is None else start
    if start not in choices:
        raise ValueError(f"{name}: start {start!r} is not among {choices}")
    return widgets.SelectionSlider(options=choices, value=start, **look)


def _values(controls: dict) -> dict:
    return {name: control.value for name, control in controls.items()}


def _series(history) -> dict[str, list[float]]:
    """Each term of training and validation, named as short as is clear."""
    alone = len(history.train) == 1
    series = {"training" if alone else name: values for name, values in history.train.items()}
    for name, values in history.validation.items():
        shared = alone and name in history.train
        series["validation" if shared else f"{name}, validation" if name in history.train else name] = values
    return series


def _image(png: bytes, width: int) -> widgets.Image:
    layout = widgets.Layout(width=f"{width}px", max_width="100%", height="auto", object_fit="contain")
    return widgets.Image(value=png, format="png", layout=layout)  # a tooltip breaks ipywidgets 8.1's view


def _close(fig) -> None:
    plt.close(fig.figure if hasattr(fig, "transAxes") else fig)


def _display(widget: widgets.Widget, data: dict, metadata: dict | None = None) -> None:
    """One output that is a widget where a kernel answers, and `data` everywhere else."""
    from IPython.display import display

    view = widget._repr_mimebundle_()
    view = view[0] if isinstance(view, tuple) else view
    display({WIDGET_VIEW: view[WIDGET_VIEW], **data}, metadata=metadata or {}, raw=True)
