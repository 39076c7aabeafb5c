"""How fast the course's loop is: beside textbooks' loops, other libraries, a bare loop, and the matrix products alone.

usage: python benchmarks/speed.py [--rounds 7] [--device auto] [--only vae,ae,dcgan] [--compile] [--assert] [--readme README.md]

One table from one run. Every row is a process of its own, so that none inherits another's threads, settings or memory; all
are started first, then take turns, an epoch each, round after round: what disturbs the machine disturbs all alike. Given
are the median over the rounds and the range, as seconds for 60,000 images; the ratio to `fit` in the same round (median);
the ratio to the matrix products alone; and the memory that the data, the model and the training took beyond the imports.
The head says how much of the machine other processes took meanwhile: above a few per cent, measure again.

Data: MNIST where DEEPUNSUP_DATA has it, else strokes. The rows of Lightning and pythae need the extra [benchmark].
"""

import argparse
import datetime
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from machine import busy_seconds, cpu_seconds, forget_peak, machine, memory_status

IMAGES = {"vae": 20_000, "ae": 20_000, "dcgan": 3_200}  # an epoch of the benchmark; the last is 25 batches
TITLES = {"vae": "VAE 784-400-20", "ae": "autoencoder 784-256-64-16", "dcgan": "DCGAN, 28x28, width 32"}
OTHERS = ("textbook", "examples", "lightning", "pythae")  # with torch's own products and threads
PACKAGES = {"lightning": "pytorch_lightning", "pythae": "pythae"}
LABELS = {
    "course": "`fit`, this project",
    "graphs": "`fit` with `graphed`",
    "compile": "`fit` compiled",
    "bare": "bare loop, resident tensor",
    "textbook": "textbook loop, DataLoader",
    "examples": "pytorch/examples, rewritten",
    "lightning": "Lightning Trainer",
    "pythae": "pythae trainer",
    "products": "matrix products alone",
}
TABLE = re.compile(r"(<!-- speed: begin -->\n).*?(<!-- speed: end -->)", re.DOTALL)


@dataclass
class Row:
    """One contender: what it trains, how, and what was measured."""

    network: str
    contender: str
    precision: str
    seconds: list[float] = field(default_factory=list)  # for one epoch of the benchmark, by round
    disturbed: list[float] = field(default_factory=list)  # share of all cores that other processes took meanwhile
    memory: float = float("nan")  # MB beyond the imports

    @property
    def key(self) -> tuple[str, str, str]:
        return self.network, self.contender, self.precision

    def per_60000(self) -> list[float]:
        return [s * 60_000 / IMAGES[self.network] for s in self.seconds]


def rows(networks: list[str], device: str, compile: bool) -> list[Row]:
    """Everything that is compared, in the table's order."""
    found = []
    for network in networks:
        if device == "cuda":
            found += [
                Row(network, contender, precision)
                for precision in ("fp32", "bf16")
                for contender in ("course", "graphs")
            ]
        else:
            found += [Row(network, "course", precision) for precision in ("fp32", "bf16")]
        found += [Row(network, "compile", "fp32")] if compile else []
        found += [Row(network, contender, "fp32") for contender in ("bare", "textbook")]
        if network == "vae":
            found += [Row(network, contender, "fp32") for contender in ("examples", "lightning", "pythae")]
        found += [Row(network, "products", precision) for precision in ("fp32", "bf16")]
    return found


class Worker:
    """A process that runs an epoch when told to."""

    def __init__(self, row: Row, device: str, dataset: str):
        self.row = row
        order, self.errors = [row.network, row.contender, row.precision, device, dataset], tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", *order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self) -> dict:
        """Have it run an epoch: its seconds and memory; raises RuntimeError with the end of its errors if it died."""
        try:
            self.process.stdin.write("epoch\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            self.process.kill()
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError((self.errors.read().strip() or "it died without a word").splitlines()[-1]) from None

    def epoch(self) -> tuple[float, float]:
        """Its seconds, and the share of all cores that other processes took meanwhile (nan where there is no /proc)."""
        start, busy, own = time.perf_counter(), busy_seconds(), cpu_seconds(self.process.pid)
        answer = self.ask()
        others = busy_seconds() - busy - (cpu_seconds(self.process.pid) - own)
        self.row.memory = answer["memory"]
        return answer["seconds"], others / (time.perf_counter() - start) / os.cpu_count()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def work(network: str, contender: str, precision: str, device: str, dataset: str) -> None:
    """In the worker: imports, set-up, then an epoch for each line on stdin."""
    if contender in OTHERS:
        os.environ["DEEPUNSUP_PRODUCTS"] = "default"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints does not mix with the answers
    import contenders
    import peers
    import torch

    def read_memory() -> float:
        if device == "cuda":
            return torch.cuda.max_memory_allocated() / 1e6
        return memory_status("VmHWM")

    warm = torch.nn.Linear(256, 256)  # libraries that load at their first use belong to the imports
    warm_adam = torch.optim.Adam(warm.parameters(), fused=True)
    contenders.update(warm_adam, warm(torch.rand(256, 256)).square().mean())
    contenders.load("digits")
    importlib.import_module("torchvision.datasets")
    importlib.import_module(PACKAGES[contender]) if contender in PACKAGES else None
    before = 0.0 if device == "cuda" else memory_status("VmRSS")
    job = contenders.Job(network, IMAGES[network], torch.device(device), precision, dataset)
    makers = {
        "course": contenders.course,
        "graphs": lambda job: contenders.course(job, graph=True),
        "compile": lambda job: contenders.course(job, compile=True),
        "bare": contenders.bare,
        "textbook": contenders.textbook,
        "examples": peers.examples,
        "lightning": peers.lightning,
        "pythae": peers.pythae,
        "products": contenders.products,
    }
    epochs, memory = makers[contender](job), None
    for _ in sys.stdin:
        if memory is None:  # the first turn warms up
            next(epochs)
            forget_peak()  # loading the data may take more for a moment than training does
            next(epochs)
            memory = read_memory() - before  # at once: of a process that waits, the system takes back what it can
        start = time.perf_counter()
        own = next(epochs)
        torch.cuda.synchronize() if device == "cuda" else None
        seconds = own if own is not None else time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "memory": memory}), file=answers, flush=True)


def measure(found: list[Row], *, rounds: int, device: str, dataset: str) -> list[Row]:
    """Fill the rows, round by round; those whose library is missing fall away with a line."""
    workers = []
    for row in found:
        if row.contender in PACKAGES and importlib.util.find_spec(PACKAGES[row.contender]) is None:
            print(f"left out, {PACKAGES[row.contender]} is not installed (extra [benchmark])", flush=True)
            continue
        workers.append(Worker(row, device, dataset))
    try:
        for turn in range(rounds + 1):
            for worker in list(workers):
                try:
                    seconds, others = worker.epoch()
                except RuntimeError as error:
                    print(f"left out, it failed ({error}): {' '.join(worker.row.key)}", flush=True)
                    workers.remove(worker)
                    continue
                if turn:  # the first turn warms up
                    worker.row.seconds.append(seconds)
                    worker.row.disturbed.append(others)
    finally:
        for worker in workers:
            worker.end()
    return [worker.row for worker in workers]


def ratio(rows_by_key: dict, network: str, a: tuple[str, str], b: tuple[str, str]) -> float:
    """Median over the rounds of a's seconds by b's; nan if one is missing."""
    first, second = rows_by_key.get((network, *a)), rows_by_key.get((network, *b))
    if first is None or second is None:
        return float("nan")
    return statistics.median(x / y for x, y in zip(first.seconds, second.seconds))


def table(found: list[Row]) -> str:
    """Markdown: one line a row."""
    by_key = {row.key: row for row in found}
    lines = [
        "| network, batch 128 | loop | precision | seconds an epoch of 60,000 | range | time / `fit` fp32 | time / products "
        "| memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        own, seconds = (row.contender, row.precision), row.per_60000()
        slower = ratio(by_key, row.network, own, ("course", "fp32"))
        floor = ratio(by_key, row.network, own, ("products", row.precision))
        memory = "" if "products" in row.contender else f"{row.memory:.0f} MB"
        digits = 3 if statistics.median(seconds) < 1 else 2
        middle, least, most = (f"{f(seconds):.{digits}f}" for f in (statistics.median, min, max))
        lines.append(
            f"| {TITLES[row.network]} | {LABELS[row.contender]} | {row.precision} | {middle} | {least} to {most} "
            f"| {slower:.2f} | {floor:.2f} | {memory} |"
        )
    return "\n".join(lines) + "\n"


def targets(found: list[Row], device: str) -> list[tuple[str, float, bool]]:
    """What was promised: the words, the measured ratio, whether it holds (also where it could not be measured: False)."""
    by_key = {row.key: row for row in found}
    if device == "cuda":
        promised = [("vae", "graphs", "fp32", "textbook", 50), ("dcgan", "graphs", "fp32", "textbook", 10)]
        ceilings = []
    else:
        promised = [
            ("vae", "course", "fp32", "textbook", 3.0),
            ("vae", "course", "fp32", "lightning", 2.7),
            ("vae", "course", "fp32", "pythae", 1.5),
            ("dcgan", "course", "fp32", "textbook", 1.05),
            ("dcgan", "course", "bf16", "textbook", 1.5),
        ]
        ceilings = [("vae", "course", "bare", 1.05)]
    checks, measured = [], {row.network for row in found}
    for network, fit, precision, other, limit in promised:
        value = ratio(by_key, network, (other, "fp32"), (fit, precision))
        words = f"{LABELS[fit]} {precision} at least {limit} times as fast as {LABELS[other]}"
        checks.append((network, words, value, value >= limit))
    for network, fit, other, limit in ceilings:
        value = ratio(by_key, network, (fit, "fp32"), (other, "fp32"))
        checks.append(
            (network, f"{LABELS[fit]} fp32 at most {limit} times the time of {LABELS[other]}", value, value <= limit)
        )
    for network in ("vae", "ae") if device == "cpu" else ():
        if (network, "course", "fp32") in by_key:
            value = by_key[network, "course", "fp32"].memory / (IMAGES[network] * 784 * 4 / 1e6)
            checks.append((network, "memory of `fit`, in data sets, below 2: the set is there once", value, value < 2))
    if ("vae", "graphs", "fp32") in by_key:
        value = statistics.median(by_key["vae", "graphs", "fp32"].per_60000())
        checks.append(("vae", "an epoch with graphs in at most 0.05 s", value, value <= 0.05))
    return [(f"{network}: {words}", value, holds) for network, words, value, holds in checks if network in measured]


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--only", default="vae,ae,dcgan", help="networks, separated by commas")
    parser.add_argument("--compile", action="store_true", help="a row with torch.compile")
    parser.add_argument("--assert", dest="check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--readme", type=Path, help="write the table between this file's two marks")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers end with it
    import torch

    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    there = (Path(os.environ.get("DEEPUNSUP_DATA", "")) / "MNIST" / "raw" / "train-images-idx3-ubyte").exists()
    dataset = "mnist" if os.environ.get("DEEPUNSUP_DATA") and there else "strokes"
    found = measure(
        rows(options.only.split(","), device, options.compile), rounds=options.rounds, device=device, dataset=dataset
    )
    others = statistics.median(share for row in found for share in row.disturbed)
    head = (
        f"{datetime.date.today()}: {machine(device)}; {dataset}; {options.rounds} rounds; other processes took "
        f"{100 * others:.0f} % of the cores meanwhile (median).\n\n"
    )
    text = head + table(found)
    print(text)
    checks = targets(found, device)
    limit = ratio({row.key: row for row in found}, "vae", ("pythae", "fp32"), ("bare", "fp32"))
    print(
        f"the limit: pythae's trainer takes {limit:.2f} times the bare loop's time, which no loop around it can undercut"
    )
    for words, value, holds in checks:
        print(f"{'reached' if holds else 'MISSED '}  {value:5.2f}  {words}")
    if options.readme:
        readme = options.readme.read_text(encoding="utf-8")
        options.readme.write_text(TABLE.sub(lambda match: match[1] + text + match[2], readme), encoding="utf-8")
    if options.check and not all(holds for _, _, holds in checks):
        sys.exit(1)


if __name__ == "__main__":
    main()
