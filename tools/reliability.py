"""How often a notebook's claims hold over seeds: `python tools/reliability.py NB`, kept in its metadata."""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import click

from deepunsup_helpers.runner.cli import main
from deepunsup_helpers.runner.errors import EXIT_FAILED, CommandError
from deepunsup_helpers.runner.files import notebook_text, write_text
from deepunsup_helpers.runner.notebook.digest import code_digest
from deepunsup_helpers.runner.notebook.files import Notebook, find_notebook

ENOUGH = 0.9  # a claim that holds less often is reworded, or given its spread, or cut


def one_run(notebook: Notebook, seed: int, folder: Path) -> dict:
    """The finished run of one seed as {"status", "seconds", "claims"}; run now if it is not in `folder` yet."""
    if not (folder / "run.json").exists() or status_of(folder)["status"] != "completed":
        shutil.rmtree(folder, ignore_errors=True)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DEEPUNSUP_PRODUCTS": "default"}
        code = "from deepunsup_helpers.runner.cli import main; main()"
        command = [sys.executable, "-c", code, "run", str(notebook.path), "-p", f"seed={seed}", "-o", str(folder)]
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if not (folder / "run.json").exists():
        return {"status": "not started", "seconds": 0, "claims": []}
    claims = folder / "claims.json"
    return status_of(folder) | {"claims": json.loads(claims.read_text("utf-8")) if claims.exists() else []}


def status_of(folder: Path) -> dict:
    """What run.json says."""
    return json.loads((folder / "run.json").read_text("utf-8"))


def shares(runs: dict[int, dict]) -> dict[str, list[int]]:
    """Each claim's [held, asked] over the runs; what a run that died had not claimed yet counts as not held."""
    texts = list(dict.fromkeys(claim["text"] for run in runs.values() for claim in run["claims"]))
    counts = {text: [0, 0] for text in texts}
    for run in runs.values():
        said = {claim["text"]: claim["holds"] for claim in run["claims"]}
        for text in texts:
            holds = said.get(text, False if run["status"] != "completed" else None)
            counts[text][0] += holds is True
            counts[text][1] += holds is not None
    return counts


def report(notebook: Notebook, runs: dict[int, dict], counts: dict[str, list[int]]) -> bool:
    """Print what was found; returns whether it is good enough."""
    missed = defaultdict(list)
    for seed, run in runs.items():
        if run["status"] != "completed":
            click.echo(f"  seed {seed}: {run['status']}")
        for claim in run["claims"]:
            if claim["holds"] is False:
                missed[claim["text"]].append(seed)
    for text, (held, asked) in counts.items():
        where = f"   not with seed {', '.join(map(str, missed[text]))}" if missed[text] else ""
        click.echo(f"  {held:3} of {asked:3}  {text}{where}")
    completed = [run["seconds"] for run in runs.values() if run["status"] == "completed"]
    click.echo(f"{notebook.name}: {len(completed)} of {len(runs)} runs completed", nl=not completed)
    if completed:
        click.echo(f", {min(completed):.0f} to {max(completed):.0f} s each")
    return len(completed) == len(runs) and all(held >= ENOUGH * asked for held, asked in counts.values())


def store(notebook: Notebook, seeds: list[int], counts: dict[str, list[int]], digest: str) -> None:
    """Write `metadata.deepunsup.claims`; every other byte of a normalised notebook stays."""
    content = json.loads(notebook.path.read_text(encoding="utf-8"))
    measured = {"date": date.today().isoformat(), "digest": digest, "seeds": seeds, "shares": counts, "threads": 1}
    content["metadata"].setdefault("deepunsup", {})["claims"] = measured
    write_text(notebook.path, notebook_text(content))


def seed_list(text: str) -> list[int]:
    """[100, 101, 102] of "100..102", [3, 7] of "3,7"."""
    try:
        first, dots, last = text.partition("..")
        seeds = list(range(int(first), int(last) + 1)) if dots else [int(seed) for seed in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise CommandError(f"--seeds {text!r}: expected 100..109, or different whole numbers with commas.")
    return seeds


@click.command()
@click.argument("nb", nargs=-1, required=True)
@click.option("--seeds", default="100..109", show_default=True, help="LOW..HIGH, or numbers with commas.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Runs at a time, a thread each.")
@click.option("--work", default="runs/reliability", show_default=True, type=click.Path(path_type=Path))
@click.option("--dry", is_flag=True, help="Store nothing.")
def reliability(nb: tuple[str, ...], seeds: str, jobs: int, work: Path, dry: bool) -> None:
    """Run NB... once per seed with the defaults, and count how often each claim holds.

    Finished runs are kept under --work, by the digest of the code that made them: an interrupted measurement goes on.
    """
    chosen = seed_list(seeds)
    good = True
    for notebook in [find_notebook(text) for text in nb]:
        digest = code_digest(notebook)
        folder = work / f"{notebook.path.stem}-{digest[:12]}"
        with ThreadPoolExecutor(jobs) as pool:
            found = pool.map(lambda seed: one_run(notebook, seed, folder / str(seed)), chosen)  # noqa: B023
            runs = dict(zip(chosen, found))
        counts = shares(runs)
        good &= report(notebook, runs, counts)
        if code_digest(notebook) != digest:
            raise CommandError(f"{notebook.name} changed meanwhile: measure it again.")
        if not dry:
            store(notebook, chosen, counts, digest)
    if not good:
        raise CommandError(
            "a run did not complete, or a claim holds less than nine times in ten.", exit_code=EXIT_FAILED
        )


if __name__ == "__main__":
    main(reliability)
