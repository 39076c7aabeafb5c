"""The library of matrix products is chosen once a machine, only where it is clearly faster and still fp32."""

import json

import pytest
import torch

from deepunsup_helpers.training import fit, seed_everything
from deepunsup_helpers.training.accelerators import products

if not torch.backends.mkldnn.is_available():
    pytest.skip("this torch has no oneDNN", allow_module_level=True)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, a fresh process's state, no GPU, nothing chosen by variables; all put back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(products, "cache_folder", lambda: tmp_path / "deepunsup")
    monkeypatch.delenv("DEEPUNSUP_PRODUCTS", raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    products.use_fastest_products.cache_clear()
    torch.set_float32_matmul_precision("highest")
    yield tmp_path / "deepunsup"
    torch.set_float32_matmul_precision("highest")
    products.use_fastest_products.cache_clear()


def again() -> bool:
    """What the next process would choose."""
    torch.set_float32_matmul_precision("highest")
    products.use_fastest_products.cache_clear()
    return products.use_fastest_products()


def relative_error(shape: tuple[int, int, int]) -> float:
    m, k, n = shape
    a, b = torch.randn(m, k), torch.randn(k, n)
    return ((a @ b - a.double() @ b.double()).abs() / (a.double().abs() @ b.double().abs())).max().item()


@pytest.mark.parametrize("ratio", [0.5, 1.1, None])
def test_products_stay_fp32_whatever_is_chosen(ratio, cache, monkeypatch):
    """Even where the measurement says that oneDNN is faster on a processor where it rounds."""
    if ratio is not None:
        monkeypatch.setattr(products, "_time_ratio", lambda: ratio)
    chosen = products.use_fastest_products()
    assert torch.get_float32_matmul_precision() == ("medium" if chosen else "highest")
    assert not (chosen and ratio == 1.1)
    torch.manual_seed(0)
    for shape in [(64, 300, 50), (1, 1000, 3), (500, 17, 129), (128, 784, 40)]:
        assert relative_error(shape) < 1e-6  # 2^-24 is 6e-8, bfloat16's 2^-9 is 2e-3


def test_rounded_products_are_forbidden_again(cache, monkeypatch):
    product = torch.Tensor.__matmul__

    def rounding(a, b):
        rounds = torch.get_float32_matmul_precision() == "medium" and a.dtype == torch.float32
        return product(a.bfloat16(), b.bfloat16()).float() if rounds else product(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounding)
    assert not products.use_fastest_products() and torch.get_float32_matmul_precision() == "highest"
    [path] = cache.iterdir()
    path.write_text(json.dumps({"use_onednn": True}))  # remembered from a processor that does not round
    assert not again() and torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("faster", [True, False])
def test_the_shortest_times_of_both_decide_and_a_disturbance_does_not(faster, cache, monkeypatch):
    """Nine of ten measurements are disturbed by anything up to a hundred times the true time."""
    true = {"highest": 1.0, "medium": 0.5 if faster else 0.9}
    disturbed = torch.Generator().manual_seed(0)

    def seconds(a, b):
        if torch.rand((), generator=disturbed) < 0.1:
            return true[torch.get_float32_matmul_precision()]
        return true[torch.get_float32_matmul_precision()] * (1 + 100 * float(torch.rand((), generator=disturbed)))

    threads = torch.get_num_threads()
    monkeypatch.setattr(products, "_permitted", lambda: True)
    monkeypatch.setattr(products, "_seconds", seconds)
    products.use_fastest_products()
    [path] = cache.iterdir()
    assert json.loads(path.read_text())["use_onednn"] == faster
    assert torch.get_float32_matmul_precision() == "highest" and torch.get_num_threads() == threads


def test_the_choice_is_remembered_and_a_damaged_memory_measured_anew(cache, monkeypatch):
    measured = []
    monkeypatch.setattr(products, "_time_ratio", lambda: measured.append(0.5 + len(measured) % 2) or measured[-1])
    monkeypatch.setattr(products, "_permitted", lambda: True)
    assert again() and again() and again() and len(measured) == 1
    [path] = cache.iterdir()
    assert path.stat().st_mode & 0o444 == 0o444 and torch.__version__ in json.loads(path.read_text())["machine"]
    for damage in ("", "{", "[]", '{"use_onednn": "yes"}'):
        path.write_text(damage)
        before = len(measured)
        assert again() == again() == (measured[-1] < 1) and len(measured) == before + 1


def test_another_processor_or_torch_is_measured_apart(cache, monkeypatch):
    monkeypatch.setattr(products, "_time_ratio", lambda: 0.5)
    monkeypatch.setattr(products, "_permitted", lambda: True)
    again()
    monkeypatch.setattr(products, "_processor", lambda: "another")
    again()
    monkeypatch.setattr(torch, "__version__", "2.99")
    again()
    assert len(list(cache.iterdir())) == 3


def test_a_cache_that_cannot_be_written_costs_a_measurement_and_nothing_else(cache, monkeypatch):
    cache.write_text("a file where the folder should be")
    ratios = iter([0.5, 1.5])
    monkeypatch.setattr(products, "_time_ratio", lambda: next(ratios))
    monkeypatch.setattr(products, "_permitted", lambda: True)
    assert again() and not again()


@pytest.mark.parametrize("reason", ["DEEPUNSUP_PRODUCTS", "CI", "gpu", "set by hand"])
def test_where_nothing_is_chosen(reason, cache, monkeypatch):
    monkeypatch.setattr(products, "_chosen", lambda: pytest.fail("it was asked"))
    if reason == "gpu":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    elif reason == "set by hand":
        torch.set_float32_matmul_precision("high")
    else:
        monkeypatch.setenv(reason, "default" if reason == "DEEPUNSUP_PRODUCTS" else "true")
    assert not products.use_fastest_products()
    assert torch.get_float32_matmul_precision() == ("high" if reason == "set by hand" else "highest")


@pytest.mark.parametrize("begin", [lambda: seed_everything(0), lambda: fit(len, [], epochs=0, state={})])
def test_a_notebook_and_a_training_begin_with_the_choice(begin, cache, monkeypatch):
    monkeypatch.setattr(products, "_chosen", lambda: True)
    monkeypatch.setattr(products, "_permitted", lambda: True)
    begin()
    assert products.use_fastest_products.cache_info().currsize == 1
