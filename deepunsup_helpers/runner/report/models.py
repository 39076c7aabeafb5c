"""How a run's saved weights are loaded again."""

import json
from pathlib import Path
from typing import Any


def model_snippets(folder: Path) -> dict[str, str]:
    """For each saved model of the run: file name to the three lines that load it."""
    snippets = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open(path, "rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            snippets[path.name] = loading_snippet(path.name, header.get("__metadata__", {}))
        except (OSError, ValueError, OverflowError, MemoryError):
            snippets[path.name] = f"# {path.name} is not a readable safetensors file"
    return snippets


def loading_snippet(file: str, about: dict[str, str]) -> str:
    """Python that loads saved weights, from the header's `class` and `config` (JSON of constructor arguments)."""
    load = "from safetensors.torch import load_file"
    if not about.get("class"):
        return f'{load}\nweights = load_file("{file}")'
    module, _, name = about["class"].rpartition(".")
    config = json.loads(about.get("config", "null"))
    if config is None and not module.startswith("__main__"):  # a plain nn.Sequential: its layers stand in the notebook
        return f'{load}\nweights = load_file("{file}")  # a {name}, built as in the notebook:\n# model.load_state_dict(weights)'
    config = config or {}
    arguments = ", ".join(f"{key}={_literal(value)}" for key, value in config.items())
    find = f"from {module} import {name}" if module != "__main__" else f"# {name} is defined in the notebook"
    return f'{load}; {find}\nmodel = {name}({arguments})\nmodel.load_state_dict(load_file("{file}"))'


def _literal(value: Any) -> str:
    """A JSON value as Python text; lists become tuples, as the constructors write them."""
    if isinstance(value, list):
        inner = ", ".join(map(_literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
