"""When to stop: no better validation number for some epochs."""

import math
from collections.abc import Mapping, Sequence

import torch


class EarlyStopping:
    """Keeps the weights of the epoch with the lowest validation number, and knows when there is nothing more to wait for.

    Args:
        modules: by name, whose weights are kept and put back.
        patience: epochs without a lower number until it is `over`, at least 1.
        watch: the validation number's name, or None for the first one.
    """

    def __init__(self, modules: Mapping[str, torch.nn.Module], patience: int, watch: str | None):
        self.modules, self.patience, self.watch = modules, patience, watch
        self.best, self.best_epoch, self.epoch = math.inf, 0, 0
        self.weights: dict[str, dict] = {}

    @property
    def over(self) -> bool:
        """Whether `patience` epochs have gone by without a lower number."""
        return self.epoch - self.best_epoch >= self.patience

    def look(self, measured: Mapping[str, float], epoch: int) -> None:
        """After an epoch: keep the weights if its number is the lowest so far.

        Raises:
            ValueError: the number watched is not among those measured.
        """
        watch = next(iter(measured), None) if self.watch is None else self.watch
        if watch not in measured:
            raise ValueError(f"watch={watch!r}: validate returned {sorted(measured)}; name one of these.")
        self.epoch = epoch
        if measured[watch] < self.best:
            self.best, self.best_epoch = measured[watch], epoch
            self.weights = {
                name: {key: value.detach().clone() for key, value in module.state_dict().items()}
                for name, module in self.modules.items()
            }

    def restore(self) -> None:
        """Put the best epoch's weights back; nothing if no epoch was complete."""
        for name, weights in self.weights.items():
            self.modules[name].load_state_dict(weights)

    def state_dict(self) -> dict:
        """What a checkpoint keeps."""
        return {"best": self.best, "best_epoch": self.best_epoch, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, saved: Mapping) -> None:
        """Go on from what a checkpoint kept."""
        self.best, self.best_epoch, self.epoch = saved["best"], saved["best_epoch"], saved["epoch"]
        self.weights = saved["weights"]


def early_stopping(
    state: Mapping[str, object], *, patience: int | None, watch: str | None, validates: bool
) -> EarlyStopping | None:
    """The stopping that `fit`'s arguments ask for, or None.

    Raises:
        ValueError: `patience` below 1, no `validate` to look at, or `watch` without `patience`.
    """
    if patience is None and watch is None:
        return None
    if patience is None or patience < 1 or not validates:
        raise ValueError(
            f"patience={patience}, watch={watch!r}: early stopping needs patience, 1 or more epochs, and validate=..."
        )
    modules: Sequence = [(name, thing) for name, thing in state.items() if isinstance(thing, torch.nn.Module)]
    return EarlyStopping(dict(modules), patience, watch)
