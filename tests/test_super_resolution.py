"""Small images made large: the network begins as bicubic, tiles are the whole image, shrinking is what it says."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from deepunsup_helpers.data import DataError
from deepunsup_helpers.data.shrink import shrink
from deepunsup_helpers.models import SuperResolver, enlarge_bicubic, enlarge_in_tiles


def trained_like(*arguments, **options) -> SuperResolver:
    """A network whose last layer is not zero any more."""
    torch.manual_seed(0)
    model = SuperResolver(*arguments, **options)
    torch.nn.init.normal_(model.tail.weight, std=0.3)
    return model


@pytest.mark.parametrize("channels, factor, size", [(1, 4, (7, 7)), (3, 2, (5, 9)), (3, 3, (4, 6)), (1, 2, (1, 1))])
def test_it_begins_as_bicubic_interpolation_at_any_size(channels, factor, size):
    small = torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(1))
    model = SuperResolver(channels, factor, width=4, blocks=1)
    large = model(small)
    assert large.shape == (2, channels, factor * size[0], factor * size[1])
    torch.testing.assert_close(large, enlarge_bicubic(small, factor), rtol=0, atol=1e-6)
    twin = SuperResolver(**model.config)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(small), large)


def test_the_first_update_moves_the_last_layer_and_the_next_all_others():
    model, small = SuperResolver(1, 2, width=4, blocks=2), torch.rand(3, 1, 6, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(small).square().sum().backward()
        optimizer.step()
    assert all(bool(p.grad.any()) for p in model.parameters())


def cubic(t: float, a: float) -> float:
    """Keys' kernel, doi:10.1109/TASSP.1981.1163711."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def test_bicubic_is_keys_kernel_with_the_a_that_is_said():
    row = np.random.default_rng(0).random(9)
    image = torch.from_numpy(row).expand(1, 1, 9, 9)
    found = enlarge_bicubic(image, 2)[0, 0, 9]
    for place in range(6, 12):  # far from the borders
        at = (place + 0.5) / 2 - 0.5
        expected = sum(row[i] * cubic(at - i, -0.75) for i in range(9))
        assert float(found[place]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [(23, 40), (8, 8), (5, 31), (1, 1)])
@pytest.mark.parametrize("tile", [1, 7, 8, 100])
def test_tiles_with_a_margin_as_wide_as_the_reach_are_the_whole_image(size, tile):
    model = trained_like(3, 2, width=3, blocks=2)
    small = torch.rand(3, *size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = model(small[None])[0]
    in_tiles = enlarge_in_tiles(model, small, factor=2, tile=tile, margin=model.reach)
    torch.testing.assert_close(in_tiles, whole, rtol=0, atol=1e-5)


def test_a_margin_one_pixel_short_of_the_reach_is_not():
    model = trained_like(1, 2, width=3, blocks=1).double()
    for name, p in model.named_parameters():
        torch.nn.init.constant_(p, 0.1 if "weight" in name else 0.0)  # every path counts
    small = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        whole = model(small[None])[0]
    off = [
        (enlarge_in_tiles(model, small, factor=2, tile=10, margin=margin) - whole).abs().max()
        for margin in (model.reach, model.reach - 1, 0)
    ]
    assert off[0] < 1e-9 < 1e-5 < off[1] < off[2]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SuperResolver(1, 1), "factor of at least 2"),
        (lambda: SuperResolver(0, 2), "at least 1"),
        (
            lambda: enlarge_in_tiles(torch.nn.Identity(), torch.rand(1, 3, 4, 4), factor=1),
            r"expected one image \(C, H, W\)",
        ),
        (lambda: enlarge_in_tiles(torch.nn.Identity(), torch.rand(3, 4, 4), factor=1, tile=0), "tile of"),
    ],
)
def test_wrong_arguments_are_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_area_is_the_mean_of_each_square_and_keeps_the_ink():
    x = torch.rand(2, 3, 9, 13, generator=torch.Generator().manual_seed(4))
    small = shrink(x, 4)
    assert small.shape == (2, 3, 2, 3)
    assert float(small[1, 2, 1, 2]) == pytest.approx(float(x[1, 2, 4:8, 8:12].mean()), abs=1e-6)
    assert float(small.mean()) == pytest.approx(float(x[..., :8, :12].mean()), abs=1e-6)
    repeated = functional.interpolate(small, scale_factor=4)
    torch.testing.assert_close(shrink(repeated, 4), small, rtol=0, atol=1e-6)


def test_skip_keeps_pixels_as_they_are_and_bicubic_a_slope():
    x = torch.arange(36.0).view(1, 1, 6, 6) / 36
    assert shrink(x, 2, "skip").flatten().tolist() == x[0, 0, [1, 1, 1, 3, 3, 3, 5, 5, 5], [1, 3, 5] * 3].tolist()
    slope = torch.linspace(0, 1, 60).expand(1, 1, 60, 60)
    inner = shrink(slope, 3, "bicubic")[0, 0, 9, 3:-3]
    torch.testing.assert_close(inner, shrink(slope, 3, "area")[0, 0, 9, 3:-3], rtol=0, atol=1e-5)
    edge = (torch.arange(60) >= 30).float().expand(1, 1, 60, 60)
    assert 0 <= shrink(edge, 4, "bicubic").min() and shrink(edge, 4, "bicubic").max() <= 1
    assert torch.equal(shrink(x, 1), x) and torch.equal(shrink(x, 1, "skip"), x)


def test_what_cannot_be_shrunk_is_said():
    with pytest.raises(DataError, match="'area', 'bicubic', 'skip'"):
        shrink(torch.rand(1, 1, 8, 8), 2, "nearest")
    with pytest.raises(DataError, match="3x8 pixels cannot be made 4 times smaller"):
        shrink(torch.rand(1, 1, 3, 8), 4)
