"""A progress bar for notebooks and terminals whose stored text never varies."""

import contextlib
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def progress_bar(epochs: int, *, start: int, enabled: bool) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A tqdm bar over epochs; yields `advance(terms)`, called after each.

    In a notebook the bar is a widget; the text stored beside it is fixed, since nbval compares it.
    """
    if not enabled:
        yield lambda terms: None
        return
    from IPython import get_ipython

    shell = get_ipython()
    in_notebook = shell is not None and hasattr(shell, "kernel")
    if in_notebook:
        from IPython.display import display
        from tqdm.notebook import tqdm

        bar = tqdm(total=epochs, initial=start, unit="epoch", display=False)
        view = bar.container._repr_mimebundle_()
        display({**view, "text/plain": f"training: {epochs} epochs"}, raw=True)
        bar.displayed = True
    else:
        from tqdm import tqdm

        bar = tqdm(total=epochs, initial=start, unit="epoch", leave=False)

    def advance(terms: Mapping[str, float]) -> None:
        bar.set_postfix({name: f"{value:.4g}" for name, value in terms.items()}, refresh=False)
        bar.update()

    try:
        yield advance
    finally:
        bar.close()
