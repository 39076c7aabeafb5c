"""What each process of test_distributed.py does: train every case with the step that the test runs alone, save what it got.

usage: torchrun --standalone --nproc-per-node 2 tests/distributed_worker.py FOLDER
"""

import importlib
import sys
from pathlib import Path

import torch
from torch import nn

from deepunsup_helpers.data import Batches
from deepunsup_helpers.losses import discriminator_loss, generator_loss, squared_error, vae_loss
from deepunsup_helpers.models import MLPVAE, DCGANDiscriminator, DCGANGenerator, MLPAutoencoder
from deepunsup_helpers.training import TrainingDiverged, evaluate, fit, seed_everything, update

fit_module = importlib.import_module("deepunsup_helpers.training.fit")  # the package's `fit` is the function
SHAPE, EXAMPLES, BATCH = (1, 8, 8), 88, 32  # batches of 32, 32 and 24: a short last one that two processes can share
CASES = [(kind, precision) for kind in ("autoencoder", "vae", "gan") for precision in ("fp32", "bf16")]


def data(**options) -> Batches:
    x = torch.rand(EXAMPLES, *SHAPE, generator=torch.Generator().manual_seed(1))
    return Batches(x, batch_size=BATCH, **options)


def setup(kind: str, distribute=lambda model, optimizer: (model, optimizer)):
    """A step and its state; `distribute` is fabric.setup where there are several processes."""
    seed_everything(0)
    if kind == "gan":
        models = DCGANGenerator(SHAPE, latent_dim=4, width=4), DCGANDiscriminator(SHAPE, width=4)
        (G, opt_g), (D, opt_d) = (distribute(m, torch.optim.Adam(m.parameters(), 2e-3, fused=True)) for m in models)

        def step(real):
            fake = G(torch.randn(len(real), 4))
            d = discriminator_loss(D(real), D(fake.detach()))
            update(opt_d, d)
            g = generator_loss(D(fake))
            update(opt_g, g)
            return {"discriminator": d.detach(), "generator": g.detach()}

        return step, {"G": G, "D": D, "opt_g": opt_g, "opt_d": opt_d}
    model = MLPVAE(SHAPE, 3, (12,)) if kind == "vae" else MLPAutoencoder(SHAPE, 3, (12,))
    model, optimizer = distribute(model, torch.optim.SGD(model.parameters(), 0.02, momentum=0.9))

    def step(x):
        out = model(x)
        loss = vae_loss(out.logits, x, out.mu, out.logvar).total if kind == "vae" else squared_error(out.x_hat, x)
        update(optimizer, loss)
        return {"loss": loss.detach()}

    return step, {"model": model, "optimizer": optimizer}


def tensors(state) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name."""
    return {
        f"{name}.{key}": value.clone()
        for name, thing in state.items()
        if isinstance(thing, nn.Module)
        for key, value in thing.state_dict().items()
    }


def train(kind: str, precision: str, distribute, *, rank=0, ranks=1, **options):
    step, state = setup(kind, distribute)
    seed_everything(7 + rank)
    batches = data(rank=rank, ranks=ranks)

    def validate():
        if kind != "autoencoder":
            return {"noise": torch.rand(())}
        return evaluate(lambda x: {"error": squared_error(state["model"](x).x_hat, x)}, data(shuffle=False))

    history = fit(step, batches, state=state, precision=precision, validate=validate, **options)
    return {"tensors": tensors(state), "train": history.train, "validation": history.validation, "noise": torch.rand(3)}


def main(folder: Path) -> None:
    from deepunsup_helpers.training.accelerators.distributed import start

    fabric = start(accelerator="cpu")
    shown, bar = set(), fit_module.progress_bar
    fit_module.progress_bar = lambda *args, enabled, **named: shown.add(enabled) or bar(*args, enabled=False, **named)
    place = {"rank": fabric.global_rank, "ranks": fabric.world_size}
    results = {case: train(*case, fabric.setup, epochs=6, **place) for case in CASES}
    alone = folder / "written_by_one.pt"
    results["resumed"] = train("autoencoder", "fp32", fabric.setup, epochs=4, checkpoint=alone, resume=True, **place)
    results["resumed vae"] = train("vae", "fp32", fabric.setup, epochs=3, checkpoint=folder / "vae.pt", **place)
    results["again vae"] = train(
        "vae", "fp32", fabric.setup, epochs=3, checkpoint=folder / "vae.pt", resume=True, **place
    )
    try:
        worse = lambda x: {"loss": torch.tensor(float("nan") if fabric.global_rank else 1.0)}
        fit(worse, data(**place), epochs=2, state={})
    except TrainingDiverged as error:
        results["diverged"] = (error.epoch, error.term)
    results["progress"] = sorted(shown)
    torch.save(results, folder / f"rank{fabric.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
