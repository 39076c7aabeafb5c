"""Where the trials of a sweep are computed: on this machine, or on a Dask or Ray cluster that runs. joblib underneath."""

import importlib.util
import math
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CommandError
from .trial import Trial, package_digest, run_trial

PATIENCE = 10  # seconds that a cluster may take to answer
POLL = 0.5  # seconds between two looks at the sweep's folder
CLUSTERS = {"dask": "distributed", "ray": "ray"}  # name to the library that it needs


@dataclass(frozen=True)
class Engine:
    """A way to compute trials.

    Args:
        backend: joblib's. On this machine threads do, since each run is a process of its own.
        jobs: trials at once; `side_by_side` of them on one machine.
    """

    backend: str = "threading"
    jobs: int = 1
    side_by_side: int = 1

    def run(self, trials: list[Trial], poll: Callable[[], None]) -> dict[str, str]:
        """Compute the trials; returns what `run_trial` says of each key. `poll` is called all the while.

        Raises:
            CommandError: the backend itself failed.
        """
        ends: dict[str, str] = {}
        problem: list[BaseException] = []

        def work() -> None:
            from joblib import Parallel, delayed, parallel_config

            try:
                with parallel_config(backend=self.backend, n_jobs=self.jobs):
                    ends.update(
                        Parallel(batch_size=1, pre_dispatch=self.jobs)(delayed(run_trial)(trial) for trial in trials)
                    )
            except BaseException as error:
                problem.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL)
            poll()
        if problem:
            reason = f"{type(problem[0]).__name__}: {problem[0]}"
            raise CommandError(f"the {self.backend} backend failed ({reason}). Finished runs are kept: give the same "
                               "command again to go on.", exit_code=1) from problem[0]  # fmt: skip
        return ends


def check_backend(backend: str, address: str | None) -> None:
    """Find out, before anything is asked of it, that a backend can be had.

    Raises:
        CommandError: there is none of that name, its library is not installed, or an address is missing or superfluous.
    """
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
    """Connect to a backend and, on a cluster, have every machine show that it can do the work.

    Args:
        jobs: runs at once; None is one here, and on a cluster as many as it has room for.
        output: the sweep's folder, which every machine must be able to write to.
    Raises:
        CommandError: no answer, or a machine without the package or the folder.
    """
    if backend == "local":
        yield Engine(jobs=jobs or 1, side_by_side=jobs or 1)
        return
    with (dask_cluster if backend == "dask" else ray_cluster)(address, output) as room:
        jobs = min(jobs or sum(room.values()), sum(room.values()))
        yield Engine(backend=backend, jobs=jobs, side_by_side=math.ceil(jobs / len(room)))


@contextmanager
def dask_cluster(address: str, output: Path) -> Iterator[dict[str, int]]:
    """The machines of a Dask cluster, each with its room."""
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE, set_as_default=True)
    except (OSError, ValueError, TimeoutError) as error:
        raise CommandError(f"no Dask scheduler answers at {address} ({type(error).__name__}): start one with "
                           "`dask scheduler`, or correct --address.") from error  # fmt: skip
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise CommandError(
                f"the Dask cluster at {address} has no workers: start some with `dask worker {address}`."
            )
        with probe_files(output) as token:
            check_answers(client.run(make_probe(), str(output), token, on_error="return"), output, token)
        room: dict[str, int] = {}
        for facts in workers.values():
            room[facts["host"]] = room.get(facts["host"], 0) + facts["nthreads"]
        yield room
    finally:
        client.close()


@contextmanager
def ray_cluster(address: str, output: Path) -> Iterator[dict[str, int]]:
    """The machines of a Ray cluster, each with its room."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # tasks choose their GPU themselves
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    import ray
    from ray.util.joblib import register_ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mine = not ray.is_initialized()
    if mine:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=None)
        except (OSError, ValueError, RuntimeError, TimeoutError) as error:
            raise CommandError(f"no Ray cluster answers at {address} ({type(error).__name__}): start one with "
                        "`ray start --head`, or correct --address, or the token in RAY_AUTH_TOKEN.") from error  # fmt: skip
    try:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise CommandError(f"the Ray cluster at {address} has no machine with a free processor.")
        with probe_files(output) as token:
            probe = ray.remote(num_cpus=0, max_retries=0)(make_probe())
            asked = {
                node["NodeManagerHostname"]: probe.options(
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ).remote(str(output), token)
                for node in nodes
            }
            check_answers({name: _ray_answer(ray, reference) for name, reference in asked.items()}, output, token)
        register_ray()
        yield {node["NodeID"]: int(node["Resources"]["CPU"]) for node in nodes}
    finally:
        if mine:
            ray.shutdown()


def _ray_answer(ray: Any, reference: Any) -> Any:
    """What a probe returned, or the error it ended with."""
    try:
        return ray.get(reference, timeout=6 * PATIENCE)
    except Exception as error:
        return error


def make_probe() -> Callable[[str, str], str]:
    """A function that travels by value, since a machine without the package could not even receive one of ours."""

    def probe(output: str, token: str) -> str:
        """What is missing on this machine; "" when nothing is. Leaves a file of its own beside the token."""
        import os
        import socket

        try:
            from deepunsup_helpers.runner.sweep.trial import package_digest
        except ImportError as error:
            return f"the package is not installed ({error})"
        digest = package_digest()
        place = os.path.join(output, "status")
        if not os.path.exists(os.path.join(place, f"{token}.probe")):
            return f"it does not see the folder {output}"
        try:
            with open(os.path.join(place, f"{token}.{socket.gethostname()}.{os.getpid()}.answer"), "w") as file:
                file.write(digest)
        except OSError as error:
            return f"it cannot write to {output} ({error.strerror})"
        return f"digest {digest}"

    return probe


@contextmanager
def probe_files(output: Path) -> Iterator[str]:
    """A token in the sweep's folder that other machines must find; it and the answers go away again."""
    token = uuid.uuid4().hex[:12]
    place = output / "status"
    (place / f"{token}.probe").write_text("")
    try:
        yield token
    finally:
        for path in place.glob(f"{token}.*"):
            path.unlink(missing_ok=True)


def check_answers(answers: dict[str, Any], output: Path, token: str) -> None:
    """Raise a CommandError that names each machine and what it lacks."""
    wanted, problems = f"digest {package_digest()}", []
    for machine, answer in answers.items():
        if isinstance(answer, BaseException):
            problems.append(
                f"{machine}: {type(answer).__name__}: {str(answer).strip().splitlines()[-1] if str(answer) else ''}"
            )
        elif str(answer).startswith("digest ") and answer != wanted:
            problems.append(f"{machine}: it has another version of deepunsup; install the one you have here")
        elif answer != wanted:
            problems.append(f"{machine}: {answer}")
    if not problems and len(list((output / "status").glob(f"{token}.*.answer"))) == 0:
        problems.append(
            f"what the cluster writes to {output} does not arrive here: give a folder that all machines share"
        )
    if problems:
        raise CommandError("the cluster cannot run the sweep:\n" + "\n".join(f"  {line}" for line in problems))
