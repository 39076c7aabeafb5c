"""What a recorded step must not lose: state put back after the warm-up, optimizers and schedulers that stay true outside."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from deepunsup_helpers.training.devices import rng_state, set_rng_state

GRAPH_DEVICE = "cuda"
# Their memory begins at zero, so that what the warm-up created can be put back without knowing more about them.
BEGIN_AT_ZERO = ("SGD", "Adam", "AdamW", "Adamax", "Adadelta", "RMSprop", "RAdam")


class NotCapturable(Exception):
    """The step cannot be replayed; the message says why and ends a line."""


def why_not_captured(batch: Sequence[Tensor], state: Mapping[str, Any]) -> str | None:
    """Why this state cannot be trained by a graph, as far as can be told without running the step; None if it can."""
    device = batch[0].device
    if device.type != GRAPH_DEVICE:
        return f"since the batch is on {device} and graphs are CUDA's."
    if (
        torch.distributed.is_available()
        and torch.distributed.is_initialized()
        and torch.distributed.get_world_size() > 1
    ):
        return "since several processes train together."
    scheduled = [thing.optimizer for thing in state.values() if isinstance(thing, LRScheduler)]
    for name, thing in state.items():
        reason = None
        if isinstance(thing, Optimizer):
            reason = _why_not_optimizer(thing, any(thing is other for other in scheduled))
        elif isinstance(thing, LRScheduler):
            if getattr(thing, "cycle_momentum", False):
                reason = "changes momentum or betas, which a graph keeps: cycle_momentum=False."
        elif not isinstance(thing, (nn.Module, torch.Generator)):
            reason = f"is a {type(thing).__name__}, of which is not known whether it may be replayed."
        if reason:
            return f"since state[{name!r}] {reason}"
    return None


def _why_not_optimizer(optimizer: Optimizer, scheduled: bool) -> str | None:
    kind = type(optimizer).__name__
    fresh = not any(optimizer.state.values())
    if kind != "SGD" and not all(group.get("capturable", False) for group in optimizer.param_groups):
        return f"is {kind} without capturable=True."
    if fresh and kind not in BEGIN_AT_ZERO:
        return f"is {kind}, whose memory does not begin at zero: take one step before."
    if fresh and any(group.get("momentum") and group.get("dampening") for group in optimizer.param_groups):
        return f"is {kind} with dampening, whose first step differs: take one step before."
    if hasattr(optimizer.step, "_wrapped_by_lr_sched") and not scheduled:
        return "has a scheduler that is not in state."
    return None


class Snapshot:
    """Everything in `state` and the global generators as they are now; `restore` puts it back in place."""

    def __init__(self, state: Mapping[str, Any]):
        modules = [thing for thing in state.values() if isinstance(thing, nn.Module)]
        self.optimizers = [thing for thing in state.values() if isinstance(thing, Optimizer)]
        self.parameters = [p for o in self.optimizers for group in o.param_groups for p in group["params"]]
        self.parameters += [p for module in modules for p in module.parameters()]
        tensors = itertools.chain(self.parameters, (b for m in modules for b in m.buffers()), self._memory())
        self.values = {tensor: tensor.detach().clone() for tensor in tensors}
        self.generators = [(g, g.get_state()) for g in state.values() if isinstance(g, torch.Generator)]
        self.rng = rng_state()

    def _memory(self) -> Iterator[Tensor]:
        """The optimizers' own tensors."""
        for optimizer in self.optimizers:
            for memory in optimizer.state.values():
                yield from (value for value in memory.values() if isinstance(value, Tensor))

    def check(self) -> None:
        """After the warm-up, before the recording: forget its gradients, and look whether the host drew random numbers.

        Raises:
            NotCapturable: it did; a replay would not.
        """
        now = rng_state()
        drawn = [name for name in ("python", "numpy", "torch") if not _same(self.rng[name], now[name])]
        drawn += [
            "state's generator"
            for g, before in self.generators
            if g.device.type == "cpu" and not torch.equal(before, g.get_state())
        ]
        if drawn:
            raise NotCapturable(
                f"since the step draws random numbers on the CPU ({', '.join(drawn)}): draw them on the GPU."
            )
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def restore(self) -> None:
        for tensor in self._memory():
            if tensor not in self.values:
                tensor.zero_()
        for tensor, value in self.values.items():
            tensor.copy_(value)
        for generator, before in self.generators:
            generator.set_state(before)
        set_rng_state(self.rng)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b))
    return a == b


class CapturedOptimizer:
    """An optimizer whose tensors a graph holds by address: learning rates and loaded state are brought to those tensors.

    Outside the graph `param_groups` keep their plain learning rates, so that schedulers, checkpoints and eager steps see
    what they always see; inside, each group's is a tensor on the device.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device):
        self.optimizer = optimizer
        optimizer._warned_capturable_if_run_uncaptured = True  # the last, short batch does run uncaptured
        self.rates = [self._rate(group, device) for group in optimizer.param_groups]
        self.seen = [group["lr"] for group in optimizer.param_groups]

    def _rate(self, group: dict, device: torch.device) -> Tensor | None:
        """The learning rate on the device, or None where the optimizer's kernels take a number only."""
        lr = group["lr"]
        if not (group.get("capturable") or group.get("fused")):
            return None
        return lr if isinstance(lr, Tensor) and lr.device == device else torch.tensor(float(lr), device=device)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        groups = self.optimizer.param_groups
        outside = [group["lr"] for group in groups]
        for group, rate in zip(groups, self.rates):
            group["lr"] = group["lr"] if rate is None else rate
        try:
            yield
        finally:
            for group, lr in zip(groups, outside):
                group["lr"] = lr

    def remember(self) -> None:
        """Note the tensors and settings that the graph holds."""
        self.state = self.optimizer.state
        self.memory = {parameter: dict(memory) for parameter, memory in self.state.items()}
        self.settings = self._settings()

    def _settings(self) -> list[dict]:
        kept = (bool, int, float, tuple, type(None))
        return [
            {
                name: value
                for name, value in group.items()
                if isinstance(value, kept) and name not in ("lr", "initial_lr")
            }
            for group in self.optimizer.param_groups
        ]

    @torch.no_grad()
    def refresh(self) -> None:
        """Before a replay: bring changed learning rates, and a state loaded meanwhile, to the graph's tensors.

        Raises:
            NotCapturable: what changed is fixed in the graph.
        """
        if self.optimizer.state is not self.state:
            self._adopt()
        for i, (group, rate) in enumerate(zip(self.optimizer.param_groups, self.rates)):
            lr = group["lr"]
            if lr is self.seen[i]:
                continue
            if rate is not None:
                rate.copy_(lr) if isinstance(lr, Tensor) else rate.fill_(lr)
            elif lr != self.seen[i]:
                raise NotCapturable(
                    f"since the learning rate of {type(self.optimizer).__name__} changed: fused=True lets it."
                )
            self.seen[i] = lr

    def _adopt(self) -> None:
        """`load_state_dict` made new tensors: copy them into those of the graph, and put these in their place."""
        if self._settings() != self.settings:
            raise NotCapturable(f"since a state with other settings was loaded into {type(self.optimizer).__name__}.")
        for parameter, memory in self.memory.items():
            loaded = self.optimizer.state[parameter]
            for name, mine in memory.items():
                if isinstance(mine, Tensor):
                    mine.copy_(loaded[name]) if name in loaded else mine.zero_()
                    loaded[name] = mine
        self.state = self.optimizer.state


class CapturedScheduler:
    """A scheduler that the step calls: silent while the step is recorded, stepped after each replay instead."""

    def __init__(self, scheduler: LRScheduler):
        self.scheduler, self.steps = scheduler, 0

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        self.steps = 0

        def count(*values: Any, **named: Any) -> None:
            if values or named:
                raise NotCapturable(
                    f"since {type(self.scheduler).__name__}.step is given a value: call it after the epoch."
                )
            self.steps += 1

        self.scheduler.step = count
        try:
            yield
        finally:
            del self.scheduler.step

    def catch_up(self) -> None:
        for _ in range(self.steps):
            self.scheduler.step()
