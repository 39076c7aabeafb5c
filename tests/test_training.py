"""fit keeps the books of a hand-written loop, resumes bit for bit, and says what went wrong."""

import math
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
import torch
from torch import nn

from deepunsup_helpers.training import (
    TrainingDiverged,
    evaluate,
    fit,
    pick_device,
    seed_everything,
    update,
)


class ThreeBatches:
    """Ten examples in batches of 4, 4 and 2, shuffled by a generator of its own."""

    def __init__(self, seed: int = 0):
        self.x = torch.linspace(-1, 1, 30, dtype=torch.float32).reshape(10, 3)
        self.generator = torch.Generator().manual_seed(seed)

    def __iter__(self):
        return iter(self.x[torch.randperm(10, generator=self.generator)].split(4))


class Body(nn.Sequential):
    """torch 2.6 does not compile torch's own modules when they are the outermost."""

    def forward(self, x):
        return super().forward(x)


def setup(seed: int = 0, noise: bool = False):
    """A small linear autoencoder with dropout-like noise from the global generator."""
    seed_everything(seed)
    model = Body(nn.Linear(3, 2), nn.Linear(2, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5)

    def step(x):
        spoiled = x + 0.1 * torch.randn_like(x) if noise else x
        loss = (model(spoiled) - x).square().sum(1).mean()
        update(optimizer, loss, scheduler=scheduler)
        return {"loss": loss}

    return model, step, {"model": model, "optimizer": optimizer, "scheduler": scheduler}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


def test_fit_equals_a_loop_written_by_hand():
    model, step, state = setup()
    history = fit(step, ThreeBatches(), epochs=3, state=state, progress=False)

    by_hand, _, parts = setup()
    optimizer, scheduler, means = parts["optimizer"], parts["scheduler"], []
    batches = ThreeBatches()
    for _ in range(3):
        total = 0.0
        for x in batches:
            loss = ((by_hand(x) - x) ** 2).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item() * len(x)
        means.append(total / 10)
    assert torch.equal(weights(model), weights(by_hand))
    assert history.train["loss"] == pytest.approx(means, rel=1e-6)
    assert history.epochs == 3 and not history.interrupted


def test_means_are_weighted_by_examples_not_by_batches():
    values = iter([1.0, 1.0, 7.0])
    history = fit(lambda x: {"v": torch.tensor(next(values))}, ThreeBatches(), epochs=1, state={}, progress=False)
    assert history.train["v"] == [pytest.approx((4 * 1 + 4 * 1 + 2 * 7) / 10)]
    assert evaluate(lambda x: {"n": torch.tensor(float(len(x)))}, ThreeBatches()) == {"n": pytest.approx(3.6)}


def test_resuming_is_bit_for_bit_the_same_as_never_stopping(tmp_path):
    model, step, state = setup(noise=True)
    whole = fit(step, ThreeBatches(), epochs=6, state=state, progress=False)

    first, step, state = setup(noise=True)
    fit(step, ThreeBatches(), epochs=2, state=state, checkpoint=tmp_path / "c.pt", progress=False)
    torch.rand(7)  # time passes, generators move on
    second, step, state = setup(seed=99, noise=True)
    resumed = fit(
        step, ThreeBatches(seed=99), epochs=6, state=state, checkpoint=tmp_path / "c.pt", resume=True, progress=False
    )
    assert torch.equal(weights(second), weights(model))
    assert not torch.equal(weights(first), weights(model))
    assert resumed.train == whole.train and resumed.epochs == 6


def test_hooks_and_validation_only_observe():
    def run(**observers):
        model, step, state = setup(noise=True)
        fit(step, ThreeBatches(), epochs=3, state=state, progress=False, **observers)
        return weights(model)

    def look(epoch, history):
        torch.rand(5)

    seen = run(hooks=[look], validate=lambda: {"r": torch.rand(())})
    assert torch.equal(seen, run())


def test_modes_train_in_the_step_eval_in_validation_hooks_and_after():
    model, step, state = setup()
    modes = {}

    def stepping(x):
        modes["step"] = model.training
        return step(x)

    fit(
        stepping,
        ThreeBatches(),
        epochs=1,
        state=state,
        progress=False,
        validate=lambda: modes.update(validate=model.training, grad=torch.is_grad_enabled()) or {},
        hooks=[lambda e, h: modes.update(hook=model.training)],
    )
    assert modes == {"step": True, "validate": False, "grad": False, "hook": False} and not model.training


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_names_epoch_and_term(bad):
    epoch = iter(range(100))

    def step(x):
        return {"fine": torch.tensor(1.0), "kl": torch.tensor(bad if next(epoch) >= 3 else 1.0)}

    with pytest.raises(TrainingDiverged, match="'kl'.*epoch 2") as caught:
        fit(step, ThreeBatches(), epochs=5, state={}, progress=False)
    assert (caught.value.epoch, caught.value.term, caught.value.history.epochs) == (2, "kl", 1)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def interrupted_in_step(number: int):
    """Setup whose step number `number` is interrupted before its weights move; and the weights that each step ends with."""
    model, step, state = setup()
    calls, ends = iter(range(100)), []
    state["optimizer"].register_step_pre_hook(lambda *_: press_ctrl_c() if next(calls) == number else None)

    def stepping(x):
        terms = step(x)
        ends.append(weights(model))
        return terms

    return model, stepping, state, ends


@pytest.mark.parametrize("number, epochs", [(0, 0), (4, 1), (5, 1), (6, 2)])
def test_ctrl_c_comes_out_after_the_step_under_way(number, epochs, capsys):
    model, step, state, ends = interrupted_in_step(number)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(step, ThreeBatches(), epochs=5, state=state, progress=False)
    assert len(ends) == number + 1 and torch.equal(weights(model), ends[-1])
    assert not model.training and signal.getsignal(signal.SIGINT) is before
    assert f"{epochs} of 5 epochs" in capsys.readouterr().out


def test_ctrl_c_kept_returns_the_completed_epochs(capsys):
    model, step, state, ends = interrupted_in_step(4)
    history = fit(step, ThreeBatches(), epochs=5, state=state, progress=False, on_interrupt="keep")
    assert history.interrupted and history.epochs == 1 and len(history.train["loss"]) == 1 and not model.training
    assert "1 of 5" in capsys.readouterr().out
    again = fit(step, ThreeBatches(), epochs=1, state=state, progress=False)  # and the next training runs
    assert again.epochs == 1 and not again.interrupted


def test_a_second_ctrl_c_does_not_wait():
    def endless(x):
        press_ctrl_c()
        press_ctrl_c()
        pytest.fail("the step went on")

    with pytest.raises(KeyboardInterrupt):
        fit(endless, ThreeBatches(), epochs=1, state={}, progress=False)


def test_ctrl_c_in_validation_and_hooks_stops_at_once():
    def look(*args):
        press_ctrl_c()
        pytest.fail("it went on")

    for where, epochs in (({"validate": look}, 0), ({"hooks": [look]}, 1)):
        model, step, state = setup()
        history = fit(step, ThreeBatches(), epochs=3, state=state, progress=False, on_interrupt="keep", **where)
        assert history.epochs == epochs and history.interrupted and not model.training


def test_ctrl_c_in_another_thread_than_the_main_one_is_left_alone():
    with ThreadPoolExecutor(1) as pool:
        _, step, state = setup()
        assert pool.submit(fit, step, ThreeBatches(), epochs=2, state=state, progress=False).result().epochs == 2


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class Terms(NamedTuple):
    total: torch.Tensor
    kl: torch.Tensor


def test_named_tuples_are_batches_and_terms():
    x = torch.arange(6.0).reshape(6, 1)
    batches = [Pair(part, 2 * part) for part in x.split(4)]
    history = fit(lambda x, y: Terms(x.mean(), y.mean()), batches, epochs=1, state={}, progress=False,
                  validate=lambda: Terms(torch.tensor(1.0), torch.tensor(2.0)))  # fmt: skip
    assert history.train == {"total": [2.5], "kl": [5.0]} and history.validation == {"total": [1.0], "kl": [2.0]}
    assert evaluate(lambda x, y: Terms(x.mean(), y.mean()), batches) == {"total": 2.5, "kl": 5.0}


@pytest.mark.parametrize(
    "returned, error, words",
    [
        (torch.tensor(1.0), TypeError, "a Tensor was returned.*expected a dict"),
        (None, TypeError, "a NoneType was returned"),
        ((torch.tensor(1.0),), TypeError, "a tuple was returned"),
        ({"loss": torch.ones(4)}, ValueError, r"'loss' has the shape \(4,\).*one number a batch"),
    ],
)
def test_what_a_step_must_return_is_said(returned, error, words):
    with pytest.raises(error, match=words):
        fit(lambda x: returned, ThreeBatches(), epochs=1, state={}, progress=False)


@pytest.mark.parametrize("updates, epochs", [(0, 0), (2, 1), (3, 1), (7, 3)])
def test_updates_in_place_of_epochs(updates, epochs):
    """As many steps as asked for, the last epoch cut short; its mean is over the examples that came."""
    seen, sizes = [], [4, 4, 2]

    def step(x):
        seen.append(len(x))
        return {"size": torch.tensor(float(len(x)))}

    history = fit(step, ThreeBatches(), updates=updates, state={}, progress=False)
    assert seen == (3 * sizes)[:updates] and (history.updates, history.epochs) == (updates, epochs)
    if updates == 7:
        assert history.train["size"] == pytest.approx([3.6, 3.6, 4.0])


def test_arguments_out_of_their_range_are_said():
    train = lambda **options: fit(lambda x: {}, ThreeBatches(), state={}, progress=False, **options)
    for wrong in ({}, {"epochs": 1, "updates": 1}, {"epochs": -1}, {"updates": -3}):
        with pytest.raises(ValueError, match="one of the two, 0 or more"):
            train(**wrong)
    with pytest.raises(ValueError, match="on_interrupt='stop'.*'raise' or 'keep'"):
        train(epochs=1, on_interrupt="stop")
    with pytest.raises(ValueError, match="resume=True needs checkpoint"):
        train(epochs=1, resume=True)


def test_a_plain_script_needs_no_ipython():
    code = (
        "import sys; sys.modules['IPython'] = None\n"
        "import torch\n"
        "from deepunsup_helpers.training import fit\n"
        "print(fit(lambda x: {'loss': x.mean()}, [torch.ones(2)], epochs=2, state={}).train)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert out == "{'loss': [1.0, 1.0]}\n"


def test_out_of_memory_names_batch_size():
    def step(x):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    with pytest.raises(RuntimeError, match="4 examples a batch: lower batch_size"):
        fit(step, ThreeBatches(), epochs=1, state={}, progress=False)


def test_an_empty_epoch_is_said():
    with pytest.raises(ValueError, match="no batch came"):
        fit(lambda x: {}, [], epochs=1, state={}, progress=False)


def test_update_leaves_the_other_players_weights_alone_and_sees_its_own_new_ones():
    """Under bf16 autocast the second forward pass of a step must use the weights that the first update made."""
    torch.manual_seed(0)
    d = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(d.parameters(), lr=1.0)
    x, seen = torch.ones(2, 4), {}

    def step(x):
        update(optimizer, d(x).mean())
        seen["after"] = d(x).float().mean().detach()
        return {"loss": seen["after"]}

    fit(step, [x], epochs=1, state={"d": d}, precision="bf16", progress=False)
    assert seen["after"].item() == pytest.approx(d(x).mean().item(), abs=0.05)  # bf16 keeps 8 bits


def test_max_norm_bounds_the_step():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    update(torch.optim.SGD([w], lr=1.0), 100 * (w * torch.tensor([3.0, 4.0])).sum(), max_norm=1.0)
    assert w.tolist() == pytest.approx([3.0 - 0.6, 4.0 - 0.8], abs=1e-4)


def test_unknown_device_and_precision_are_said():
    assert pick_device("cpu") == torch.device("cpu") and pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="not available here"):
            pick_device("cuda")
    with pytest.raises(ValueError, match="unknown precision 'fp16'"):
        fit(lambda x: {}, ThreeBatches(), epochs=1, state={}, precision="fp16", progress=False)


def test_seeds_repeat():
    seed_everything(3)
    a = torch.rand(3)
    seed_everything(3)
    assert torch.equal(a, torch.rand(3))


def test_denormal_numbers_are_flushed_in_every_thread():
    """Halves of the smallest normal numbers, over both threads; in a fresh process, whose threads are not there yet."""
    code = (
        "import torch\n"
        "from deepunsup_helpers.training import seed_everything\n"
        "seed_everything(0)\n"
        "torch.set_num_threads(2)\n"
        "x = torch.full((1 << 18,), 1.2e-38)\n"
        "print((0.5 * x == 0).float().mean().item())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    assert float(out) == 1.0


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_modules_train_as_the_plain_ones_do_and_are_plain_afterwards(backend, tmp_path, monkeypatch):
    if backend == "inductor" and not shutil.which("g++"):
        pytest.skip("torch.compile's own backend needs a C++ compiler")
    torch._dynamo.reset()
    compile, graphs, make = nn.Module.compile, [], torch._dynamo.lookup_backend(backend)

    def counting(graph, inputs):
        graphs.append(graph)
        return make(graph, inputs)

    monkeypatch.setattr(nn.Module, "compile", lambda module: compile(module, backend=counting))
    plain, step, state = setup()
    expected = fit(step, ThreeBatches(), epochs=2, state=state, progress=False)
    model, step, state = setup()
    history = fit(
        step, ThreeBatches(), epochs=2, state=state, compile=True, checkpoint=tmp_path / "c.pt", progress=False
    )
    assert (weights(model) - weights(plain)).abs().max() < 1e-5
    assert history.train["loss"] == pytest.approx(expected.train["loss"], rel=1e-4)
    assert graphs  # it was compiled
    assert model._compiled_call_impl is None and set(torch.load(tmp_path / "c.pt")["state"]["model"]) == set(
        plain.state_dict()
    )


def test_channels_last_convolutions_train_as_others_do():
    """The layout survives `fit` and the optimizer's memory, the hidden maps have it, and the numbers are the same."""

    def run(**layout):
        seed_everything(0)
        model = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3, stride=2)).to(
            "cpu", **layout
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)

        def step(x):
            loss = (model(x) - x).square().mean()
            update(optimizer, loss)
            return {"loss": loss.detach()}

        x = torch.rand(12, 2, 9, 9, generator=torch.Generator().manual_seed(1))
        fit(step, x.split(4), epochs=5, state={"model": model, "optimizer": optimizer}, progress=False)
        return model, optimizer

    plain, _ = run()
    model, optimizer = run(memory_format=torch.channels_last)
    assert (weights(model) - weights(plain)).abs().max() < 1e-5
    last = {"memory_format": torch.channels_last}
    assert model[0].weight.is_contiguous(**last) and model[0](torch.rand(2, 2, 9, 9)).is_contiguous(**last)
    assert optimizer.state[model[0].weight]["exp_avg"].is_contiguous(**last)
