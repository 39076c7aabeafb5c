"""The self-organizing map: against k-means, against minisom, and what must not depend on anything."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from deepunsup_helpers.metrics.maps import quantisation_error, topographic_error, u_matrix
from deepunsup_helpers.models.som import SelfOrganizingMap, fit_som
from deepunsup_helpers.saving import load_model, save_model


def points(n=200, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def digits():
    return torch.from_numpy(load_digits().data / 16)


def started(x, rows, columns, seed=0):
    som = SelfOrganizingMap(rows, columns, x.shape[1]).to(x.dtype)
    som.start(x, seed=seed)
    return som


def test_without_a_neighbourhood_batch_steps_are_k_means():
    x = points()
    som = started(x, 3, 4)
    theirs = KMeans(12, init=som.units.numpy(), n_init=1, max_iter=5, tol=0, algorithm="lloyd").fit(x.numpy())
    for _ in range(theirs.n_iter_):
        som.batch_step(x, 1e-3)
    assert som.units.numpy() == pytest.approx(theirs.cluster_centers_, abs=1e-9)


def test_a_batch_step_is_the_weighted_mean_written_out():
    x = points()
    som = started(x, 2, 5)
    before, winners = som.units.clone(), som(x)
    som.batch_step(x, 0.9)
    for k in range(10):
        h = [np.exp(-float(((som.places[k] - som.places[w]) ** 2).sum()) / (2 * 0.9**2)) for w in winners]
        expected = sum(weight * row for weight, row in zip(h, x)) / sum(h)
        assert som.units[k].numpy() == pytest.approx(expected.numpy(), abs=1e-9)
    assert not torch.equal(before, som.units)


def test_with_an_endless_neighbourhood_every_unit_is_the_mean_of_all():
    x = points()
    som = started(x, 4, 4)
    som.batch_step(x, 1e6)
    assert som.units.numpy() == pytest.approx(x.mean(0).expand(16, -1).numpy(), abs=1e-6)


def test_a_unit_that_nobody_near_it_wins_stays():
    x = points(50)
    som = started(x, 1, 3)
    som.units[2] = 1e4
    som.batch_step(x, 1e-3)
    assert (som.units[2] == 1e4).all() and som.units.isfinite().all()


def test_online_steps_are_minisoms_own():
    minisom = pytest.importorskip("minisom")
    x = digits()
    som = started(x, 6, 5)
    theirs = minisom.MiniSom(
        6, 5, 64, sigma=1.3, learning_rate=0.4, random_seed=0, decay_function=lambda rate, t, most: rate
    )
    theirs._sigma_decay_function = lambda sigma, t, most: sigma
    theirs._weights = som.units.reshape(6, 5, 64).numpy().copy()
    for i in range(300):
        som.online_step(x[i], 1.3, 0.4)
        theirs.update(x[i].numpy(), theirs.winner(x[i].numpy()), i, 300)
    assert som.units.reshape(6, 5, 64).numpy() == pytest.approx(theirs._weights, abs=1e-9)


def test_a_map_of_digits_is_as_fine_as_minisoms():
    minisom = pytest.importorskip("minisom")
    x = digits()
    ours, others = [], []
    for seed in range(3):
        som = fit_som(x.float(), 8, 8, seed=seed, steps=5, sigma_start=2.0, sigma_end=1.0, rate=(0.5, 0.05))
        ours.append(quantisation_error(x, som.units))
        theirs = minisom.MiniSom(
            8,
            8,
            64,
            sigma=2.0,
            learning_rate=0.5,
            random_seed=seed,
            decay_function=lambda rate, t, most: rate * 0.1 ** (t / most),
        )
        theirs._sigma_decay_function = lambda sigma, t, most: sigma * 0.5 ** (t / most)
        theirs.random_weights_init(x.numpy())
        theirs.train(x.numpy(), 5 * len(x), random_order=True)
        others.append(theirs.quantization_error(x.numpy()))
    assert np.mean(ours) == pytest.approx(np.mean(others), rel=0.03)


def test_the_same_seed_gives_the_same_map_and_turned_data_a_turned_one():
    x = points(300, 4)
    first, again = (fit_som(x, 4, 4, seed=3).units for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, fit_som(x, 4, 4, seed=4).units)
    turn = torch.linalg.qr(points(4, 4, seed=9)).Q
    assert fit_som(x @ turn, 4, 4, seed=3).units.numpy() == pytest.approx((first @ turn).numpy(), abs=1e-8)


def test_it_unfolds_over_a_square_in_order():
    x = torch.rand(2000, 2, generator=torch.Generator().manual_seed(1))
    torn = [
        topographic_error(x, som.units, som.places) for som in (fit_som(x, 8, 8, seed=s, steps=60) for s in range(3))
    ]
    assert np.median(torn) < 0.05
    # a regular net of 8 x 8 over the unit square has cells of 1/8, and a point's mean distance to its centre is 0.383 of it
    assert quantisation_error(x, fit_som(x, 8, 8, seed=0, steps=60).units) == pytest.approx(0.3826 / 8, rel=0.15)


def test_it_is_saved_and_loaded(tmp_path):
    som = fit_som(points().float(), 3, 2, seed=0)
    loaded = load_model(save_model(som, tmp_path / "som.safetensors"))
    assert torch.equal(loaded.units, som.units) and torch.equal(loaded.places, som.places)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"x": torch.zeros(5, dtype=torch.int64)}, "finite fractions"),
        ({"x": torch.full((5, 2), float("nan"))}, "finite fractions"),
        ({"steps": 0}, "more than 0"),
        ({"sigma_end": 0.0}, "more than 0"),
        ({"rows": 0}, "at least 1"),
    ],
)
def test_what_it_cannot_do_is_said(change, told):
    given = {"x": points().float(), "rows": 2, "columns": 2, "seed": 0} | change
    with pytest.raises(ValueError, match=told):
        fit_som(given.pop("x"), given.pop("rows"), given.pop("columns"), **given)


# --- the scores of a map ---


def test_quantisation_error_written_out():
    x, units = points(40), points(7, seed=1)
    expected = np.mean([min(float((row - unit).norm()) for unit in units) for row in x])
    assert quantisation_error(x, units) == pytest.approx(expected, rel=1e-5)
    assert quantisation_error(units, units) == 0


def test_topographic_error_of_a_flat_map_and_of_a_shuffled_one():
    places = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))
    x = 4 * torch.rand(500, 2, generator=torch.Generator().manual_seed(0))
    assert topographic_error(x, places, places) == 0
    assert topographic_error(3 * x, 3 * places, places) == 0, "the grid's step is 1 whatever the data's unit"
    order = torch.randperm(25, generator=torch.Generator().manual_seed(1))
    assert topographic_error(x, places, places[order]) > 0.7, "of 24 others at most 4 are neighbours"


def test_topographic_error_does_not_let_diagonal_neighbours_pass():
    places = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    units = torch.tensor([[0.0], [5.0], [6.0], [1.0]])  # the two nearest of 0.4 lie on a diagonal
    assert topographic_error(torch.tensor([[0.4]]), units, places) == 1


def test_u_matrix_of_a_regular_net_and_across_a_gap():
    places = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    assert u_matrix(2 * places, places).tolist() == pytest.approx(12 * [2.0])
    torn = places.clone()
    torn[:, 1] += 10 * (places[:, 1] >= 2)  # the two halves lie ten further apart
    heights = u_matrix(torn, places).reshape(3, 4)
    assert heights[:, 1:3].min() > 3 and heights[:, [0, 3]].max() == pytest.approx(1)


def test_scores_refuse_what_does_not_fit():
    places = torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0))
    with pytest.raises(ValueError, match="as many of each"):
        topographic_error(points(5, 2), points(3, 2), places)
    with pytest.raises(ValueError, match="as many of each"):
        u_matrix(points(3, 2), places)
    with pytest.raises(ValueError, match="expected the same"):
        quantisation_error(points(5, 2), points(3, 3))
