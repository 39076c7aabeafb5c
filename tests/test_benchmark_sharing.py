"""The arithmetic of the benchmark of a shared machine."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import sharing  # noqa: E402

SECONDS = {
    ("default", "alone"): [1.0, 1.1, 9.0], ("default", "busy"): [5.0, 4.0, 6.0], ("default", "two"): [9.0, 9.0, 9.0],
    ("one", "alone"): [1.5, 1.5, 1.5], ("one", "busy"): [1.5, 1.6, 1.5], ("one", "two"): [1.5, 1.5, 1.7],
    ("follow", "alone"): [1.21, 1.2, 1.0], ("follow", "busy"): [1.8, 1.8, 1.8], ("follow", "two"): [2.4, 2.4, 2.4],
}  # fmt: skip


def test_medians_by_the_best_way_alone():
    line = next(line for line in sharing.table("vae", SECONDS).splitlines() if "as it comes" in line)
    assert "1.20 s (1.00 to 1.21), 1.09" in line and "1.80 s (1.80 to 1.80), 1.64" in line


def test_targets_hold_or_are_missed():
    found = [(round(value, 3), holds) for _, value, holds in sharing.targets("vae", SECONDS)]
    assert found == [(1.091, False), (1.5, True), (2.0, False)]
