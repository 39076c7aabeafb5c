"""A trained model as a file, and back: weights as safetensors, and in the header how the model is built and fed.

save_model(vae, "vae.safetensors", preprocessing=data.preprocessing)
vae = load_model("vae.safetensors")
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepunsup_helpers.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor, nn

MODELS = "deepunsup_helpers.models"
WRAPPERS = (
    "torch.",
    "deepunsup_helpers.training.",
    "lightning",
)  # EMA copies, DistributedDataParallel, compiled, Fabric


class ModelHeader(NamedTuple):
    """What a file says of its model, besides the weights; None is what was not given."""

    class_name: str | None = None  # "deepunsup_helpers.models.ConvVAE"
    config: dict | None = None  # arguments that build it
    preprocessing: dict | None = None  # how raw data become the model's input: `Dataset.preprocessing`
    classes: tuple[str, ...] | None = None  # a name for each class number
    threshold: float | None = None  # the score from which an example is reported


def save_model(
    model: nn.Module,
    path: str | Path = "model.safetensors",
    *,
    preprocessing: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    threshold: float | None = None,
) -> Path:
    """Write a model's weights, how it is built, and what new data need; the file is whole or not there.

    Args:
        model: any module; of an EMA copy or a compiled model, what is inside. A model of this package has its constructor's
            arguments in `model.config`, and `load_model` builds it without being told.
        path: where, best ending in .safetensors; its folders are made. A relative path starts at the run's folder under
            `deepunsup run` (DEEPUNSUP_OUTPUT), else at the working directory.
        preprocessing: what turns raw data into the model's input, `data.preprocessing`; anything that JSON can hold.
        classes: a name for each class number, `data.class_names`.
        threshold: the score from which an example is reported, for a model that raises alarms.
    Returns:
        the path of the file.
    Raises:
        OSError: it cannot be written there; what was there is as it was.
        ValueError: the config, preprocessing, classes or threshold cannot be written as JSON.

    save_model(vae, "vae.safetensors", preprocessing=data.preprocessing)
    """
    from safetensors.torch import save

    model = _unwrapped(model)
    own = type(model).__module__.startswith(MODELS)
    about = {
        "class": f"{MODELS if own else type(model).__module__}.{type(model).__name__}",
        "config": _config(model, own),
        "preprocessing": _json("preprocessing", preprocessing),
        "classes": _json("classes", None if classes is None else [str(name) for name in classes]),
        "threshold": _json("threshold", None if threshold is None else float(threshold)),
    }
    weights = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    path = _folder() / Path(path).expanduser()
    about["sha256"] = _digest(about, weights)
    data = save(weights, metadata=about)  # save_file would make it readable by its owner alone
    return write_atomically(path, lambda name: Path(name).write_bytes(data))


def load_model(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """A model that `save_model` wrote, on the CPU and in evaluation mode, with the file's `ModelHeader` as `.header`.

    Only classes of this package are built from a file's header; no code is run from it.

    Args:
        path: the file. A relative path is looked for where `save_model` writes it, then from the working directory.
        model: for a class of your own, an untrained one to fill; it keeps its device.
    Returns:
        the model; `model.header.preprocessing`, `.classes` and `.threshold` are what was saved with it.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, its class is not of this package, or the weights do not fit the model.

    vae = load_model("vae.safetensors").to(device)
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = _found(path)
    metadata = _metadata(path)
    header = _header(path, metadata)
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged and cannot be loaded ({_line(error)}).") from error
    signed = "threshold" in metadata or "sha256" in metadata  # files of other programs are not
    if signed and metadata.get("sha256") != _digest(metadata, weights):
        raise ValueError(f"{path} is damaged: its weights are not the ones that were saved.")
    if model is None:
        model = _build(path, header)
    _require_fit(path, model, weights)
    model.load_state_dict(weights)
    model.header = header
    return model.eval()


def read_header(path: str | Path) -> ModelHeader:
    """What a file says of its model, without loading the weights; needs no torch. Errors are those of `load_model`."""
    path = _found(path)
    return _header(path, _metadata(path))


def _folder() -> Path:
    return Path(os.environ.get("DEEPUNSUP_OUTPUT") or "")


def _found(path: str | Path) -> Path:
    path = Path(path).expanduser()
    for place in (_folder() / path, path):
        if place.is_file():
            return place
    raise FileNotFoundError(f"there is no model file {path}; save_model(model, {str(path)!r}) writes one.")


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network inside an EMA copy, a compiled model, or what spreads it over several devices."""
    while type(model).__module__.startswith(WRAPPERS):
        inner = getattr(model, "_orig_mod", getattr(model, "module", None))
        if not hasattr(inner, "state_dict"):
            break
        model = inner
    return model


def _config(model: nn.Module, own: bool) -> str:
    try:
        return _json("config", getattr(model, "config", None))
    except ValueError:
        if own:
            raise
        return "null"  # another library's object of that name


def _json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, default=lambda number: number.item())  # NumPy's numbers
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"save_model: {name} cannot be written as JSON ({_line(error)}).") from error


def _digest(about: Mapping[str, str], weights: Mapping[str, Tensor]) -> str:
    """Of everything in the file, so that no flipped bit goes unnoticed."""
    from torch import uint8

    found = hashlib.sha256(json.dumps(sorted((k, v) for k, v in about.items() if k != "sha256")).encode())
    for key in sorted(weights):
        value = weights[key]
        found.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(uint8).numpy())
    return found.hexdigest()


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file ({_line(error)}).") from error


def _header(path: Path, metadata: Mapping[str, str]) -> ModelHeader:
    names = ("config", "preprocessing", "classes", "threshold")
    try:
        config, preprocessing, classes, threshold = (json.loads(metadata.get(name, "null")) for name in names)
        classes = None if classes is None else tuple(map(str, classes))
        threshold = None if threshold is None else float(threshold)
        if threshold is not None and not math.isfinite(threshold):
            raise ValueError("threshold")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: the description in its header is damaged.") from error
    return ModelHeader(metadata.get("class"), config, preprocessing, classes, threshold)


def _build(path: Path, header: ModelHeader) -> nn.Module:
    from torch import nn

    module, _, name = (header.class_name or "").rpartition(".")
    found = getattr(importlib.import_module(MODELS), name, None) if module == MODELS else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)) or header.config is None:
        what = f"a {name}, which is no class of {MODELS}" if name else "weights alone"
        raise ValueError(f"{path} holds {what}: build the model as it was and fill it, load_model(path, model).")
    try:
        return found(**header.config)
    except Exception as error:
        raise ValueError(f"{path}: its header does not build a {name} ({_line(error)}).") from error


def _require_fit(path: Path, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raises ValueError, naming the first difference, unless the weights are the model's; nothing is changed."""
    wanted = model.state_dict()
    for key in [*wanted, *weights]:
        here, there = (tuple(part[key].shape) if key in part else "absent" for part in (weights, wanted))
        if here != there:
            raise ValueError(
                f"{path} does not fit {type(model).__name__}: {key!r} is {here} in the file and {there} in the model; "
                "build the model with the arguments it was saved with."
            )


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
