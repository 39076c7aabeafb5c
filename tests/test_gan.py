"""The adversarial game: losses against closed forms, players that judge each example alone, the order of updates."""

import copy
import math

import pytest
import torch
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy

from deepunsup_helpers.losses import discriminator_loss, generator_loss
from deepunsup_helpers.models import MLPDiscriminator, MLPGenerator
from deepunsup_helpers.training import fit, update

LN2 = math.log(2)


def logits(n=50, *, seed=0, scale=2.0):
    return scale * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- losses ----------------------------------------------------------------------------------------------------------


def test_discriminator_loss_is_cross_entropy_with_labels_one_and_zero():
    real, fake = logits(seed=1), logits(30, seed=2)
    one, zero = torch.ones_like(real), torch.zeros_like(fake)
    expected = binary_cross_entropy(real.sigmoid(), one) + binary_cross_entropy(fake.sigmoid(), zero)
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    assert discriminator_loss(torch.zeros(3), torch.zeros(5)).item() == pytest.approx(2 * LN2)


def test_generator_losses_are_the_two_of_the_paper():
    fake = logits(seed=3)
    torch.testing.assert_close(generator_loss(fake), -fake.sigmoid().log().mean())
    torch.testing.assert_close(generator_loss(fake, "minimax"), (1 - fake.sigmoid()).log().mean())
    with pytest.raises(ValueError, match="unknown kind 'wgan'"):
        generator_loss(fake, "wgan")


@pytest.mark.parametrize("kind, slope", [("non_saturating", lambda d: d - 1), ("minimax", lambda d: -d)])
def test_generator_gradients_in_closed_form(kind, slope):
    fake = torch.tensor([-4.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    generator_loss(fake, kind).backward()
    torch.testing.assert_close(fake.grad, slope(fake.detach().sigmoid()) / 3)


def test_at_logit_minus_four_the_gradients_differ_by_e_to_the_four():
    slopes = []
    for kind in ("non_saturating", "minimax"):
        fake = torch.tensor([-4.0], dtype=torch.float64, requires_grad=True)
        generator_loss(fake, kind).backward()
        slopes.append(float(fake.grad))
    assert slopes[0] / slopes[1] == pytest.approx(math.exp(4))


@pytest.mark.parametrize("far", [-100.0, 100.0, -1e4])
def test_losses_and_gradients_stay_finite(far):
    for loss in (lambda x: discriminator_loss(x, -x), generator_loss, lambda x: generator_loss(x, "minimax")):
        x = torch.full((4,), far, requires_grad=True)
        value = loss(x)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(x.grad).all()
    x = torch.full((4,), -100.0, requires_grad=True)
    generator_loss(x).backward()
    assert x.grad.sum().item() == pytest.approx(-1.0)  # the full slope, however sure the judge is


def test_no_judge_beats_d_star():
    """D* = p / (p + q) reaches 2 ln 2 - 2 JSD, integrated on a grid; every other judge's loss is higher."""
    p, q = Normal(0.0, 1.0), Normal(1.5, 0.7)
    grid = torch.linspace(-9, 9, 6001, dtype=torch.float64)
    on_p, on_q = p.log_prob(grid).exp(), q.log_prob(grid).exp()
    middle = (on_p + on_q) / 2
    jsd = float(torch.trapezoid(0.5 * on_p * (on_p / middle).log() + 0.5 * on_q * (on_q / middle).log(), grid))
    even = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000  # quantiles: the mean of a loss is an integral
    real, fake = p.icdf(even), q.icdf(even)

    def logit(x):
        return p.log_prob(x) - q.log_prob(x)

    best = discriminator_loss(logit(real), logit(fake)).item()
    assert best == pytest.approx(2 * LN2 - 2 * jsd, abs=1e-3)
    for other in (lambda x: logit(x) + 0.3, lambda x: 0.8 * logit(x), lambda x: 1.2 * logit(x), lambda x: 0 * x):
        assert discriminator_loss(other(real), other(fake)).item() > best + 0.005


# --- players ---------------------------------------------------------------------------------------------------------


def players(pack=1, *, seed=0):
    torch.manual_seed(seed)
    return MLPGenerator(3, 2, (16,)), MLPDiscriminator(2, (16,), pack=pack)


def test_samples_and_judgements_do_not_depend_on_the_batch():
    G, D = players()
    z = torch.randn(20, 3)
    x = G(z)
    torch.testing.assert_close(torch.cat([G(z[:7]), G(z[7:8]), G(z[8:])]), x, rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat([D(x[:7]), D(x[7:8]), D(x[8:])]), D(x), rtol=0, atol=1e-6)
    assert D(x).shape == (20,)


def test_a_packed_judge_sees_groups_of_neighbours():
    _, D = players(pack=4)
    x = torch.randn(12, 2)
    assert D(x).shape == (3,)
    changed = x.clone()
    changed[5] += 1  # in the second group
    assert torch.nonzero(D(changed) != D(x)).flatten().tolist() == [1]
    swapped = x[[4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11]]
    torch.testing.assert_close(D(swapped), D(x)[[1, 0, 2]])
    with pytest.raises(ValueError, match="groups of pack=4"):
        D(x[:10])
    with pytest.raises(ValueError, match="pack=0"):
        MLPDiscriminator(pack=0)


def test_sample_is_repeatable_and_leaves_no_gradient():
    G, _ = players()
    first, again = (G.sample(9, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again) and not first.requires_grad and first.shape == (9, 2)
    before = torch.get_rng_state()
    G.sample(9, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("player", players(pack=2))
def test_config_rebuilds(player):
    twin = type(player)(**player.config)
    twin.load_state_dict(player.state_dict())
    x = torch.randn(4, 3 if isinstance(player, MLPGenerator) else 2)
    assert torch.equal(twin(x), player(x))


# --- the order of updates ------------------------------------------------------------------------------------------


def gan_step(real, G, D, opt_g, opt_d, watch=lambda when: None):
    fake = G(torch.randn(len(real), G.latent_dim))
    d = discriminator_loss(D(real), D(fake.detach()))
    update(opt_d, d)
    watch("between")
    g = generator_loss(D(fake))
    update(opt_g, g)
    return {"discriminator": d, "generator": g}


def test_each_update_moves_one_player_and_leaves_the_others_gradient_alone():
    G, D = players()
    opt_g, opt_d = torch.optim.SGD(G.parameters(), 0.1), torch.optim.SGD(D.parameters(), 0.1)
    real = torch.randn(8, 2)
    start = copy.deepcopy((G.state_dict(), D.state_dict()))
    seen = {}

    def watch(when):
        seen["G gradients"] = [p.grad for p in G.parameters()]
        seen["G"], seen["D"] = copy.deepcopy((G.state_dict(), D.state_dict()))

    gan_step(real, G, D, opt_g, opt_d, watch)
    assert seen["G gradients"] == [None] * 4, "the judge's backward pass reached the generator: fake is not detached"
    assert all(torch.equal(seen["G"][name], start[0][name]) for name in start[0])
    assert all(not torch.equal(seen["D"][name], start[1][name]) for name in start[1])
    assert all(torch.equal(D.state_dict()[name], seen["D"][name]) for name in start[1])
    assert all(not torch.equal(G.state_dict()[name], start[0][name]) for name in start[0])


def test_two_steps_equal_gradients_taken_by_hand():
    """Plain SGD, two steps: D along its own loss at the old G, then G along its own at the new D; nothing mixed."""
    G, D = players()
    twin_G, twin_D = copy.deepcopy(G), copy.deepcopy(D)
    opt_g, opt_d = torch.optim.SGD(G.parameters(), 0.1), torch.optim.SGD(D.parameters(), 0.1)
    batches = [torch.randn(8, 2), torch.randn(8, 2)]
    torch.manual_seed(5)
    for real in batches:
        gan_step(real, G, D, opt_g, opt_d)
    torch.manual_seed(5)
    for real in batches:
        z = torch.randn(8, 3)
        with torch.no_grad():
            fake = twin_G(z)
        losses = -(twin_D(real).sigmoid().log().mean() + (1 - twin_D(fake).sigmoid()).log().mean())
        _descend(twin_D, losses)
        _descend(twin_G, -twin_D(twin_G(z)).sigmoid().log().mean())
    for mine, theirs in ((G, twin_G), (D, twin_D)):
        for a, b in zip(mine.parameters(), theirs.parameters()):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def _descend(model, loss):
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    with torch.no_grad():
        for parameter, slope in zip(model.parameters(), slopes):
            parameter -= 0.1 * slope


def test_fit_plays_the_game_and_shifts_a_gaussian_home():
    torch.manual_seed(0)
    G, D = MLPGenerator(1, 1, (), activation="identity"), MLPDiscriminator(1, (16,))
    real = 3 + 0.5 * torch.randn(2048, 1)
    opt_g = torch.optim.Adam(G.parameters(), 1e-2, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), 1e-2, betas=(0.5, 0.999))
    history = fit(
        lambda x: gan_step(x, G, D, opt_g, opt_d),
        real.split(64),
        epochs=25,
        state={"G": G, "D": D, "opt_g": opt_g, "opt_d": opt_d},
        progress=False,
    )
    samples = G.sample(4000)
    assert abs(samples.mean().item() - 3) < 0.4
    assert set(history.train) == {"discriminator", "generator"} and history.epochs == 25
