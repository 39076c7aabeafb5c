"""How a figure leaves a notebook: `record(test_loss=105.6)`."""

import math
import warnings

MIME_TYPE = "application/vnd.deepunsup.metrics+json"
WARNING_MIME_TYPE = "application/vnd.deepunsup.warning+json"


def record(*, interrupted: bool = False, **metrics: float) -> None:
    """Display named figures so that `deepunsup run` collects them into metrics.json.

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
    from IPython import get_ipython

    if get_ipython() is None:  # a plain Python script
        print(text)
        return
    from IPython.display import display

    bundle = {MIME_TYPE: {"metrics": finite, "interrupted": bool(interrupted)}, "text/plain": text}
    display(bundle, raw=True)


def warn(text: str) -> None:
    """Show a warning about the user's data where she looks: in the notebook, the terminal, run.json and the report.

    Args:
        text: one sentence or two: what is odd, what was done about it, what to do if that is wrong.
    """
    from IPython import get_ipython

    if get_ipython() is None:  # a plain Python script
        warnings.warn(text, stacklevel=3)
        return
    from IPython.display import display

    display({WARNING_MIME_TYPE: {"text": text}, "text/plain": f"warning: {text}"}, raw=True)
