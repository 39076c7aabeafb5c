"""A model as a file and back: the same outputs, for every model of the package; and each way a file can be wrong."""

import os
import stat

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deepunsup_helpers import models
from deepunsup_helpers.saving import load_model, read_header, save_model

SHAPE = (3, 12, 10)
IMAGES, CODES, LABELS = torch.rand(4, *SHAPE), torch.randn(4, 5), torch.tensor([0, 1, 2, 1])


def filled(model):
    model.weight.copy_(torch.rand(5, 5))
    return model


MODELS = {
    "MLPAutoencoder": (lambda: models.MLPAutoencoder(SHAPE, 5, hidden=(7,), output="linear"), (IMAGES,)),
    "ConvAutoencoder": (lambda: models.ConvAutoencoder(SHAPE, 5, width=4, activation="relu"), (IMAGES,)),
    "MLPVAE": (lambda: models.MLPVAE(SHAPE, 5, hidden=(), activation="tanh"), (IMAGES,)),
    "ConvVAE": (lambda: models.ConvVAE(SHAPE, 5, width=4), (IMAGES,)),
    "ConvClassifier": (lambda: models.ConvClassifier(SHAPE, 3, width=4, features=6), (IMAGES,)),
    "ConvDenoiser": (lambda: models.ConvDenoiser(3, width=4, depth=3), (IMAGES,)),
    "SuperResolver": (lambda: models.SuperResolver(3, 2, width=4, blocks=1), (IMAGES,)),
    "SelfOrganizingMap": (lambda: models.fit_som(IMAGES, 2, 1, seed=0, steps=2), (IMAGES,)),
    "DCGANGenerator": (lambda: models.DCGANGenerator(SHAPE, 5, width=4, classes=3), (CODES, LABELS)),
    "DCGANDiscriminator": (lambda: models.DCGANDiscriminator(SHAPE, width=4, classes=3), (IMAGES, LABELS)),
    "RandomFilters": (lambda: models.RandomFilters(5, 3, (1, 2), seed=4), (IMAGES,)),
    "ParallelLinear": (lambda: models.ParallelLinear(4, 5, 3), (CODES[:, None],)),
    "ParallelWaves": (lambda: models.ParallelWaves(4, 5, 3, 2.0), (CODES[:, None],)),
    "ItemWeights": (lambda: filled(models.ItemWeights(5)), (CODES,)),
    "FactorReader": (lambda: models.FactorReader(SHAPE, (0, 2.5), [1, np.float32(0.5)], width=4), (IMAGES,)),
    "MLPGenerator": (lambda: models.MLPGenerator(5, 3, hidden=(np.int64(6),)), (CODES,)),
    "MLPDiscriminator": (lambda: models.MLPDiscriminator(5, pack=2, activation="silu"), (CODES,)),
}


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEEPUNSUP_OUTPUT", raising=False)
    return tmp_path


def answer(model, inputs):
    torch.manual_seed(0)  # a VAE draws z
    out = model(*inputs)
    return torch.cat([part.flatten() for part in (out if isinstance(out, tuple | list) else (out,))])


def test_every_model_of_the_package_is_tried_here():
    classes = {name for name in models.__all__ if isinstance(getattr(models, name), type)}
    assert {name for name in classes if issubclass(getattr(models, name), nn.Module)} - {"VAE"} == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_with_the_same_answers(name):
    torch.manual_seed(1)
    make, inputs = MODELS[name]
    model = make()
    model(*inputs)  # moves the running means of batch normalisation
    path = save_model(model, f"{name}.safetensors")
    twin = load_model(path)
    assert type(twin) is type(model) and not twin.training and twin.config == model.config
    assert torch.equal(answer(twin, inputs), answer(model.eval(), inputs))
    assert read_header(path).class_name == f"deepunsup_helpers.models.{name}"


def test_it_is_written_where_said(working_directory, monkeypatch):
    model = MODELS["MLPVAE"][0]()
    assert save_model(model).resolve() == (working_directory / "model.safetensors").resolve()
    assert save_model(model, working_directory / "a" / "b.safetensors").is_file()
    monkeypatch.setenv("DEEPUNSUP_OUTPUT", str(working_directory / "run"))
    assert save_model(model, "c.safetensors") == working_directory / "run" / "c.safetensors"
    assert answer(load_model("c.safetensors"), (IMAGES,)).equal(answer(model, (IMAGES,)))
    assert load_model("model.safetensors")  # and what lies in the working directory


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_file_can_be_read_by_whoever_may_read_other_files():
    before = os.umask(0o022)
    try:
        path = save_model(MODELS["MLPVAE"][0]())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_what_new_data_need_comes_along():
    about = {"preprocessing": {"kind": "images", "image_size": [12, 10], "white": {"8": 255}}, "threshold": 0.5}
    path = save_model(MODELS["MLPVAE"][0](), classes=["$a_b$", "猫"], **about)
    for header in (load_model(path).header, read_header(path)):
        assert header.preprocessing == about["preprocessing"] and header.threshold == 0.5
        assert header.classes == ("$a_b$", "猫")
    bare = load_model(save_model(MODELS["MLPVAE"][0](), "bare.safetensors")).header
    assert bare.preprocessing is bare.classes is bare.threshold is None


class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)


def test_a_class_of_ones_own_is_filled_and_never_guessed():
    model, x = Mine(), torch.rand(4, 3)
    path = save_model(model)
    with pytest.raises(ValueError, match=r"holds a Mine, which is no class of .*load_model\(path, model\)"):
        load_model(path)
    other = Mine()
    assert load_model(path, other) is other and torch.equal(other(x), model(x))


def test_what_wraps_a_model_is_taken_off():
    from deepunsup_helpers.training import ema_copy

    model = MODELS["DCGANGenerator"][0]()
    twin = load_model(save_model(ema_copy(model)))
    assert torch.equal(answer(twin, (CODES, LABELS)), answer(model.eval(), (CODES, LABELS)))
    assert load_model(save_model(torch.compile(MODELS["MLPVAE"][0]()), "compiled.safetensors"))


def weights_file(**about):
    save_file(MODELS["MLPGenerator"][0]().state_dict(), "model.safetensors", metadata=about)


CLASS = "deepunsup_helpers.models.MLPGenerator"
FITS = '{"latent_dim": 5, "data_dim": 3, "hidden": [6]}'


@pytest.mark.parametrize(
    "about, message",
    [
        ({}, "holds weights alone"),
        ({"class": "os.system", "config": "{}"}, "holds a system, which is no class of"),
        ({"class": "deepunsup_helpers.models.mlp", "config": '{"sizes": [2, 3]}'}, "holds a mlp, which is no class"),
        ({"class": "deepunsup_helpers.models.gan.MLPGenerator", "config": FITS}, "is no class of"),
        ({"class": CLASS, "config": '{"latent_dimension": 5}'}, "its header does not build a MLPGenerator"),
        ({"class": CLASS, "config": "{"}, "the description in its header is damaged"),
        ({"class": CLASS, "config": FITS, "threshold": '"x"'}, "the description in its header is damaged"),
        (
            {"class": CLASS, "config": '{"latent_dim": 5, "data_dim": 3, "hidden": [9]}'},
            r"does not fit MLPGenerator: 'layers.0.weight' is \(6, 5\) in the file and \(9, 5\) in the model",
        ),
        (
            {"class": CLASS, "config": '{"latent_dim": 5, "data_dim": 3, "hidden": [6, 3]}'},
            "is absent in the file",
        ),
    ],
)
def test_a_file_that_is_not_this_model_is_said_in_one_sentence(about, message):
    weights_file(**about)
    with pytest.raises(ValueError, match=message) as error:
        load_model("model.safetensors")
    assert "\n" not in str(error.value)


def test_other_weights_leave_a_given_model_as_it_was():
    path = save_model(models.MLPGenerator(5, 3, hidden=(6, 6)))
    model = models.MLPGenerator(5, 3, hidden=(6, 7))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit"):
        load_model(path, model)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_no_byte_of_the_file_can_change_unnoticed():
    path = save_model(models.MLPGenerator(2, 2, hidden=(3,)), threshold=0.25)
    whole = path.read_bytes()
    for place in range(8, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError) as error:
            load_model(path)
        assert "\n" not in str(error.value)
    path.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_model(path)
    with pytest.raises(FileNotFoundError, match="no model file gone.safetensors"):
        load_model("gone.safetensors")


def full_disk(path, data):
    with open(path, "wb") as file:
        file.write(data[:10])
    raise OSError(28, "No space left on device")


def test_what_cannot_be_written_is_said_and_leaves_the_old_file(working_directory, monkeypatch):
    path = save_model(MODELS["MLPVAE"][0]())
    before = path.read_bytes()
    for wrong in ({"preprocessing": {"a": object()}}, {"preprocessing": {"a": float("nan")}}, {"threshold": np.inf}):
        with pytest.raises(ValueError, match=f"save_model: {next(iter(wrong))} cannot be written"):
            save_model(MODELS["MLPVAE"][0](), **wrong)
    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(OSError):
        save_model(MODELS["MLPVAE"][0]())
    assert path.read_bytes() == before and os.listdir(working_directory) == [path.name]
    (working_directory / "file").write_text("")
    monkeypatch.undo()
    with pytest.raises(OSError):
        save_model(MODELS["MLPVAE"][0](), working_directory / "file" / "model.safetensors")


def test_reading_a_header_needs_no_torch(working_directory):
    import subprocess
    import sys

    path = save_model(MODELS["MLPVAE"][0](), threshold=2)
    code = (
        "import sys; from deepunsup_helpers.saving import read_header\n"
        f"print(read_header({str(path)!r}).threshold, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=working_directory)
    assert run.stdout.split() == ["2.0", "False"], run.stderr
