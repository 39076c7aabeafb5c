"""Two processes train what one trains: the same step under Lightning Fabric, on CPUs, against a plain run in this process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import distributed_worker as worker
import pytest
import torch

from deepunsup_helpers.runner.threads import thread_variables

pytest.importorskip("lightning_fabric", reason="Lightning Fabric is missing: pip install --editable '.[distributed]'")
if sys.platform == "win32":
    pytest.skip("torchrun over gloo is not tested on Windows", allow_module_level=True)

pytestmark = pytest.mark.slow  # two processes start, and torch is loaded in each
WORKER, LIMIT = Path(worker.__file__), 240  # seconds; the run takes about twenty


def torchrun(*arguments: str, processes: int, limit: float = LIMIT) -> subprocess.CompletedProcess:
    """Run the worker in so many processes; whatever happens, none of them is left behind."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        *arguments,
    ]
    environment = {**os.environ, **thread_variables(os.cpu_count() or 1, os.environ)}
    environment["PYTHONPATH"] = os.pathsep.join([str(WORKER.parent.parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            out, _ = process.communicate(timeout=limit)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # the workers too, if any is still there
            except ProcessLookupError:
                pass
    return subprocess.CompletedProcess(command, process.returncode, out)


def alone(kind: str, precision: str = "fp32", **options):
    return worker.train(kind, precision, lambda model, optimizer: (model, optimizer), **options)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What both processes saved, and the folder."""
    folder = tmp_path_factory.mktemp("ranks")
    alone("autoencoder", epochs=2, checkpoint=folder / "written_by_one.pt")
    run = torchrun(str(WORKER), str(folder), processes=2)
    assert run.returncode == 0, run.stdout
    return [torch.load(folder / f"rank{r}.pt") for r in range(2)], folder


def far(a: dict, b: dict) -> float:
    assert set(a) == set(b)
    return max((a[name].double() - b[name].double()).abs().max().item() for name in a)


def start_of(kind: str) -> dict:
    return worker.tensors(worker.setup(kind)[1])


@pytest.mark.parametrize("case", worker.CASES, ids="-".join)
def test_both_processes_end_with_the_same_model(case, ranks):
    """Weights and running statistics, bit for bit; and they moved."""
    (first, second), _ = ranks
    assert far(first[case]["tensors"], second[case]["tensors"]) == 0
    assert far(first[case]["tensors"], start_of(case[0])) > 0.01
    assert first[case]["train"] == second[case]["train"] and first[case]["validation"] == second[case]["validation"]


def test_an_autoencoder_over_two_processes_is_the_one_of_a_single_process(ranks):
    (first, _), _ = ranks
    one, two = alone("autoencoder", epochs=6), first["autoencoder", "fp32"]
    assert far(one["tensors"], start_of("autoencoder")) > 0.05
    assert far(one["tensors"], two["tensors"]) < 1e-5
    assert two["train"]["loss"] == pytest.approx(one["train"]["loss"], rel=1e-5)
    assert two["validation"]["error"] == pytest.approx(one["validation"]["error"], rel=1e-5)


def test_in_bf16_it_is_so_up_to_the_rounding_of_gradients(ranks):
    """bf16 keeps 8 bits: each gradient is off by up to 1/256 of itself, so the way travelled is too, with some room."""
    (first, _), _ = ranks
    one, two = alone("autoencoder", "bf16", epochs=6)["tensors"], first["autoencoder", "bf16"]["tensors"]
    start = start_of("autoencoder")
    travelled = torch.cat([(one[name] - start[name]).flatten() for name in one]).norm()
    apart = torch.cat([(one[name] - two[name]).flatten() for name in one]).norm()
    assert 0 < apart < 0.02 * travelled
    exact = first["autoencoder", "fp32"]["tensors"]
    assert far(two, exact) > 1e-5  # it was bf16


def test_noise_differs_between_the_processes(ranks):
    (first, second), _ = ranks
    for case in worker.CASES:
        assert not torch.equal(first[case]["noise"], second[case]["noise"])


def test_a_checkpoint_goes_from_one_process_to_two_and_back(ranks):
    (first, second), folder = ranks
    assert far(first["resumed"]["tensors"], second["resumed"]["tensors"]) == 0
    assert not torch.equal(
        first["resumed"]["noise"], second["resumed"]["noise"]
    )  # the file held one process's generators
    back = alone("autoencoder", epochs=6, checkpoint=folder / "written_by_one.pt", resume=True)
    whole = alone("autoencoder", epochs=6)
    assert far(back["tensors"], whole["tensors"]) < 1e-5
    assert back["train"]["loss"] == pytest.approx(whole["train"]["loss"], rel=1e-5)


def test_each_process_resumes_with_its_own_noise(ranks):
    """All three epochs are in the file: what follows is drawn as if nothing had been stopped."""
    (first, second), _ = ranks
    assert torch.equal(first["resumed vae"]["noise"], first["again vae"]["noise"])
    assert torch.equal(second["resumed vae"]["noise"], second["again vae"]["noise"])
    assert not torch.equal(first["again vae"]["noise"], second["again vae"]["noise"])


def test_a_loss_that_breaks_in_one_process_stops_both(ranks):
    (first, second), _ = ranks
    assert first["diverged"] == second["diverged"] == (1, "loss")


def test_only_the_first_process_shows_progress(ranks):
    (first, second), _ = ranks
    assert first["progress"] == [True] and second["progress"] == [False]


def test_alone_the_same_script_needs_no_launcher():
    code = (
        "from deepunsup_helpers.training.accelerators.distributed import start\n"
        "fabric = start(accelerator='cpu')\n"
        "print(fabric.world_size, fabric.global_rank, fabric.device)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    assert out.split() == ["1", "0", "cpu"]


def test_slurm_is_read_from_its_environment(monkeypatch):
    from deepunsup_helpers.training.accelerators import distributed

    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    assert distributed._places() == (1, 1)
    for name, value in {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}.items():
        monkeypatch.setenv(name, value)
    assert distributed._places() == (4, 2)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")  # a shell on a node, no srun
    assert distributed._places() == (1, 1)
