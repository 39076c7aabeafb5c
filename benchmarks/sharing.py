"""What a training costs when the machine is shared: alone, beside a busy program, and two trainings at once.

usage: python benchmarks/sharing.py [--rounds 3] [--only vae,dcgan] [--assert] [--write docs/speed.md]

Three ways to choose threads: torch's own number (fixed), one thread (fixed), and as the project comes (they follow the load).
Each is measured alone, beside one process that computes all the time, and with a second training of the same kind. Every
training is a process of its own; the situations take turns, round after round. Given are the median seconds of an epoch, the
range, and the ratio to the same round's best time alone. A training beside others has half a second to notice them before its
epoch is timed: that is paid once, not in every epoch. Of two at once the mean counts. Ends within four minutes on two cores.
"""

import argparse
import contextlib
import datetime
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from machine import busy_seconds, cpu_seconds, machine

IMAGES = {"vae": 6_000, "dcgan": 640}  # strokes an epoch
TITLES = {"vae": "VAE 784-400-20, 6,000 images", "dcgan": "DCGAN, width 32, 640 images"}
WAYS = {"default": "torch's own number", "one": "one thread", "follow": "as it comes"}
SITUATIONS = {"alone": "alone", "busy": "beside a busy program", "two": "two at once"}
TABLE = re.compile(r"(<!-- sharing: begin -->\n).*?(<!-- sharing: end -->)", re.DOTALL)


class Training:
    """A process that trains an epoch when told to."""

    def __init__(self, network: str, way: str):
        environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if way != "follow":
            environment["OMP_NUM_THREADS"] = "1" if way == "one" else str(len(os.sched_getaffinity(0)))
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", network],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def begin(self) -> None:
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()

    def seconds(self) -> float:
        return float(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def work(network: str) -> None:
    """In the worker: for each line on stdin half a second of training, then an epoch that is timed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints does not mix with the answers
    import contenders
    import torch

    job = contenders.Job(network, IMAGES[network], torch.device("cpu"), "fp32", "strokes")
    step, state = contenders.course_step(job)
    batches = contenders.Batches(contenders.tensors(job), batch_size=contenders.BATCH)

    def train(updates: int) -> float:
        start = time.perf_counter()
        contenders.fit(step, batches, updates=updates, state=state, progress=False)
        return time.perf_counter() - start

    train(5)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        while time.perf_counter() - start < 0.6:
            train(5)
        print(train(len(batches)), file=answers, flush=True)


@contextlib.contextmanager
def busy_program(wanted: bool) -> Iterator[list[int]]:
    """A process that computes all the time; its number, as a list."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if wanted else None
    try:
        yield [process.pid] if process else []
    finally:
        if process:
            process.kill()
            process.wait()


def measure(network: str, rounds: int) -> tuple[dict[tuple[str, str], list[float]], list[float]]:
    """Seconds an epoch by way and situation, and the share of the cores that other processes took in each."""
    trainings = {way: [Training(network, way), Training(network, way)] for way in WAYS}
    seconds, disturbed = {(way, situation): [] for way in WAYS for situation in SITUATIONS}, []
    try:
        for one in (one for pair in trainings.values() for one in pair):
            one.process.stdout.readline()
        for _ in range(rounds):
            for situation in SITUATIONS:
                for way in WAYS:
                    measured, others = once(trainings[way][: 2 if situation == "two" else 1], situation == "busy")
                    seconds[way, situation].append(measured)
                    disturbed.append(others)
    finally:
        for one in (one for pair in trainings.values() for one in pair):
            one.end()
    return seconds, disturbed


def once(trainings: list[Training], busy: bool) -> tuple[float, float]:
    """One epoch of each: their mean seconds, and the share of all cores that other processes took."""
    with busy_program(busy) as pids:
        pids = pids + [training.process.pid for training in trainings]
        start, before, own = time.perf_counter(), busy_seconds(), sum(map(cpu_seconds, pids))
        for training in trainings:
            training.begin()
        seconds = statistics.fmean([training.seconds() for training in trainings])
        others = busy_seconds() - before - (sum(map(cpu_seconds, pids)) - own)
        return seconds, others / (time.perf_counter() - start) / os.cpu_count()


def table(network: str, seconds: dict[tuple[str, str], list[float]]) -> str:
    """Markdown: a row a way; in brackets the range, and the ratio to the best way alone."""
    lines = [f"| {TITLES[network]} | {' | '.join(SITUATIONS.values())} |", "|---" * (1 + len(SITUATIONS)) + "|"]
    for way, label in WAYS.items():
        cells = (
            f"{statistics.median(s):.2f} s ({min(s):.2f} to {max(s):.2f}), {ratio(seconds, way, situation):.2f}"
            for situation in SITUATIONS
            for s in [seconds[way, situation]]
        )
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ratio(seconds: dict[tuple[str, str], list[float]], way: str, situation: str) -> float:
    """Median time by the median time of the best way alone."""
    best = min(statistics.median(seconds[other, "alone"]) for other in WAYS)
    return statistics.median(seconds[way, situation]) / best


def targets(network: str, seconds: dict[tuple[str, str], list[float]]) -> list[tuple[str, float, bool]]:
    """What was promised of a training as it comes: the words, the ratio, whether it holds."""
    alone = ratio(seconds, "follow", "alone")
    checks = [(f"{network}: alone at most 1.05 times the best way alone", alone, alone <= 1.05)]
    for situation in ("busy", "two"):
        found = ratio(seconds, "follow", situation) / alone
        checks.append((f"{network}: {SITUATIONS[situation]} at most 1.6 times its time alone", found, found <= 1.6))
    return checks


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="vae,dcgan", help="networks, separated by commas")
    parser.add_argument("--assert", dest="check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--write", type=Path, help="write the tables between this file's two marks")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers end with it
    tables, checks, disturbed = [], [], []
    for network in options.only.split(","):
        seconds, others = measure(network, options.rounds)
        tables.append(table(network, seconds))
        print(tables[-1], flush=True)
        checks += targets(network, seconds)
        disturbed += others
    share = statistics.median(disturbed)
    head = (
        f"{datetime.date.today()}: {machine('cpu')}; seconds an epoch, the range, and the time by the best alone; "
        f"{options.rounds} rounds; the machine was {'quiet' if share < 0.05 else 'NOT quiet'}: other processes took "
        f"{100 * share:.0f} % of the cores meanwhile (median).\n\n"
    )
    text = head + "\n".join(tables)
    print(head)
    print("the limit of sharing two cores by halves: the row of one thread, alone")
    for words, value, holds in checks:
        print(f"{'reached' if holds else 'MISSED '}  {value:5.2f}  {words}")
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(TABLE.sub(lambda match: match[1] + text + match[2], page), encoding="utf-8")
    if options.check and not all(holds for _, _, holds in checks):
        sys.exit(1)


if __name__ == "__main__":
    main()
