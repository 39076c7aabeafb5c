"""Other people's ways to train the same VAE, for speed.py: pytorch/examples, Lightning's Trainer, pythae's trainer.

The first is rewritten from its description; the other two come with the extra [benchmark] and train the same 784-400-20
network: Lightning in its leanest form, without logger, checkpoints and progress bar; pythae as it comes.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator

import torch
from contenders import BATCH, Job, tensors, textbook_loader
from torch import nn
from torch.nn import functional


class ExampleVAE(nn.Module):
    """Fully connected, 784-400-20-400-784, two heads for mean and log variance, pixels through a sigmoid."""

    def __init__(self):
        super().__init__()
        self.hidden, self.mean, self.log_variance = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.widen, self.pixels = nn.Linear(20, 400), nn.Linear(400, 784)

    def encode(self, x):
        h = functional.relu(self.hidden(x))
        return self.mean(h), self.log_variance(h)

    def decode(self, z):
        return torch.sigmoid(self.pixels(functional.relu(self.widen(z))))

    def forward(self, x):
        mean, log_variance = self.encode(x.view(-1, 784))
        sigma = torch.exp(0.5 * log_variance)
        return self.decode(mean + sigma * torch.randn_like(sigma)), mean, log_variance


def example_loss(x_hat, x, mean, log_variance):
    """Binary cross-entropy plus KL, both summed over the batch."""
    error = functional.binary_cross_entropy(x_hat, x.view(-1, 784), reduction="sum")
    return error - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())


def examples(job: Job) -> Iterator[None]:
    """pytorch/examples: DataLoader, plain Adam, the loss read at each step and logged every tenth."""
    torch.manual_seed(0)
    model, loader = ExampleVAE().to(job.device), textbook_loader(job)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with open(os.devnull, "w") as log:
        while True:
            total = 0.0
            for i, (x, _) in enumerate(loader):
                x = x.to(job.device)
                optimizer.zero_grad()
                loss = example_loss(*_inserted(model(x), x))
                loss.backward()
                total += loss.item()
                optimizer.step()
                if i % 10 == 0:
                    print(f"{i * len(x)} of {len(loader.dataset)}: {loss.item() / len(x):.6f}", file=log)
            yield


def _inserted(outputs, x):
    x_hat, mean, log_variance = outputs
    return x_hat, x, mean, log_variance


def lightning(job: Job) -> Iterator[float]:
    """Lightning's Trainer over the same DataLoader; timed from the epoch's first batch to its last, start-up left out."""
    import pytorch_lightning as pl

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    import warnings

    warnings.filterwarnings("ignore", module="pytorch_lightning")

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.seconds = ExampleVAE(), 0.0

        def on_train_epoch_start(self):
            self.start = time.perf_counter()

        def on_train_epoch_end(self):
            if job.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.start

        def training_step(self, batch, index):
            x, _ = batch
            return example_loss(*_inserted(self.model(x), x)) / len(x)

        def configure_optimizers(self):
            return optimizer

    torch.manual_seed(0)
    module, loader = Module(), textbook_loader(job)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    while True:
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu" if job.device.type == "cpu" else "gpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
        yield module.seconds


def pythae(job: Job) -> Iterator[None]:
    """pythae's BaseTrainer on a resident tensor, one of its epochs a turn."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.hidden, self.mean, self.log_variance = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)

        def forward(self, x):
            h = functional.relu(self.hidden(x.reshape(len(x), 784)))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))

    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=1e-3,
            no_cuda=job.device.type == "cpu",
        )
        x = tensors(job)
        trainer = BaseTrainer(
            VAE(config, Encoder(), Decoder()), BaseDataset(x, torch.zeros(len(x))), training_config=settings
        )
        trainer.prepare_training()
        epoch = 0
        while True:
            epoch += 1
            trainer.train_step(epoch)
            yield
