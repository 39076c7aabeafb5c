"""What is read in the terminal about a run that ended."""

from pathlib import Path

import click

from ..console import duration, shown_path
from ..notebook.outputs import claims_summary
from .run import Finished

MOST_METRICS = 12


def print_result(finished: Finished, cwd: Path) -> None:
    """Say how a run ended: metrics, claims and report, or what went wrong in its last lines."""
    report = finished.folder / "report.html"
    place = shown_path(report if report.is_file() else finished.folder, cwd)
    for text in finished.recorded.warnings:
        click.echo(f"warning: {text}", err=True)
    if finished.status != "completed":
        for line in [*ending(finished), f"kept so far: {place}"]:
            click.echo(line, err=True)
        return
    click.echo(f"{finished.name}: completed in {duration(finished.seconds)}")
    print_metrics(finished.recorded.metrics)
    for line in [*finished.recorded.problems, *failed_claims(finished)]:
        click.echo(line, err=True)
    for table in sorted((finished.folder / "tables").glob("*.csv")):
        click.echo(f"table: {shown_path(table, cwd)}")
    if pictures := len(list((finished.folder / "pictures").glob("*.png"))):
        click.echo(f"pictures: {pictures} in {shown_path(finished.folder / 'pictures', cwd)}")
    click.echo(f"report: {place}")
    smoke = "a smoke run: it shows that everything works; its numbers do not support the text"
    if line := smoke if finished.request.preset == "smoke" else claims_summary(finished.asked):
        click.echo(line)


def failed_claims(finished: Finished) -> list[str]:
    """A line for each claim that does not hold."""
    return [f"does not hold: {text}" for text in finished.broken]


def ending(finished: Finished) -> list[str]:
    """The lines about a run that did not complete."""
    failure, message, problems = finished.failure, finished.message, finished.recorded.problems
    where = (f" in {failure.place}" if failure else "") + f" after {duration(finished.seconds)}"
    if finished.status == "timeout":
        return [f"{finished.name}: stopped by the time limit{where} (--timeout)."]
    if finished.status == "interrupted":
        return [f"{finished.name}: interrupted{where}."]
    if finished.status == "died":
        advice = "Often the machine ran out of memory: try smaller parameters (deepunsup params shows them)."
        line = f"{finished.name}: the kernel died{where}" + (f": {message}" if message else "")
        return [line, *[advice] * message.endswith("SIGKILL"), *problems]
    if failure is None or not failure.error:
        return [f"{finished.name}: failed{where}: {reason}" for reason in dict.fromkeys([message, *problems]) if reason]
    lines = (failure.traceback or failure.error).splitlines()
    return [f"{finished.name}: failed{where}:", *(f"    {line}" for line in lines), *problems]


def print_metrics(metrics: dict[str, float]) -> None:
    """Metrics in two columns; only the first dozen."""
    width = max(map(len, metrics), default=0)
    for name, value in list(metrics.items())[:MOST_METRICS]:
        click.echo(f"  {name:<{width}}  {value:.6g}")
    if len(metrics) > MOST_METRICS:
        click.echo(f"  ... and {len(metrics) - MOST_METRICS} more in metrics.json")
