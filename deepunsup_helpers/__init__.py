"""Helpers of the course *Deep unsupervised learning, by running it*: the most used names, and the parts behind them.

from deepunsup_helpers import Batches, fit, load, record, save_model, show, update

Importing this package imports neither torch nor anything else that is heavy: a name brings its part when it is first
asked for. The parts are `data`, `models`, `losses`, `training`, `metrics`, `plotting`, `widgets` and `saving`.
"""

from importlib import import_module

from deepunsup_helpers.record import claim, record, warn

__version__ = "0.1.0"

_LATER = {
    "answer": "printing",
    "Batches": "data",
    "Dataset": "data",
    "evaluate": "training",
    "fit": "training",
    "load": "data",
    "load_model": "saving",
    "nearest": "metrics",
    "one_cycle": "training",
    "pick_device": "training",
    "predict": "training",
    "save_images": "results",
    "save_model": "saving",
    "save_table": "results",
    "seed_everything": "training",
    "show": "plotting",
    "show_table": "printing",
    "spread": "printing",
    "track": "training",
    "update": "training",
    "use_style": "plotting",
}

_PARTS = ("data", "losses", "metrics", "models", "plotting", "saving", "training", "widgets")

__all__ = ["claim", "record", "warn", *_LATER]


def __getattr__(name: str):
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PARTS})
