"""What `deepunsup grade` says, from the folder to the table."""

from pathlib import Path

import click

from ..console import Progress, shown_path, stopping
from ..errors import EXIT_INTERRUPTED
from ..files import numbered
from ..notebook.files import course
from ..threads import available_cores
from .grade import Grade, can_be_closed, grade_all
from .submissions import Submission, find_submissions

NOT_CLOSED = (
    "bubblewrap (the program bwrap, Linux only) is not here or does not work: files outside the scratch folders, and "
    "elsewhere than on Linux the network, are open to what is judged. Time, memory and processes are watched."
)


def grade_folder(folder: Path, output: Path, *, jobs: int | None, timeout: float) -> int:
    """Judge all notebooks below a folder, print a line for each, write the table; the exit code."""
    cwd = Path.cwd()
    submissions = find_submissions(folder, course(cwd))
    table = next(path for path in numbered(output.resolve()) if not path.exists())
    table.parent.mkdir(parents=True, exist_ok=True)
    if not can_be_closed():
        click.echo(NOT_CLOSED, err=True)
    progress = Progress("grade")
    done: list[str] = []

    def tell(submission: Submission, rows: list[Grade]) -> None:
        progress.clear()
        click.echo(line_of(submission, rows))
        done.append(submission.student)
        progress.show(f"{len(done)} of {len(submissions)} notebooks")

    with stopping() as stop:
        rows = grade_all(
            submissions, table, jobs=jobs or available_cores(), timeout=timeout, stop=stop, tell=tell
        )  # fmt: skip
    progress.clear()
    passed = sum(row.passed for row in rows)
    stopped = " (stopped)" if stop.is_set() else ""
    of = f"{len(done)} of {len(submissions)} notebooks of {len({one.student for one in submissions})} students{stopped}"
    click.echo(f"{of}; {passed} of {len(rows)} exercises passed: {shown_path(table, cwd)}")
    return EXIT_INTERRUPTED if stop.is_set() else 0


def line_of(submission: Submission, rows: list[Grade]) -> str:
    """'anna, 04_deep_autoencoders: 2 of 3; not yet: knn_accuracy'."""
    if submission.problem:
        return f"{submission.student}: {rows[0].message}"
    waiting = [row.exercise for row in rows if not row.passed]
    more = f"; not yet: {', '.join(waiting)}" if waiting else ""
    return f"{submission.student}, {submission.course}: {len(rows) - len(waiting)} of {len(rows)}{more}"
