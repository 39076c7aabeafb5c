"""What is read in the terminal about a run that ended."""

from pathlib import Path

import click

from ..console import duration, shown_path
from .run import Finished

MOST_METRICS = 12


def print_result(finished: Finished, cwd: Path) -> None:
    """Say how a run ended: metrics, claims and report, or what went wrong in its last lines."""
    report = finished.folder / "report.html"
    place = shown_path(report if report.exists() else finished.folder, cwd)
    for text in finished.warnings:
        click.echo(f"warning: {text}", err=True)
    if finished.status != "completed":
        for line in ending(finished):
            click.echo(line, err=True)
        click.echo(f"kept so far: {place}", err=True)
        return
    click.echo(f"{finished.name}: completed in {duration(finished.seconds)}")
    print_metrics(finished.metrics)
    for line in [*finished.problems, *failed_claims(finished)]:
        click.echo(line, err=True)
    click.echo(f"report: {place}")
    if finished.claims:
        click.echo(claims_line(finished))


def claims_line(finished: Finished, before: str = "") -> str:
    """'17 of 18 claims hold', or '' where none was asked."""
    asked = len(finished.claims)
    return f"{before}{asked - len(finished.broken)} of {asked} claims hold" if asked else ""


def failed_claims(finished: Finished) -> list[str]:
    """A line for each claim that does not hold."""
    return [f"does not hold: {text}" for text in finished.broken]


def ending(finished: Finished) -> list[str]:
    """The lines about a run that did not complete."""
    name, failure, seconds = finished.name, finished.failure, duration(finished.seconds)
    where = f" in {failure.place}" if failure else ""
    if finished.status == "timeout":
        return [f"{name}: stopped by the time limit{where} after {seconds} (--timeout)."]
    if finished.status == "interrupted":
        return [f"{name}: interrupted{where} after {seconds}."]
    reason = f": {finished.message}" if finished.message else ""
    if finished.status == "died":
        advice = "Often the machine ran out of memory: try smaller parameters (deepunsup params shows them)."
        return [
            f"{name}: the kernel died{where} after {seconds}{reason}",
            *[advice] * finished.message.endswith("SIGKILL"),
        ]
    if failure is None or not failure.error:
        return [
            f"{name}: failed{where} after {seconds}: {text}" for text in [finished.message, *finished.problems] if text
        ]
    lines = (failure.traceback or failure.error).splitlines()
    return [f"{name}: failed{where} after {seconds}:", *(f"    {line}" for line in lines)]


def print_metrics(metrics: dict[str, float]) -> None:
    """Metrics in two columns; only the first dozen."""
    width = max(map(len, metrics), default=0)
    for name, value in list(metrics.items())[:MOST_METRICS]:
        click.echo(f"  {name:<{width}}  {value:.6g}")
    if len(metrics) > MOST_METRICS:
        click.echo(f"  ... and {len(metrics) - MOST_METRICS} more in metrics.json")
