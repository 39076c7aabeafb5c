"""The exercises of notebook 10: the loss of each image, the beta that a reduction hides, the latents that are used."""

from collections.abc import Callable

import torch
from torch import Tensor, distributions
from torch.nn import functional

from deepunsup_helpers import losses
from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    call,
    close,
    draw,
    expect,
    expect_gradients,
    fits,
    number,
    require,
    tensor,
)
from deepunsup_helpers.metrics.likelihood import active_units as reference_active_units

# --- negative_elbo ---------------------------------------------------------------------------------------------------


def negative_elbo_reference(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """-log p(x | z) + KL(q || p) of each image in nats: logits and x (N, C, H, W), mu and logvar (N, D), to (N,)."""
    return losses.gaussian_kl(mu, logvar) - losses.bernoulli_log_likelihood(logits, x)


def _check_negative_elbo(negative_elbo: Callable) -> Result:
    for seed, (n, channels, latents) in ((1, (5, 2, 3)), (11, (4, 3, 6)), (21, (6, 1, 2))):
        logits, x = draw(n, channels, 3, 4, seed=seed), draw(n, channels, 3, 4, seed=seed + 1).sigmoid()
        mu, logvar = draw(n, latents, seed=seed + 2), draw(n, latents, seed=seed + 3)
        given = {"logits": logits, "x": x, "mu": mu, "logvar": logvar}
        hints = {
            (): "this returns one number for the whole batch: flatten each image, sum over dim=1, leave the images apart",
            (n, 3, 4): f"expected one number an image, shape ({n},), and got ({n}, 3, 4): `.flatten(1).sum(dim=1)`",
        }
        found = tensor(call(negative_elbo, *given.values()), (n,), hints, slopes=True)
        again = tensor(call(negative_elbo, *given.values()), (n,), slopes=True)
        require(close(found, again), "the answer is random: the logits are given, and the KL has a closed form")
        _name_the_loss(*(t.detach().double() for t in (found, *given.values())))
        expect_gradients(negative_elbo, negative_elbo_reference, given, ["logits", "mu", "logvar"])
    _check_far_logits(negative_elbo)
    return Result(True, "Sums over pixels and latents, and finite at any logit.")


def _name_the_loss(found: Tensor, logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> None:
    pixels, latents, p = x[0].numel(), mu.shape[1], logits.sigmoid()

    def summed(each: Tensor) -> Tensor:
        return each.flatten(1).sum(1)

    def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits, x, reduction="none")

    q = distributions.Normal(mu, torch.exp(0.5 * logvar))
    kl = distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(1)
    rec = -(summed(x * p.log()) + summed((1 - x) * (1 - p).log()))
    mistakes = {
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
        "the KL is twice what it should be: the factor 1/2 is missing": rec + 2 * kl,
        "`logvar` is taken for log sigma: the variance is exp(logvar)": rec + losses.gaussian_kl(mu, 2 * logvar),
        "the logits went through a sigmoid, and then through another": summed(cross_entropy(p, x)) + kl,
        "this is the squared error of the probabilities: the pixels are Bernoulli": summed((p - x).square()) + kl,
        "the squared error of the logits is no likelihood: the pixels are Bernoulli": summed((logits - x).square())
        + kl,
        "only x log p is there: the white pixels count, the black ones do not; add (1 - x) log(1 - p)": kl
        - summed(x * p.log()),
        "the pixels are rounded to black and white: grey ones count by their share": summed(
            cross_entropy(logits, x.round())
        )
        + kl,
        "only the first of the channels is summed: flatten(1) takes them all": summed(cross_entropy(logits, x)[:, :1])
        + kl,
    }
    said = (
        f"for the first of {len(x)} images of {pixels} values torch.distributions finds {float(rec[0] + kl[0]):.3f} nats, "
        f"this finds {float(found[0]):.3f}"
    )
    if x.shape[1] == 1:  # where one channel is all there is
        mistakes.popitem()
    expect(found, rec + kl, mistakes, said, rtol=1e-4)


def _check_far_logits(negative_elbo: Callable) -> None:
    logits, x = torch.tensor([[[[200.0, -200.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    zero = (
        "with a logit of 200 the loss is 200 nats a pixel, not log(0): use "
        "functional.binary_cross_entropy_with_logits, without a clamp or an epsilon"
    )
    found = negative_elbo(logits, x, torch.zeros(1, 2), torch.zeros(1, 2))
    require(close(found, torch.tensor([400.0])), zero)


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
    for pixels, latents in ((50, 7), (91, 12)):  # one does not divide the other
        found = [number(call(hidden_beta, pixels, latents, *case), "a number") for case in CASES]
        _name_the_beta(found, pixels, latents)
    return Result(True, "Right for all four pairs of reductions.")


def _name_the_beta(found: list[float], P: int, D: int) -> None:
    truth = [1, P, 1 / D, P / D]
    mistakes = {
        "upside down: dividing the reconstruction by the pixels makes the KL weigh *more*": [1, 1 / P, D, D / P],
        "this forgets that the KL may be averaged too": [1, P, 1, P],
        "this forgets that the reconstruction may be averaged too": [1, 1, 1 / D, 1 / D],
        "the two divisors multiply here: one is the reconstruction's, the other the KL's, so it is a ratio": [
            1,
            P,
            D,
            P * D,
        ],
        "a mean over the latents makes the KL weigh less: divide by D": [1, P, 1 / D, P * D],
        "sum and mean are exchanged": [P / D, 1 / D, P, 1],
        "the two reductions are exchanged: the third argument is the reconstruction's": [1, 1 / D, P, P / D],
        "always the ratio, whatever the reductions are": [P / D] * 4,
        "pixels and latents are exchanged": [1, D, 1 / P, D / P],
        "// divides and rounds down: divide with /": [1, P, 0, P // D],
        "the result is rounded: beta may be far below 1": [round(value, 1) for value in truth],
        "the number of pixels is fixed at 784: take `pixels`": [1, 784, 1 / D, 784 / D],
        "784 pixels and 20 latents are fixed: take `pixels` and `latent_dim`": [1, 784, 1 / 20, 784 / 20],
    }
    for message, values in mistakes.items():
        require(not close(found, values), message)
    for value, right, (reconstruction, kl) in zip(found, truth, CASES):
        said = f"with {P} pixels ({reconstruction}) and {D} latents ({kl}) beta is {right:.4g}, this says {value:.4g}"
        require(close(value, right, rtol=1e-5), said)


# --- active_units ----------------------------------------------------------------------------------------------------


def _check_active_units(active_units: Callable) -> Result:
    deviations = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.05, 0.005, 0.0012] + 7 * [0.0])  # four have a variance above 0.01
    unit = draw(8000, len(deviations), seed=5)
    unit = (unit - unit.mean(0)) / unit.std(0, correction=0)
    mu = unit * deviations + torch.tensor(7 * [0.0] + [3.0, -2.0, 1.0, 5.0, 0.0, 0.0, 0.0])

    def count(*given: object) -> float:
        return number(call(active_units, *given), "one number, how many")

    found, latents = count(mu), mu.shape[1]
    require(not close(found, 4 / latents), "this is the share of active latents: return how many")
    mistakes = {
        "this compares the standard deviation with the threshold: it is meant for the variance": 5,
        "the range is compared, largest minus smallest: take the variance": 6,
        "the squares are summed over the images: a variance is their mean, so divide by N": 7,
        "a latent that is always 3 is counted, and it says nothing about the image: take the variance around its mean": 8,
        "this counts the idle ones": latents - 4,
        "the threshold is another: it is 0.01 by default, `threshold=0.01`": 3,
        "every latent is counted: compare each one's variance with the threshold": latents,
        "the variance is taken over the latents (dim=1): it is each latent's, over the images (dim=0)": len(mu),
    }
    expect(found, 4, mistakes, f"4 of these {latents} latents have a variance above 0.01; this says {found:g}")
    require(count(mu, 0.3) == 2, "the threshold is ignored: with 0.3, two of these latents are active")
    with fits("with four latents it stops: is the number of latents fixed?"):
        fewer = count(mu[:300, :4])
    require(
        fewer == 4, f"of four latents, all active, this counts {fewer:g}: is the number of latents or images fixed?"
    )
    return Result(True, "Counts what varies, wherever it is centred.")


negative_elbo = Exercise("negative_elbo", negative_elbo_reference, _check_negative_elbo)
hidden_beta = Exercise("hidden_beta", hidden_beta_reference, _check_hidden_beta, float)
active_units = Exercise("active_units", reference_active_units, _check_active_units, int)
