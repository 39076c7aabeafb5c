"""The command `deepunsup`. Whatever a command needs beyond click is imported inside it, so that it starts at once."""

import contextlib
import os
import sys

try:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, NoReturn

    import click

    from .errors import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, CommandError, describe
except KeyboardInterrupt:  # Ctrl-C in the first tenth of a second
    sys.exit(130)

COUNT = click.IntRange(min=1)
SECONDS = click.FloatRange(min=0, min_open=True)
output_option = click.option("-o", "--output", metavar="DIR", help="Folder for the results, new or empty.")
timeout_option = click.option("--timeout", type=SECONDS, metavar="S", help="Seconds that a run may take.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="deepunsup", message="%(version)s")
def cli() -> None:
    """Run the course's notebooks as programs.

    NB stands for a number (04), a name (deep_autoencoders) or a path.
    """


def pairs(context: click.Context, option: click.Option, texts: tuple[str, ...]) -> dict[str, str]:
    """`-p` texts as a table; asked while options are read, so before click wonders about the 8 of `-p latent_dim 8`."""
    from .notebook.parameters import split_assignments

    return split_assignments(texts)


@cli.command("list")
def list_command() -> None:
    """List the notebooks: number, tier, the machine's measured time, a person's minutes (an estimate), title."""
    from .notebook.files import course

    for nb in course():
        seconds = f"{nb.seconds:.0f} s" if nb.seconds is not None else "not measured"
        people = "{} to {} min".format(*nb.about["people"]) if "people" in nb.about else ""
        click.echo(f"{nb.number}  {nb.name[3:]:<25} {nb.about.get('tier', ''):<8}{seconds:>12}{people:>14}  {nb.title}")


@cli.command()
@click.argument("nb")
def params(nb: str) -> None:
    """Show a notebook's parameters and presets."""
    from .notebook.describe import parameter_lines
    from .notebook.files import find_notebook

    click.echo("\n".join(parameter_lines(find_notebook(nb))))


@cli.command()
@click.argument("nb")
@click.option("-p", "assignments", multiple=True, callback=pairs, metavar="NAME=VALUE", help="Set a parameter.")
@click.option("--preset", metavar="NAME", help="A named set of parameters (see `deepunsup params NB`).")
@output_option
@timeout_option
@click.option("--jobs", type=COUNT, default=1, metavar="N", help="With `all`: notebooks at once.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a claim of the notebook does not hold.")
def run(nb: str, jobs: int, **options) -> None:
    """Run notebook NB, or `all` of them, and write a report: below runs/, or see -o. -p may be repeated."""
    if nb == "all":
        from .run.run_all import run_all

        sys.exit(run_all(jobs=jobs, cwd=Path.cwd(), **options))

    from .notebook.files import find_notebook
    from .run.run import prepare, run_notebook

    carry_out(prepare(find_notebook(nb), cwd=Path.cwd(), **options), run_notebook)


def carry_out(request: Any, perform: Callable) -> NoReturn:
    """Perform one run, with a line of progress and Ctrl-C, say how it ended, leave."""
    from .console import Progress, stopping
    from .run.result import print_result

    progress = Progress(request.notebook.name)
    with stopping() as stop:
        try:
            finished = perform(request, stop=stop, progress=progress)
        finally:
            progress.clear()
    print_result(finished, request.cwd)
    sys.exit(finished.exit_code)


@cli.command()
@click.argument("run_folder")
@click.argument("source")
@output_option
@timeout_option
def apply(run_folder: str, source: str, output: str | None, timeout: float | None) -> None:
    """Use the model of a finished run on new data, without training.

    SOURCE is folder:PATH, csv:PATH or npz:PATH. Writes tables/results.csv, a row a file or row of the new data.
    """
    from .run.apply import apply_model, prepare_apply

    carry_out(prepare_apply(run_folder, source, output=output, timeout=timeout, cwd=Path.cwd()), apply_model)


@cli.command()
@click.argument("nb")
@click.option(
    "-p", "assignments", multiple=True, callback=pairs, metavar="NAME=VALUES", help="2,8,32, 0..4, or LOW:HIGH[:log]."
)
@click.option("--param-file", metavar="YAML", help="The same as a table; -p goes over it.")
@click.option("--preset", metavar="NAME", help="A named set of parameters, the same for all runs.")
@click.option("--jobs", type=COUNT, metavar="N", help="Runs at once [default: 1; on a cluster, its room].")
@click.option("--sample", type=COUNT, metavar="N", help="Draw N times from the ranges.")
@click.option("--sample-seed", type=int, default=0, metavar="N", help="Another seed draws other values.")
@click.option("--minimize", metavar="METRIC", help="Let Optuna choose the draws (extra [search]).")
@click.option("--backend", type=click.Choice(["local", "dask", "ray"]), default="local", help="Here, or a cluster.")
@click.option("--address", metavar="ADDRESS", help="Of the running Dask or Ray cluster (extra [cluster]).")
@click.option("-o", "--output", metavar="DIR", help="Folder of the sweep, new or begun [default: runs/NAME/sweep].")
@timeout_option
@click.option("--retry-failed", is_flag=True, help="Run again what failed before.")
def sweep(nb: str, assignments: dict[str, str], **options) -> None:
    """Run notebook NB at every combination of values.

    Commas separate values, 0..4 is 0,1,2,3,4, brackets hold a JSON list, quotes a text to be taken as it is. Give the
    same command again to go on after an interruption: finished runs are not repeated. Means and spreads over `seed`,
    plots and the runs' main figures are put into summary.html.
    """
    from .sweep.sweep import sweep as run_sweep

    sys.exit(run_sweep(nb, assignments, tell=click.echo, **options).exit_code)


@cli.command()
def check() -> None:
    """See whether everything that is needed is here, or what to do.

    Python, packages, torch, device, data, memory, disk, notebooks, kernel.
    """
    from .course.check import check_all

    findings = check_all(Path.cwd())
    for finding in findings:
        click.echo(str(finding))
    sys.exit(0 if all(finding.ok for finding in findings) else EXIT_FAILED)


@cli.command()
@click.argument("nb", nargs=-1)
@click.option("--fresh", is_flag=True, help="Build copies anew; yours are renamed to a dated name first.")
@click.option("--build-only", is_flag=True, help="Build the copies and stop.")
@click.option("--no-browser", is_flag=True, help="Print JupyterLab's address instead of opening it.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="JupyterLab's port.")
def lab(nb: tuple[str, ...], fresh: bool, build_only: bool, no_browser: bool, port: int | None) -> None:
    """Open JupyterLab on your own copies under work/.

    Copies of all notebooks (or NB...) are built where they are missing: without solutions, without outputs. A copy
    that exists is never overwritten.
    """
    from .course.lab import build_copies, start_lab
    from .notebook.files import course, find_notebook

    cwd = Path.cwd()
    chosen = [find_notebook(text) for text in nb] if nb else course(cwd)
    work = cwd / "work"
    for line in build_copies(chosen, work, fresh=fresh):
        click.echo(line)
    click.echo(f"your copies: {work}")
    if not build_only:
        sys.exit(start_lab(work, chosen[0].path.name, browser=not no_browser, port=port, cwd=cwd))


@cli.command()
@click.argument("folder")
@click.option("-o", "--output", default="grades.csv", metavar="CSV", help="The table; one that exists is kept.")
@click.option("--jobs", type=COUNT, metavar="N", help="Notebooks at once [default: the cores].")
@click.option("--timeout", type=SECONDS, default=60, metavar="S", help="Seconds for one exercise [default: 60].")
def grade(folder: str, output: str, jobs: int | None, timeout: float) -> None:
    """Judge the exercises of all students' notebooks below FOLDER: a folder for each student, or files named by them.

    Only the exercises' code runs, and what it needs, each notebook in a process of its own, which is closed off as far
    as the system allows.
    """
    from .grade.command import grade_folder

    sys.exit(grade_folder(Path(folder), Path(output), jobs=jobs, timeout=timeout))


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(yes: bool) -> None:
    """Remove what runs and sweeps wrote under runs/, and caches; your own files and work/ stay."""
    from .course.clean import find_removable, remove

    cwd = Path.cwd()
    found = find_removable(cwd)
    for folder in found.busy:
        click.echo(f"still running, kept: {folder}")
    for path in found.foreign:
        click.echo(f"not written by a run, kept: {path}")
    if not found.files and not found.caches:
        click.echo("nothing to remove; work/ is never touched")
        return
    click.echo(f"{found.runs} runs ({len(found.files)} files), {len(found.caches)} caches below {cwd}; work/ stays")
    if not yes:
        click.confirm("Remove them?", abort=True)
    remove(found, cwd)
    click.echo("removed")


def main(command: click.Command = cli) -> None:
    """Run a command; every fault ends in one line and an exit code (DEEPUNSUP_DEBUG=1 shows the traceback)."""
    try:
        command(standalone_mode=False)
        sys.stdout.flush()  # a reader that left shows here, not when Python ends
    except (click.exceptions.Abort, KeyboardInterrupt):
        _leave(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        _leave(error.exit_code)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        _leave(EXIT_FAILED)
    except Exception as error:
        if os.environ.get("DEEPUNSUP_DEBUG"):
            raise
        message, code = _message_of(error)
        with contextlib.suppress(OSError):  # the terminal is gone
            click.echo(f"deepunsup: {message}", err=True)
        _leave(code)


def _leave(code: int) -> None:
    """Exit; what cannot be written any more is forgotten."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _message_of(error: Exception) -> tuple[str, int]:
    """One line and the exit code for an error."""
    if isinstance(error, CommandError):
        return describe(error), error.exit_code
    if isinstance(error, OSError):
        return describe(error), EXIT_BAD_INPUT
    if isinstance(error, ImportError):
        return f"a package is missing or broken ({error}): `deepunsup check` says what to do", EXIT_BAD_INPUT
    return f"internal error, {describe(error)} (DEEPUNSUP_DEBUG=1 shows where)", EXIT_FAILED
