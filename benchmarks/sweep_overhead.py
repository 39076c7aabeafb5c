"""What a sweep costs beyond its cells, and what a second job gains: all in one run, on a machine that does nothing else.

usage: python benchmarks/sweep_overhead.py [--notebook 10] [--preset smoke] [--rounds 3] [--assert]

Eight seeds of a notebook of the course, one after another with all cores and two at a time with half of them each,
alternating. Overhead is a run's share of the wall time less the time of its cells (imports are cell time). Medians, and
the least and the greatest.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from deepunsup_helpers.runner.sweep import sweep

RUNS = 8


def measure(options: argparse.Namespace, output: Path, jobs: int) -> tuple[float, float]:
    """Wall seconds of a sweep, and the mean seconds that the cells of a run took."""
    start = time.perf_counter()
    result = sweep(
        options.notebook, {"seed": range(RUNS)}, preset=options.preset, jobs=jobs, output=output, tell=lambda line: None
    )
    seconds = time.perf_counter() - start
    if result.exit_code or len(result.rows) != RUNS:
        sys.exit(f"not all runs completed: see {output}")
    told = [json.loads((output / "trials" / row.key / "run.json").read_text(encoding="utf-8")) for row in result.rows]
    return seconds, statistics.fmean(sum(cell["seconds"] for cell in facts["cell_seconds"]) for facts in told)


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebook", default="10")
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--assert", dest="check", action="store_true", help="exit with 1 above 4 s a run or 0.65")
    options = parser.parse_args()
    single, double = [], []
    with tempfile.TemporaryDirectory() as name:
        for number in range(options.rounds):
            single.append(measure(options, Path(name, f"single{number}"), jobs=1))
            double.append(measure(options, Path(name, f"double{number}"), jobs=2))
    overheads = [(wall - RUNS * cells) / RUNS for wall, cells in single]
    ratios = [two / one for (one, _), (two, _) in zip(single, double)]
    print(
        f"notebook {options.notebook}, preset {options.preset}, {RUNS} runs, {options.rounds} rounds, {os.cpu_count()} cores"
    )
    print(f"cells of a run {spread([cells for _, cells in single], 1)} s, overhead a run {spread(overheads, 2)} s")
    print(
        f"one at a time {spread([wall for wall, _ in single], 1)} s, two at a time {spread([wall for wall, _ in double], 1)} s"
    )
    print(f"ratio {spread(ratios, 2)}")
    if options.check and (statistics.median(overheads) > 4 or statistics.median(ratios) > 0.65):
        sys.exit("above 4 s a run, or above 0.65 of the serial time")


if __name__ == "__main__":
    main()
