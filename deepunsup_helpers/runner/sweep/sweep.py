"""Many runs of one notebook: `deepunsup sweep`, and the same from Python."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import stopping
from ..errors import CommandError

if TYPE_CHECKING:
    from .loop import SweepResult


def sweep(
    notebook: str | Path, parameters: Mapping[str, Any], *, preset: str | None = None, jobs: int | None = None,
    backend: str = "local", address: str | None = None, output: str | Path | None = None,
    param_file: str | Path | None = None, sample: int | None = None, sample_seed: int = 0, minimize: str | None = None,
    timeout: float | None = None, retry_failed: bool = False, cwd: Path | None = None,
    tell: Callable[[str], None] = print,
) -> "SweepResult":  # fmt: skip
    """Run a notebook at every combination of values; `deepunsup sweep` from Python.

    `result = sweep("04", {"latent_dim": [2, 8, 32], "seed": range(3)}, jobs=2)`, then `result.table()`.

    Args:
        notebook: number, name or path.
        parameters: name to a value, to a list or range of values, or to text in the command line's grammar
            ("2,8,32", "0..4", "1e-4:1e-2:log").
        jobs: runs at once, each with its part of the cores; one here, and on a cluster as many as it has room for.
        backend, address: local is this machine; dask and ray are running clusters.
        output: the folder [runs/NAME/sweep]; what is finished there is not run again.
        sample, sample_seed: draw so often from the ranges; each draw is run with every combination of the listed values.
        minimize: let Optuna choose the draws, towards a small mean of this metric.
        timeout: seconds for each run.
        retry_failed: run again what failed before.
        tell: called with each line of news.
    Raises:
        CommandError: bad input, found before anything runs, or a cluster that does not work.
    """
    with stopping() as stop:  # before imports that take a while: one that Ctrl-C cuts off may end in any error
        from ..notebook.files import find_notebook
        from .backends import check_backend, open_engine
        from .grid import read_axes, read_parameter_file
        from .loop import Sweep, sweep_folder
        from .search import check_search

        for name, value in {"jobs": jobs, "sample": sample, "timeout": timeout}.items():
            if value is not None and value <= 0:
                raise CommandError(f"{name}={value}: expected a number above 0, or None.")
        cwd = (cwd or Path.cwd()).resolve()
        found = find_notebook(str(notebook), cwd)
        requested = (read_parameter_file(cwd / Path(param_file).expanduser()) if param_file else {}) | dict(parameters)
        axes = read_axes(found, preset=preset, requested=requested, cwd=cwd)
        check_search(found, axes, sample, minimize)
        check_backend(backend, address)
        folder = (cwd / Path(output).expanduser()).resolve() if output else cwd / "runs" / found.name / "sweep"
        with sweep_folder(folder), open_engine(backend, jobs=jobs, address=address, output=folder) as engine:
            work = Sweep(found, axes, folder, engine, preset=preset, timeout=timeout, retry=retry_failed, cwd=cwd,
                         tell=tell, stop=stop)  # fmt: skip
            return work.run(sample, sample_seed, minimize)
