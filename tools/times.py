"""Measure the notebooks and renew the README's map: `python tools/times.py [NB...] --readme README.md`."""

import json
import re
from pathlib import Path

import click
from execute import run_defaults

from deepunsup_helpers.runner.cli import main
from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.files import notebook_text, write_text
from deepunsup_helpers.runner.notebook.files import Notebook, course, find_notebook

MAP = re.compile(r"(<!-- course map: begin[^>]*-->\n).*?(<!-- course map: end -->)", flags=re.DOTALL)
PARTS = {  # by the number of their first notebook
    0: "Before the networks",
    4: "Autoencoders",
    9: "Variational autoencoders",
    14: "Adversarial networks",
    19: "Beyond",
    23: "At work",
}


def write_seconds(notebook: Notebook, seconds: int) -> None:
    """Write `metadata.deepunsup.seconds`; every other byte of a normalised notebook stays."""
    content = json.loads(notebook.path.read_text(encoding="utf-8"))
    content["metadata"].setdefault("deepunsup", {})["seconds"] = seconds
    write_text(notebook.path, notebook_text(content))


def readme_table(notebooks: list[Notebook]) -> str:
    """The map of the course in Markdown: parts, numbers, titles, times, claims; made from the notebooks' metadata alone.

    `metadata.deepunsup.people` holds the minutes that a person takes, [least, most]; `claims.shares` maps a claim's text to
    [held, asked] over seeds, of which the map shows the sums. A column is there as soon as one notebook has something for it.
    """
    columns = ["| | notebook | default run |"]
    columns += [" a person |"] * any("people" in notebook.about for notebook in notebooks)
    columns += [" claims held |"] * any("claims" in notebook.about for notebook in notebooks)
    more = len(columns) - 1
    lines = ["".join(columns), "|---|---|---|" + "---|" * more]
    part = None
    for notebook in notebooks:
        begun = max(first for first in PARTS if first <= int(notebook.number))
        if begun != part:
            part = begun
            lines.append(f"| | **{PARTS[part]}** | |" + " |" * more)
        seconds = f"{notebook.seconds:.0f} s" if notebook.seconds is not None else "not measured"
        line = f"| {notebook.number} | [{notebook.title}](notebooks/{notebook.path.name}) | {seconds} |"
        if " a person |" in columns:
            low, high = notebook.about.get("people", (None, None))
            line += f" {low} to {high} min |" if low else " |"
        if " claims held |" in columns:
            shares = notebook.about.get("claims", {}).get("shares", {}).values()
            held, asked = (sum(share[k] for share in shares) for k in (0, 1))
            line += f" {held} of {asked} |" if asked else " |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def with_table(readme: str, table: str) -> str:
    """README text with the table between its two marks renewed.

    Raises:
        CommandError: the marks `<!-- course map: begin -->` and `<!-- course map: end -->` are not there.
    """
    if not MAP.search(readme):
        raise CommandError(
            "the README has no lines '<!-- course map: begin -->' and '<!-- course map: end -->' to fill."
        )
    return MAP.sub(lambda match: match[1] + table + match[2], readme)


@click.command()
@click.argument("nb", nargs=-1)
@click.option("--readme", type=click.Path(dir_okay=False, path_type=Path), help="README whose table to renew.")
@click.option("--table-only", is_flag=True, help="Measure nothing, renew the table from what is stored.")
def times(nb: tuple[str, ...], readme: Path | None, table_only: bool) -> None:
    """Measure every notebook (or NB...), one after another, with the defaults.

    Stores whole seconds in the notebook's metadata; `list` and the README read them there. Let the machine do
    nothing else meanwhile.
    """
    if readme is not None:  # before an hour of measuring
        with_table(readme.read_text(encoding="utf-8"), "")
    chosen = [] if table_only else ([find_notebook(text) for text in nb] if nb else course())
    for notebook in chosen:
        seconds = max(1, round(run_defaults(notebook)[1]))
        write_seconds(notebook, seconds)
        click.echo(f"{notebook.name}: {seconds} s")
    if readme is not None:
        write_text(readme, with_table(readme.read_text(encoding="utf-8"), readme_table(course())))
        click.echo(f"{readme}: table renewed")


if __name__ == "__main__":
    main(times)
