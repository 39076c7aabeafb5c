"""The one training loop."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepunsup_helpers.training.accelerators import ranks
from deepunsup_helpers.training.accelerators.products import use_fastest_products
from deepunsup_helpers.training.checkpoints import read_checkpoint, restore, save_checkpoint
from deepunsup_helpers.training.devices import autocast, undisturbed_rng
from deepunsup_helpers.training.history import History, Means, TrainingDiverged, named
from deepunsup_helpers.training.interrupts import HeldInterrupts
from deepunsup_helpers.training.progress import progress_bar
from deepunsup_helpers.training.stopping import EarlyStopping, early_stopping
from deepunsup_helpers.training.threads import fixed_threads, follow_load

Terms = Mapping[str, Tensor] | tuple  # a dict or a named tuple of 0-d tensors


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


def _run_epoch(step: Callable[..., Terms], batches: Iterable, device: torch.device, precision: str, held: Any) -> Means:
    means, on_cpu = Means(), device.type == "cpu"
    for batch in batches:
        batch = batch if isinstance(batch, (tuple, list)) else (batch,)
        if on_cpu:
            follow_load()
        try:
            with held, autocast(device, precision):
                terms = step(*batch)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error).lower():
                raise
            raise RuntimeError(
                f"out of memory with {len(batch[0])} examples a batch: lower batch_size (half of it is a "
                "good next try), or the model's width."
            ) from error
        means.add(terms, len(batch[0]))
    return means


def fit(
    step: Callable[..., Terms],
    batches: Iterable,
    *,
    state: Mapping[str, Any],
    epochs: int | None = None,
    updates: int | None = None,
    validate: Callable[[], Mapping[str, Any]] | None = None,
    patience: int | None = None,
    watch: str | None = None,
    precision: str = "fp32",
    hooks: Sequence[Callable[[int, History], None]] = (),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    compile: bool = False,
    progress: bool = True,
    on_interrupt: str = "raise",
) -> History:
    """Call `step` on every batch of every epoch, and keep the books.

    For speed: data that reside on the device (`Batches`), optimizers with `fused=True`, convolutions in the channels-last
    layout (`model.to(device, memory_format=torch.channels_last)` before the optimizer is made), on CUDA a `graphed` step.
    Where several processes train together (see `distributed`), each calls `fit`; the numbers are means over all of them.

        history = fit(step, Batches(x, batch_size=128), epochs=20, state={"model": model, "optimizer": optimizer})

    Args:
        step: step(x) or step(x, y): computes the losses, calls `update`, returns named 0-d tensors: a dict, or a named
            tuple such as `VAELoss`.
        batches: iterable once an epoch, e.g. `Batches`; its `generator`, if any, is part of a checkpoint. A batch is a
            tensor, or a tuple of them (a named one, too), which become the step's arguments.
        epochs: in all, those of a resumed checkpoint included.
        updates: in place of `epochs`: the steps in all; the last epoch is cut short where they are reached.
        state: name to everything with a `state_dict` (modules, optimizers, schedulers, EMA copies) or a torch.Generator.
            Modules are in train mode during the steps and left in eval mode at the end.
        validate: called after each epoch, in eval mode and without gradients; returns named numbers.
        patience: stop after so many epochs without a lower validation number, and put the best epoch's weights back
            (early stopping); `history.best_epoch` says which. `epochs` or `updates` is then the most.
        watch: the validation number that `patience` looks at; by default the first one that `validate` returns.
        precision: "fp32", or "bf16" for bfloat16 autocast around the step.
        hooks: hook(epoch, history) after each epoch (epoch counts from 1). Hooks and validation may draw random numbers:
            the training does not notice.
        checkpoint: file written atomically after each epoch.
        resume: go on from `checkpoint` if that file is there: bit for bit as if never stopped.
        compile: run the modules through `torch.compile` meanwhile: some ten seconds at the start; measure whether it pays.
        progress: show a progress bar.
        on_interrupt: what Ctrl-C does, after the step under way has ended and the models are in eval mode. "raise":
            KeyboardInterrupt goes on to the caller. "keep": the history of the completed epochs is returned, with
            `interrupted` set.
    Returns:
        History.
    Raises:
        ValueError: an argument out of its range, or no batch came.
        TrainingDiverged: a term was not finite (seen at the end of its epoch, so that no step waits for the device).
        RuntimeError: out of memory; the message names the batch size.
    """
    if (epochs is None) == (updates is None) or (epochs or updates or 0) < 0:
        raise ValueError(f"epochs={epochs}, updates={updates}: expected one of the two, 0 or more.")
    if on_interrupt not in ("raise", "keep"):
        raise ValueError(f"unknown on_interrupt={on_interrupt!r}: expected 'raise' or 'keep'.")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=PATH, the file to go on from.")
    modules, history = _modules(state.values()), History()
    device = _device(modules)
    autocast(device, precision)  # complains about an unknown precision before anything is computed
    everything = dict(state)
    stopping = early_stopping(state, patience=patience, watch=watch, validates=validate is not None)
    if getattr(batches, "generator", None) is not None:
        everything["batches.generator"] = batches.generator
    if resume and Path(checkpoint).exists():
        history = _resumed(checkpoint, everything, stopping)
    torch.set_flush_denormal(True)  # denormal numbers cost up to a fifth of the time on a CPU
    if device.type == "cpu":
        use_fastest_products()
    writer, held = ranks.rank() == 0, HeldInterrupts()
    total, unit = (epochs, "epoch") if updates is None else (updates, "update")

    def done() -> int:
        return history.epochs if updates is None else history.updates

    try:
        with (
            progress_bar(total, unit, start=done(), enabled=progress and writer) as advance,
            _compiled(modules, compile),
            fixed_threads(checkpoint is not None),
            held.installed(),
        ):
            while done() < total and not (stopping and stopping.over):
                start = time.perf_counter()
                for module in modules:
                    module.train()
                part = batches if updates is None else itertools.islice(batches, updates - history.updates)
                means = _run_epoch(step, part, device, precision, held)
                terms = means.result()
                _check_finite(terms, history)
                seconds = time.perf_counter() - start
                ranks.share_buffers(modules)
                with undisturbed_rng():
                    measured = ranks.averaged(_validate(validate, modules, device, precision), device)
                with held:
                    history.append(terms, measured, seconds=seconds, updates=means.updates)
                    if stopping:
                        stopping.look(measured, history.epochs)
                        history.best_epoch = stopping.best_epoch
                with undisturbed_rng(), _eval_mode(modules):
                    for hook in hooks:
                        hook(history.epochs, history)
                if checkpoint is not None:
                    kept = {"stopping": stopping.state_dict()} if stopping else {}
                    save_checkpoint(checkpoint, everything, history=vars(history), **kept)
                advance(terms, done())
    except KeyboardInterrupt:
        history.interrupted = True
        if writer:
            print(f"interrupted: {done()} of {total} {unit}s are complete.")
        if on_interrupt == "raise":
            raise
    finally:
        if stopping:
            stopping.restore()
        for module in modules:
            module.eval()
    if stopping and stopping.over and done() < total and writer:
        print(f"stopped after epoch {history.epochs}; the weights are those of epoch {history.best_epoch}, the best.")
    return history


def _resumed(checkpoint: str | Path, state: Mapping[str, Any], stopping: EarlyStopping | None) -> History:
    saved = read_checkpoint(checkpoint, state)
    if "history" not in saved["extra"]:
        raise ValueError(f"{checkpoint} was not written by fit: load it by load_checkpoint, or give another file name.")
    extra = restore(saved, state)
    if stopping and "stopping" in extra:
        stopping.load_state_dict(extra["stopping"])
    return History(**extra["history"])


def _check_finite(terms: Mapping[str, float], history: History) -> None:
    for name, value in terms.items():
        if not math.isfinite(value):
            raise TrainingDiverged(history.epochs + 1, name, history)


def _validate(validate, modules, device, precision) -> dict[str, float]:
    if validate is None:
        return {}
    with torch.no_grad(), _eval_mode(modules), autocast(device, precision):
        return {name: float(value) for name, value in named(validate()).items()}


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
        return _run_epoch(measure, batches, device, precision, contextlib.nullcontext()).result()
