"""What `fit` costs over a loop written by hand: both in one run, alternating, on a resident tensor.

usage: python benchmarks/fit_overhead.py [--rounds 7] [--device auto] [--assert-below 1.10]

Both train the autoencoder 784-256-64-16 on 12,000 resident images, batch 128, fused Adam, denormal numbers flushed. `fit`
runs with named losses, its divergence check and its progress bar on. Medians, the ratio of each round, and its spread.
"""

import argparse
import statistics
import sys
import time

import torch

from deepunsup_helpers.data import Batches
from deepunsup_helpers.losses import squared_error
from deepunsup_helpers.models import MLPAutoencoder
from deepunsup_helpers.training import fit, pick_device, seed_everything, update

EPOCHS, BATCH_SIZE = 2, 128


def setup(x: torch.Tensor):
    seed_everything(0)
    model = MLPAutoencoder((1, 28, 28), latent_dim=16).to(x.device)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)


def by_hand(x: torch.Tensor) -> None:
    model, optimizer = setup(x)
    torch.set_flush_denormal(True)
    generator = torch.Generator(x.device).manual_seed(0)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator, device=x.device)
        for start in range(0, len(x), BATCH_SIZE):
            batch = x[order[start : start + BATCH_SIZE]]
            loss = squared_error(model(batch).x_hat, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    loss.item()


def by_fit(x: torch.Tensor) -> None:
    model, optimizer = setup(x)

    def step(batch):
        loss = squared_error(model(batch).x_hat, batch)
        update(optimizer, loss)
        return {"loss": loss}

    fit(
        step,
        Batches(x, batch_size=BATCH_SIZE, device=x.device),
        epochs=EPOCHS,
        state={"model": model, "optimizer": optimizer},
    )


def seconds(run, x: torch.Tensor) -> float:
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--assert-below", type=float, help="exit with 1 when the median ratio is above this")
    options = parser.parse_args()
    x = torch.rand(12_000, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(pick_device(options.device))
    seconds(by_hand, x), seconds(by_fit, x)  # warm up
    hand, fitted = [], []
    for _ in range(options.rounds):
        hand.append(seconds(by_hand, x))
        fitted.append(seconds(by_fit, x))
    ratios = [f / h for f, h in zip(fitted, hand)]
    print(
        f"{options.rounds} rounds of {EPOCHS} epochs on {x.device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    print(
        f"by hand {statistics.median(hand):6.3f} s    fit {statistics.median(fitted):6.3f} s    "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    if options.assert_below and statistics.median(ratios) > options.assert_below:
        sys.exit(f"fit is slower than {options.assert_below} times the loop by hand")


if __name__ == "__main__":
    main()
