"""Draws from ranges: at random, or by Optuna towards the smallest value of a metric."""

import ast
import importlib.util
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CommandError, nearest
from ..notebook.files import Notebook, source_of
from .grid import Axes, Span


@dataclass
class RandomSearch:
    """`count` draws, all known at once; the same for the same seed, so that a sweep can be resumed."""

    axes: Axes
    count: int
    seed: int

    def ask(self, most: int) -> list[tuple[int, dict[str, Any]]]:
        """All draws, each with its number; none when asked again."""
        generator = random.Random(self.seed)
        draws = [
            {name: span.draw(generator.random()) for name, span in self.axes.drawn.items()} for _ in range(self.count)
        ]
        self.count = 0
        return list(enumerate(draws))

    def tell(self, number: int, value: float | None) -> None:
        """Random draws learn nothing."""


class OptunaSearch:
    """`count` draws, each chosen from the results of those before it (the tree-structured Parzen estimator).

    The study lies in the sweep's folder: a resumed sweep knows what was found, and computes first what was cut off.

    Source: Akiba and others 2019, arXiv:1907.10902.
    """

    def __init__(self, axes: Axes, *, count: int, seed: int, file: Path, name: str):
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._axes, self._count = optuna, axes, count
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))), sampler=sampler, study_name=name, load_if_exists=True,
        )  # fmt: skip
        running = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        for trial in running:  # cut off: the same values again
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    def ask(self, most: int) -> list[tuple[int, dict[str, Any]]]:
        """Up to `most` new draws, each with its number; none when `count` draws have an end."""
        states = self._optuna.trial.TrialState
        ended = len(self._study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))
        draws = []
        for _ in range(min(most, self._count - ended)):
            trial = self._study.ask()
            draws.append((trial.number, {name: _suggest(trial, name, span) for name, span in self._axes.drawn.items()}))
        return draws

    def tell(self, number: int, value: float | None) -> None:
        """The metric of a draw, or None where its runs failed."""
        state = None if value is not None else self._optuna.trial.TrialState.PRUNED
        self._study.tell(number, value, state=state)


def _suggest(trial: Any, name: str, span: Span) -> Any:
    """A value from the range, six digits long."""
    if span.whole:
        return trial.suggest_int(name, int(span.low), int(span.high), log=span.log)
    return float(f"{trial.suggest_float(name, span.low, span.high, log=span.log):.6g}")


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
    return names - {"interrupted"}  # a remark, not a figure
