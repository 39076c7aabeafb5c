"""Image files as arrays: upright, on white, scaled and cropped; and which value means white."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepunsup_helpers.data.dataset import DataError
from deepunsup_helpers.data.image_files import READERS, ImageFile, any_size, is_deep_colour, reason

GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue, ITU-R BT.601, as Pillow's mode "L" takes them
LARGE = 89_000_000  # pixels; beyond, an image is weighed against the memory before it is decoded


class Decoded(NamedTuple):
    """Images (C, H, W) as their files have them, uint8, or float32 of more than 8 bits; which files, and which failed."""

    pixels: list[np.ndarray]
    brightest: list[float]  # of each image, before it was scaled
    files: list[ImageFile]
    unreadable: list[str]


def decode(
    path: Path, size: tuple[int, int] | None, channels: int, *, frame: int | None = None, white: int = 255
) -> np.ndarray:
    """An image file as (C, H, W): upright, on white, scaled and cropped at the centre to `size` (H, W).

    Args:
        size: None keeps the size.
        frame: of a stack, from 0.
        white: 1 where bytes are 0 and 1 only: they become 0 and 255 before anything is scaled.
    Returns:
        uint8; float32 with the file's own values where those have more than 8 bits.
    """
    return _decode(path, size, channels, frame, white)[0]


def _decode(path: Path, size, channels: int, frame: int | None, white: int) -> tuple[np.ndarray, float]:
    """The image, and its brightest value before it was scaled: a star of one pixel fades when a sky is made smaller."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        if frame is not None:
            image.seek(frame)
        _check_large(image)
        if is_deep_colour(image):
            planes = _deep_colours(path, image, channels)
            return _fitted(planes, size), float(planes.max())
        if size is not None:
            image.draft(None, (2 * max(size), 2 * max(size)))  # large JPEGs are decoded at a fraction of their size
        image = ImageOps.exif_transpose(image)
        if image.mode == "F" or image.mode.startswith("I"):
            planes = _deep_greys(image)[None].repeat(channels, 0)
            return _fitted(planes, size), float(planes.max())
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if channels == 1 else "RGB")
        brightest = float(np.max(image.getextrema()))
        if white == 1:
            image = image.point(([0] + [255] * 255) * channels)
        if size is not None and image.size != size[::-1]:
            image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)
        pixels = np.array(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1)), brightest


def _deep_greys(image) -> np.ndarray:
    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" and not (low >= 0 and high <= 1):
        raise ValueError(f"fractions from {low:g} to {high:g}; expected 0 to 1")
    if not (low >= 0 and high <= 65535):
        raise ValueError(f"values from {low:g} to {high:g}; expected at most 16 bits, 0 to 65535")
    return values * 65535 if image.mode == "F" else values


def _deep_colours(path: Path, image, channels: int) -> np.ndarray:
    """A PNG of 16 bits a colour: Pillow gives the upper bytes, and the lower ones where the order is said to be other."""
    from PIL import Image, ImageOps

    with Image.open(path) as lower:
        tile = lower.tile[0]
        lower.tile = [(*tile[:3], tile[3].replace("16B", "16L"))]
        planes = (np.asarray(image).astype(np.float32) * 256 + np.asarray(lower)).transpose(2, 0, 1)
    if len(planes) == 4:  # the last plane says how opaque a pixel is
        opaque = planes[3] / 65535
        planes = planes[:3] * opaque + 65535 * (1 - opaque)
    if channels == 1:
        planes = np.tensordot(np.array(GREY, np.float32), planes, 1)[None]
    turn, upright = image.getexif().get(0x0112, 1), []
    for plane in map(Image.fromarray, planes):
        plane.getexif()[0x0112] = turn
        upright.append(np.asarray(ImageOps.exif_transpose(plane)))
    return np.stack(upright)


def _fitted(planes: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Planes (C, H, W) of float32, scaled and cropped at the centre."""
    from PIL import Image, ImageOps

    if size is None or planes.shape[1:] == size:
        return planes
    method = Image.Resampling.BILINEAR
    return np.stack([np.asarray(ImageOps.fit(Image.fromarray(plane), size[::-1], method)) for plane in planes])


def _check_large(image) -> None:
    """Raises ValueError for an image that all readers at once could not hold in half of the memory."""
    pixels = image.size[0] * image.size[1]
    if pixels > LARGE and image.format != "JPEG" and pixels * 8 * READERS > memory() / 2:
        raise ValueError(f"{image.size[1]}x{image.size[0]} pixels are too many for this machine's memory")


def memory() -> int:
    """Bytes of memory of this machine; 8 GB where that cannot be known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def decode_all(
    files: Sequence[ImageFile], wanted: int, *, size: tuple[int, int] | None, channels: int, white: int = 255
) -> Decoded:
    """The first `wanted` of the files that can be decoded."""

    def attempt(file: ImageFile) -> tuple[np.ndarray, float] | str:
        try:
            return _decode(file.path, size, channels, file.header.frame, white)
        except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
            return reason(error)

    decoded, queue = Decoded([], [], [], []), iter(files)
    with ThreadPoolExecutor(READERS) as pool, any_size():
        while batch := list(islice(queue, min(wanted - len(decoded.files), 64 * READERS))):
            for file, result in zip(batch, pool.map(attempt, batch)):
                if isinstance(result, str):
                    decoded.unreadable.append(f"{file.id} ({result})")
                else:
                    decoded.pixels.append(result[0])
                    decoded.brightest.append(result[1])
                    decoded.files.append(file)
    return decoded


def brightest_by_bits(parts: Sequence[Decoded]) -> dict[str, float]:
    """The brightest value of all images of 8 bits ("8") and of all of more ("16"), where there are such."""
    values: dict[str, float] = {}
    for part in parts:
        for pixels, brightest in zip(part.pixels, part.brightest):
            bits = "8" if pixels.dtype == np.uint8 else "16"
            values[bits] = max(brightest, values.get(bits, 0.0))
    return values


def white_levels(brightest: dict[str, float], known: dict[str, int], name: str, messages: list[str]) -> dict[str, int]:
    """Which value is white, for 8 ("8") and for more bits ("16"): the container's largest, or what the content shows.

    16-bit images of at most 255 are bytes in a larger container; images of 0 and 1 alone are black and white. Both are
    said in `messages`. Looked for over all images together, since one image may be dark by right.

    Args:
        brightest: value of all images, by bits.
        known: the levels of the data that a model was trained on: they hold for these as well.
    Raises:
        DataError: an image is brighter than a known level.
    """
    white = dict(known)
    for bits, value in brightest.items():
        if bits in known:
            if value > known[bits]:
                raise DataError(
                    f"{name} has values up to {value:g}, but in the data that the model was trained on {known[bits]} "
                    "was white; expected images of the same kind"
                )
        elif 0 < value <= 1:
            white[bits] = 1
            messages.append(f"its {bits}-bit images hold 0 and 1 only: 1 is taken for white")
        elif bits == "16" and value <= 255:
            white[bits] = 255
            messages.append(f"its 16-bit images hold at most {value:g}: they are divided by 255, not by 65535")
        else:
            white[bits] = 255 if bits == "8" else 65535
    return white
