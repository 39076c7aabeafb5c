"""Where the trials of a sweep are computed: on this machine, or on a Dask or Ray cluster that runs. joblib underneath."""

import importlib.util
import math
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from joblib import Parallel, delayed, parallel_config

from ..errors import CommandError
from .trial import Trial, package_digest, run_trial

PATIENCE = 10  # seconds that a cluster may take to answer
POLL = 0.5  # seconds between two looks at the sweep's folder
CLUSTERS = {"dask": "distributed", "ray": "ray"}  # name to the library that it needs


@dataclass(frozen=True)
class Engine:
    """A way to compute trials."""

    backend: str  # joblib's; on this machine threads do, since each run is a process of its own
    jobs: int  # trials at once
    side_by_side: int  # of them on one machine

    def run(self, trials: list[Trial], poll: Callable[[], None]) -> dict[str, str]:
        """What `run_trial` says of each trial's key; `poll` is called all the while."""
        ends: Future[list[str]] = Future()

        def work() -> None:
            try:
                with parallel_config(backend=self.backend, n_jobs=self.jobs):
                    parallel = Parallel(batch_size=1, pre_dispatch=self.jobs)
                    ends.set_result(parallel(delayed(run_trial)(trial) for trial in trials))
            except BaseException as error:
                ends.set_exception(error)

        Thread(target=work, daemon=True).start()
        while not wait([ends], timeout=POLL).done:
            poll()
        if error := ends.exception():
            reason = f"{type(error).__name__}: {error}"
            raise CommandError(f"the {self.backend} backend failed ({reason}). Finished runs are kept: give the same "
                               "command again to go on.", exit_code=1) from error  # fmt: skip
        return dict(zip((trial.key for trial in trials), ends.result()))


def check_backend(backend: str, address: str | None) -> None:
    """Find out before anything is asked of it that a backend can be had, or raise a CommandError."""
    if backend == "local":
        if address:
            raise CommandError("--address is a cluster's: give --backend dask or --backend ray with it.")
        return
    if backend not in CLUSTERS:
        raise CommandError(f"there is no backend {backend!r}; known: local, {', '.join(CLUSTERS)}.")
    if importlib.util.find_spec(CLUSTERS[backend]) is None:
        raise CommandError(f'--backend {backend} needs the extra [cluster]: pip install --editable ".[cluster]"')
    if not address:
        example = "tcp://host:8786" if backend == "dask" else "host:6379, or auto for a cluster on this machine"
        raise CommandError(f"--backend {backend} needs the address of a running cluster: --address {example}")


@contextmanager
def open_engine(backend: str, *, jobs: int | None, address: str | None, output: Path) -> Iterator[Engine]:
    """Connect to a backend and, on a cluster, have every machine show that it can work in the folder `output`.

    `jobs` is one if it is None, and on a cluster as many as it has room for.
    """
    if backend == "local":
        yield Engine("threading", jobs=jobs or 1, side_by_side=jobs or 1)
        return
    with (dask_cluster if backend == "dask" else ray_cluster)(address, output) as room:
        jobs = min(jobs or sum(room.values()), sum(room.values()))
        yield Engine(backend, jobs=jobs, side_by_side=math.ceil(jobs / len(room)))


@contextmanager
def dask_cluster(address: str, output: Path) -> Iterator[dict[str, int]]:
    """The machines of a Dask cluster, each with its room."""
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE, set_as_default=True)
    except (OSError, ValueError, TimeoutError) as error:
        raise CommandError(f"no Dask scheduler answers at {address} ({type(error).__name__}): start one with "
                           "`dask scheduler`, or correct --address.") from error  # fmt: skip
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise CommandError(f"the Dask cluster at {address} has no workers: start some: `dask worker {address}`.")
        check_machines(output, lambda probe, *values: client.run(probe, *values, on_error="return"))
        room: Counter[str] = Counter()
        for facts in workers.values():
            room[facts["host"]] += facts["nthreads"]
        yield room


@contextmanager
def ray_cluster(address: str, output: Path) -> Iterator[dict[str, int]]:
    """The machines of a Ray cluster, each with its room."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # tasks choose their GPU themselves
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    import ray
    from ray.util.joblib import register_ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mine = not ray.is_initialized()
    try:
        if mine:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=None)
    except (OSError, ValueError, RuntimeError, TimeoutError) as error:
        raise CommandError(f"no Ray cluster answers at {address} ({type(error).__name__}): start one with "
                           "`ray start --head`, or correct --address, or the token in RAY_AUTH_TOKEN.") from error  # fmt: skip

    def ask(probe: Callable, *values: str) -> dict[str, Any]:
        remote = ray.remote(num_cpus=0, max_retries=0)(probe)
        answers: dict[str, Any] = {}
        for node in nodes:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            answers[node["NodeManagerHostname"]] = remote.options(scheduling_strategy=place).remote(*values)
        for name, reference in answers.items():
            try:
                answers[name] = ray.get(reference, timeout=6 * PATIENCE)
            except Exception as error:
                answers[name] = error
        return answers

    try:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise CommandError(f"the Ray cluster at {address} has no machine with a free processor.")
        check_machines(output, ask)
        register_ray()
        yield {node["NodeID"]: int(node["Resources"]["CPU"]) for node in nodes}
    finally:
        if mine:
            ray.shutdown()


def check_machines(output: Path, ask: Callable[..., Mapping[str, Any]]) -> None:
    """Find out whether every machine has this package and shares the sweep's folder.

    Args:
        ask: calls a function with two texts on every machine; returns each one's answer, or error.
    Raises:
        CommandError: names each machine and what it lacks.
    """

    def probe(output: str, token: str) -> str:
        """The digest of the package on this machine, or what is missing there.

        A function within a function travels by value: a machine without the package could receive no other of ours.
        """
        import os
        import tempfile

        if not os.path.exists(os.path.join(output, "status", token)):
            return f"it does not see the folder {output}"
        try:
            from deepunsup_helpers.runner.sweep.trial import package_digest

            tempfile.TemporaryFile(dir=os.path.join(output, "status")).close()
            return package_digest()
        except ImportError as error:
            return f"the package is not installed ({error})"
        except OSError as error:
            return f"it cannot write to {output} ({error.strerror})"

    token = output / "status" / f"{uuid.uuid4().hex}.probe"
    token.touch()
    try:
        answers = ask(probe, str(output), token.name)
    finally:
        token.unlink(missing_ok=True)
    digest, problems = package_digest(), []
    for machine, answer in answers.items():
        if isinstance(answer, BaseException):
            answer = f"{type(answer).__name__}: {str(answer).strip().rpartition(chr(10))[2]}"
        elif re.fullmatch("[0-9a-f]{64}", answer) and answer != digest:
            answer = "it has another version of deepunsup; install the one you have here"
        if answer != digest:
            problems.append(f"  {machine}: {answer}")
    if problems:
        raise CommandError("\n".join(["the cluster cannot run the sweep:", *problems]))
