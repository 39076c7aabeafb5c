"""What the user of a run came for: tables and pictures beside its metrics. Imports nothing heavy until it is asked."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepunsup_helpers.files import write_atomically
from deepunsup_helpers.record import warn

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes what begins so, or sends it elsewhere
IMAGE_ENDINGS = re.compile(r"\.(png|jpe?g|gif|bmp|tiff?|webp)(?=#|$)", flags=re.IGNORECASE)


def save_table(rows: Any, name: str, path: str | Path | None = None) -> Path:
    """Write a table as CSV: `save_table([{"file": "a.png", "score": 0.4}], "scores")`.

    In a run it becomes tables/NAME.csv beside metrics.json, listed on top of the report. Text that a spreadsheet would
    take for a formula gets an apostrophe before it.

    Args:
        rows: a list of dicts, column to value, or a pandas DataFrame, whose index is kept where it has a name.
        name: the table's name, without folder and ending.
        path: outside a run, the file to write instead of tables/NAME.csv in the working directory.
    Returns:
        the file's path; an older one of that name is replaced.
    Raises:
        OSError: it cannot be written; an older file is as it was.
    """
    import pandas

    table = rows if isinstance(rows, pandas.DataFrame) else pandas.DataFrame([dict(row) for row in rows])
    if any(table.index.names):
        table = table.reset_index()
    columns = {number: table.iloc[:, number].map(plain_cell) for number in range(table.shape[1])}
    plain = pandas.DataFrame(columns, index=range(len(table)) if not columns else None)
    names = [plain_cell(str(column)) for column in table.columns]
    file = Path(path) if path is not None else _folder() / "tables" / f"{safe_name(name)}.csv"
    return write_atomically(file, lambda part: plain.to_csv(part, header=names, index=False, lineterminator="\n"))


def plain_cell(value: Any) -> Any:
    """A table's cell as what it is: one number out of a tensor, and text that no spreadsheet takes for a formula."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        value = float(str(value)) if value.dtype.kind == "f" else value.item()  # float32 0.1 is 0.1, not 0.10000000149
    if not isinstance(value, str) or not value.startswith(FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def save_images(images: Any, names: Sequence[str] | None = None, path: str | Path | None = None) -> list[Path]:
    """Write images as PNG: `save_images(model.decode(z), data.ids_test)`.

    In a run they go into pictures/ beside metrics.json. Names become safe file names; two images of one call never get
    the same one.

    Args:
        images: (N, C, H, W) in [0, 1] with 1, 3 or 4 channels, or a list of such (C, H, W), or of PIL images. Values
            outside [0, 1] are cut, with a warning.
        names: one for each image, such as the files they came from; numbered where not given.
        path: outside a run, the folder to write to instead of pictures/ in the working directory.
    Returns:
        the files' paths.
    Raises:
        ValueError: not as many names as images, or a shape that is no image's.
        OSError: an image cannot be written.
    """
    images = list(images)
    names = (
        [f"{number:04d}" for number in range(1, len(images) + 1)] if names is None else [str(name) for name in names]
    )
    if len(names) != len(images):
        raise ValueError(f"save_images: {len(images)} images, but {len(names)} names.")
    pictures = _as_pil(images)
    folder = Path(path) if path is not None else _folder() / "pictures"
    paths, taken = [], set()
    for picture, name in zip(pictures, names):
        stem = free = safe_name(IMAGE_ENDINGS.sub("", name))
        again = 1
        while free.lower() in taken:  # some file systems do not tell A from a
            again += 1
            free = f"{stem}-{again}"
        taken.add(free.lower())
        paths.append(write_atomically(folder / f"{free}.png", lambda part, picture=picture: picture.save(part, "PNG")))
    return paths


def safe_name(text: str) -> str:
    """A file name, without ending, that every system takes: folders become dashes, the rest keeps its letters."""
    name = re.sub(r"[\x00-\x1f<>:\"/\\|?*#%\s]+", "-", str(text)).strip("-. ")[:100]
    reserved = re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name, flags=re.IGNORECASE)
    return f"{name}-" if reserved else name or "unnamed"


def _folder() -> Path:
    """The run's folder, or the working directory."""
    return Path(os.environ.get("DEEPUNSUP_OUTPUT") or ".")


def _as_pil(images: list) -> list:
    """PIL images of arrays and tensors, with one warning about values that are no image's."""
    import numpy as np
    from PIL import Image

    pictures, low, high, holes = [], 0.0, 1.0, False
    for image in images:
        if isinstance(image, Image.Image):
            pictures.append(image)
            continue
        array = np.asarray(image.detach().cpu().float() if hasattr(image, "detach") else image)
        if array.ndim != 3 or array.shape[0] not in (1, 3, 4):
            raise ValueError(
                f"save_images: expected images (C, H, W) with 1, 3 or 4 channels, got {tuple(array.shape)}."
            )
        if array.dtype != np.uint8:
            array = array.astype(float)
            holes |= bool(np.isnan(array).any())
            array = np.nan_to_num(array, nan=0.0, posinf=math.inf, neginf=-math.inf)
            low, high = min(low, float(array.min(initial=0))), max(high, float(array.max(initial=1)))
            array = np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
        pixels = array.transpose(1, 2, 0)
        pictures.append(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
    if low < -0.01 or high > 1.01:
        warn(f"save_images: values from {low:.3g} to {high:.3g} were cut to the range from 0 to 1 that a picture has.")
    if holes:
        warn("save_images: values that are no number (NaN) were drawn black.")
    return pictures
