"""A progress bar for notebooks and terminals whose stored text never varies."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping


@contextlib.contextmanager
def progress_bar(
    total: int, unit: str, *, start: int, enabled: bool
) -> Iterator[Callable[[Mapping[str, float], int], None]]:
    """A tqdm bar over epochs or updates; yields `advance(terms, done)`, called after each epoch.

    In a notebook the bar is a widget; the text stored beside it is fixed, since nbval compares it.
    """
    if not enabled:
        yield lambda terms, done: None
        return
    ipython = sys.modules.get("IPython")  # in a notebook it is loaded; a script needs none
    shell = ipython and ipython.get_ipython()
    in_notebook = shell is not None and hasattr(shell, "kernel")
    if in_notebook:
        from IPython.display import display
        from tqdm.notebook import tqdm

        bar = tqdm(total=total, initial=start, unit=unit, display=False)
        view = bar.container._repr_mimebundle_()
        display({**view, "text/plain": f"progress: {total} {unit}s"}, raw=True)
        bar.displayed = True
    else:
        from tqdm import tqdm

        bar = tqdm(total=total, initial=start, unit=unit, leave=False)

    def advance(terms: Mapping[str, float], done: int) -> None:
        bar.set_postfix({name: f"{value:.4g}" for name, value in terms.items()}, refresh=False)
        bar.update(done - bar.n)

    try:
        yield advance
    finally:
        bar.close()


def track(things: Iterable, unit: str = "training") -> Iterator:
    """The same things, one after another, with a bar that says how far it is: `for seed in track(seeds, "seed"): ...`.

    Args:
        things: a list, a dict (its keys), or anything else of known length.
        unit: what one of them is called.
    """
    things = list(things)
    with progress_bar(len(things), unit, start=0, enabled=True) as advance:
        for done, thing in enumerate(things, start=1):
            yield thing
            advance({}, done)
