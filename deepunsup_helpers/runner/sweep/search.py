"""Draws from ranges: at random, or by Optuna towards the smallest value of a metric."""

import ast
import importlib.util
import json
import random
from typing import Any

from ..errors import CommandError, nearest
from ..notebook.files import Notebook, source_of
from .grid import Axes


def random_draws(axes: Axes, count: int, seed: int) -> list[dict[str, Any]]:
    """`count` draws; the same for the same seed, so that a sweep can be resumed."""
    generator = random.Random(seed)
    return [{name: span.draw(generator.random()) for name, span in axes.drawn.items()} for _ in range(count)]


class OptunaSearch:
    """Draws chosen from the results of those before (the tree-structured Parzen estimator), `count` with the known ones.

    Nothing is kept but the trials themselves: a resumed sweep first computes again what is missing of the draws that it
    finds, tells them, and goes on from there.

    Source: Akiba and others 2019, arXiv:1907.10902.
    """

    def __init__(self, axes: Axes, *, count: int, seed: int, known: int):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._spans, self._left = optuna, axes.drawn, count - known
        sampler = optuna.samplers.TPESampler(
            seed=seed + known, constant_liar=True
        )  # the same seed draws the same again
        self._study = optuna.create_study(sampler=sampler)
        whole, real = optuna.distributions.IntDistribution, optuna.distributions.FloatDistribution
        self._ranges = {name: (whole if span.whole else real)(span.low, span.high, log=span.log)
                        for name, span in axes.drawn.items()}  # fmt: skip
        self._asked: dict[str, Any] = {}  # Optuna's trial of each draw that has no result yet

    def ask(self, most: int) -> list[dict[str, Any]]:
        """Up to `most` new draws; none when there are enough."""
        draws = []
        for _ in range(min(most, self._left)):
            trial = self._study.ask(self._ranges)
            draws.append({name: span.inside(trial.params[name]) for name, span in self._spans.items()})
            self._asked[json.dumps(draws[-1])] = trial
        self._left -= len(draws)
        return draws

    def tell(self, drawn: dict[str, Any], value: float | None) -> None:
        """The metric of a draw, or None where its runs failed; then its neighbourhood is avoided."""
        states = self._optuna.trial.TrialState
        trial = self._asked.pop(json.dumps(drawn), None)
        if trial:
            self._study.tell(trial, value, state=states.PRUNED if value is None else None)
        else:
            state = states.PRUNED if value is None else states.COMPLETE
            make = self._optuna.trial.create_trial
            self._study.add_trial(make(params=drawn, distributions=self._ranges, value=value, state=state))


def check_search(notebook: Notebook, axes: Axes, sample: int | None, minimize: str | None) -> None:
    """Find out before the first run that a search makes sense.

    Raises:
        CommandError: a range without --sample or the reverse, no Optuna, a metric that the notebook never records.
    """
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
    names: set[str] = set()
    for cell in notebook.cells:
        if cell.get("cell_type") != "code":
            continue
        try:
            tree = ast.parse(source_of(cell))
        except SyntaxError:  # a line of IPython's
            continue
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) == "record":
                if any(keyword.arg is None for keyword in call.keywords):
                    return None
                names |= {keyword.arg for keyword in call.keywords}
    return names - {"interrupted"}  # a remark, not a metric
