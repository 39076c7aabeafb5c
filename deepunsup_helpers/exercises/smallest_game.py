"""A game of two numbers, whose steps can be computed on paper: where each order of updates leads, right and wrong ones.

All samples of the generator are theta, the discriminator is D(x) = psi x; both take plain gradient steps (notebooks 14 and 15).
"""

import math
from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor, nn


class Point(nn.Module):
    """A generator whose every sample is theta, whatever the noise: its updates can be computed on paper."""

    def __init__(self, theta: float, latent_dim: int):
        super().__init__()
        self.theta, self.latent_dim, self.noise = nn.Parameter(torch.tensor(theta)), latent_dim, []

    def forward(self, z: Tensor) -> Tensor:
        self.noise.append(z.detach().clone())
        return self.theta * torch.ones(len(z), 1)


class Slope(nn.Module):
    """A discriminator of one number: D(x) = psi x."""

    def __init__(self, psi: float):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi))

    def forward(self, x: Tensor) -> Tensor:
        return (self.psi * x).squeeze(1)


REAL, RATE = (0.5, 1.1, 0.2), 0.3


def _sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def _slopes(theta: float, psi: float) -> tuple[float, float, float]:
    """d loss_D / d psi, d loss_G / d theta and d loss_G / d psi, by hand."""
    on_real = sum(-x * _sigmoid(-psi * x) for x in REAL) / len(REAL)
    caught = _sigmoid(-psi * theta)
    return on_real + theta * _sigmoid(psi * theta), -psi * caught, -theta * caught


def play(order: Callable, theta: float, psi: float, steps: int) -> list[tuple[float, float]]:
    """Where an order of updates leads, step by step."""
    return list(accumulate(range(steps), lambda at, _: order(*at), initial=(theta, psi)))[1:]


def _discriminator_alone(theta, psi):
    return theta, psi - RATE * _slopes(theta, psi)[0]


def right_order(theta, psi):
    theta, psi = _discriminator_alone(theta, psi)
    return theta - RATE * _slopes(theta, psi)[1], psi


def _at_once(theta, psi):
    d, g, _ = _slopes(theta, psi)
    return theta - RATE * g, psi - RATE * d


def _generator_first(theta, psi):
    return _discriminator_alone(theta - RATE * _slopes(theta, psi)[1], psi)


def _mixed(theta, psi):  # both backward passes, then both steps: the discriminator also follows the generator's loss
    d, g, g_to_psi = _slopes(theta, psi)
    return theta - RATE * g, psi - RATE * (d + g_to_psi)


def _reversed(theta, psi):  # as _mixed, and fake not detached: the discriminator's loss reaches theta too
    d, g, g_to_psi = _slopes(theta, psi)
    return theta - RATE * (g + psi * _sigmoid(psi * theta)), psi - RATE * (d + g_to_psi)


def _discriminator_twice(theta, psi):
    return right_order(*_discriminator_alone(theta, psi))


def _swapped(theta, psi):  # discriminator_loss(fake, real)
    psi = psi - RATE * (-theta * _sigmoid(-psi * theta) + sum(x * _sigmoid(psi * x) for x in REAL) / len(REAL))
    return theta - RATE * _slopes(theta, psi)[1], psi


def _minimax(theta, psi):
    theta, psi = _discriminator_alone(theta, psi)
    return theta + RATE * psi * _sigmoid(psi * theta), psi


WRONG_ORDERS = {
    "both players moved at once: finish the discriminator's update, then ask D(fake) again for the generator's loss": _at_once,
    "the generator moved first: here the discriminator's update is complete before the generator's begins": _generator_first,
    "the discriminator moved along the generator's loss too: its gradient was not cleared. Use `update` for both": _mixed,
    "the discriminator's loss reached the generator and pushed it the wrong way: detach fake for the discriminator": _reversed,
    "the discriminator moved twice: one update for each player": _discriminator_twice,
    "real and fake are swapped in the discriminator's loss: it takes the real logits first": _swapped,
    "the generator follows the minimax loss: use `generator_loss`": _minimax,
    "the generator did not move: D(fake.detach()) in its loss cuts it off, or its update is missing": _discriminator_alone,
    "the discriminator did not move: its update is missing": lambda theta, psi: (
        theta - RATE * _slopes(theta, psi)[1],
        psi,
    ),
}
