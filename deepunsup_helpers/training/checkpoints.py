"""A checkpoint: everything that the next epoch depends on, in one file; resuming from it is bit for bit as never stopping."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from deepunsup_helpers.files import write_atomically
from deepunsup_helpers.training.accelerators import ranks


def _get(thing: Any) -> Any:
    return thing.get_state() if isinstance(thing, torch.Generator) else thing.state_dict()


def _set(thing: Any, saved: Any) -> None:
    thing.set_state(saved) if isinstance(thing, torch.Generator) else thing.load_state_dict(saved)


def save_checkpoint(path: str | Path, state: Mapping[str, Any], **extra: Any) -> None:
    """Write everything that the next epoch depends on.

    Where several processes train together, each calls this and the first one writes: the file holds one copy of `state`
    and the random generators of every process.

        save_checkpoint("c.pt", {"model": model, "optimizer": optimizer}, epoch=3)

    Args:
        path: the file, replaced atomically.
        state: name to anything with `state_dict()` (modules, optimizers, schedulers) or to a `torch.Generator`.
        **extra: plain values and tensors to keep beside it.
    """
    saved = {"state": {name: _get(thing) for name, thing in state.items()}, "rng": ranks.rng_states(), "extra": extra}
    if ranks.rank() == 0:
        write_atomically(path, lambda name: torch.save(saved, name))
    ranks.wait()


def load_checkpoint(path: str | Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Put a checkpoint back into `state` and the global generators; returns the extra values.

    All is checked first (the file's checksums, names, shapes, number formats, the optimizers' groups of parameters): a file
    that does not fit changes nothing. Any number of processes can read what any number wrote; every process reads the file.

    Raises:
        ValueError: the file is damaged or no checkpoint, or it holds other names or shapes than `state`.
        OSError: it cannot be read.
    """
    return restore(read_checkpoint(path, state), state)


def read_checkpoint(path: str | Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """The file's "state", "rng" and "extra", after all the checks of `load_checkpoint`; nothing is changed."""
    try:
        with zipfile.ZipFile(path) as file:  # what torch.save writes, with a checksum for every tensor
            damaged = file.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        parts, _, _ = saved["state"], saved["rng"], saved["extra"]
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is not a checkpoint, or it is damaged ({type(error).__name__}: {str(error).splitlines()[0]}): "
            "put an intact copy there, or give another file name to start anew."
        ) from error
    if set(parts) != set(state):
        raise ValueError(
            f"{path} holds {sorted(parts)}, but the state to resume has {sorted(state)}: "
            "give the state it was written with, or another file name to start anew."
        )
    for name, thing in state.items():
        difference = _difference(thing, parts[name])
        if difference:
            raise ValueError(
                f"{path}: {name!r} does not fit, {difference}: use the parameters it was written with, or give "
                "another file name to start anew."
            )
    return saved


def restore(saved: dict[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Put what `read_checkpoint` returned into `state` and the global generators; returns the extra values."""
    for name, thing in state.items():
        _set(thing, saved["state"][name])
    ranks.set_rng_states(saved["rng"] if isinstance(saved["rng"], list) else [saved["rng"]])
    return saved["extra"]


def _difference(thing: Any, saved: Any) -> str | None:
    """In what the saved state differs from that of `thing`, as far as would keep it from being loaded whole."""
    mine = _get(thing)
    if isinstance(thing, Optimizer):
        return _optimizer_difference(mine["param_groups"], thing, saved)
    if isinstance(mine, Tensor):  # a generator's
        mine, saved = {"its state": mine}, {"its state": saved}
    if isinstance(thing, LRScheduler):  # torch's private entries vary with its version
        mine, saved = ({key: value for key, value in d.items() if key[0] != "_"} for d in (mine, saved))
    if not isinstance(saved, Mapping) or set(mine) != set(saved):
        unlike = sorted(map(str, set(mine) ^ set(saved))) if isinstance(saved, Mapping) else [type(saved).__name__]
        return f"only one of the two has {', '.join(unlike[:5])}"
    for key, value in mine.items():
        if isinstance(value, Tensor) and _form(value) != _form(saved[key]):
            return f"{key} is {_form(saved[key])} in the file and {_form(value)} here"
    return None


def _optimizer_difference(groups: list[dict], optimizer: Optimizer, saved: Any) -> str | None:
    if not isinstance(saved, Mapping) or set(saved) != {"state", "param_groups"}:
        return "the file holds no optimizer's state"
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in saved["param_groups"]]:
        return "the optimizer has other groups of parameters"
    for mine, theirs in zip(groups, saved["param_groups"]):
        unlike = (set(mine) ^ set(theirs)) - {"initial_lr"}  # the last is written by schedulers
        if unlike:
            return f"only one of the two optimizers has the setting {', '.join(sorted(unlike))}"
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in zip(numbers, parameters):
        for key, value in saved["state"].get(number, {}).items():
            if not _may_belong_to(parameter, value) and not isinstance(optimizer, torch.optim.LBFGS):
                return f"{key} of parameter {number} is {_form(value)} in the file, the parameter {_form(parameter)}"
    return None


def _may_belong_to(parameter: Tensor, value: Any) -> bool:
    """Whether an optimizer may keep this for the parameter: a number, or as large (Adafactor: rows or columns of it)."""
    if not isinstance(value, Tensor) or not value.ndim:
        return True
    fits = value.ndim == parameter.ndim and all(n in (1, size) for n, size in zip(value.shape, parameter.shape))
    return fits and value.dtype == parameter.dtype


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
