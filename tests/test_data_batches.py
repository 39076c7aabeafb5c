"""Batches and Streaming: every example once an epoch, in a new order, repeated by a seed or a restored state."""

import pytest
import torch

from deepunsup_helpers.data import Batches, DataError, Streaming

N = 103


def examples(device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, 2, 2) whose pixels are the example's number, and that number as label."""
    y = torch.arange(N, device=device)
    return y.float().view(N, 1, 1, 1).expand(N, 1, 2, 2).contiguous(), y


class Numbers(torch.utils.data.Dataset):
    """The same examples, one by one; every `gap`-th is unreadable."""

    def __init__(self, labelled: bool = True, gap: int | None = None):
        self.labelled, self.gap = labelled, gap

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int):
        if self.gap and i % self.gap == 0:
            return None
        x = torch.full((1, 2, 2), float(i))
        return (x, i) if self.labelled else x


def make(kind: str, labelled: bool = True, **options):
    if kind == "Batches":
        x, y = examples()
        return Batches(x, y if labelled else None, **options)
    return Streaming(Numbers(labelled), **options)


def order(batches) -> list[int]:
    return torch.cat([y for _, y in batches]).tolist()


both = pytest.mark.parametrize("kind", ["Batches", "Streaming"])


@both
@pytest.mark.parametrize("drop_last, count, last", [(False, 7, 7), (True, 6, 16)])
def test_lengths_and_the_last_batch(kind, drop_last, count, last):
    batches = make(kind, batch_size=16, drop_last=drop_last)
    sizes = [len(x) for x, _ in batches]
    assert len(batches) == len(sizes) == count
    assert sizes == [16] * (count - 1) + [last]


@both
def test_every_example_once_an_epoch_in_a_new_order(kind):
    batches = make(kind, batch_size=10)
    first, second = order(batches), order(batches)
    assert sorted(first) == sorted(second) == list(range(N))
    assert first != second and first != list(range(N))


@both
def test_images_stay_with_their_labels(kind):
    for x, y in make(kind, batch_size=10):
        assert x.shape[1:] == (1, 2, 2) and y.dtype == torch.int64
        assert torch.equal(x, y.float().view(-1, 1, 1, 1).expand_as(x))


@both
def test_without_labels_batches_are_plain_tensors(kind):
    batches = list(make(kind, labelled=False, batch_size=10, shuffle=False))
    assert all(isinstance(x, torch.Tensor) for x in batches)
    assert torch.equal(torch.cat(batches), examples()[0])


@both
def test_the_seed_repeats_and_another_seed_does_not(kind):
    a, b, c = (make(kind, batch_size=10, seed=seed) for seed in (1, 1, 2))
    assert [order(a), order(a)] == [order(b), order(b)]
    assert order(make(kind, batch_size=10, seed=1)) != order(c)


@both
def test_the_state_of_the_generator_resumes_the_epochs_that_follow(kind):
    batches = make(kind, batch_size=10, seed=3)
    order(batches)
    state = batches.generator.get_state()
    expected = [order(batches), order(batches)]
    resumed = make(kind, batch_size=10, seed=99)
    resumed.generator.set_state(state)
    assert [order(resumed), order(resumed)] == expected


@both
def test_the_global_generator_is_left_alone(kind):
    before = torch.random.get_rng_state()
    order(make(kind, batch_size=10))
    assert torch.equal(before, torch.random.get_rng_state())


@both
def test_an_epoch_left_early_does_not_disturb_the_next(kind):
    stopped, whole = make(kind, batch_size=10, seed=4), make(kind, batch_size=10, seed=4)
    next(iter(stopped)), order(whole)
    assert order(stopped) == order(whole)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_equals_batches(shuffle, workers):
    resident = make("Batches", batch_size=16, shuffle=shuffle, seed=5)
    streamed = make("Streaming", batch_size=16, shuffle=shuffle, seed=5, workers=workers)
    for _ in range(2):
        for (x, y), (a, b) in zip(resident, streamed, strict=True):
            assert torch.equal(x, a) and torch.equal(y, b)


@both
@pytest.mark.parametrize("ranks, batch_size", [(2, 16), (3, 16), (2, 51), (4, 103)])
def test_processes_share_each_batch_in_equal_parts(kind, ranks, batch_size):
    single = make(kind, batch_size=batch_size, seed=3)
    parts = [make(kind, batch_size=batch_size, seed=3, rank=r, ranks=ranks) for r in range(ranks)]
    for _ in range(2):
        whole, shares = list(single), [list(part) for part in parts]
        assert len({len(share) for share in shares}) == 1 and len(shares[0]) == len(parts[0])
        for batch, *pieces in zip(whole, *shares):
            assert len({len(y) for _, y in pieces}) == 1
            together = torch.cat([y for _, y in pieces])
            assert torch.equal(together, batch[1][: len(together)]) and len(batch[1]) - len(together) < ranks


@both
def test_a_last_batch_too_small_for_all_processes_falls_away(kind):
    parts = [make(kind, batch_size=17, rank=r, ranks=2) for r in range(2)]  # 103 = 6 * 17 + 1
    assert [len(part) for part in parts] == [6, 6] == [len(list(part)) for part in parts]


@both
@pytest.mark.parametrize(
    "options, words", [({"rank": 2, "ranks": 2}, "rank=2 of ranks=2"), ({"rank": 0, "ranks": 11}, "split over 11")]
)
def test_a_bad_rank_is_named(kind, options, words):
    with pytest.raises(DataError, match=words):
        make(kind, batch_size=10, **options)


def test_streaming_leaves_out_what_cannot_be_read():
    for batch_size in (4, 1):  # with 1, whole batches fall away
        batches = Streaming(Numbers(gap=3), batch_size=batch_size, shuffle=False)
        assert order(batches) == [i for i in range(N) if i % 3]


def test_batches_without_shuffling_are_views():
    x, y = examples()
    for start, (a, b) in zip(range(0, N, 16), Batches(x, y, batch_size=16, shuffle=False)):
        assert a.data_ptr() == x[start].data_ptr() and b.data_ptr() == y[start].data_ptr()


@both
@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "8"])
def test_a_bad_batch_size_is_named(kind, batch_size):
    with pytest.raises(DataError, match="batch_size="):
        make(kind, batch_size=batch_size)


def test_what_leaves_no_batch_is_refused():
    x, y = examples()
    with pytest.raises(DataError, match="no examples"):
        Batches(x[:0], batch_size=4)
    with pytest.raises(DataError, match="lower batch_size"):
        Batches(x, batch_size=N + 1, drop_last=True)
    with pytest.raises(DataError, match="one label for each"):
        Batches(x, y[:-1], batch_size=4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_set_and_its_generator_live_there():
    x, y = examples()
    batches = Batches(x, y, batch_size=16, device="cuda", seed=6)
    assert batches.generator.device.type == "cuda"
    state = batches.generator.get_state()
    first = order(batches)
    assert sorted(first) == list(range(N)) and all(x.is_cuda and y.is_cuda for x, y in batches)
    batches.generator.set_state(state)
    assert order(batches) == first
    streamed = Streaming(Numbers(), batch_size=16, device="cuda", shuffle=False, workers=1)
    assert torch.equal(torch.cat([x for x, _ in streamed]), x.cuda())
