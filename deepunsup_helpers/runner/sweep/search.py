"""Draws from ranges: at random, or by Optuna towards the smallest value of a metric."""

import ast
import importlib.util
import random
from collections.abc import Generator
from typing import Any

from ..errors import CommandError, nearest
from ..notebook.files import Notebook
from ..notebook.syntax import tree_of
from .grid import Axes

# Batches of draws; whoever computes a batch sends back the metric of each of its draws, None where its runs failed.
Draws = Generator[list[dict[str, Any]], list[float | None], None]


def random_draws(axes: Axes, *, count: int, seed: int) -> Draws:
    """`count` draws at once; the same for the same seed, so that a sweep can be resumed."""
    generator = random.Random(seed)
    yield [{name: span.draw(generator.random()) for name, span in axes.drawn.items()} for _ in range(count)]


def optuna_draws(axes: Axes, *, count: int, seed: int, known: list[dict[str, Any]], batch: int) -> Draws:
    """The known draws, then, by `batch`, as many as `count` lacks, chosen by the tree-structured Parzen estimator.

    Nothing is kept but the trials themselves: a resumed sweep first computes again what is missing of the draws that it
    finds. Source: Akiba and others 2019, arXiv:1907.10902.
    """
    import optuna
    from optuna.distributions import FloatDistribution, IntDistribution

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(
        seed=seed + len(known), constant_liar=True
    )  # else it would repeat the known ones
    study = optuna.create_study(sampler=sampler)
    ranges = {name: (IntDistribution if span.whole else FloatDistribution)(span.low, span.high, log=span.log)
              for name, span in axes.drawn.items()}  # fmt: skip
    for draw in known:
        study.enqueue_trial(draw)
    left = max(count, len(known))
    while left:
        trials = [study.ask(ranges) for _ in range(min(len(known) or batch, left))]
        new = [{name: span.inside(trial.params[name]) for name, span in axes.drawn.items()} for trial in trials]
        values = yield known or new
        for trial, value in zip(trials, values):
            study.tell(trial, value, state=optuna.trial.TrialState.PRUNED if value is None else None)
        left, known = left - len(trials), []


def check_search(notebook: Notebook, axes: Axes, sample: int | None, minimize: str | None) -> None:
    """Find out before the first run that a search makes sense, or raise a CommandError."""
    if axes.drawn and sample is None:
        name = next(iter(axes.drawn))
        raise CommandError(f"parameter {name!r} is a range to draw from: say how often with --sample N.")
    if sample is not None and not axes.drawn:
        raise CommandError("--sample draws from ranges: give at least one, such as -p learning_rate=1e-4:1e-2:log")
    if minimize is None:
        return
    if sample is None:
        raise CommandError("--minimize chooses among draws: give --sample N and at least one range.")
    if importlib.util.find_spec("optuna") is None:
        raise CommandError('--minimize needs the extra [search]: pip install --editable ".[search]"')
    names = recorded_names(notebook)
    if names is not None and minimize not in names:
        raise CommandError(f"{notebook.name} records no metric {minimize!r}{nearest(minimize, sorted(names))}")


def recorded_names(notebook: Notebook) -> set[str] | None:
    """The names that the notebook's `record(...)` calls give; None where one gives them by `**`."""
    names: set[str | None] = set()
    for cell in notebook.code_cells:
        for call in ast.walk(tree_of(cell)):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) == "record":
                names |= {keyword.arg for keyword in call.keywords}
    return None if None in names else names - {"interrupted"}  # a remark, not a metric
