"""The exercises of notebook 10: the loss of each image, the beta that a reduction hides, the latents that are used."""

from collections.abc import Callable

import torch
from torch import Tensor, distributions
from torch.nn import functional

from deepunsup_helpers import losses, metrics
from deepunsup_helpers.exercises import Exercise, Result


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _recognise(found: Tensor, candidates: dict[str, Tensor]) -> str | None:
    """The first message whose numbers are those found."""
    return next(
        (
            message
            for message, value in candidates.items()
            if torch.allclose(found.double(), value.double(), rtol=1e-5, atol=1e-6)
        ),
        None,
    )


# --- negative_elbo ---------------------------------------------------------------------------------------------------


def negative_elbo_reference(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """-log p(x | z) + KL(q || p) of each image in nats: logits and x (N, C, H, W), mu and logvar (N, D), to (N,)."""
    return losses.gaussian_kl(mu, logvar) - losses.bernoulli_log_likelihood(logits, x)


def _check_negative_elbo(negative_elbo: Callable) -> Result:
    n, pixels, latents = 5, 24, 3
    logits, x = _random(n, 2, 3, 4, seed=1), _random(n, 2, 3, 4, seed=2).sigmoid()
    mu, logvar = _random(n, latents, seed=3), _random(n, latents, seed=4)
    found = negative_elbo(logits.clone(), x.clone(), mu.clone(), logvar.clone())
    if wrong := _not_one_each(found, n, pixels):
        return Result(False, wrong)
    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    kl = distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(1)
    p = logits.sigmoid()
    ones, zeros = (x * p.log()).flatten(1).sum(1), ((1 - x) * (1 - p).log()).flatten(1).sum(1)
    rec = -(ones + zeros)
    twice = functional.binary_cross_entropy_with_logits(p, x, reduction="none").flatten(1).sum(1)
    if message := _recognise(
        found,
        {
            "both parts are averaged, over pixels and over latents: only a sum over each gives the bound": rec / pixels
            + kl / latents,
            f"this averages over the pixels: the log-likelihoods of {pixels} pixels add": rec / pixels + kl,
            "this averages over the latents: the KLs of independent latents add": rec + kl / latents,
            "the KL is averaged over the batch: each image pays its own": rec + kl.mean(),
            "the KL is subtracted: in the loss it is a price, add it": rec - kl,
            "this is the bound itself: its negative is the loss": -rec - kl,
            "the sign of the log-likelihood is turned": -rec + kl,
            "the KL is missing": rec,
            "the log-likelihood is missing": kl,
            "the logits went through a sigmoid, and then through another": twice + kl,
            "this is the squared error of the probabilities: the pixels are Bernoulli": (p - x)
            .square()
            .flatten(1)
            .sum(1)
            + kl,
            "the squared error of the logits is no likelihood: the pixels are Bernoulli": (logits - x)
            .square()
            .flatten(1)
            .sum(1)
            + kl,
            "only x log p is there: the white pixels count, the black ones do not; add (1 - x) log(1 - p)": -ones + kl,
        },
    ):
        return Result(False, message)
    if not torch.allclose(found.double(), rec + kl, rtol=1e-4):
        return Result(
            False,
            f"for the first image torch.distributions finds {float(rec[0] + kl[0]):.3f} nats, "
            f"this finds {float(found[0]):.3f}",
        )
    return _finite_with_gradients(negative_elbo)


def _not_one_each(found: Tensor, n: int, pixels: int) -> str | None:
    if not isinstance(found, Tensor):
        return f"return a tensor of shape (N,), not {type(found).__name__}"
    if found.ndim == 0:
        return "this returns one number for the whole batch: flatten each image, sum over dim=1, leave the images apart"
    if found.shape != (n,):
        return f"expected one number an image, shape ({n},), and got {tuple(found.shape)}: `.flatten(1).sum(dim=1)`"
    return None


def _finite_with_gradients(negative_elbo: Callable) -> Result:
    logits = torch.tensor([[[[200.0, -200.0]]]], requires_grad=True)
    mu, logvar = (torch.full((1, 2), value, requires_grad=True) for value in (0.5, -1.0))
    total = negative_elbo(logits, torch.tensor([[[[0.0, 1.0]]]]), mu, logvar).sum()
    if not torch.isfinite(total) or float(total.detach()) < 390:
        return Result(
            False,
            "with a logit of 200 the loss is 200 nats a pixel, not log(0): "
            "use functional.binary_cross_entropy_with_logits",
        )
    if total.requires_grad:
        total.backward()
    for name, tensor in {"logits": logits, "mu": mu, "logvar": logvar}.items():
        if tensor.grad is None or not tensor.grad.any():
            return Result(False, f"no gradient reaches {name}")
    return Result(True, "Sums over pixels and latents, and finite at any logit.")


# --- hidden_beta -----------------------------------------------------------------------------------------------------


def hidden_beta_reference(pixels: int, latent_dim: int, reconstruction: str, kl: str) -> float:
    """The beta of `reconstruction + beta * kl`, both summed, that has the same gradient up to a factor.

    Args:
        pixels, latent_dim: numbers in an image and in z.
        reconstruction, kl: "sum" or "mean", over the pixels and over the latents.
    """
    return (pixels if reconstruction == "mean" else 1) / (latent_dim if kl == "mean" else 1)


CASES = [("sum", "sum"), ("mean", "sum"), ("sum", "mean"), ("mean", "mean")]


def _check_hidden_beta(hidden_beta: Callable) -> Result:
    P, D = 60, 4
    found = [hidden_beta(P, D, reconstruction, kl) for reconstruction, kl in CASES]
    if any(isinstance(f, bool) or not isinstance(f, (int, float)) for f in found):
        kinds = sorted({type(f).__name__ for f in found})
        return Result(False, f"return a number in all four cases; this returns {', '.join(kinds)}")
    truth = [1, P, 1 / D, P / D]
    if message := _recognise(
        torch.tensor(found).double(),
        {
            "upside down: dividing the reconstruction by the pixels makes the KL weigh *more*": torch.tensor(
                [1, 1 / P, D, D / P]
            ),
            "this forgets that the KL may be averaged too": torch.tensor([1, P, 1, P]),
            "this forgets that the reconstruction may be averaged too": torch.tensor([1, 1, 1 / D, 1 / D]),
            "the two divisors multiply here: one is the reconstruction's, the other the KL's, so it is a ratio": torch.tensor(
                [1, P, D, P * D]
            ),
            "a mean over the latents makes the KL weigh less: divide by D": torch.tensor([1, P, 1 / D, P * D]),
            "sum and mean are exchanged": torch.tensor([P / D, 1 / D, P, 1]),
            "always the ratio, whatever the reductions are": torch.tensor([P / D] * 4),
            "pixels and latents are exchanged": torch.tensor([1, D, 1 / P, D / P]),
        },
    ):
        return Result(False, message)
    for value, right, (reconstruction, kl) in zip(found, truth, CASES):
        if abs(value - right) > 1e-6 * right:
            return Result(
                False,
                f"with {P} pixels ({reconstruction}) and {D} latents ({kl}) beta is {right:g}, this says {value:g}",
            )
    return Result(True, "Right for all four pairs of reductions.")


# --- active_units ----------------------------------------------------------------------------------------------------


def _check_active_units(active_units: Callable) -> Result:
    latents = 9
    unit = _random(2000, latents, seed=5)
    unit = (unit - unit.mean(0)) / unit.std(0, correction=0)
    mu = unit * torch.tensor([1.0, 0.8, 0.5, 0.05, 0, 0, 0, 0, 0])  # variances 1, 0.64, 0.25, 0.0025, and five zeros
    mu = mu + torch.tensor([0.0, 0, 0, 0, 3, -2, 0, 0, 0])
    found = active_units(mu.clone())
    if isinstance(found, Tensor) and found.numel() != 1:
        return Result(False, f"return one number, how many; this has shape {tuple(found.shape)}")
    found = found.item() if isinstance(found, Tensor) else found
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return Result(False, f"return a whole number, not {type(found).__name__}")
    messages = {
        4: "this compares the standard deviation with the threshold: it is meant for the variance",
        5: "a latent that is always 3 is counted, and it says nothing about the image: take the variance around its mean",
        6: "this counts the idle ones",
        latents: "every latent is counted: compare each one's variance with the threshold",
        len(mu): "the variance is taken over the latents (dim=1): it is each latent's, over the images (dim=0)",
    }
    if abs(found - 3 / latents) < 1e-6:
        return Result(False, "this is the share of active latents: return how many")
    if found != 3:
        return Result(
            False, messages.get(int(found), f"3 of these 9 latents have a variance above 0.01; this says {found:g}")
        )
    if int(active_units(mu, 0.3)) != 2:
        return Result(False, "the threshold is ignored: with 0.3, two of these latents are active")
    return Result(True, "Counts what varies, wherever it is centred.")


negative_elbo = Exercise("negative_elbo", negative_elbo_reference, _check_negative_elbo)
hidden_beta = Exercise("hidden_beta", hidden_beta_reference, _check_hidden_beta)
active_units = Exercise("active_units", metrics.active_units, _check_active_units)
