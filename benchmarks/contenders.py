"""The loops that speed.py compares. Each is a generator: what stands before the first `yield` is set-up, each turn an epoch.

An epoch that yields a number took that many seconds; one that yields None is timed from outside. All train the same
networks on the same images with Adam at 1e-3; they differ in the loop, the data's way to it, and the layout.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset, Subset

from deepunsup_helpers.data import Batches, load
from deepunsup_helpers.losses import discriminator_loss, generator_loss, squared_error, vae_loss
from deepunsup_helpers.models import MLPVAE, DCGANDiscriminator, DCGANGenerator, MLPAutoencoder
from deepunsup_helpers.training import fit, graphed, seed_everything, update

BATCH, LATENT, SHAPE = 128, 64, (1, 28, 28)


@dataclass(frozen=True)
class Job:
    """What a contender is told: which network, how many images an epoch, where, in which precision."""

    network: str  # vae, ae or dcgan
    images: int
    device: torch.device
    precision: str  # fp32 or bf16
    dataset: str  # mnist, or strokes where MNIST is not there


def tensors(job: Job) -> Tensor:
    """The first images as one float tensor, (N, 1, 28, 28) in [0, 1]."""
    made = job.images if job.dataset == "strokes" else None  # strokes are drawn on demand, MNIST is whole
    return load(job.dataset, train_size=made).x_train[: job.images].clone()


class Pictures(Dataset):
    """Strokes as a torchvision data set would give them: a PIL image an item, then ToTensor."""

    def __init__(self, images: Tensor):
        from torchvision import transforms

        self.images, self.transform = (255 * images).byte().numpy()[:, 0], transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[i], mode="L")), 0


def textbook_loader(job: Job) -> DataLoader:
    """torchvision's MNIST with ToTensor behind a shuffling DataLoader."""
    from torchvision import datasets, transforms

    if job.dataset == "mnist":
        whole = datasets.MNIST(os.environ["DEEPUNSUP_DATA"], train=True, transform=transforms.ToTensor())
    else:
        whole = Pictures(tensors(job))
    return DataLoader(Subset(whole, range(job.images)), batch_size=BATCH, shuffle=True)


def networks(job: Job, *, fast: bool) -> list[nn.Module]:
    """The course's networks on the device, the convolutional ones in channels-last where `fast`."""
    seed_everything(0)
    if job.network == "vae":
        return [MLPVAE(SHAPE, 20, (400,)).to(job.device)]
    if job.network == "ae":
        return [MLPAutoencoder(SHAPE, 16, (256, 64)).to(job.device)]
    layout = {"memory_format": torch.channels_last} if fast else {}
    return [
        kind.to(job.device, **layout) for kind in (DCGANGenerator(SHAPE, LATENT, 32), DCGANDiscriminator(SHAPE, 32))
    ]


def fused_adam(job: Job, module: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=1e-3, fused=True, capturable=job.device.type == "cuda")


def course_step(job: Job, optimizers=fused_adam):
    """The step as a notebook of the course writes it, and its state."""
    models = networks(job, fast=True)
    state = dict(enumerate(models)) | {f"adam {i}": optimizers(job, model) for i, model in enumerate(models)}

    def autoencoder_step(x):
        model = models[0]
        out = model(x)
        if job.network == "vae":
            loss = vae_loss(out.logits, x, out.mu, out.logvar)
            update(state["adam 0"], loss.total)
            return {"loss": loss.total.detach(), "kl": loss.kl.detach(), "reconstruction": loss.reconstruction.detach()}
        loss = squared_error(out.x_hat, x)
        update(state["adam 0"], loss)
        return {"loss": loss.detach()}

    def gan_step(real):
        G, D = models
        fake = G(torch.randn(len(real), LATENT, device=real.device))
        d = discriminator_loss(D(real), D(fake.detach()))
        update(state["adam 1"], d)
        g = generator_loss(D(fake))
        update(state["adam 0"], g)
        return {"discriminator": d.detach(), "generator": g.detach()}

    return (gan_step if job.network == "dcgan" else autoencoder_step), {
        str(name): thing for name, thing in state.items()
    }


def course(job: Job, *, graph: bool = False, compile: bool = False) -> Iterator[None]:
    """This project as it comes: `fit` with `Batches`, named losses, divergence check; epochs go on in one training."""
    step, state = course_step(job)
    batches = Batches(tensors(job), batch_size=BATCH, device=job.device)
    if graph:
        step = graphed(step, batches.x[:BATCH], state=state, precision=job.precision)
        assert step.captured, step.reason
    if compile:
        for thing in state.values():
            thing.compile() if isinstance(thing, nn.Module) else None
    while True:
        fit(step, batches, epochs=1, state=state, precision=job.precision, progress=False)
        yield


def bare(job: Job) -> Iterator[None]:
    """A loop by hand over a resident tensor: the same losses, fused Adam, no names, no means, no checks."""
    seed_everything(0)
    x, models = tensors(job).to(job.device), networks(job, fast=True)
    optimizers = [fused_adam(job, model) for model in models]

    def move(loss, optimizer):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    while True:
        order = torch.randperm(len(x), device=job.device)
        for start in range(0, len(x), BATCH):
            batch = x[order[start : start + BATCH]]
            if job.network == "dcgan":
                G, D = models
                fake = G(torch.randn(len(batch), LATENT, device=job.device))
                real_loss = functional.softplus(-D(batch)).mean()
                move(real_loss + functional.softplus(D(fake.detach())).mean(), optimizers[1])
                move(functional.softplus(-D(fake)).mean(), optimizers[0])
            elif job.network == "vae":
                out = models[0](batch)
                move(vae_loss(out.logits, batch, out.mu, out.logvar).total, optimizers[0])
            else:
                move((models[0](batch).x_hat - batch).square().sum() / len(batch), optimizers[0])
        yield


def textbook(job: Job) -> Iterator[None]:
    """As in textbooks: DataLoader, plain Adam, the loss read at each step."""
    loader, models = textbook_loader(job), networks(job, fast=False)
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-3) for model in models]
    while True:
        running = 0.0
        for x, _ in loader:
            x = x.to(job.device)
            if job.network == "dcgan":
                running += textbook_game(x, *models, *optimizers)
                continue
            optimizers[0].zero_grad()
            out = models[0](x)
            if job.network == "vae":
                loss = functional.binary_cross_entropy_with_logits(out.logits, x, reduction="sum")
                loss = (loss - 0.5 * torch.sum(1 + out.logvar - out.mu.pow(2) - out.logvar.exp())) / len(x)
            else:
                loss = functional.mse_loss(out.x_hat, x)
            loss.backward()
            optimizers[0].step()
            running += loss.item()
        yield


def textbook_game(real: Tensor, G: nn.Module, D: nn.Module, opt_g, opt_d) -> float:
    """Real and fake judged and differentiated apart, against vectors of ones and zeros."""
    criterion = functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(len(real), device=real.device), torch.zeros(len(real), device=real.device)
    opt_d.zero_grad()
    error_real = criterion(D(real), ones)
    error_real.backward()
    fake = G(torch.randn(len(real), LATENT, device=real.device))
    error_fake = criterion(D(fake.detach()), zeros)
    error_fake.backward()
    opt_d.step()
    opt_g.zero_grad()
    error = criterion(D(fake), ones)
    error.backward()
    opt_g.step()
    return error_real.item() + error_fake.item() + error.item()


class _Products(TorchDispatchMode):
    """Records the matrix products and convolutions of what runs inside, with their operands."""

    NAMES = ("aten::mm", "aten::addmm", "aten::bmm", "aten::convolution", "aten::convolution_backward")

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function._schema.name in self.NAMES:
            self.calls.append((function, [a.detach() if isinstance(a, Tensor) else a for a in args], kwargs or {}))
        return function(*args, **(kwargs or {}))


def products(job: Job) -> Iterator[None]:
    """The floor: the matrix products of one step, forward and backward, again and again and nothing else."""
    step, _ = course_step(job)
    x = tensors(job)[:BATCH].to(job.device)
    cast = torch.autocast(job.device.type, torch.bfloat16, cache_enabled=False) if job.precision == "bf16" else None
    with _Products() as recorder, cast or contextlib.nullcontext():
        step(x)
    with torch.no_grad():
        while True:
            for _ in range(-(-job.images // BATCH)):
                for function, args, kwargs in recorder.calls:
                    function(*args, **kwargs)
            yield
