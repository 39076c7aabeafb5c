"""How fast the course's loop is: beside textbooks' loops, other libraries, a bare loop, and the matrix products alone.

usage: python benchmarks/speed.py [--rounds 7] [--device auto] [--only vae,ae,dcgan] [--compile] [--assert] [--readme README.md]

One table from one run. Every row is a process of its own, so that none inherits another's threads, settings or memory; all
are started first, then take turns, an epoch each, round after round: what disturbs the machine disturbs all alike. Given
are the median over the rounds and the range, as seconds for 60,000 images; the ratio to `fit` in the same round (median);
the ratio to the matrix products alone; and the memory that the data, the model and the training took beyond the imports.

Data: MNIST where DEEPUNSUP_DATA has it, else strokes. The rows of Lightning and pythae need the extra [benchmark].
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

IMAGES = {"vae": 20_000, "ae": 20_000, "dcgan": 3_200}  # an epoch of the benchmark; 25 batches of 128 for the GAN
TITLES = {"vae": "VAE 784-400-20", "ae": "autoencoder 784-256-64-16", "dcgan": "DCGAN, 28x28, width 32"}
PACKAGES = {"lightning": "pytorch_lightning", "pythae": "pythae"}
LABELS = {"course": "`fit`, this project", "graphs": "`fit` with `graphed`", "compile": "`fit` compiled",
          "bare": "bare loop, resident tensor", "textbook": "textbook loop, DataLoader",
          "examples": "pytorch/examples, rewritten", "lightning": "Lightning Trainer", "pythae": "pythae trainer",
          "products": "matrix products alone"}
TABLE = re.compile(r"(<!-- speed: begin -->\n).*?(<!-- speed: end -->)", re.DOTALL)


@dataclass
class Row:
    """One contender: what it trains, how, and what was measured."""

    network: str
    contender: str
    precision: str
    seconds: list[float] = field(default_factory=list)  # for one epoch of the benchmark, by round
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
        both = ["course", "graphs"] if device == "cuda" else ["course"]
        found += [Row(network, contender, precision) for precision in ("fp32", "bf16") for contender in both]
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
        order = [row.network, row.contender, row.precision, device, dataset]
        self.process = subprocess.Popen([sys.executable, __file__, "--worker", *order], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(self, word: str) -> dict:
        """The answer to "epoch" or "memory"; raises RuntimeError with the end of its error output if it died."""
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            self.process.kill()
            raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1]) from None

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def work(network: str, contender: str, precision: str, device: str, dataset: str) -> None:
    """In the worker: imports, set-up, then an epoch for each line on stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints does not mix with the answers
    import contenders
    import peers
    import torch

    def read_memory() -> float:
        if device == "cuda":
            return torch.cuda.max_memory_allocated() / 1e6
        return _status("VmHWM")

    warm = torch.nn.Linear(256, 256)  # libraries that load at their first use belong to the imports
    warm_adam = torch.optim.Adam(warm.parameters(), fused=True)
    contenders.update(warm_adam, warm(torch.rand(256, 256)).square().mean())
    contenders.load("digits")
    importlib.import_module("torchvision.datasets")
    importlib.import_module(PACKAGES[contender]) if contender in PACKAGES else None
    before = 0.0 if device == "cuda" else _status("VmRSS")
    job = contenders.Job(network, IMAGES[network], torch.device(device), precision, dataset)
    makers = {"course": contenders.course, "graphs": lambda job: contenders.course(job, graph=True),
              "compile": lambda job: contenders.course(job, compile=True), "bare": contenders.bare,
              "textbook": contenders.textbook, "products": contenders.products, "examples": peers.examples,
              "lightning": peers.lightning, "pythae": peers.pythae}
    epochs = makers[contender](job)
    for line in sys.stdin:
        if line.strip() == "memory":
            answer = {"memory": read_memory() - before}
        else:
            start = time.perf_counter()
            own = next(epochs)
            torch.cuda.synchronize() if device == "cuda" else None
            answer = {"seconds": own if own is not None else time.perf_counter() - start}
            _forget_peak()  # after the first epoch: loading a data set may take more for a moment, training does not
        print(json.dumps(answer), file=answers, flush=True)


def _status(name: str) -> float:
    """MB of this process, VmRSS (now) or VmHWM (the most so far); nan where there is no /proc."""
    try:
        text = Path("/proc/self/status").read_text()
        return int(re.search(rf"{name}:\s*(\d+)", text)[1]) / 1024
    except OSError:
        return float("nan")


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


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
                    seconds = worker.ask("epoch")["seconds"]
                except RuntimeError as error:
                    print(f"left out, it failed ({error}): {' '.join(worker.row.key)}", flush=True)
                    workers.remove(worker)
                    continue
                if turn:  # the first turn warms up
                    worker.row.seconds.append(seconds)
        for worker in workers:
            worker.row.memory = worker.ask("memory")["memory"]
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
    lines = ["| network, batch 128 | loop | precision | seconds an epoch of 60,000 | range | time / `fit` fp32 | time / products "
             "| memory |", "|---|---|---|---|---|---|---|---|"]
    for row in found:
        own, seconds = (row.contender, row.precision), row.per_60000()
        slower = ratio(by_key, row.network, own, ("course", "fp32"))
        floor = ratio(by_key, row.network, own, ("products", row.precision))
        memory = "" if row.contender == "products" else f"{row.memory:.0f} MB"
        digits = 3 if statistics.median(seconds) < 1 else 2
        middle, least, most = (f"{f(seconds):.{digits}f}" for f in (statistics.median, min, max))
        lines.append(f"| {TITLES[row.network]} | {LABELS[row.contender]} | {row.precision} | {middle} | {least} to {most} "
                     f"| {slower:.2f} | {floor:.2f} | {memory} |")
    return "\n".join(lines) + "\n"


def targets(found: list[Row], device: str) -> list[tuple[str, float, bool]]:
    """What was promised: the words, the measured ratio, whether it holds (also where it could not be measured: False)."""
    by_key = {row.key: row for row in found}
    on_gpu = device == "cuda"
    fit, checks = "graphs" if on_gpu else "course", []
    least = [("vae", "textbook", "fp32", 50 if on_gpu else 2.7), ("dcgan", "textbook", "fp32", 10 if on_gpu else 1.05)]
    if not on_gpu:
        least += [("vae", "lightning", "fp32", 2.7), ("vae", "pythae", "fp32", 2.3), ("dcgan", "textbook", "bf16", 1.5)]
    for network, other, precision, limit in (line for line in least if any(row.network == line[0] for row in found)):
        value = ratio(by_key, network, (other, "fp32"), (fit, precision))
        checks.append((f"{network}: {fit} {precision} at least {limit} times as fast as {other} fp32", value, value >= limit))
    for other, limit in (("bare", 1.1), ("products", 1.7)) if ("vae", "course", "fp32") in by_key and not on_gpu else ():
        value = ratio(by_key, "vae", (fit, "fp32"), (other, "fp32"))
        checks.append((f"vae: fit at most {limit} times the time of {other}", value, value <= limit))
    if on_gpu and ("vae", fit, "fp32") in by_key:
        value = statistics.median(by_key["vae", fit, "fp32"].per_60000())
        checks.append(("vae: an epoch in at most 0.05 s", value, value <= 0.05))
    return checks


def machine(device: str) -> str:
    """The processor or the card, cores, torch."""
    import torch

    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        name = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())[1]
    card = f", {torch.cuda.get_device_name()}" if device == "cuda" else ""
    return f"{name}, {torch.get_num_threads()} threads{card}, torch {torch.__version__}"


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
    import torch

    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    there = (Path(os.environ.get("DEEPUNSUP_DATA", "")) / "MNIST" / "raw" / "train-images-idx3-ubyte").exists()
    dataset = "mnist" if os.environ.get("DEEPUNSUP_DATA") and there else "strokes"
    found = measure(rows(options.only.split(","), device, options.compile), rounds=options.rounds, device=device, dataset=dataset)
    head = f"{datetime.date.today()}: {machine(device)}; {dataset}; {options.rounds} rounds.\n\n"
    text = head + table(found)
    print(text)
    checks = targets(found, device)
    for words, value, holds in checks:
        print(f"{'reached' if holds else 'MISSED '}  {value:5.2f}  {words}")
    if options.readme:
        readme = options.readme.read_text(encoding="utf-8")
        options.readme.write_text(TABLE.sub(lambda match: match[1] + text + match[2], readme), encoding="utf-8")
    if options.check and not all(holds for _, _, holds in checks):
        sys.exit(1)


if __name__ == "__main__":
    main()
