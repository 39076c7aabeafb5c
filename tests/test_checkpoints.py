"""A checkpoint is loaded whole and as it was written, or not at all."""

import stat

import pytest
import torch
from torch import nn

from deepunsup_helpers.training import fit, load_checkpoint, save_checkpoint, seed_everything, update


def setup(*, width: int = 2, optimizer=torch.optim.Adam, dtype=torch.float32, seed: int = 0):
    seed_everything(seed)
    model = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 3)).to(dtype)
    adam = optimizer(model.parameters(), lr=0.01)
    rate = torch.optim.lr_scheduler.StepLR(adam, step_size=4)
    state = {"model": model, "optimizer": adam, "rate": rate, "noise": torch.Generator().manual_seed(seed)}

    def step(x):
        loss = (model(x) - x).square().sum(1).mean()
        update(adam, loss, scheduler=rate)
        return {"loss": loss}

    return step, state


def batches(dtype=torch.float32):
    return torch.linspace(-1, 1, 30, dtype=dtype).reshape(10, 3).split(4)


def contents(state) -> list:
    """Everything in a state, as a flat list of tensors and plain values."""

    def flat(value):
        if isinstance(value, dict):
            return [leaf for key in sorted(value, key=str) for leaf in flat(value[key])]
        if isinstance(value, (list, tuple)):
            return [leaf for part in value for leaf in flat(part)]
        return [value.clone() if isinstance(value, torch.Tensor) else value]

    parts = [
        thing.get_state() if isinstance(thing, torch.Generator) else thing.state_dict() for thing in state.values()
    ]
    return flat([*parts, torch.get_rng_state()])


def same(a: list, b: list) -> bool:
    equal = (torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b))
    return len(a) == len(b) and all(equal)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint after two epochs, and what it holds."""
    path = tmp_path_factory.mktemp("checkpoint") / "c.pt"
    step, state = setup()
    fit(step, batches(), epochs=2, state=state, checkpoint=path, progress=False)
    return path, contents(state)


def test_the_whole_state_comes_back(written):
    path, expected = written
    _, state = setup(seed=5)
    assert not same(contents(state), expected)
    extra = load_checkpoint(path, state)
    assert same(contents(state), expected) and len(extra["history"]["seconds"]) == 2


def test_a_flipped_bit_anywhere_changes_nothing_or_is_said(written, tmp_path):
    """Of 400 places over the whole file: what loads is what was written; else the state is as it was before."""
    path, expected = written
    content, said = path.read_bytes(), 0
    for place in range(0, len(content), max(1, len(content) // 400)):
        spoiled = bytearray(content)
        spoiled[place] ^= 1 << place % 8
        file = tmp_path / "spoiled.pt"
        file.write_bytes(spoiled)
        _, state = setup(seed=5)
        before = contents(state)
        try:
            load_checkpoint(file, state)
        except ValueError as error:
            said += 1
            assert "damaged" in str(error) or "holds" in str(error) or "does not fit" in str(error)
            assert same(contents(state), before)
        else:
            assert same(contents(state), expected)
    assert said > 200  # the rest are alignment and unused fields


@pytest.mark.parametrize(
    "other, words",
    [
        ({"width": 4}, r"'model' does not fit, 0.weight is float32 \(2, 3\) in the file and float32 \(4, 3\) here"),
        ({"dtype": torch.float64}, "float32 .* in the file and float64"),
        ({"optimizer": torch.optim.SGD}, "'optimizer' does not fit, only one of the two optimizers has the setting"),
    ],
)
def test_another_state_is_refused_before_anything_changes(other, words, written):
    _, state = setup(seed=5, **other)
    before = contents(state)
    with pytest.raises(ValueError, match=words) as caught:
        load_checkpoint(written[0], state)
    assert same(contents(state), before) and "delete" not in str(caught.value)


def test_other_groups_other_order_and_other_schedulers_are_refused(written):
    path, _ = written
    _, state = setup()
    first, second = state["model"]
    groups = [{"params": first.parameters()}, {"params": second.parameters()}]
    reverse = torch.optim.Adam([*second.parameters(), *first.parameters()], lr=0.01)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(state["optimizer"], 5)
    for name, thing, words in (
        ("optimizer", torch.optim.Adam(groups, lr=0.01), "other groups of parameters"),
        (
            "optimizer",
            reverse,
            r"exp_avg of parameter 0 is float32 \(2, 3\) in the file, the parameter float32 \(3, 2\)",
        ),
        ("optimizer", state["rate"], "'optimizer' does not fit, only one of the two has"),
        ("rate", cosine, "'rate' does not fit, only one of the two has T_max"),
        ("noise", state["model"], "'noise' does not fit"),
    ):
        other = {**state, name: thing}
        before = contents(other)
        with pytest.raises(ValueError, match=words):
            load_checkpoint(path, other)
        assert same(contents(other), before)


@pytest.mark.parametrize("kind", [torch.optim.Adafactor, torch.optim.LBFGS, torch.optim.RMSprop, torch.optim.AdamW])
def test_any_optimizer_of_torch_comes_back(kind, tmp_path):
    def trained():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        return model, kind(model.parameters())

    def move(model, optimizer):
        x = torch.ones(5, 3)

        def closure():
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    model, optimizer = trained()
    move(model, optimizer)
    save_checkpoint(tmp_path / "c.pt", {"model": model, "optimizer": optimizer})
    again, other = trained()
    load_checkpoint(tmp_path / "c.pt", {"model": again, "optimizer": other})
    move(model, optimizer)
    move(again, other)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))


def test_other_names_and_files_that_are_none(written, tmp_path):
    path, _ = written
    _, state = setup()
    with pytest.raises(ValueError, match="holds .*'rate'.* but the state to resume has.*another file name"):
        load_checkpoint(path, {"model": state["model"]})
    half = tmp_path / "half.pt"
    for content in (path.read_bytes()[:200], b"", b"hello"):
        half.write_bytes(content)
        with pytest.raises(ValueError, match="not a checkpoint, or it is damaged.*another file name"):
            load_checkpoint(half, state)
    torch.save({"weights": torch.ones(2)}, half)
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_checkpoint(half, state)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "nowhere.pt", state)


def test_one_not_written_by_fit_is_no_training_to_go_on_with(tmp_path):
    step, state = setup()
    save_checkpoint(tmp_path / "c.pt", state, note=1)
    with pytest.raises(ValueError, match="was not written by fit"):
        fit(step, batches(), epochs=2, state=state, checkpoint=tmp_path / "c.pt", resume=True, progress=False)


def test_others_may_read_it_and_nothing_lies_beside_it(written):
    path, _ = written
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444 and [p.name for p in path.parent.iterdir()] == ["c.pt"]


def test_a_failed_write_keeps_the_old_checkpoint(written, monkeypatch):
    path, _ = written
    before = path.read_bytes()

    def broken(saved, name):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    step, state = setup()
    with pytest.raises(OSError):
        fit(step, batches(), epochs=1, state=state, checkpoint=path, progress=False)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
