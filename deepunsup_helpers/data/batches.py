"""How a data set becomes batches: resident on the device, or streamed from disk."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunsup_helpers.data.dataset import DataError


def _check_batches(n: int, batch_size: int, drop_last: bool, rank: int, ranks: int) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise DataError(f"batch_size={batch_size!r} must be a whole number of at least 1")
    if n == 0:
        raise DataError("there are no examples to make batches of; expected at least one")
    if drop_last and n < batch_size:
        raise DataError(
            f"drop_last=True leaves no batch: {n} examples are fewer than batch_size={batch_size}; "
            "lower batch_size or keep the last batch"
        )
    if not 0 <= rank < ranks:
        raise DataError(f"rank={rank} of ranks={ranks}: expected a number from 0 to ranks - 1")
    if min(n, batch_size) < ranks:
        raise DataError(
            f"a batch of {min(n, batch_size)} cannot be split over {ranks} processes; raise batch_size or use fewer"
        )


def _count_batches(n: int, batch_size: int, drop_last: bool, ranks: int) -> int:
    return n // batch_size + (not drop_last and n % batch_size >= ranks)


def _spans(n: int, batch_size: int, drop_last: bool, rank: int, ranks: int) -> Iterator[tuple[int, int]]:
    """Where in the epoch's order this rank's part of each batch begins and ends."""
    for start in range(0, _count_batches(n, batch_size, drop_last, ranks) * batch_size, batch_size):
        size = (min(start + batch_size, n) - start) // ranks
        yield start + rank * size, start + (rank + 1) * size


class Batches:
    """The whole set on the device, shuffled there: each epoch is a new permutation and a gather a batch.

    `generator` drives the permutations and nothing else does: restoring its state (as checkpoints do) between two
    epochs repeats the epochs that follow. Without shuffling, batches are views of `x`.

    Where several processes train together, each holds the whole set and, with the same seed, the same order; of each batch
    it yields its own equal part, so that the mean of the processes' gradients is that of the whole batch. Fewer than
    `ranks` examples, those by which the last batch cannot be divided, sit out an epoch.

    Args:
        x: examples (N, ...), copied to `device` once.
        y: labels (N, ...) or None; with labels, batches are pairs (x, y).
        batch_size: examples a batch, of all processes together; the last one holds the rest, or is left out with
            `drop_last`.
        seed: of the generator, which lives on `device`.
        rank, ranks: which process this is, from 0, and how many there are.
    Raises:
        DataError: no examples, x and y of different length, or a batch size that leaves no batch.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        batch_size: int,
        device: torch.device | str = "cpu",
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ):
        _check_batches(len(x), batch_size, drop_last, rank, ranks)
        if y is not None and len(y) != len(x):
            raise DataError(f"x has {len(x)} examples and y has {len(y)} labels; expected one label for each")
        self.device = torch.device(device)
        self.x = x.to(self.device)
        self.y = None if y is None else y.to(self.device)
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.rank, self.ranks = rank, ranks
        self.generator = torch.Generator(device=self.device).manual_seed(seed)

    def __len__(self) -> int:
        return _count_batches(len(self.x), self.batch_size, self.drop_last, self.ranks)

    def __iter__(self) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        n = len(self.x)
        order = torch.randperm(n, generator=self.generator, device=self.device) if self.shuffle else None
        for start, stop in _spans(n, self.batch_size, self.drop_last, self.rank, self.ranks):
            if order is None:
                x, y = self.x[start:stop], self.y if self.y is None else self.y[start:stop]
            else:
                chosen = order[start:stop]
                x = self.x.index_select(0, chosen)
                y = self.y if self.y is None else self.y.index_select(0, chosen)
            yield x if y is None else (x, y)


class _EpochOrder:
    """A batch sampler whose every iteration draws one permutation from `generator`, as `Batches` does."""

    def __init__(
        self, n: int, batch_size: int, shuffle: bool, drop_last: bool, generator: torch.Generator, rank: int, ranks: int
    ):
        self.n, self.batch_size, self.shuffle, self.drop_last = n, batch_size, shuffle, drop_last
        self.generator, self.rank, self.ranks = generator, rank, ranks

    def __len__(self) -> int:
        return _count_batches(self.n, self.batch_size, self.drop_last, self.ranks)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.n, generator=self.generator) if self.shuffle else torch.arange(self.n)
        for start, stop in _spans(self.n, self.batch_size, self.drop_last, self.rank, self.ranks):
            yield order[start:stop].tolist()


def _collate_readable(items: list):
    """A batch of the items that are not None (unreadable files); None when there is none."""
    items = [item for item in items if item is not None]
    return torch.utils.data.default_collate(items) if items else None


class Streaming:
    """The same interface as `Batches` for a set that does not fit in memory: a DataLoader over a torch Dataset.

    With equal seeds on the CPU it yields the batches that `Batches` yields. Where several processes train together every
    item must be readable: they would wait for one another over parts of different size.

    Args:
        dataset: a map-style torch Dataset of x, or of pairs (x, y); an item that is None (a file that could not be
            read) is left out of its batch.
        workers: processes that read; 0 reads in this one.
        batch_size, device, shuffle, drop_last, seed, rank, ranks: as for `Batches`; the generator lives on the CPU.
    Raises:
        DataError: as `Batches`.
    """

    def __init__(
        self,
        dataset: torch.utils.data.Dataset,
        *,
        batch_size: int,
        device: torch.device | str = "cpu",
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ):
        _check_batches(len(dataset), batch_size, drop_last, rank, ranks)
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)
        order = _EpochOrder(len(dataset), batch_size, shuffle, drop_last, self.generator, rank, ranks)
        self.loader = torch.utils.data.DataLoader(
            dataset,
            batch_sampler=order,
            num_workers=workers,
            collate_fn=_collate_readable,
            pin_memory=self.device.type == "cuda",
            persistent_workers=workers > 0,
            generator=torch.Generator(),
        )  # its own: the workers' base seed must not draw from the global RNG

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        for batch in self.loader:
            if batch is None:
                continue
            if isinstance(batch, Tensor):
                yield batch.to(self.device, non_blocking=True)
            else:
                yield tuple(part.to(self.device, non_blocking=True) for part in batch)
