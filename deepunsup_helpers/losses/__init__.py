"""Losses: pure functions of tensors. They sum over what describes one example and average over the batch.

Whatever type comes in (bfloat16 under autocast, whole numbers of an image file), they compute in float32 at least.
"""

from deepunsup_helpers.losses.clustering import self_target, soft_assignment
from deepunsup_helpers.losses.gan import discriminator_loss, generator_loss, r1_penalty
from deepunsup_helpers.losses.reconstruction import (
    bernoulli_log_likelihood,
    continuous_bernoulli_log_likelihood,
    gaussian_log_likelihood,
    squared_error,
)
from deepunsup_helpers.losses.style import adain, gram_matrix, style_loss
from deepunsup_helpers.losses.vae import VAELoss, gaussian_kl, reparameterize, vae_loss

__all__ = [
    "VAELoss",
    "adain",
    "bernoulli_log_likelihood",
    "continuous_bernoulli_log_likelihood",
    "discriminator_loss",
    "gaussian_kl",
    "gaussian_log_likelihood",
    "generator_loss",
    "gram_matrix",
    "r1_penalty",
    "reparameterize",
    "self_target",
    "soft_assignment",
    "squared_error",
    "style_loss",
    "vae_loss",
]
