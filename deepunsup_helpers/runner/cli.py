"""The command `deepunsup`. Whatever a command needs beyond click is imported inside it, so that it starts at once."""

import os
import sys
from pathlib import Path

import click

from .faults import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, Fault, describe_os_error


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="deepunsup", message="%(version)s")
def cli() -> None:
    """Run the course's notebooks as programs.

    NB stands for a number (04), a name (deep_autoencoders) or a path.
    """


@cli.command("list")
def list_command() -> None:
    """List the notebooks: number, title, measured time."""
    from .notebooks import course

    for notebook in course():
        seconds = f"{notebook.seconds:.0f} s" if notebook.seconds is not None else "not measured"
        click.echo(f"{notebook.number}  {notebook.name[3:]:<36} {seconds:>12}  {notebook.title}")


@cli.command()
@click.argument("nb")
def params(nb: str) -> None:
    """Show a notebook's parameters and presets."""
    from .describe import parameter_lines
    from .notebooks import find_notebook

    for line in parameter_lines(find_notebook(nb)):
        click.echo(line)


@cli.command()
@click.argument("nb")
@click.option("-p", "assignments", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
@click.option("--preset", metavar="NAME", help="A named set of parameters (see `deepunsup params NB`).")
@click.option("-o", "--output", metavar="DIR", help="Folder for the results, new or empty [default: runs/NAME/TIME].")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Seconds for the whole run.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="With `all`: notebooks at once.")
def run(
    nb: str, assignments: tuple[str, ...], preset: str | None, output: str | None, timeout: float | None, jobs: int
) -> None:
    """Run notebook NB, or `all` of them, and write a report."""
    from .parameters import split_assignments
    from .terminal import Progress, stopping, tell

    pairs = split_assignments(assignments)
    caller = Path.cwd()
    if nb == "all":
        from .sweep import run_all

        sys.exit(run_all(assignments=pairs, preset=preset, output=output, timeout=timeout, jobs=jobs, caller=caller))

    from .notebooks import find_notebook
    from .run import perform, prepare

    request = prepare(
        find_notebook(nb), assignments=pairs, preset=preset, timeout=timeout, output=output, caller=caller
    )
    progress = Progress(request.notebook.name)
    with stopping() as stop:
        finished = perform(request, stop=stop, progress=progress)
    progress.clear()
    tell(finished, caller)
    sys.exit(finished.exit_code)


def main() -> None:
    """Run a command; every fault ends in one line and an exit code (DEEPUNSUP_DEBUG=1 shows the traceback)."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except (Fault, OSError, Exception) as error:
        if os.environ.get("DEEPUNSUP_DEBUG"):
            raise
        message, code = _told(error)
        click.echo(f"deepunsup: {message}", err=True)
        sys.exit(code)


def _told(error: Exception) -> tuple[str, int]:
    """One line and the exit code for an error."""
    if isinstance(error, Fault):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return describe_os_error(error), EXIT_BAD_INPUT
    return f"internal error, {type(error).__name__}: {error} (DEEPUNSUP_DEBUG=1 shows where)", EXIT_FAILED
