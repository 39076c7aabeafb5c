"""MNIST and its siblings: found on disk, or downloaded, whole or not at all, and never waited for without end."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import threading
import time
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from deepunsup_helpers.data.dataset import DataError
from deepunsup_helpers.files import cache_folder, write_atomically

TORCHVISION_CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
FILES = {  # part -> images, labels
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SILENCE = 4.0  # seconds that one connection may stay silent
PATIENCE = 10.0  # seconds in which at least LEAST bytes must come, or else there is no network to speak of;
LEAST = 10_000  # a silent connection times out by itself, a silent name server does not
CHUNK = 1 << 16  # bytes read at once
REPAIR = "move it away and load again with a network, or put a whole copy in its place"


def data_folder() -> Path:
    """DEEPUNSUP_DATA, or else the cache folder of this user on this system."""
    if os.environ.get("DEEPUNSUP_DATA"):
        return Path(os.environ["DEEPUNSUP_DATA"]).expanduser().absolute()
    return cache_folder()


def torchvision_arrays(name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """One part, "train" or "test", of `mnist`, `fashion_mnist` or `kmnist`.

    The files lie as torchvision lays them, FOLDER/MNIST/raw/train-images-idx3-ubyte; packed ones (.gz) will do too.

    Returns:
        images uint8 (N, 28, 28), labels uint8 (N,).
    Raises:
        DataError: missing and not to be downloaded, truncated, or not what the file's name says.
    """
    raw = data_folder() / TORCHVISION_CLASSES[name] / "raw"
    if any(find(raw, file) is None for files in FILES.values() for file in files):
        download(name, raw)
    image_file, label_file = (find(raw, file) for file in FILES[part])
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim != 3:
        raise DataError(f"{image_file} holds an array of shape {images.shape}, expected images (N, H, W); {REPAIR}")
    if labels.shape != (len(images),) or labels.max(initial=0) > 9:
        raise DataError(f"{label_file} does not hold one label of 0 to 9 for each of {len(images)} images; {REPAIR}")
    return images, labels


def find(raw: Path, file: str) -> Path | None:
    """The file, plain or packed, in the folder `raw`, or None."""
    return next((path for path in (raw / file, raw / f"{file}.gz") if path.is_file()), None)


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
    shape = np.frombuffer(content[4 : 4 + 4 * dimensions].ljust(4 * dimensions, b"\x00"), ">u4").astype(np.int64)
    if dimensions == 0:
        raise DataError(f"{path} is no idx file of bytes; {REPAIR}")
    values = np.frombuffer(content[4 + 4 * dimensions :], np.uint8)
    if len(values) != shape.prod() or len(values) == 0:
        raise DataError(f"{path} is truncated or damaged: {len(values)} values, expected {shape.prod()}; {REPAIR}")
    return values.reshape(shape)


def download(name: str, raw: Path) -> None:
    """Fetch the files that `raw` lacks from torchvision's mirrors; each appears there whole or not at all.

    Raises:
        DataError: the network is missing, all but silent for PATIENCE seconds, or hands out something else (the
            message names the three ways out); the folder cannot be written.
    """
    from torchvision import datasets
    from tqdm.auto import tqdm

    source = getattr(datasets, TORCHVISION_CLASSES[name])
    checksums = {file: md5 for file, md5 in source.resources if find(raw, file.removesuffix(".gz")) is None}
    fetch = _Fetch(checksums, list(source.mirrors))
    fetch.start()
    heard, last = 0, time.monotonic()
    try:
        with tqdm(desc=f"downloading {name}", unit="B", unit_scale=True, leave=False) as bar:
            while fetch.is_alive() and time.monotonic() - last < PATIENCE:
                fetch.join(0.1)
                bar.update(fetch.received - bar.n)
                if fetch.received >= heard + LEAST:
                    heard, last = fetch.received, time.monotonic()
    finally:
        fetch.abandoned = True  # a thread stuck in a look-up cannot be stopped, only left behind
    try:
        for file, content in dict(fetch.contents).items():
            write_atomically(
                raw / file.removesuffix(".gz"), lambda name, content=content: Path(name).write_bytes(content)
            )
    except OSError as error:
        raise DataError(f"{raw} cannot be written ({error}); set DEEPUNSUP_DATA to a folder that can") from None
    if len(fetch.contents) < len(checksums):
        reason = fetch.error or f"nothing came for {PATIENCE:.0f} seconds"
        images_and_labels = ", ".join(sum(FILES.values(), ()))
        raise DataError(
            f"{name} is not in {raw} and cannot be downloaded ({reason}). Three ways out: connect to a network and "
            f"load again; put its files ({images_and_labels}) there, or into {'/'.join(raw.parts[-2:])} of another "
            "folder that DEEPUNSUP_DATA names; or use dataset=strokes, which downloads nothing"
        )


class _Fetch(threading.Thread):
    """Downloads files into memory, from the first mirror that gives the right bytes.

    Attributes:
        received: bytes so far. contents: file -> unpacked content, checked. error: why a file failed, or None.
    """

    def __init__(self, checksums: dict[str, str], mirrors: list[str]):
        super().__init__(daemon=True)
        self.checksums, self.mirrors = checksums, mirrors
        self.received, self.abandoned = 0, False
        self.contents: dict[str, bytes] = {}
        self.error: str | None = None

    def run(self) -> None:
        for file, md5 in self.checksums.items():
            failures = []
            for mirror in list(self.mirrors):
                if self.abandoned:
                    return
                try:
                    packed = self._get(mirror + file)
                    if hashlib.md5(packed, usedforsecurity=False).hexdigest() != md5:
                        raise OSError("what came is not the file: cut short, or the log-in page of a network")
                    self.contents[file] = gzip.decompress(packed)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    failures.append(f"{urlsplit(mirror).netloc}: {getattr(error, 'reason', error)}")
                    continue
                self.mirrors.remove(mirror)  # what worked comes first for the next file
                self.mirrors.insert(0, mirror)
                break
            else:
                self.error = "; ".join(dict.fromkeys(failures))
                return

    def _get(self, url: str) -> bytes:
        request = urllib.request.Request(url, headers={"User-Agent": "deepunsup"})
        pieces = []
        with urllib.request.urlopen(request, timeout=SILENCE) as response:
            while piece := response.read1(CHUNK):
                if self.abandoned:
                    raise OSError("given up")
                self.received += len(piece)
                pieces.append(piece)
        return b"".join(pieces)
