"""Image files on disk: finding them, reading their headers, the class and the name of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deepunsup_helpers.data.dataset import plain_text, printable

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
SYSTEM_FILES = ("thumbs.db", "desktop.ini")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")  # Pillow's names
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
READERS = min(4, os.cpu_count() or 1)  # threads; Pillow decodes outside Python's lock
REDUCED = 254  # TIFF tag: its first bit marks a smaller copy of another frame


class Header(NamedTuple):
    size: tuple[int, int]  # (H, W), upright
    grey: bool
    deep: bool = False  # more than 8 bits a value
    frame: int | None = None  # of a stack


class ImageFile(NamedTuple):
    """An image, or one frame of a stack."""

    path: Path
    id: str  # the path inside the data's folder, "cat/3.png"; "stack.tif#2" is the third frame of a stack
    label: str | None  # the first subfolder on the way to it
    header: Header


class Found(NamedTuple):
    """What lies in a folder; the lists of text are paths from that folder, for messages."""

    images: list[ImageFile]
    unreadable: list[str]  # with the reason
    others: list[str]  # no images by their names
    beside: list[ImageFile]  # beside the class folders: without a class
    empty: list[str]  # subfolders without images
    animated: list[str]  # of which the first picture alone is taken


def find_images(folder: Path, root: Path | None = None) -> Found:
    """All images below a folder, in natural order of their paths (2 before 10), by header.

    The class of an image is the first subfolder on the way to it. Hidden files are passed over.

    Args:
        root: the folder from which ids are counted; the same by default.
    """
    closed: list[str] = []
    paths, others = [], []
    for path in sorted(_walk(folder, closed), key=lambda path: natural(str(path))):
        (paths if path.suffix.lower() in SUFFIXES else others).append(path)
    with ThreadPoolExecutor(READERS) as pool, any_size():
        headers = list(pool.map(_headers, paths))
    files, unreadable, animated = [], closed, []
    for path, found in zip(paths, headers):
        inside = path.relative_to(folder)
        if isinstance(found, str):
            unreadable.append(f"{plain_text(inside)} ({found})")
            continue
        label = plain_text(inside.parts[0]) if len(inside.parts) > 1 else None
        own = printable(path.relative_to(root or folder).as_posix())
        if found[0].frame == -1:
            animated.append(plain_text(inside))
            found = [found[0]._replace(frame=None)]
        files += [
            ImageFile(path, own if header.frame is None else f"{own}#{header.frame}", label, header) for header in found
        ]
    labelled = [file for file in files if file.label is not None]
    beside = [file for file in files if file.label is None] if labelled else []
    empty = _without(folder, {path.relative_to(folder).parts[0] for path in paths})
    return Found(
        labelled or files,
        unreadable,
        [plain_text(path.relative_to(folder)) for path in others],
        beside,
        empty,
        animated,
    )


def visible(name: str) -> bool:
    """Whether a file or folder is one's own: not hidden, and no system's leaving."""
    return not name.startswith(".") and name != "__MACOSX" and name.lower() not in SYSTEM_FILES


def subfolders(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if visible(path.name) and path.is_dir()), key=lambda p: p.name)


def _without(folder: Path, filled: set[str]) -> list[str]:
    return [plain_text(path.name) + "/" for path in subfolders(folder) if path.name not in filled]


def _walk(folder: Path, closed: list[str]) -> Iterator[Path]:
    """Files below a folder; links are followed once; what cannot be opened goes into `closed`."""

    def note(error: OSError) -> None:
        closed.append(f"{plain_text(os.path.relpath(error.filename, folder))}/ ({error.strerror})")

    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=note):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = filter(visible, folders)
        yield from (Path(here, name) for name in files if visible(name))


def natural(text: str) -> list:
    """Sorting key under which "2" comes before "10"."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", text)]


@contextmanager
def any_size():
    """Pillow's limit of 89 million pixels put aside: decode.py has one that knows the memory."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _headers(path: Path) -> list[Header] | str:
    """A header for each frame of a stack, one for any other image (frame -1: animated), or why it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.format != "TIFF" or image.n_frames == 1:
                animated = image.format in ("GIF", "WEBP", "PNG") and getattr(image, "is_animated", False)
                return [_header(image, frame=-1 if animated else None)]
            headers = []
            for frame in range(image.n_frames):
                image.seek(frame)
                if not image.tag_v2.get(REDUCED, 0) & 1:
                    headers.append(_header(image, frame=frame))
            return headers if len(headers) > 1 else [headers[0]._replace(frame=None)]
    except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
        return reason(error)


def _header(image, *, frame: int | None) -> Header:
    width, height = image.size
    exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}  # or it decodes the image
    lying = exif.get(0x0112, 1) >= 5  # EXIF orientation: 5 to 8 are turned by 90 degrees
    deep = image.mode in DEEP_MODES or is_deep_colour(image)
    return Header((width, height) if lying else (height, width), image.mode in GREY_MODES, deep, frame)


def is_deep_colour(image) -> bool:
    """Whether this is a PNG of 16 bits a colour, of which Pillow keeps the upper 8 alone."""
    return image.format == "PNG" and any(tile[3] in ("RGB;16B", "RGBA;16B") for tile in image.tile)


def reason(error: Exception) -> str:
    """Why an image cannot be read, in a few words."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "no image"
    if isinstance(error, FileNotFoundError):
        return "a link to nothing"
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
