"""A checkpoint that resumes bit for bit, written atomically."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

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

    Args:
        path: the file, replaced atomically.
        state: name to anything with `state_dict()` (modules, optimizers, schedulers) or to a `torch.Generator`.
        **extra: plain values and tensors to keep beside it.
    """
    saved = {"state": {name: _get(thing) for name, thing in state.items()}, "rng": ranks.rng_states(), "extra": extra}
    if ranks.rank() == 0:
        write_atomically(Path(path), lambda name: torch.save(saved, name))
    ranks.wait()


def load_checkpoint(path: str | Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Put a checkpoint back into `state` and the global generators; returns the extra values.

    Any number of processes can read what any number wrote; every process reads the file.

    Raises:
        ValueError: the file is not a checkpoint, or it holds other names or shapes than `state`.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        parts, extra = saved["state"], saved["extra"]
    except Exception as error:
        raise ValueError(
            f"{path} is not a complete checkpoint ({type(error).__name__}): delete it to start anew."
        ) from error
    if set(parts) != set(state):
        raise ValueError(
            f"{path} holds {sorted(parts)}, but the state to resume has {sorted(state)}: "
            "delete the file to start anew, or give the state it was written with."
        )
    for name, thing in state.items():
        try:
            _set(thing, parts[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"{path}: {name!r} does not fit ({str(error).splitlines()[0]}): "
                "delete the file to start anew, or use the parameters it was written with."
            ) from error
    ranks.set_rng_states(saved["rng"] if isinstance(saved["rng"], list) else [saved["rng"]])
    return extra
