"""Judging what a generator makes where the modes of the data are known."""

import torch

from deepunsup_helpers.metrics._arrays import centred, features, float64_device


def mode_coverage(samples, means, sigma: float) -> tuple[int, float]:
    """How many modes of a mixture the samples reach, and how many of the samples are good.

    A sample is good if its nearest mode is at most 3 sigma away; a mode is covered if at least one good sample is
    nearest to it. Neither number says enough alone: enough uniform noise covers every mode, and a generator that has
    collapsed onto one mode may have only good samples. (A round Gaussian in the plane has 98.9 % of its mass within
    3 sigma.)

    Args:
        samples: (N, D).
        means: the centres of the modes, (K, D).
        sigma: standard deviation of every mode in every direction, in the unit of the samples, above 0.
    Returns:
        the number of covered modes, 0 to K, and the fraction of the samples within 3 sigma of a mode, 0 to 1.
    Raises:
        ValueError: sigma is not positive, samples and means differ in D, or something is empty or not finite.
    Source: the count as in Srivastava and others 2017 (VEEGAN), arXiv:1705.07761.

    modes, good = mode_coverage(G.sample(2500), ring.means, ring.sigma)
    """
    device = float64_device(samples)
    samples = features(samples, name="samples", device=device, dtype=torch.float64)
    means = features(means, name="means", device=device, dtype=torch.float64)
    if samples.shape[1] != means.shape[1]:
        raise ValueError(f"samples have {samples.shape[1]} columns and means {means.shape[1]}; expected the same space")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; expected the modes' standard deviation, above 0")
    distance, nearest = torch.cdist(*centred(samples, means)).min(dim=1)
    good = distance <= 3 * sigma
    return int(nearest[good].unique().numel()), float(good.double().mean())
