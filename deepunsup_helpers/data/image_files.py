"""Image files on disk: finding them, reading their headers, decoding them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")  # Pillow's names
READERS = min(4, os.cpu_count() or 1)  # threads; Pillow decodes outside Python's lock


class ImageFile(NamedTuple):
    path: Path
    label: str | None  # the first subfolder on the way to it
    size: tuple[int, int]  # (H, W), upright
    grey: bool


class Found(NamedTuple):
    """What lies in a folder; the lists of text are paths from that folder, for messages."""

    images: list[ImageFile]
    unreadable: list[str]
    others: list[str]
    beside: list[str]  # images beside the class folders, which have no class


def find_images(folder: Path) -> Found:
    """All images below a folder, in natural order of their paths (2 before 10), by header.

    The class of an image is the first subfolder on the way to it. Hidden files are passed over.
    """
    paths, others = [], []
    for path in sorted(_walk(folder), key=lambda path: natural(str(path))):
        (paths if path.suffix.lower() in SUFFIXES else others).append(path)
    with ThreadPoolExecutor(READERS) as pool:
        headers = list(pool.map(_header, paths))
    files, unreadable = [], []
    for path, header in zip(paths, headers):
        inside = path.relative_to(folder)
        if isinstance(header, str):
            unreadable.append(f"{inside} ({header})")
        else:
            files.append(ImageFile(path, inside.parts[0] if len(inside.parts) > 1 else None, *header))
    labelled = [file for file in files if file.label is not None]
    beside = [str(file.path.relative_to(folder)) for file in files if file.label is None] if labelled else []
    return Found(labelled or files, unreadable, [str(path.relative_to(folder)) for path in others], beside)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder; links are followed once; hidden files and folders are passed over."""
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        yield from (Path(here, name) for name in files if not name.startswith(".") and name != "Thumbs.db")


def natural(text: str) -> list:
    """Sorting key under which "2" comes before "10"."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", text)]


def _header(path: Path) -> tuple[tuple[int, int], bool] | str:
    """((H, W), grey or not), or why the file cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}  # or it decodes the image
            lying = exif.get(0x0112, 1) >= 5  # EXIF orientation: 5 to 8 are turned by 90 degrees
            return ((width, height) if lying else (height, width)), image.mode in GREY_MODES
    except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
        return _reason(error)


def _reason(error: Exception) -> str:
    return "no image" if type(error).__name__ == "UnidentifiedImageError" else str(error) or type(error).__name__


def decode(path: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    """An image file as uint8 (C, H, W): upright, on white, scaled and cropped at the centre to `size` (H, W)."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.draft(None, (2 * max(size), 2 * max(size)))  # large JPEGs are decoded at a fraction of their size
        image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            raise ValueError("floating-point pixels of unknown range")
        if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip them at 255
            image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != size[::-1]:
            image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)
        pixels = np.array(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_all(
    files: Sequence[ImageFile], wanted: int, *, size: tuple[int, int], channels: int
) -> tuple[np.ndarray, list[ImageFile], list[str]]:
    """The first `wanted` of the files that can be decoded.

    Returns:
        images uint8 (N, C, H, W) with N at most `wanted`, their N files, and the files that could not be decoded.
    """

    def attempt(file: ImageFile) -> np.ndarray | str:
        try:
            return decode(file.path, size, channels)
        except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
            return _reason(error)

    images, good, unreadable = np.empty((min(wanted, len(files)), channels, *size), np.uint8), [], []
    queue = iter(files)
    with ThreadPoolExecutor(READERS) as pool:
        while batch := list(islice(queue, min(wanted - len(good), 64 * READERS))):
            for file, pixels in zip(batch, pool.map(attempt, batch)):
                if isinstance(pixels, str):
                    unreadable.append(f"{file.path.parent.name}/{file.path.name} ({pixels})")
                else:
                    images[len(good)] = pixels
                    good.append(file)
    return images[: len(good)], good, unreadable
