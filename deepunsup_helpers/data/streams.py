"""A folder of images as a torch Dataset, which reads each when it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError, one_size_needed, warn
from deepunsup_helpers.data.decode import brightest_by_bits, decode, decode_all, white_levels
from deepunsup_helpers.data.folder import class_codes, file_ids, plan_folder, scaled
from deepunsup_helpers.data.image_files import any_size, reason
from deepunsup_helpers.data.parts import told_unreadable
from deepunsup_helpers.data.splits import check_size

LOOKED_AT = 100  # images, spread over all of them, that show which value is white


class FolderImages(torch.utils.data.Dataset):
    """The images of `load("folder:PATH")` as a torch Dataset that reads an image when it is asked for: for `Streaming`.

    Items are x, float32 (C, H, W) in [0, 1], or pairs (x, label) when there are classes. An image that cannot be
    decoded gives None and a warning; `Streaming` leaves it out. Which value is white is read from a hundred images.

    Args:
        path: the folder; relative paths start at the current directory.
        train: the training part, or else the test part.
        train_size, test_size, seed, image_size, channels: as for `load`.
    Attributes:
        image_shape: (C, H, W). class_names: names of the labels, or None. ids: the files, as `Dataset.ids_train`.
    Raises:
        DataError: as `load`; images of several sizes without `image_size`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        train: bool = True,
        train_size: int | None = None,
        test_size: int | None = None,
        seed: int = 0,
        image_size: int | tuple[int, int] | None = None,
        channels: int | None = None,
    ):
        check_size(train_size, "train_size", least=1)
        check_size(test_size, "test_size", least=0)
        plan = plan_folder(
            path, train_size=train_size, test_size=test_size, seed=seed, image_size=image_size, channels=channels
        )
        if plan.size is None:
            raise DataError(one_size_needed(f"folder:{path}", [file.header.size for file in plan.train + plan.test]))
        everything = plan.train + plan.test
        some = [everything[i] for i in np.linspace(0, len(everything) - 1, LOOKED_AT).astype(int)]
        looked_at = decode_all(list(dict.fromkeys(some)), LOOKED_AT, size=plan.size, channels=plan.channels)
        self.white = white_levels(brightest_by_bits([looked_at]), {}, f"folder:{path}", plan.messages)
        for message in plan.messages + told_unreadable(plan.unreadable):
            warn(f"folder:{path}: {message}")
        self.files = plan.train[: plan.wanted_train] if train else plan.test
        self.ids = file_ids(self.files)
        self.labels = class_codes(self.files, plan.classes)
        self.class_names = plan.classes
        self.image_shape = (plan.channels, *plan.size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor | tuple[Tensor, int] | None:
        file, (channels, *size) = self.files[index], self.image_shape
        try:
            with any_size():
                pixels = decode(
                    file.path, tuple(size), channels, frame=file.header.frame, white=self.white.get("8", 255)
                )
        except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
            warn(f"{file.path} cannot be read and is left out ({reason(error)})")
            return None
        x = torch.from_numpy(scaled(pixels, self.white))
        if x.max() > 1:
            raise DataError(f"{file.id} is brighter than white in the images looked at before; load the folder whole")
        return x if self.labels is None else (x, int(self.labels[index]))
