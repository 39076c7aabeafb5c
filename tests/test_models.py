"""Autoencoders: shapes for any image, ranges, independence of the batch, gradients everywhere."""

import pytest
import torch

from deepunsup_helpers.losses import squared_error
from deepunsup_helpers.models import ConvAutoencoder, MLPAutoencoder, mlp

SHAPES = [(1, 28, 28), (1, 8, 8), (3, 9, 13), (3, 32, 32), (2, 4, 5)]


@pytest.mark.parametrize("model_class", [MLPAutoencoder, ConvAutoencoder])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_image_shape_comes_back_in_range(model_class, shape):
    torch.manual_seed(0)
    model, x = model_class(shape, latent_dim=3), torch.rand(5, *shape)
    x_hat, z = model(x)
    assert x_hat.shape == x.shape and z.shape == (5, 3)
    assert x_hat.min() >= 0 and x_hat.max() <= 1
    assert torch.equal(model.encode(x), z) and torch.equal(model.decode(z), x_hat)
    torch.testing.assert_close(model(x[2:3]).x_hat, x_hat[2:3], rtol=0, atol=1e-6)  # batch size does not matter


@pytest.mark.parametrize("model_class", [MLPAutoencoder, ConvAutoencoder])
def test_every_parameter_gets_a_gradient_and_config_rebuilds(model_class):
    torch.manual_seed(0)
    model, x = model_class((1, 8, 8), latent_dim=2, output="linear"), torch.rand(4, 1, 8, 8)
    squared_error(model(x).x_hat, x).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    twin = model_class(**model.config)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(x).x_hat, model(x).x_hat)


def test_no_hidden_layer_and_no_sigmoid_is_linear():
    torch.manual_seed(0)
    model = MLPAutoencoder((1, 4, 4), latent_dim=3, hidden=(), output="linear")
    a, b, zero = torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    sum_of_both = model(a).x_hat + model(b).x_hat - model(zero).x_hat
    torch.testing.assert_close(model(a + b).x_hat, sum_of_both, rtol=0, atol=1e-5)


def test_mlp_has_no_activation_after_the_last_layer():
    layers = mlp([4, 3, 2], "relu")
    assert [type(layer).__name__ for layer in layers] == ["Linear", "ReLU", "Linear"]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MLPAutoencoder((28, 28), 2), "image_shape must be"),
        (lambda: ConvAutoencoder((1, 3, 8), 2), "at least 4x4"),
        (lambda: MLPAutoencoder((1, 4, 4), 2, activation="swish"), "unknown activation 'swish'"),
        (lambda: MLPAutoencoder((1, 4, 4), 2, output="softmax"), "unknown output 'softmax'"),
        (lambda: mlp([4]), "at least an input and an output"),
    ],
)
def test_wrong_arguments_are_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_squared_error_sums_over_pixels_and_averages_over_the_batch():
    x = torch.zeros(2, 1, 2, 2)
    x_hat = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]]], [[[2.0, 0.0], [0.0, 0.0]]]])
    assert squared_error(x_hat, x).item() == pytest.approx((4 + 4) / 2)
    assert squared_error(torch.cat([x_hat] * 3), torch.cat([x] * 3)).item() == pytest.approx(4)
    with pytest.raises(ValueError, match="shapes must agree"):
        squared_error(x_hat, x[:1])
