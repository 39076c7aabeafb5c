"""What a training recorded, and how its numbers are averaged on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from deepunsup_helpers.training.accelerators import ranks


@dataclass
class History:
    """What a training recorded, one number an epoch: `history.train["loss"][-1]` is the last epoch's mean."""

    train: dict[str, list[float]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)  # training alone, without validation and hooks
    interrupted: bool = False
    updates: int = 0  # steps in the completed epochs
    best_epoch: int | None = None  # counted from 1, where training watched for it (`patience`)

    @property
    def epochs(self) -> int:
        """Completed epochs."""
        return len(self.seconds)

    def append(
        self, train: Mapping[str, float], validation: Mapping[str, float], *, seconds: float, updates: int
    ) -> None:
        """One epoch more."""
        for kept, new in ((self.train, train), (self.validation, validation)):
            for name, value in new.items():
                kept.setdefault(name, []).append(value)
        self.seconds.append(seconds)
        self.updates += updates


class TrainingDiverged(RuntimeError):
    """A loss term is no longer a finite number. Carries `epoch` (from 1), `term` and the `history` before it."""

    def __init__(self, epoch: int, term: str, history: History):
        self.epoch, self.term, self.history = epoch, term, history
        super().__init__(
            f"training diverged: {term!r} is no longer finite in epoch {epoch}. Lower the learning rate, clip "
            "the gradients (update(..., max_norm=1.0)), or look for log(0) and division by zero in the loss."
        )


def named(terms: Any) -> Mapping[str, Any]:
    """A dict of what a step returned: a dict, or a named tuple such as `VAELoss(total, reconstruction, kl)`.

    Raises:
        TypeError: it has no names.
    """
    if isinstance(terms, Mapping):
        return terms
    if isinstance(terms, tuple) and hasattr(terms, "_asdict"):
        return terms._asdict()
    raise TypeError(
        f"the numbers to record need names, but a {type(terms).__name__} was returned: "
        'expected a dict such as {"loss": loss}, or a named tuple.'
    )


class Means:
    """Example-weighted means of named terms, kept on the device: one small addition a term and step."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.examples = self.updates = 0

    def add(self, terms: Any, examples: int) -> None:
        self.examples += examples
        self.updates += 1
        for name, value in named(terms).items():
            total = self.sums.get(name)
            if total is None:
                self.sums[name] = total = self._zero(name, value)
            total.add_(value.detach() if isinstance(value, Tensor) else value, alpha=examples)

    @staticmethod
    def _zero(name: str, value: Any) -> Tensor:
        value = torch.as_tensor(value)
        if value.numel() != 1:
            raise ValueError(
                f"the term {name!r} has the shape {tuple(value.shape)}: expected one number a batch, for example "
                "its mean over the examples."
            )
        dtype = torch.float32 if value.device.type == "mps" else torch.float64
        return torch.zeros_like(value, dtype=dtype, requires_grad=False)

    def result(self) -> dict[str, float]:
        """The only moment at which the device is waited for. Of several processes, the means over all their examples."""
        if not self.examples:
            raise ValueError("no batch came: the data set is empty, or drop_last=True with batch_size above its size.")
        if not self.sums:
            return {}
        device = max((total.device for total in self.sums.values()), key=lambda device: device.type != "cpu")
        totals = torch.stack([total.to(device).reshape(()) for total in self.sums.values()])
        examples = ranks.summed(torch.full_like(totals[0], self.examples))
        return dict(zip(self.sums, (ranks.summed(totals) / examples).tolist()))
