"""The one training loop."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepunsup_helpers.training.accelerators import ranks
from deepunsup_helpers.training.checkpoints import load_checkpoint, save_checkpoint
from deepunsup_helpers.training.devices import autocast, undisturbed_rng
from deepunsup_helpers.training.progress import progress_bar

Terms = Mapping[str, Tensor]


@dataclass
class History:
    """What a training recorded, one number an epoch: `history.train["loss"][-1]` is the last epoch's mean."""

    train: dict[str, list[float]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)  # training alone, without validation and hooks
    interrupted: bool = False

    @property
    def epochs(self) -> int:
        """Completed epochs."""
        return len(self.seconds)


class TrainingDiverged(RuntimeError):
    """A loss term is no longer a finite number. Carries `epoch` (from 1), `term` and the `history` before it."""

    def __init__(self, epoch: int, term: str, history: History):
        self.epoch, self.term, self.history = epoch, term, history
        super().__init__(
            f"training diverged: {term!r} is no longer finite in epoch {epoch}. Lower the learning rate, clip "
            "the gradients (update(..., max_norm=1.0)), or look for log(0) and division by zero in the loss."
        )


class _Means:
    """Example-weighted means of named terms, kept on the device: one small addition a term and step."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.examples = 0

    def add(self, terms: Terms, examples: int) -> None:
        self.examples += examples
        for name, value in terms.items():
            total = self.sums.get(name)
            if total is None:
                value = torch.as_tensor(value)
                dtype = torch.float32 if value.device.type == "mps" else torch.float64
                self.sums[name] = total = torch.zeros((), dtype=dtype, device=value.device)
            total.add_(value.detach() if isinstance(value, Tensor) else value, alpha=examples)

    def result(self) -> dict[str, float]:
        """The only moment at which the device is waited for. Of several processes, the means over all their examples."""
        if not self.examples:
            raise ValueError("no batch came: the data set is empty, or drop_last=True with batch_size above its size.")
        if not self.sums:
            return {}
        device = max((total.device for total in self.sums.values()), key=lambda device: device.type != "cpu")
        totals = torch.stack([total.to(device) for total in self.sums.values()])
        examples = ranks.summed(torch.full_like(totals[0], self.examples))
        return dict(zip(self.sums, (ranks.summed(totals) / examples).tolist()))


def _modules(state: Iterable[Any]) -> list[torch.nn.Module]:
    return [thing for thing in state if isinstance(thing, torch.nn.Module)]


def _device(modules: Sequence[torch.nn.Module]) -> torch.device:
    parameters = itertools.chain.from_iterable(module.parameters() for module in modules)
    return next((p.device for p in parameters), torch.device("cpu"))


@contextlib.contextmanager
def _eval_mode(modules: Sequence[torch.nn.Module]):
    training = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, training):
            module.train(mode)


@contextlib.contextmanager
def _compiled(modules: Sequence[torch.nn.Module], enabled: bool):
    for module in modules if enabled else ():
        module.compile()
    try:
        yield
    finally:
        for module in modules if enabled else ():
            module._compiled_call_impl = None  # what Module.compile sets; samples of other sizes would compile again


def _run_epoch(step: Callable[..., Terms], batches: Iterable, context: Callable) -> dict[str, float]:
    means = _Means()
    for batch in batches:
        batch = batch if isinstance(batch, (tuple, list)) else (batch,)
        try:
            with context():
                terms = step(*batch)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error).lower():
                raise
            raise RuntimeError(
                f"out of memory with {len(batch[0])} examples a batch: lower batch_size (half of it is a "
                "good next try), or the model's width."
            ) from error
        means.add(terms, len(batch[0]))
    return means.result()


def fit(
    step: Callable[..., Terms],
    batches: Iterable,
    *,
    epochs: int,
    state: Mapping[str, Any],
    validate: Callable[[], Mapping[str, Any]] | None = None,
    precision: str = "fp32",
    hooks: Sequence[Callable[[int, History], None]] = (),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    compile: bool = False,
    progress: bool = True,
) -> History:
    """Call `step` on every batch of every epoch, and keep the books.

    For speed: data that reside on the device (`Batches`), optimizers with `fused=True`, convolutions in the channels-last
    layout (`model.to(device, memory_format=torch.channels_last)` before the optimizer is made), on CUDA a `graphed` step.
    Where several processes train together (see `distributed`), each calls `fit`; the numbers are means over all of them.

    Args:
        step: step(x) or step(x, y): computes the losses, calls `update`, returns named 0-d tensors.
        batches: iterable once an epoch, e.g. `Batches`; its `generator`, if any, is part of a checkpoint.
        epochs: in all, those of a resumed checkpoint included.
        state: name to everything with a `state_dict` (modules, optimizers, schedulers, EMA copies) or a torch.Generator.
            Modules are in train mode during the steps and left in eval mode at the end.
        validate: called after each epoch, in eval mode and without gradients; returns named numbers.
        precision: "fp32", or "bf16" for bfloat16 autocast around the step.
        hooks: hook(epoch, history) after each epoch (epoch counts from 1). Hooks and validation may draw random numbers:
            the training does not notice.
        checkpoint: file written atomically after each epoch.
        resume: go on from `checkpoint` if that file is there: bit for bit as if never stopped.
        compile: run the modules through `torch.compile` meanwhile: some ten seconds at the start; measure whether it pays.
        progress: show a progress bar.
    Returns:
        History; after Ctrl-C the completed epochs, with `interrupted` set.
    Raises:
        TrainingDiverged: a term was not finite (seen at the end of its epoch, so that no step waits for the device).
        RuntimeError: out of memory; the message names the batch size.
    """
    modules, history = _modules(state.values()), History()
    device = _device(modules)
    autocast(device, precision)  # complains about an unknown precision before anything is computed
    everything = dict(state)
    if getattr(batches, "generator", None) is not None:
        everything["batches.generator"] = batches.generator
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=PATH, the file to go on from.")
    if resume and Path(checkpoint).exists():
        history = History(**load_checkpoint(checkpoint, everything)["history"])
    torch.set_flush_denormal(True)  # denormal numbers cost up to a fifth of the time on a CPU
    writer = ranks.rank() == 0

    with (
        progress_bar(epochs, start=history.epochs, enabled=progress and writer) as advance,
        _compiled(modules, compile),
    ):
        try:
            for epoch in range(history.epochs + 1, epochs + 1):
                start = time.perf_counter()
                for module in modules:
                    module.train()
                terms = _run_epoch(step, batches, lambda: autocast(device, precision))
                _check_finite(terms, epoch, history)
                seconds = time.perf_counter() - start
                ranks.share_buffers(modules)
                with undisturbed_rng():
                    measured = ranks.averaged(_validate(validate, modules, device, precision), device)
                _append(history, terms, measured, seconds)
                with undisturbed_rng(), _eval_mode(modules):
                    for hook in hooks:
                        hook(epoch, history)
                if checkpoint is not None:
                    save_checkpoint(checkpoint, everything, history=vars(history))
                advance(terms)
        except KeyboardInterrupt:
            history.interrupted = True
            if writer:
                print(f"interrupted: {history.epochs} of {epochs} epochs are complete.")
    for module in modules:
        module.eval()
    return history


def _check_finite(terms: Mapping[str, float], epoch: int, history: History) -> None:
    for name, value in terms.items():
        if not math.isfinite(value):
            raise TrainingDiverged(epoch, name, history)


def _validate(validate, modules, device, precision) -> dict[str, float]:
    if validate is None:
        return {}
    with torch.no_grad(), _eval_mode(modules), autocast(device, precision):
        return {name: float(value) for name, value in validate().items()}


def _append(history: History, terms: Mapping[str, float], measured: Mapping[str, float], seconds: float) -> None:
    for name, value in terms.items():
        history.train.setdefault(name, []).append(value)
    for name, value in measured.items():
        history.validation.setdefault(name, []).append(value)
    history.seconds.append(seconds)


def evaluate(
    measure: Callable[..., Terms],
    batches: Iterable,
    *,
    modules: Sequence[torch.nn.Module] = (),
    precision: str = "fp32",
) -> dict[str, float]:
    """The example-weighted means of what `measure(x)` or `measure(x, y)` returns, without gradients.

    Args:
        measure: returns named 0-d tensors, each a mean over its batch.
        batches: iterated once; its generator, if it shuffles, advances.
        modules: put in eval mode meanwhile.
        precision: "fp32" or "bf16".
    """
    device = _device(modules)
    with torch.no_grad(), _eval_mode(modules):
        return _run_epoch(measure, batches, lambda: autocast(device, precision))
