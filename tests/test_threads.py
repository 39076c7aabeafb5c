"""Threads follow the load: they give way at once, come back when cores are free, and come to rest when several look."""

import math
import os
import subprocess
import sys
import time

import pytest
import torch

from deepunsup_helpers.runner.threads import THREAD_VARIABLES
from deepunsup_helpers.training import fit, threads, update
from deepunsup_helpers.training.threads import ThreadCount, fixed_threads, follow_load, used_threads

LOOK = threads.SECONDS_BETWEEN_LOOKS


def used(demands: list[float], cores: int) -> list[float]:
    """How much of the cores each gets when all want more than there is: equal shares a thread, as Linux gives them."""
    scale = min(1.0, cores / max(sum(demands), 1e-9))
    return [scale * demand for demand in demands]


def simulate(trainings: int, cores: int, *, others=lambda now: 0.0, seconds: float = 60.0) -> list[list[int]]:
    """The threads of each training at each look; `others(now)` are the cores that other programs want."""
    counts, history, busy = [ThreadCount(cores, cores) for _ in range(trainings)], [], [0.0] * (trainings + 1)
    for count, seed in zip(counts, range(trainings)):
        count._random.seed(seed)  # as the numbers of processes differ
    for look in range(int(seconds / LOOK)):
        now = look * LOOK
        busy = used([*(count.threads for count in counts), others(now)], cores)
        history.append([count.seen(sum(busy) - mine, now) for count, mine in zip(counts, busy)])
    return history


@pytest.mark.parametrize("cores", [2, 3, 8, 64])
def test_alone_a_training_keeps_all_cores(cores):
    assert simulate(1, cores) == [[cores]] * int(60 / LOOK)


def test_a_short_burst_changes_nothing_and_a_lasting_load_does():
    count = ThreadCount(2, 2)
    assert [count.seen(others, i * LOOK) for i, others in enumerate([0, 0.5, 0, 0.05, 0.5, 0])] == [2] * 6
    assert [count.seen(others, 10 + i * LOOK) for i, others in enumerate([0.5, 0.5])] == [2, 1]
    assert ThreadCount(2, 2).seen(1.0, 0.0) == 1  # a whole core is seen at the first look


@pytest.mark.parametrize("cores, busy", [(2, 1), (2, 2), (4, 1), (8, 3), (8, 20)])
def test_beside_busy_programs_their_cores_are_left_within_half_a_second(cores, busy):
    history = simulate(1, cores, others=lambda now: float(busy) if now >= 10 else 0.0)
    assert history[int(10 / LOOK) - 1] == [cores]
    left = max(1, cores - busy)
    assert all(threads <= left + (busy > cores / 2) for (threads,) in history[int(11 / LOOK) :])
    assert history[-1] == [left] or busy > cores


@pytest.mark.parametrize("cores", [2, 8])
def test_free_cores_are_taken_back_within_seconds(cores):
    history = simulate(1, cores, others=lambda now: cores - 1.0 if 5 <= now < 10 else 0.0, seconds=30)
    given = history[int(9 / LOOK)][0]
    assert given <= 2 and history[int(10.9 / LOOK)] == [given]  # not at once
    assert history[int((10 + 2 * math.ceil(math.log2(cores)) + 1) / LOOK)] == [cores]


@pytest.mark.parametrize("trainings, cores", [(2, 2), (2, 3), (2, 8), (3, 8), (4, 64), (5, 4)])
def test_several_trainings_share_the_cores_and_come_to_rest(trainings, cores):
    history = simulate(trainings, cores, seconds=240)
    rest = history[len(history) // 2 :]
    changes = sum(a != b for before, after in zip(rest, rest[1:]) for a, b in zip(before, after))
    assert changes <= 8 * trainings  # in two minutes, of 480 looks
    wanted = max(cores, trainings)
    assert sum(sum(now) <= wanted + 1 for now in rest) > 0.95 * len(rest)
    assert sum(sum(now) for now in rest) > 0.7 * cores * len(rest)
    if trainings == cores == 2:
        assert rest == [[1, 1]] * len(rest)


def test_when_one_of_two_ends_the_other_takes_all():
    first, second = ThreadCount(2, 2), ThreadCount(2, 2)
    for look in range(40):
        assert (first.seen(1.0, look * LOOK), second.seen(1.0, look * LOOK)) == (1, 1)
    assert [first.seen(0.0, 10 + look * LOOK) for look in range(12)][-1] == 2


def test_a_load_that_comes_and_goes_is_not_followed_back_and_forth():
    """Two seconds of computing, two of rest, for four minutes: after a while the cores are no longer taken back."""
    history = [threads for (threads,) in simulate(1, 2, others=lambda now: float(now % 4 < 2), seconds=240)]
    raised = [i * LOOK for i, (a, b) in enumerate(zip(history, history[1:])) if b > a]
    assert len([now for now in raised if now > 120]) == 0 < len(raised)


class Machine:
    """In place of psutil and the clock: two cores, and what others use of them."""

    def __init__(self, monkeypatch):
        self.others, self.now, self.threads, self.looks = 0.0, 1000.0, 2, 0
        self.resting = False
        follower = threads._Follower()
        monkeypatch.setattr(threads, "_follower", follower)
        monkeypatch.setattr(threads, "_used", [])
        monkeypatch.setattr(threads, "_at_first", 2)
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda number: setattr(self, "threads", number))
        for name in THREAD_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        import joblib
        import psutil

        machine, self.quota = self, 2

        class Process:
            def cpu_affinity(self):
                return [0, 1]

            def cpu_percent(self):
                return 100.0 * machine.mine()

        def cpu_percent(percpu):
            assert percpu
            machine.looks += 1
            return [50.0 * (machine.mine() + machine.others)] * 2 + [100.0] * 6  # cores that are not this process's

        monkeypatch.setattr(psutil, "Process", Process)
        monkeypatch.setattr(psutil, "cpu_percent", cpu_percent)
        monkeypatch.setattr(joblib, "cpu_count", lambda: self.quota)

    def mine(self) -> float:
        return 0.0 if self.resting else min(self.threads, 2 - self.others)

    def run(self, seconds: float, work=follow_load) -> int:
        end = self.now + seconds
        while self.now < end:
            work()
            self.now += 0.01
        return self.threads


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_looks_come_four_times_a_second(machine):
    machine.run(10)
    assert 36 <= machine.looks <= 41 and machine.threads == 2 and used_threads() == (2, 2)


def test_a_loop_written_by_hand_profits_by_update(machine):
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([w], lr=0.1)
    machine.run(1, lambda: update(optimizer, w.square().sum()))
    machine.others = 1.0
    assert machine.run(1, lambda: update(optimizer, w.square().sum())) == 1
    machine.others = 0.0
    assert machine.run(3, lambda: update(optimizer, w.square().sum())) == 2 and used_threads() == (1, 2)


def test_a_number_set_by_hand_is_obeyed_from_then_on(machine):
    machine.run(1)
    machine.threads = 1
    assert machine.run(10) == 1
    machine.threads, machine.others = 2, 1.0
    assert machine.run(10) == 2


@pytest.mark.parametrize("reason", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "quota", "set before", "one thread"])
def test_where_nothing_is_followed(reason, machine, monkeypatch):
    if reason.isupper():
        monkeypatch.setenv(reason, "2")
    elif reason == "quota":
        machine.quota = 1
    else:
        machine.threads = 3 if reason == "set before" else 1
    before, machine.others = machine.threads, 1.0
    assert machine.run(5) == before and used_threads() == (before, before)


def test_a_training_with_a_checkpoint_keeps_the_number_it_began_with(machine, tmp_path):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    machine.run(1)
    machine.others = 1.0
    assert machine.run(1) == 1
    seen = []

    def step(x):
        update(optimizer, model(x).square().mean())
        machine.now += 0.1
        seen.append(machine.threads)
        return {}

    batches, state = [torch.ones(3, 2)] * 20, {"model": model, "optimizer": optimizer}
    fit(step, batches, epochs=2, state=state, checkpoint=tmp_path / "c.pt", progress=False)
    assert seen == [2] * 40 and machine.threads == 1  # afterwards it follows again
    seen.clear()
    fit(step, batches, epochs=1, state=state, progress=False)
    assert seen == [1] * 20


def test_what_others_did_while_this_process_rested_is_not_counted(machine):
    machine.run(1)
    machine.others, machine.resting = 2.0, True
    machine.now += 60
    machine.run(0.2)
    machine.others, machine.resting = 0.0, False
    assert machine.run(3) == 2 and used_threads() == (2, 2)


def test_after_a_pause_free_cores_are_taken_at_once(machine):
    machine.run(1)
    machine.others = 1.0
    assert machine.run(1) == 1
    machine.others, machine.resting = 0.0, True
    machine.now += 10
    machine.run(0.02)
    machine.resting = False
    assert machine.run(0.5) == 2


def test_long_steps_are_followed_all_the_same(machine):
    machine.run(1)
    machine.others = 1.0
    for _ in range(2):
        follow_load()
        machine.now += 5
    assert machine.threads == 1


def test_a_process_that_gets_hardly_any_time_gives_way_too(machine):
    machine.run(1)
    machine.others, machine.resting = 2.0, True  # its steps take five seconds, and others nearly all of it
    for _ in range(3):
        follow_load()
        machine.now += 5
    assert machine.threads == 1


def test_fixed_threads_leave_a_number_set_by_hand_alone(machine):
    machine.run(1)
    machine.threads = 1
    with fixed_threads():
        assert machine.threads == 1
    with fixed_threads(False):
        assert machine.threads == 1
    assert machine.threads == 1


def test_a_look_is_cheap():
    start = time.perf_counter()
    for _ in range(1000):
        follow_load()
    assert time.perf_counter() - start < 0.1  # 100 microseconds each would be too much; it is a tenth of one


TRAINING = """
import time, torch
from deepunsup_helpers.training import update
from deepunsup_helpers.training.threads import used_threads
torch.manual_seed(0)
model = torch.nn.Sequential(*[torch.nn.Linear(400, 400) for _ in range(3)])
optimizer, x = torch.optim.SGD(model.parameters(), lr=1e-6), torch.rand(128, 400)
update(optimizer, model(x).square().mean())  # all is imported
print("ready", flush=True)
input()
end, seen = time.monotonic() + 3, []
while time.monotonic() < end:
    update(optimizer, model(x).square().mean())
    if time.monotonic() > end - 1.5:
        seen.append(torch.get_num_threads())
print(max(seen), len(seen), used_threads())
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2 or not hasattr(os, "sched_getaffinity"), reason="needs two cores")
def test_two_real_trainings_settle():
    """Both see each other; in their last seconds they do not want more than the cores there are."""
    cores = len(os.sched_getaffinity(0))
    environment = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", TRAINING], env=environment, **pipes) for _ in range(2)]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        outs = [process.communicate(timeout=120)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes)
    assert sum(int(out[0]) for out in outs) <= cores + 1 and min(int(out[0]) for out in outs) < cores
    assert all(int(out[1]) > 0 for out in outs)  # how many depends on what else the machine does
