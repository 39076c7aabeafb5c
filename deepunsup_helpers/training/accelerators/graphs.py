"""The whole step as one CUDA graph: recorded once, replayed for every full batch.

A step of a small network is a hundred kernels of a few microseconds each, and Python needs longer to start them than the
GPU to run them. A graph starts them all at once. What is recorded are kernels and addresses, so that what a step decides
in Python is decided once, at the recording.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from deepunsup_helpers.training.accelerators.captured import (
    CapturedOptimizer,
    CapturedScheduler,
    NotCapturable,
    Snapshot,
    why_not_captured,
)
from deepunsup_helpers.training.devices import autocast
from deepunsup_helpers.training.history import named

Terms = Mapping[str, Tensor] | tuple  # a dict or a named tuple of 0-d tensors


def graphed(
    step: Callable[..., Terms],
    example_batch: Tensor | Sequence[Tensor],
    *,
    state: Mapping[str, Any],
    precision: str = "fp32",
    warmup: int = 3,
) -> "GraphedStep":
    """The same step, on CUDA replayed as one graph: forward and backward passes and optimizers of all players.

        step = graphed(step, batches.x[:batch_size], state=state)    # next(iter(batches)) would draw an order
        fit(step, batches, epochs=epochs, state=state)

    The step runs a few times to warm up, is recorded, and everything in `state`, the random generators and the optimizers'
    memory are put back: to the training nothing has happened. Noise drawn on the GPU comes from the global CUDA generator
    as it does eagerly, the same numbers. A batch of another shape (the last, short one), or modules in eval mode, run
    eagerly. Where the step cannot be recorded it says so in one line and runs eagerly: on a CPU, for an operation that
    waits for the GPU (`.item()`, a tensor made from Python numbers), an optimizer without `capturable=True`.

    Not seen, hence the caller's care: what the step decides in Python (every eighth step otherwise) is decided once; a
    weight that changes over time must be a tensor on the GPU, changed in place. Learning rates may change at any time, by
    a scheduler in `state` that the step calls, or by hand; the other settings of an optimizer are fixed.

    Args:
        step: step(x) or step(x, y), as `fit` takes it; returns named 0-d tensors, a dict or a named tuple.
        example_batch: one full batch, a tensor or a tuple of tensors, on the device.
        state: as `fit` takes it, and complete: modules, optimizers, and the schedulers that the step calls.
        precision: "fp32" or "bf16", the same as given to `fit`.
        warmup: runs before the recording, at least 1; the libraries choose their kernels in them.
    Returns:
        GraphedStep: `captured` tells whether batches are replayed, `reason` why not.
    Raises:
        ValueError: an unknown precision; at a call, another precision than the graph's.
    Source: CUDA graphs in PyTorch, https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """
    batch = tuple(example_batch) if isinstance(example_batch, (tuple, list)) else (example_batch,)
    result = GraphedStep(step, batch, state, precision)
    reason = why_not_captured(batch, state)
    if reason is None:
        try:
            result._record(warmup)
        except NotCapturable as error:
            reason = str(error)
    if reason is not None:
        result._give_up(reason)
    return result


class GraphedStep:
    """What `graphed` returns; called as the step is."""

    def __init__(self, step: Callable[..., Terms], batch: Sequence[Tensor], state: Mapping[str, Any], precision: str):
        self.step, self.captured, self.reason = step, False, ""
        self._device, self._precision, self._state = batch[0].device, precision, state
        autocast(self._device, precision)  # complains about an unknown precision
        self._batch = batch
        self._modules = [thing for thing in state.values() if isinstance(thing, nn.Module)]

    def __call__(self, *batch: Tensor) -> Terms:
        if torch.is_autocast_enabled(self._device.type) != (self._precision == "bf16"):
            raise ValueError(
                f"the graph was made for precision={self._precision!r}: give the same to graphed and to fit."
            )
        if not (self.captured and self._fits(batch)):
            return self.step(*batch)
        try:
            for optimizer in self._optimizers:
                optimizer.refresh()
        except NotCapturable as error:
            self._give_up(str(error))
            return self.step(*batch)
        with torch.no_grad():
            for mine, theirs in zip(self._inputs, batch):
                mine.copy_(theirs, non_blocking=True)
        self._replay()
        for scheduler in self._schedulers:
            scheduler.catch_up()
        return dict(zip(self._names, self._terms.clone().unbind()))  # a copy: the next replay writes into the original

    def _fits(self, batch: Sequence[Tensor]) -> bool:
        same = (mine.shape == theirs.shape and mine.dtype == theirs.dtype for mine, theirs in zip(self._inputs, batch))
        return len(batch) == len(self._inputs) and all(same) and all(module.training for module in self._modules)

    def _give_up(self, reason: str) -> None:
        self.captured, self.reason = False, reason
        self._batch = self._replay = None
        print(f"graphed: runs eagerly, {reason}")

    def _record(self, warmup: int) -> None:
        """Warm up, record, put everything back."""
        things = self._state.values()
        self._inputs = tuple(x.detach().clone() for x in self._batch)
        self._batch = None
        self._optimizers = [CapturedOptimizer(t, self._device) for t in things if isinstance(t, torch.optim.Optimizer)]
        self._schedulers = [CapturedScheduler(t) for t in things if isinstance(t, LRScheduler)]
        snapshot = Snapshot(self._state)
        training = [module.training for module in self._modules]
        try:
            for module in self._modules:
                module.train()
            self._replay = cuda_graph(
                self._run,
                warmup=warmup,
                device=self._device,
                check=snapshot.check,
                generators=[t for t in things if isinstance(t, torch.Generator)],
            )
        finally:
            for module, mode in zip(self._modules, training):
                module.train(mode)
            snapshot.restore()
        for optimizer in self._optimizers:
            optimizer.remember()
        self.captured = True

    def _run(self) -> None:
        """One step as the graph holds it: on the fixed inputs, learning rates on the device, schedulers silent."""
        with contextlib.ExitStack() as stack:
            for thing in (*self._optimizers, *self._schedulers):
                stack.enter_context(thing.inside())
            stack.enter_context(autocast(self._device, self._precision))
            terms = named(self.step(*(x.detach() for x in self._inputs)))
        for name, value in terms.items():
            if not isinstance(value, Tensor) or value.ndim or value.device != self._device:
                raise NotCapturable(
                    f"the term {name!r} is no 0-d tensor on {self._device}: it would never change again."
                )
        self._names = tuple(terms)
        values = [value.detach().float() for value in terms.values()]
        self._terms = torch.stack(values) if values else torch.empty(0, device=self._device)


@contextlib.contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    """Operations that make the CPU wait for the GPU raise: none of them can be recorded."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        if "synchronizing" not in str(error):
            raise
        raise NotCapturable(
            "the step waits for the GPU (an .item(), a tensor made from Python numbers, a copy from the CPU); "
            "torch.cuda.set_sync_debug_mode('error') shows where."
        ) from error
    finally:
        torch.cuda.set_sync_debug_mode(before)


def cuda_graph(
    run: Callable[[], None],
    *,
    warmup: int,
    device: torch.device,
    check: Callable[[], None],
    generators: Sequence[torch.Generator] = (),
) -> Callable[[], None]:
    """Run `run` a few times, then record it; returns what replays it.

    Errors of the step itself come out of the first run as they would eagerly.

    Args:
        run: works on the same memory each time.
        warmup: runs before the recording, on the stream of the recording.
        check: called before the recording; may raise NotCapturable.
        generators: CUDA generators other than the global one that `run` draws from.
    Raises:
        NotCapturable: with the reason. The global generator works again.
    """
    with torch.cuda.device(device):
        rng = torch.cuda.get_rng_state(device)
        outside, stream = torch.cuda.current_stream(), torch.cuda.Stream()
        stream.wait_stream(outside)
        try:
            with torch.cuda.stream(stream):
                for _ in range(warmup):
                    run()
                with _waiting_is_an_error():
                    run()
        finally:
            outside.wait_stream(stream)
        check()
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            if generator.device.type == "cuda":
                graph.register_generator_state(generator)
        try:
            with torch.cuda.stream(outside):  # an old torch does not leave the stream of a recording that failed
                # thread_local: another thread (one that pins memory for a DataLoader) may call CUDA meanwhile
                with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                    run()
        except Exception as error:
            _free_generator(device, rng)
            if isinstance(error, NotCapturable):
                raise
            first = error.__context__ or error  # the end of a broken recording raises on top of what broke it
            raise NotCapturable(
                f"the recording failed ({type(first).__name__}: {str(first).splitlines()[0]})."
            ) from error
    return graph.replay


def _free_generator(device: torch.device, state: Tensor) -> None:
    """After a recording that failed, torch may believe that the global generator is still being recorded: give it a new state."""
    index = torch.cuda.current_device() if device.index is None else device.index
    fresh = torch.Generator(device)
    fresh.set_state(state)
    torch.cuda.default_generators[index].graphsafe_set_state(fresh)
