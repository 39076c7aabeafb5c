"""What a sweep left behind."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED
from .table import Row, claim_counts


@dataclass
class SweepResult:
    """What a sweep left behind: its folder, the rows of its own trials, and what it could not do."""

    folder: Path
    rows: list[Row] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)  # a trial's label, or a file's name, to why it was not kept
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 when every trial completed, 130 after Ctrl-C, else 1."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if self.problems or any(not row.completed for row in self.rows) else 0

    def table(self) -> Any:
        """results.csv as a pandas DataFrame: a row a run, columns for what varied, the metrics and the rest."""
        import pandas

        return pandas.read_csv(self.folder / "results.csv")


def claims_line(rows: list[Row]) -> list[str]:
    """'claims: 52 of 54 hold; least often: ...' where some were asked."""
    asked = [(one, counts) for one, counts in claim_counts(rows) if counts["asked"]]
    if not asked:
        return []
    held = sum(counts["held"] for _, counts in asked)
    line = f"claims: {held} of {sum(counts['asked'] for _, counts in asked)} hold"
    one, worst = min(asked, key=lambda pair: pair[1]["share"])
    if worst["held"] < worst["asked"]:
        at = " ".join(f"{name}={value}" for name, value in one.values.items())
        line += f"; least often: {worst['claim']!r}, {worst['held']} of {worst['asked']}" + (f" at {at}" if at else "")
    return [line]
