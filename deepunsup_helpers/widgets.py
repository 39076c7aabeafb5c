"""Live curves while a model trains, and sliders over figures: what also prints, tests and runs without a browser.

Both put a `widgets.Image` on the page and change its bytes. Nothing here needs an `Output` widget, `clear_output` or
`update_display`, which nbval does not know, and what is stored in the notebook is the same text in every run.
"""

import base64
import itertools
import math
import os
import time

import ipywidgets as widgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from deepunsup_helpers.plotting import curves, image_grid, image_rows, png_bundle, render_png, show
from deepunsup_helpers.plotting.display import in_notebook
from deepunsup_helpers.training.devices import undisturbed_rng

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.deepunsup.states+json"  # in an output's metadata: what its sliders show, for where no kernel answers
MOST_STATES, MOST_BYTES = 30, 250_000  # of one output; two or three of them leave a notebook under 1.5 MB


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

    When the variable DEEPUNSUP_STATES is set, as while a notebook's outputs are made to be stored, the pictures of up to
    thirty places of the sliders go into the output's metadata, for pages that have no kernel.

    Args:
        draw: draw(name=value, ...) returns a figure or its ax.
        alt: what the figure shows, in one or two sentences; the output's plain text, so it must hold in every run.
        start: {name: value} to begin with; by default each slider's first value.
        **sliders: name=[values] or name=(lowest, highest, step).
    Raises:
        ValueError: no sliders, a slider of neither form, or a start that is not on its slider.

    explore(lambda beta: draw(models[beta]), "Samples for each beta.", beta=[0.1, 1, 10], start={"beta": 1})
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
    if os.environ.get("DEEPUNSUP_STATES"):
        metadata[STATES] = _states(draw, controls)
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


def _states(draw, controls: dict) -> dict:
    """Pictures of the sliders' places: {"sliders": {name: values}, "states": [{"values", "png" in base64}]}.

    All combinations if they are few, else one slider at a time moves from the start; evenly thinned to what has room.
    Random numbers that `draw` takes are given back, so that what follows in the notebook is the same without this.
    """
    places = {name: _places(control) for name, control in controls.items()}
    combinations = [dict(zip(places, values)) for values in itertools.product(*places.values())]
    if len(combinations) > MOST_STATES:
        start = _values(controls)
        combinations = [start | {name: value} for name, values in places.items() for value in values]
    states = []
    with undisturbed_rng():
        for values in _thinned(combinations, MOST_STATES):
            try:
                fig = draw(**values)
            except Exception:  # the slider's own message says it, where a kernel answers
                continue
            png = base64.b64encode(render_png(fig, scales=(1.0,))[0]).decode("ascii")
            _close(fig)
            states.append({"values": values, "png": png})
    largest = max((len(state["png"]) for state in states), default=1)
    return {"sliders": places, "states": _thinned(states, max(1, MOST_BYTES // largest))}


def _places(control: widgets.Widget) -> list:
    if isinstance(control, widgets.SelectionSlider):
        return list(control.options)
    count = int((control.max - control.min) / control.step + 1e-6) + 1
    return [control.min + i * control.step for i in range(count)]


def _thinned(items: list, most: int) -> list:
    """At most `most` of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / max(1, most - 1))] for i in range(most)]


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
