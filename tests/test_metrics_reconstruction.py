"""Squared error, PSNR and SSIM against closed forms and a slow loop."""

import math

import numpy as np
import pytest
import torch

from deepunsup_helpers.metrics import mse, psnr, squared_error_per_example, ssim, ssim_window


def images(*, n=5, channels=1, height=12, width=14, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_squared_errors_agree_with_numpy():
    x, x_hat = images(seed=0), images(seed=1)
    difference = x.numpy() - x_hat.numpy()
    assert mse(x, x_hat) == pytest.approx(np.mean(difference**2), rel=1e-12)
    expected = [np.sum(d**2) for d in difference]
    np.testing.assert_allclose(squared_error_per_example(x, x_hat), expected, rtol=1e-12)
    assert squared_error_per_example(x, x_hat).mean() == pytest.approx(mse(x, x_hat) * 12 * 14)


@pytest.mark.parametrize("offset", [0.5, -0.1, 0.01])
def test_psnr_of_a_constant_offset(offset):
    x = images()
    assert psnr(x, x + offset, 1.0) == pytest.approx(-20 * math.log10(abs(offset)), abs=1e-9)
    assert psnr(255 * x, 255 * (x + offset), 255) == pytest.approx(psnr(x, x + offset, 1.0), abs=1e-9)


def test_psnr_averages_decibels_over_examples():
    x = images(n=2)
    x_hat = x + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1)  # 20 and 40 dB
    assert psnr(x, x_hat, 1.0) == pytest.approx(30, abs=1e-5)
    assert psnr(x, x, 1.0) == math.inf


def slow_ssim(x: np.ndarray, x_hat: np.ndarray, *, window: int, sigma: float, data_range: float) -> float:
    """SSIM of one grey image as its definition reads: weighted moments in every window inside the image."""
    at = np.arange(window) - window // 2
    weights = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    scores = []
    for i in range(x.shape[0] - window + 1):
        for j in range(x.shape[1] - window + 1):
            a, b = x[i : i + window, j : j + window], x_hat[i : i + window, j : j + window]
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
            scores.append(luminance * (2 * covariance + c2) / (var_a + var_b + c2))
    return float(np.mean(scores))


@pytest.mark.parametrize(("side", "window", "sigma"), [(28, 11, 1.5), (12, 11, 1.5), (8, 7, 0.9), (3, 3, 0.3)])
def test_ssim_agrees_with_its_definition(side, window, sigma):
    assert ssim_window(side, side + 3) == (window, pytest.approx(sigma))
    x = images(n=3, height=side, width=side + 3)
    x_hat = (0.7 * x + 0.3 * images(n=3, height=side, width=side + 3, seed=1)).clamp(0, 1)
    pairs = zip(x.numpy()[:, 0], x_hat.numpy()[:, 0])
    expected = np.mean([slow_ssim(a, b, window=window, sigma=sigma, data_range=1.0) for a, b in pairs])
    assert ssim(x, x_hat, 1.0) == pytest.approx(expected, abs=1e-6)


def test_ssim_closed_forms():
    x = images(channels=3, height=16, width=16)
    assert ssim(x, x, 1.0) == pytest.approx(1, abs=1e-9)
    assert ssim(x, 1 - x, 1.0) < 0  # structure reversed
    a, b, c1 = 0.2, 0.6, 1e-4
    flat = torch.full((2, 1, 16, 16), a), torch.full((2, 1, 16, 16), b)
    assert ssim(*flat, 1.0) == pytest.approx((2 * a * b + c1) / (a**2 + b**2 + c1), abs=1e-6)


def test_ssim_does_not_depend_on_units_order_or_company():
    x, x_hat = images(n=7, seed=0), images(n=7, seed=1)
    score = ssim(x, x_hat, 1.0)
    assert ssim(x_hat, x, 1.0) == pytest.approx(score, abs=1e-12)
    assert ssim(255 * x, 255 * x_hat, 255) == pytest.approx(score, abs=1e-9)
    halves = 3 * ssim(x[:3], x_hat[:3], 1.0) + 4 * ssim(x[3:], x_hat[3:], 1.0)
    assert halves / 7 == pytest.approx(score, abs=1e-12)


MEASURES = [(mse, ()), (squared_error_per_example, ()), (psnr, (1.0,)), (ssim, (1.0,))]


@pytest.mark.parametrize(("measure", "arguments"), MEASURES)
def test_nothing_is_broadcast_and_errors_name_the_shapes(measure, arguments):
    with pytest.raises(ValueError, match=r"\(5, 1, 12, 14\).*\(5, 3, 12, 14\)"):
        measure(images(), images(channels=3), *arguments)
    with pytest.raises(ValueError, match="x is empty"):
        measure(images()[:0], images()[:0], *arguments)
    with pytest.raises(ValueError, match="x_hat.*NaN"):
        measure(images(), images() * math.nan, *arguments)


def test_tensors_that_need_gradients_half_precision_and_arrays_are_taken():
    x = images()
    expected = mse(x, x.bfloat16().double())
    assert mse(x.numpy(), x.clone().bfloat16().requires_grad_()) == pytest.approx(expected, rel=1e-12)
    assert isinstance(mse(x, x), float)


def test_bad_ranges_and_sizes_are_named():
    with pytest.raises(ValueError, match="data_range is 0"):
        psnr(images(), images(), 0)
    with pytest.raises(ValueError, match="at least 3 x 3.* 2 x 9"):
        ssim(images(height=2, width=9), images(height=2, width=9), 1.0)
    with pytest.raises(ValueError, match=r"\(5, 7\); expected images"):
        ssim(torch.rand(5, 7), torch.rand(5, 7), 1.0)
