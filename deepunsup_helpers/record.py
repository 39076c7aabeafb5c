"""How metrics, claims and warnings leave a notebook: `record(test_loss=105.6)`, `claim("...", a < b)`, `warn("...")`."""

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

MIME_TYPE = "application/vnd.deepunsup.metrics+json"
CLAIM_MIME_TYPE = "application/vnd.deepunsup.claim+json"
WARNING_MIME_TYPE = "application/vnd.deepunsup.warning+json"


def record(*, interrupted: bool = False, **metrics: float) -> None:
    """Display named metrics so that `deepunsup run` collects them into metrics.json.

    The plain text shown in the notebook carries the names only, so that stored outputs compare equal on every machine.

    Args:
        interrupted: True when training was stopped by hand (`history.interrupted`); the run's status says so.
        **metrics: name to finite number (anything `float()` takes, a 0-d tensor included).
    Raises:
        ValueError: no metric was given, or one is not a finite number.
    """
    if not metrics:
        raise ValueError("record() was given no metric: write record(name=value).")
    finite = {}
    for name, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"record({name}=...): expected one number, got {type(value).__name__}.") from error
        if not math.isfinite(number):
            raise ValueError(f"record({name}=...): expected a finite number, got {number}.")
        finite[name] = number

    text = "recorded: " + ", ".join(finite)
    if not _shown({MIME_TYPE: {"metrics": finite, "interrupted": bool(interrupted)}, "text/plain": text}):
        print(text)


def claim(text: str, holds: bool | Callable[[], bool], *, when: bool = True) -> None:
    """State what this run should show, and keep whether it does; never stops a run.

    Shows one line ("holds: ...", "does not hold: ...", "not asked: ...") and is collected into claims.json.
    `claim("the VAE reconstructs better than PCA", lambda: vae_error < pca_error, when=dataset == "strokes")`

    Args:
        text: the claim in one sentence. It is the claim's identity over many runs: no measured numbers in it, and
            no text twice in a notebook.
        holds: true or false (a NumPy bool or a tensor of one element too), or a function without arguments that is
            called only if `when`. What raises an error, or is neither true nor false, does not hold; the line says why.
        when: whether to ask at all: false where other data or a short run cannot bear the claim out.
    """
    why = ""
    try:
        held = _truth(holds() if callable(holds) else holds) if _truth(when) else None
    except Exception as error:
        held, why = False, f" ({type(error).__name__}: {error})".partition("\n")[0]
    line = {True: "holds", False: "does not hold", None: "not asked"}[held] + f": {text}{why}"
    if not _shown({CLAIM_MIME_TYPE: {"text": str(text), "holds": held}, "text/plain": line}):
        print(line)


def _truth(value: Any) -> bool:
    """`value` as a bool, where it is one: Python's, NumPy's, or an array or tensor of one element."""
    truth = value.item() if hasattr(value, "item") else value
    if not isinstance(truth, bool):
        raise TypeError(f"expected true or false, got {type(value).__name__}")
    return truth


def warn(text: str, *, category: type[Warning] = UserWarning) -> None:
    """Show a warning about the user's data where she looks: in the notebook, the terminal, run.json and the report.

    Args:
        text: one sentence or two: what is odd, what was done about it, what to do if that is wrong.
        category: of the Python warning that it is in a script.
    """
    if not _shown({WARNING_MIME_TYPE: {"text": text}, "text/plain": f"warning: {text}"}):
        frame, level = sys._getframe(), 1  # the line outside this package that asked for the data
        while frame.f_back and frame.f_globals.get("__name__", "").startswith("deepunsup_helpers"):
            frame, level = frame.f_back, level + 1
        warnings.warn(text, category, stacklevel=level)


def _shown(bundle: dict[str, Any]) -> bool:
    """Display a bundle of MIME types if a notebook is running; a plain script, or a machine without IPython, has none."""
    ipython = sys.modules.get("IPython")  # a running kernel has loaded it
    if ipython is None or ipython.get_ipython() is None:
        return False
    from IPython.display import display

    display(bundle, raw=True)
    return True
