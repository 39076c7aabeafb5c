"""Sweeps on real Dask and Ray clusters of this machine, started and stopped here; and what a useless cluster is told."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from contextlib import closing

import pytest
from test_runner_sweep import table, toy, trials
from toy_notebooks import deepunsup, facts, variables

from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.sweep import sweep
from deepunsup_helpers.runner.sweep.backends import check_machines

HOLD_RAY = """
import ray, sys
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", _temp_dir=sys.argv[1])
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""
HOLD_DASK = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=sys.argv[1]) as cluster:
        print("address", cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module", params=["dask", "ray"])
def cluster(request, tmp_path_factory):
    """Backend, address and variables of a cluster with two workers; it ends with its holder's standard input."""
    pytest.importorskip("distributed" if request.param == "dask" else "ray", reason="comes with the extra [cluster]")
    folder = tmp_path_factory.mktemp("cluster")
    scratch = tempfile.mkdtemp(prefix="du-")  # short: Ray's sockets have paths of at most 107 letters
    script = folder / "hold.py"
    script.write_text(HOLD_DASK if request.param == "dask" else HOLD_RAY)
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex} if request.param == "ray" else {}
    holder = subprocess.Popen([sys.executable, script, scratch], env=variables(**secret), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)  # fmt: skip
    try:
        line = next(line for line in holder.stdout if line.startswith("address"))
        yield request.param, line.split()[1], secret
    finally:
        holder.stdin.close()
        try:
            holder.wait(timeout=30)
        except subprocess.TimeoutExpired:
            holder.kill()
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.mark.slow
def test_a_cluster_runs_a_sweep(cluster, tmp_path):
    backend, address, secret = cluster
    toy(tmp_path)
    words = [
        "sweep",
        "04",
        "-p",
        "epochs=1,2",
        "-p",
        "rate=0.5,3",
        "-o",
        "out",
        "--backend",
        backend,
        "--address",
        address,
    ]
    done = deepunsup(*words, cwd=tmp_path, timeout=180, **secret)
    assert done.returncode == 1 and "2 completed, 2 failed" in done.stdout, done.stderr
    assert "4 runs (epochs: 2, rate: 2)" in done.stdout and "2 at once" in done.stdout
    assert [row["loss"] for row in table(tmp_path / "out")] == ["1.25", "", "2.25", ""]
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    for place in (tmp_path / "out" / "trials").iterdir():
        if facts(place)["status"] == "completed":
            assert facts(place, "seen.json")["OMP_NUM_THREADS"] in ("1", share)
    before = trials(tmp_path / "out")
    again = deepunsup(*words, cwd=tmp_path, timeout=180, **secret)
    assert "4 of them there already" in again.stdout and trials(tmp_path / "out") == before
    assert {path.name for path in (tmp_path / "out" / "status").iterdir()} == set()


def test_a_cluster_that_does_not_answer_is_named(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="comes with the extra [cluster]")
    monkeypatch.setattr("deepunsup_helpers.runner.sweep.backends.PATIENCE", 0.5)
    toy(tmp_path)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(CommandError, match=f"no Dask scheduler answers at {address}"):
        sweep("04", {"epochs": [1, 2]}, backend="dask", address=address, cwd=tmp_path)


def test_what_a_machine_lacks_is_named(tmp_path):
    """The probe as another machine runs it: unpickled in a process that cannot import the package."""
    cloudpickle = pytest.importorskip("cloudpickle")
    (tmp_path / "out" / "status").mkdir(parents=True)
    run = (
        "import pickle, sys\n"
        "sys.modules.update(dict.fromkeys(sys.argv[3:]))\n"
        "print(pickle.load(sys.stdin.buffer)(sys.argv[1], sys.argv[2]))"
    )

    def answer(probe, output, token, *hidden):
        words = [sys.executable, "-c", run, output, token, *hidden]
        return subprocess.run(words, env=variables(), input=cloudpickle.dumps(probe), capture_output=True, check=True
                              ).stdout.decode().strip()  # fmt: skip

    check_machines(tmp_path / "out", lambda *values: {"one": answer(*values)})
    with pytest.raises(CommandError) as fault:
        check_machines(tmp_path / "out", lambda probe, output, token: {
            "one": answer(probe, output, token, "deepunsup_helpers"), "two": answer(probe, "/elsewhere", token),
            "three": OSError("gone"), "four": "0" * 64,
        })  # fmt: skip
    for said in ("one: the package is not installed", "two: it does not see the folder /elsewhere", "three: OSError: gone",
                 "four: it has another version"):  # fmt: skip
        assert said in str(fault.value)
    assert not list((tmp_path / "out" / "status").iterdir())
