"""A graphed step is the eager step: same numbers after 50 updates, state untouched by the recording, refusals in one line.

On a machine with CUDA the recording is real. Elsewhere a stand-in that runs the recorded step again takes the graph's place:
it proves everything around the graph (fixed inputs, learning rates, schedulers, loaded states, the short batch), not CUDA.
"""

import copy
import random

import pytest
import torch
from torch import nn

from deepunsup_helpers.data import Batches
from deepunsup_helpers.losses import discriminator_loss, generator_loss, squared_error, vae_loss
from deepunsup_helpers.models import MLPVAE, DCGANDiscriminator, DCGANGenerator, MLPAutoencoder
from deepunsup_helpers.training import (
    ema_copy,
    fit,
    graphed,
    load_checkpoint,
    seed_everything,
    update,
)
from deepunsup_helpers.training.accelerators import captured, graphs

SHAPE, UPDATES, BATCH = (1, 8, 8), 50, 16
KINDS = ("autoencoder", "vae", "gan")


def replay_by_running_again(run, *, warmup, device, check, generators=()):
    """In place of a CUDA graph: "replays" by running, on the optimizers' memory and into the result of the recording.

    The weights change at the recording too, which a graph does not do, and must be put back all the same.
    """
    for _ in range(warmup + 2):
        run()
    step, terms = run.__self__, run.__self__._terms
    optimizers = [thing.optimizer for thing in step._optimizers]
    held = [{parameter: dict(memory) for parameter, memory in optimizer.state.items()} for optimizer in optimizers]

    def replay():
        outside = [dict(optimizer.state) for optimizer in optimizers]
        for optimizer, memory in zip(optimizers, held):
            optimizer.state.update(memory)
        run()
        for optimizer, memory in zip(optimizers, outside):
            optimizer.state.update(memory)
        terms.copy_(step._terms)
        step._terms = terms

    return replay


@pytest.fixture(params=["stand-in", "cuda"])
def device(request, monkeypatch):
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
        return torch.device("cuda", torch.cuda.current_device())
    monkeypatch.setattr(captured, "GRAPH_DEVICE", "cpu")
    monkeypatch.setattr(graphs, "cuda_graph", replay_by_running_again)
    return torch.device("cpu")


def adam(module: nn.Module, **options) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=3e-3, fused=True, capturable=True, **options)


def setup(kind: str, device: torch.device, schedule: bool = False):
    """A step and its state, the same from call to call."""
    seed_everything(0)
    if kind == "gan":
        G, D = DCGANGenerator(SHAPE, latent_dim=4, width=4).to(device), DCGANDiscriminator(SHAPE, width=4).to(device)
        opt_g, opt_d = adam(G, betas=(0.5, 0.99)), adam(D, betas=(0.5, 0.99))
        slow = ema_copy(G, 0.9)
        state = {"G": G, "D": D, "slow": slow, "opt_g": opt_g, "opt_d": opt_d}
        if schedule:
            state["rate"] = torch.optim.lr_scheduler.LinearLR(opt_d, 1.0, 0.1, total_iters=40)

        def step(real):
            fake = G(torch.randn(len(real), 4, device=device))
            d = discriminator_loss(D(real), D(fake.detach()))
            update(opt_d, d, scheduler=state.get("rate"))
            g = generator_loss(D(fake))
            update(opt_g, g, max_norm=1.0)
            slow.update_parameters(G)
            return {"discriminator": d.detach(), "generator": g.detach()}

        return step, state
    model = (MLPVAE(SHAPE, 3, (12,)) if kind == "vae" else MLPAutoencoder(SHAPE, 3, (12,))).to(device)
    optimizer = adam(model)
    state = {"model": model, "optimizer": optimizer}
    if schedule:
        state["rate"] = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.5)

    def step(x):
        out = model(x)
        loss = vae_loss(out.logits, x, out.mu, out.logvar).total if kind == "vae" else squared_error(out.x_hat, x)
        update(optimizer, loss, scheduler=state.get("rate"))
        return {"loss": loss.detach()}

    return step, state


def data(device: torch.device, count: int = BATCH * UPDATES // 2, **options) -> Batches:
    x = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    return Batches(x, batch_size=BATCH, device=device, **options)


def weights(state) -> torch.Tensor:
    return torch.cat(
        [p.detach().flatten() for m in state.values() if isinstance(m, nn.Module) for p in m.parameters()]
    ).cpu()


def example(device: torch.device) -> torch.Tensor:
    return torch.rand(BATCH, *SHAPE, generator=torch.Generator().manual_seed(2)).to(device)


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@pytest.mark.parametrize("schedule", [False, True], ids=["constant", "scheduled"])
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_updates_equal_the_eager_ones(kind, schedule, device):
    """Two epochs of 25 batches; for the VAE and the GAN with noise from the global generator, the same stream."""
    step, state = setup(kind, device, schedule)
    start = weights(state)
    eager = fit(step, data(device), epochs=2, state=state, progress=False)

    again, same = setup(kind, device, schedule)
    replayed = graphed(again, example(device), state=same)
    assert replayed.captured
    history = fit(replayed, data(device), epochs=2, state=same, progress=False)
    assert replayed.captured
    assert far(weights(state), start) > 0.01
    assert far(weights(same), weights(state)) < 1e-5
    for name, values in eager.train.items():
        assert history.train[name] == pytest.approx(values, abs=1e-4)
    if schedule:
        assert same["rate"].last_epoch == state["rate"].last_epoch == UPDATES
        assert same["rate"].get_last_lr() == pytest.approx(state["rate"].get_last_lr())


@pytest.mark.parametrize("kind", KINDS)
def test_recording_changes_nothing(kind, device):
    step, state = setup(kind, device, schedule=True)
    before = copy.deepcopy({name: thing.state_dict() for name, thing in state.items()})
    generators = torch.get_rng_state(), random.getstate()
    noise = torch.cuda.get_rng_state() if device.type == "cuda" else None
    assert graphed(step, example(device), state=state).captured
    for name, thing in state.items():
        now = thing.state_dict()
        if isinstance(thing, torch.optim.Optimizer):
            assert now["param_groups"] == before[name]["param_groups"]  # the learning rate is a plain number outside
            assert all(not value.any() for memory in now["state"].values() for value in memory.values())
        elif isinstance(thing, nn.Module):
            assert all(torch.equal(value, before[name][key]) for key, value in now.items())
        else:
            assert now == before[name]
    assert torch.equal(torch.get_rng_state(), generators[0]) and random.getstate() == generators[1]
    if noise is not None:
        assert torch.equal(torch.cuda.get_rng_state(), noise)


def test_memory_of_an_optimizer_that_was_used_is_put_back(device):
    step, state = setup("autoencoder", device)
    step(example(device))
    before = copy.deepcopy(state["optimizer"].state_dict()["state"])
    assert graphed(step, example(device), state=state).captured
    for key, memory in state["optimizer"].state_dict()["state"].items():
        assert memory["exp_avg"].any()
        assert all(torch.equal(value, before[key][name]) for name, value in memory.items())


def test_the_short_last_batch_and_eval_mode_run_eagerly(device):
    step, state = setup("autoencoder", device)
    calls = []
    counted = graphed(lambda x: calls.append(len(x)) or step(x), example(device), state=state)
    calls.clear()
    history = fit(counted, data(device, count=3 * BATCH + 5), epochs=2, state=state, progress=False)
    replays = 0 if device.type == "cuda" else 6
    assert calls.count(5) == 2 and calls.count(BATCH) == replays  # the stand-in calls the step, a graph does not

    again, same = setup("autoencoder", device)
    reference = fit(again, data(device, count=3 * BATCH + 5), epochs=2, state=same, progress=False)
    assert far(weights(state), weights(same)) < 1e-5
    assert history.train["loss"] == pytest.approx(reference.train["loss"], rel=1e-4)
    state["model"].eval()
    calls.clear()
    counted(example(device))
    assert calls == [BATCH]


def test_returned_terms_are_not_overwritten_by_the_next_call(device):
    step, state = setup("autoencoder", device)
    replayed = graphed(step, example(device), state=state)
    first = replayed(example(device))["loss"]
    value = first.item()
    replayed(torch.zeros(BATCH, *SHAPE, device=device))
    assert first.item() == value


def test_a_step_may_return_a_named_tuple(device):
    _, state = setup("vae", device)
    model, optimizer = state["model"], state["optimizer"]

    def step(x):
        out = model(x)
        loss = vae_loss(out.logits, x, out.mu, out.logvar)
        update(optimizer, loss.total)
        return loss

    terms = graphed(step, example(device), state=state)(example(device))
    assert list(terms) == ["total", "reconstruction", "kl"]
    assert terms["total"].item() == pytest.approx((terms["reconstruction"] + terms["kl"]).item(), rel=1e-5)


def test_a_resumed_training_goes_on_in_the_same_graph(device, tmp_path):
    """load_state_dict gives an optimizer new tensors; the graph must follow."""
    step, state = setup("vae", device, schedule=True)
    whole = fit(step, data(device), epochs=4, state=state, progress=False)

    first, parts = setup("vae", device, schedule=True)
    fit(
        graphed(first, example(device), state=parts),
        data(device),
        epochs=2,
        state=parts,
        checkpoint=tmp_path / "c.pt",
        progress=False,
    )
    second, other = setup("vae", device, schedule=True)
    replayed = graphed(second, example(device), state=other)
    history = fit(
        replayed, data(device, seed=9), epochs=4, state=other, checkpoint=tmp_path / "c.pt", resume=True, progress=False
    )
    assert replayed.captured and far(weights(other), weights(state)) < 1e-5
    assert history.train["loss"] == pytest.approx(whole.train["loss"], rel=1e-4)
    load_checkpoint(tmp_path / "c.pt", {**other, "batches.generator": torch.Generator(device)})  # once more, midway
    replayed(example(device))
    assert replayed.captured


def test_a_learning_rate_set_by_hand_is_followed(device):
    step, state = setup("autoencoder", device)
    replayed = graphed(step, example(device), state=state)
    replayed(example(device))
    state["optimizer"].param_groups[0]["lr"] = 0.0
    before = weights(state)
    replayed(example(device))
    assert replayed.captured and torch.equal(weights(state), before)


def test_another_precision_than_fits_is_said(device):
    step, state = setup("autoencoder", device)
    replayed = graphed(step, example(device), state=state)
    with pytest.raises(ValueError, match="precision='fp32': give the same"):
        fit(replayed, data(device), epochs=1, state=state, precision="bf16", progress=False)


def test_bf16_is_recorded_as_bf16(device):
    step, state = setup("vae", device)
    fit(step, data(device), epochs=1, state=state, precision="bf16", progress=False)
    again, same = setup("vae", device)
    replayed = graphed(again, example(device), state=same, precision="bf16")
    fit(replayed, data(device), epochs=1, state=same, precision="bf16", progress=False)
    assert replayed.captured and far(weights(same), weights(state)) < 1e-5


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=0.01, **options)


def refused(step, state, device, capsys) -> str:
    capsys.readouterr()
    replayed = graphed(step, example(device), state=state)
    assert not replayed.captured
    out = capsys.readouterr().out
    assert out == f"graphed: runs eagerly, {replayed.reason}\n" and out.count("\n") == 1
    replayed(example(device))
    return replayed.reason


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda m: torch.optim.Adam(m.parameters()), "is Adam without capturable=True"),
        (lambda m: torch.optim.Adagrad(m.parameters()), "is Adagrad without capturable=True"),
        (lambda m: torch.optim.NAdam(m.parameters(), capturable=True), "memory does not begin at zero"),
        (lambda m: sgd(m, momentum=0.9, dampening=0.5), "SGD with dampening"),
    ],
)
def test_optimizers_that_cannot_be_replayed(make, words, device, monkeypatch, capsys):
    model = nn.Linear(64, 64).to(device)
    optimizer = make(model)
    step = lambda x: {"loss": squared_error(model(x.flatten(1)), x.flatten(1)).detach()}
    assert words in refused(step, {"model": model, "optimizer": optimizer}, device, capsys)


def test_schedulers_that_cannot_be_replayed(device, capsys):
    step, state = setup("autoencoder", device)
    cycle = torch.optim.lr_scheduler.OneCycleLR(state["optimizer"], 0.01, total_steps=20)
    assert "cycle_momentum=False" in refused(step, {**state, "rate": cycle}, device, capsys)
    assert "has a scheduler that is not in state" in refused(step, state, device, capsys)


def test_other_things_in_state_are_refused(device, capsys):
    class Counter:
        def state_dict(self):
            return {}

    step, state = setup("autoencoder", device)
    assert "is a Counter" in refused(step, {**state, "counter": Counter()}, device, capsys)


def test_plain_sgd_is_replayed_until_its_learning_rate_changes(device, capsys):
    seed_everything(0)
    model = MLPAutoencoder(SHAPE, 3, (12,)).to(device)
    optimizer = sgd(model, momentum=0.9, foreach=True)

    def step(x):
        loss = squared_error(model(x).x_hat, x)
        update(optimizer, loss)
        return {"loss": loss.detach()}

    replayed = graphed(step, example(device), state={"model": model, "optimizer": optimizer})
    assert replayed.captured
    replayed(example(device))
    optimizer.param_groups[0]["lr"] = 0.0
    before = weights({"model": model})
    replayed(example(device))
    assert not replayed.captured and "learning rate of SGD changed" in capsys.readouterr().out
    assert torch.equal(weights({"model": model}), before)


def test_a_term_that_is_a_plain_number_is_refused(device, capsys):
    step, state = setup("autoencoder", device)
    assert "the term 'beta' is no 0-d tensor" in refused(lambda x: {**step(x), "beta": 0.5}, state, device, capsys)


def test_noise_drawn_on_the_cpu_is_noticed():
    """On the GPU it would be the same noise in every replay."""
    for draw in (random.random, lambda: torch.rand(())):
        snapshot = captured.Snapshot({})
        snapshot.check()
        draw()
        with pytest.raises(captured.NotCapturable, match="random numbers on the CPU"):
            snapshot.check()
        snapshot.restore()
        snapshot.check()


def test_an_error_of_the_step_itself_comes_out(device):
    _, state = setup("autoencoder", device)
    with pytest.raises(TypeError):
        graphed(lambda x: len(3), example(device), state=state)


def test_on_the_cpu_it_says_so_and_is_the_eager_step(capsys):
    cpu = torch.device("cpu")
    step, state = setup("vae", cpu, schedule=True)
    fit(step, data(cpu), epochs=1, state=state, progress=False)
    again, same = setup("vae", cpu, schedule=True)
    replayed = graphed(again, example(cpu), state=same)
    assert capsys.readouterr().out == "graphed: runs eagerly, since the batch is on cpu and graphs are CUDA's.\n"
    seed_everything(0)
    setup("vae", cpu)  # the noise begins where it began above
    fit(replayed, data(cpu), epochs=1, state=same, progress=False)
    assert not replayed.captured and torch.equal(weights(same), weights(state))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("spoil", ["item", "host copy", "synchronize"])
def test_what_waits_for_the_gpu_runs_eagerly_and_noise_still_works(spoil, capsys):
    device = torch.device("cuda", torch.cuda.current_device())
    step, state = setup("vae", device)

    def waiting(x):
        terms = step(x)
        if spoil == "item":
            terms["loss"].item()
        elif spoil == "host copy":
            torch.tensor([1.0, 2.0]).to(device)
        else:
            torch.cuda.synchronize()
        return terms

    replayed = graphed(waiting, example(device), state=state)
    assert not replayed.captured and capsys.readouterr().out.count("\n") == 1
    fit(replayed, data(device), epochs=2, state=state, progress=False)
    again, same = setup("vae", device)
    fit(again, data(device), epochs=2, state=same, progress=False)
    assert far(weights(state), weights(same)) < 1e-5
