"""As many threads as the machine has to spare, looked at four times a second.

Threads that wait for each other spin. While something else computes on the same cores, they wait for one that is not
running, all spin, and a training takes three to twenty times as long: two open notebooks freeze each other. So a
training on a CPU uses the cores less what other processes use, at least one, and takes back what they leave.
"""

import contextlib
import math
import os
import random
import threading
import time
from collections.abc import Iterator

import torch

SECONDS_BETWEEN_LOOKS = 0.25
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 16.0  # seconds for which cores have been free before they are taken back
MAY_BE_TAKEN = 0.3  # of its last core; above this two threads were slower than one (VAE and DCGAN, two cores)
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # a number that a user chose


class ThreadCount:
    """The decision alone: fewer threads at once when others compute, more when cores have been free for a while.

    Too many threads cost far more than too few, so giving way is quick and taking back is slow. Taking back happens
    by half of what is free, after a wait of random length that doubles when it was a mistake: several trainings that
    look at each other share the cores and come to rest.
    """

    def __init__(self, cores: int, most: int):
        self.cores, self.most, self.threads = cores, most, most
        self._random = random.Random(os.getpid())  # not the global generator: that one belongs to the training
        self._patience, self._raised, self._others = SHORTEST_WAIT, -math.inf, 0.0
        self._wait_anew(0.0)

    def seen(self, others: float, now: float) -> int:
        """The threads to use from now on.

        Args:
            others: how many cores other processes kept busy since the last look, 0 to `cores`.
            now: seconds on a clock that never goes back.
        """
        free = self.cores - (others + self._others) / 2  # two looks, so that a short burst alone changes nothing
        self._others = others
        room = max(1, math.floor(free + MAY_BE_TAKEN))
        if room < self.threads:
            mistaken = now - self._raised <= 2 * self._patience
            self._patience = min(2 * self._patience, LONGEST_WAIT) if mistaken else SHORTEST_WAIT
            self.threads = room
            self._wait_anew(now)
        elif room == self.threads or self.threads == self.most:
            self._wait_anew(now)
        elif now - self._free_since >= self._wait:
            self.threads = min(self.most, self.threads + math.ceil((room - self.threads) / 2))
            self._raised = now
            self._wait_anew(now)
        return self.threads

    def rested(self) -> int:
        """After a pause of this process: what was seen before says little about now, and cores that are free are not awaited."""
        self._others, self._wait, self._patience = 0.0, 0.0, SHORTEST_WAIT
        return self.threads

    def _wait_anew(self, now: float) -> None:
        self._free_since, self._wait = now, self._patience * self._random.uniform(1, 2)


class _Follower(threading.local):
    """Follows the load in one Python thread: torch's number of threads belongs to the thread that computes."""

    next_look = 0.0  # on time.monotonic(); infinite where nothing is followed
    load: "_Load | None" = None
    count: ThreadCount
    paused = False

    def look(self, now: float) -> None:
        if self.load is None:
            self.load = _load()
            self.next_look = math.inf if self.load is None else now + SECONDS_BETWEEN_LOOKS
            if self.load is not None:
                self.count = ThreadCount(len(self.load.cores), torch.get_num_threads())
            return
        if torch.get_num_threads() != self.count.threads:  # set by hand meanwhile: that is obeyed
            self.next_look = math.inf
            return
        others, own = self.load.since_last_call()
        # After a pause the load of that time says nothing about now. Twice in a row, it is no pause: steps are that slow.
        self.paused = own < 0.3 and now > self.next_look + 1 and not self.paused
        _use(self.count.rested() if self.paused else self.count.seen(others, now))
        self.next_look = now + SECONDS_BETWEEN_LOOKS

    def owns_the_number(self) -> bool:
        return self.load is not None and torch.get_num_threads() == self.count.threads


class _Load:
    """How busy the cores are that this process may use."""

    def __init__(self):
        import psutil  # here, since a training on a GPU needs none

        self._busy, self._process = psutil.cpu_percent, psutil.Process()
        try:
            self.cores = self._process.cpu_affinity()
        except AttributeError:  # macOS binds no process to cores
            self.cores = list(range(psutil.cpu_count()))
        self.since_last_call()  # psutil measures from one call to the next

    def since_last_call(self) -> tuple[float, float]:
        """How many of the cores others used, and this process with its helper threads, which spin while they wait."""
        busy, own = self._busy(percpu=True), self._process.cpu_percent() / 100
        others = sum(busy[core] for core in self.cores) / 100 - own
        return min(max(others, 0.0), float(len(self.cores))), own


_follower = _Follower()
_at_first = torch.get_num_threads()  # torch's own choice, or what a script set before it imported this
_used: list[int] = []


def follow_load() -> None:
    """Look, if the last look was a quarter of a second ago; else this costs the reading of a clock.

    Called by `update` and for every batch of `fit` and `evaluate`, on the CPU. Nothing is followed where the number of
    threads was chosen: OMP_NUM_THREADS or MKL_NUM_THREADS is set, or `torch.set_num_threads` was called; nor where a
    container may use less than the machine's cores, whose load then says nothing.
    """
    now = time.monotonic()
    if now >= _follower.next_look:
        _follower.look(now)


@contextlib.contextmanager
def fixed_threads(enabled: bool = True) -> Iterator[None]:
    """Meanwhile the number of threads is the one that this process began with, so that what is computed repeats exactly."""
    if not enabled:
        yield
        return
    until, mine = _follower.next_look, _follower.owns_the_number()
    _follower.next_look = math.inf
    if mine:
        _use(_at_first)
    try:
        yield
    finally:
        if mine and torch.get_num_threads() == _at_first:
            torch.set_num_threads(_follower.count.threads)
        _follower.next_look = until


def used_threads() -> tuple[int, int]:
    """The fewest and the most threads that this process has computed with, as far as they followed the load."""
    numbers = [*_used, torch.get_num_threads()]
    return min(numbers), max(numbers)


def _use(threads: int) -> None:
    if threads != torch.get_num_threads():
        _used[:] = {*_used, torch.get_num_threads(), threads}
        torch.set_num_threads(threads)


def _load() -> _Load | None:
    """None where the number of threads is not to follow the load."""
    from joblib import cpu_count  # knows the quotas of containers

    chosen = any(os.environ.get(name) for name in VARIABLES)
    if chosen or torch.get_num_threads() == 1 or torch.get_num_threads() != _at_first:
        return None
    load = _Load()
    return load if cpu_count() >= len(load.cores) else None
