"""Several GPUs or machines train one model: the same step, started by torchrun or SLURM, each process with a part of the batch.

    fabric = start()
    seed_everything(seed)                                # the same weights everywhere
    model = MLPVAE(data.image_shape, latent_dim)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model, optimizer = fabric.setup(model, optimizer)    # for two players, twice
    seed_everything(seed + fabric.global_rank)           # but other noise in each process
    batches = Batches(data.x_train, batch_size=256, device=fabric.device, rank=fabric.global_rank, ranks=fabric.world_size)
    fit(step, batches, epochs=epochs, state={"model": model, "optimizer": optimizer}, precision="bf16", checkpoint="c.pt")

`fabric.setup` moves a model to this process's device and averages its gradients over the processes in `backward()`
(DistributedDataParallel), so that the step that runs alone runs here as it stands. `fit` gives the means over all
processes, shares the running statistics of batch normalisation after each epoch, and writes the checkpoint in the first
process only. The checkpoint is the one that a single process writes: any number of processes goes on from it.

A model is trained through its `forward`, once or more before each `backward`; every process draws the same number of
batches (`Batches` sees to it). Discriminators without batch normalisation, as everywhere in this course.
"""

import os

import torch

try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import SLURMEnvironment
except ImportError as error:
    raise ImportError(
        "training on several devices needs Lightning Fabric: pip install --editable '.[distributed]'."
    ) from error


def start(*, accelerator: str = "auto") -> Fabric:
    """Join the processes that were started together with this one; alone, it works as well.

    Each process reads its place from the environment that `torchrun` or SLURM's `srun` gave it. Precision stays the business
    of `fit`, for one and for many processes.

    Args:
        accelerator: "auto", "cpu", "cuda" or "mps"; on CPUs the processes talk by gloo, on GPUs by NCCL.
    Returns:
        Fabric, launched: `device`, `global_rank` (from 0), `world_size`, `setup(model, optimizer)`.
    Raises:
        ImportError: at the import of this module, when Lightning Fabric is missing.
    Source: Li and others 2020, "PyTorch Distributed", arXiv:2006.15704; Fabric, https://lightning.ai/docs/fabric.
    """
    local, nodes = _places()
    strategy = "ddp" if local * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=local, num_nodes=nodes, strategy=strategy, precision="32-true")
    fabric.launch()
    return fabric


def _places() -> tuple[int, int]:
    """Processes on this machine, and machines."""
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return 1, 1
