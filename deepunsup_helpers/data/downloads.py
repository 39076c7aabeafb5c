"""MNIST and its kin: found on disk or downloaded, whole or not at all, and never waited for without end."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from pathlib import Path

import numpy as np

from deepunsup_helpers.data.dataset import DataError

TORCHVISION_CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
REPAIR = "delete it and load again with a network, or put a whole copy there"
CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


def class_names(name: str) -> tuple[str, ...]:
    return CLASS_NAMES[name]


def data_folder() -> Path:
    """DEEPUNSUP_DATA, or the cache folder of this user on this system."""
    if os.environ.get("DEEPUNSUP_DATA"):
        return Path(os.environ["DEEPUNSUP_DATA"]).expanduser().absolute()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "deepunsup"


def torchvision_arrays(name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 28, 28) and labels uint8 (N,) of one part, "train" or "test".

    The files lie as torchvision lays them, FOLDER/MNIST/raw/train-images-idx3-ubyte, also packed as .gz.
    """
    raw = data_folder() / TORCHVISION_CLASSES[name] / "raw"
    images, labels = (read_idx(_present(raw, file)) for file in FILES[part])
    return images, labels


def _present(raw: Path, file: str) -> Path:
    for path in (raw / file, raw / f"{file}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{raw / file} is missing")


def read_idx(path: Path) -> np.ndarray:
    """The array in an idx file of unsigned bytes, plain or packed (.gz).

    Raises:
        DataError: the file is truncated or of another kind.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); {REPAIR}") from None
    dimensions = content[3] if len(content) >= 4 and content[:3] == b"\x00\x00\x08" else 0
    shape = np.frombuffer(content[4 : 4 + 4 * dimensions], ">u4").astype(np.int64)
    if dimensions == 0 or len(shape) < dimensions:
        raise DataError(f"{path} is no idx file of bytes; {REPAIR}")
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if len(values) != shape.prod():
        raise DataError(f"{path} is truncated or damaged: {len(values)} values, expected {shape.prod()}; {REPAIR}")
    return values.reshape(shape)
