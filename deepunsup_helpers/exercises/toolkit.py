"""What the checks of all exercises are made of: calls, numbers of any type, likely mistakes, gradients, noise, errors.

A check reads like a list of properties. Each of these functions lets a right answer through and raises `Wrong` with a
sentence for the learner: what was given, what was expected, what to do.
"""

import copy
import inspect
import numbers
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

ANY_NUMBER = (numbers.Number, np.generic, np.ndarray, Tensor)


class Wrong(Exception):
    """An answer lacks a property; the text says which."""


def require(holds: bool, message: str) -> None:
    """Raise `Wrong(message)` unless the property holds."""
    if not holds:
        raise Wrong(message)


@contextmanager
def fits(message: str) -> Iterator[None]:
    """Inside, an error about a shape or an index is Wrong(message): the answer is made for other sizes."""
    try:
        yield
    except NotImplementedError:  # a blank, or a kind of numbers; it is a RuntimeError, too
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise Wrong(f"{message} ({type(error).__name__})") from None


def draw(*shape: int, seed: int, low: float | None = None, high: float = 1.0) -> Tensor:
    """Test data, float32 as in the notebooks: standard normal, or uniform from `low` to `high`; no global draw."""
    generator = torch.Generator().manual_seed(seed)
    if low is None:
        return torch.randn(*shape, generator=generator)
    return low + (high - low) * torch.rand(*shape, generator=generator)


# --- calling the learner's function ---------------------------------------------------------------------------------


def call(mine: Callable, *given: Any, **options: Any) -> Any:
    """What `mine` returns; Wrong if it changes its arguments, seeds a global generator, or returns nothing."""
    names = _argument_names(mine, given, options)
    before, state = copy.deepcopy([_data(value) for value in given]), _generators()
    found = mine(*given, **options)
    for name, value, old in zip(names, given, before):
        require(
            _equal(_data(value), old),
            f"`{name}` itself was changed: -=, sort(), x[...] = and what ends in _ write into the caller's data. "
            "Work on a new one",
        )
    require(found is not None, "nothing came back: the function ends without `return`")
    if _generators() != state:
        after = torch.get_rng_state(), np.random.get_state(), random.getstate()
        seeded = sets_a_seed(lambda: mine(*given, **options))
        torch.set_rng_state(after[0]), np.random.set_state(after[1]), random.setstate(after[2])
        require(
            not seeded,
            "a seed is set inside: whoever calls this draws the same numbers again and again, here and in every cell "
            "that follows. Draw without a seed",
        )
    return found


def sets_a_seed(run: Callable[[], object]) -> bool:
    """Whether a generator is left in the same state by two runs that began in different ones."""
    ends = []
    for begin in (101, 102):
        torch.manual_seed(begin), np.random.seed(begin), random.seed(begin)
        start = _generators()
        run()
        ends.append([None if a == b else b for a, b in zip(start, _generators())])
    return any(a is not None and a == b for a, b in zip(*ends))


def _argument_names(mine: Callable, given: tuple, options: dict) -> list[str]:
    require(callable(mine), f"this is {type(mine).__name__}, no function (TypeError): run the cell that defines it")
    try:
        bound = inspect.signature(mine).bind(*given, **options)
    except TypeError as error:
        raise Wrong(
            f"it cannot be called as the notebook does (TypeError: {error}): leave the `def` line as it was"
        ) from None
    except ValueError:  # a built-in without a signature
        return len(given) * ["an argument"]
    return [*bound.arguments, *(len(given) * ["an argument"])]  # more than enough, where it takes *arguments


def _data(value: Any) -> Any:
    """What is compared before and after a call: arrays and lists; a function or a module is not."""
    if isinstance(value, Tensor):
        return value.detach()
    return value if isinstance(value, (np.ndarray, list, tuple, str, *ANY_NUMBER)) else None


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (Tensor, np.ndarray)):
        return a.shape == b.shape and np.array_equal(np.asarray(a), np.asarray(b))
    return a == b


def _generators() -> list:
    legacy = np.random.get_state()
    return [torch.get_rng_state().numpy().tobytes(), (legacy[1].tobytes(), *legacy[2:]), random.getstate()]


@contextmanager
def generators_kept() -> Iterator[None]:
    """The global generators of torch, NumPy and Python, as they were before; inside they begin at a fixed place."""
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()
    begin = 905_163_274  # which no learner's answer seeds
    torch.manual_seed(begin), np.random.seed(begin), random.seed(begin)
    try:
        yield
    finally:
        torch.set_rng_state(kept[0]), np.random.set_state(kept[1]), random.setstate(kept[2])


# --- numbers of any type --------------------------------------------------------------------------------------------


def number(found: Any, what: str = "one number") -> float:
    """A Python, NumPy or torch number (0-d) as a float; Wrong for anything else, and for NaN."""
    kind = type(found).__name__
    require(isinstance(found, ANY_NUMBER), f"expected {what}; this returned {kind}")
    if isinstance(found, (Tensor, np.ndarray)):
        require(found.ndim == 0, f"expected {what}; this returned an array of shape {tuple(found.shape)}")
        found = found.item()
    require(not isinstance(found, (bool, np.bool_, complex)), f"expected {what}; this returned {found}")
    value = float(found)
    require(value == value, f"expected {what}; this returned NaN (0 / 0, or the logarithm of a negative number)")
    return value


def tensor(
    found: Any, shape: tuple[int, ...], hints: dict[tuple, str] | None = None, *, slopes: bool = False
) -> Tensor:
    """An array of the expected shape and finite values as a tensor; `hints`: a wrong shape to what it tells.

    With `slopes` it must be a tensor from the start, so that gradients can pass.
    """
    if isinstance(found, (list, tuple)) and any(isinstance(part, Tensor) and part.ndim for part in found):
        kind = type(found).__name__
        raise Wrong(
            f"expected one array of shape {shape}; this returned {kind} of {len(found)}: torch.stack joins rows"
        )
    if slopes:
        require(
            isinstance(found, Tensor),
            f"expected a tensor, which gradients can pass; this returned {type(found).__name__} "
            "(.item(), .numpy() and float() cut them off)",
        )
    try:
        found = torch.as_tensor(np.real_if_close(found) if isinstance(found, np.ndarray) else found)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"expected an array of shape {shape}; this returned {type(found).__name__}") from None
    got = tuple(found.shape)
    require(got == shape, (hints or {}).get(got, f"expected shape {shape}; this returned shape {got}"))
    require(
        bool(torch.isfinite(found).all()),
        "not every value is finite: something divides by 0, overflows, or takes a root or logarithm out of its range",
    )
    return found


def close(a: Any, b: Any, rtol: float = 1e-3, atol: float = 1e-6) -> bool:
    """Equal up to rounding, whatever the types and the precision; never for unlike shapes or NaN."""
    a, b = (torch.as_tensor(value).detach().double() for value in (a, b))
    return a.shape == b.shape and torch.allclose(a, b, rtol=rtol, atol=atol)


def expect(found: Any, right: Any, mistakes: dict[str, Any], otherwise: str, **tolerance: float) -> None:
    """Wrong with the name of the mistake that gives what was found, or with `otherwise`, unless it is `right`."""
    if close(found, right, **tolerance):
        return
    named = (message for message, value in mistakes.items() if close(found, value, **tolerance))
    raise Wrong(next(named, otherwise))


def expect_gradients(mine: Callable, reference: Callable, given: dict[str, Tensor], only: Iterable[str] = ()) -> None:
    """The slopes of the summed result in the arguments are the reference's (in those of `only`, if given)."""
    slopes = []
    for function in (reference, mine):
        leaves = {name: value.clone().requires_grad_() for name, value in given.items()}
        total = function(*leaves.values()).sum()
        if total.requires_grad:
            total.backward()
        slopes.append({name: leaf.grad for name, leaf in leaves.items()})
    for name in only or given:
        theirs, ours = (part[name] for part in slopes)
        require(
            ours is not None and bool(ours.any()),
            f"no gradient reaches {name}: `.detach()`, `.data`, `.item()` and no_grad() cut it off",
        )
        require(close(ours, theirs, atol=1e-5), f"the value is right, its slope in {name} is not: a part is cut off")


# --- noise ----------------------------------------------------------------------------------------------------------


def expect_standard_normal(noise: Tensor, again: Tensor, name: str = "eps") -> None:
    """`noise` and `again`, (N, D) with N D of at least 30,000, are independent draws of N(0, 1), every number anew."""
    noise, again = noise.detach().double(), again.detach().double()
    require(not close(noise, torch.zeros_like(noise)), f"there is no noise in it: {name} is always 0")
    require(not close(noise, again), f"{name} is the same in every call: a generator is seeded, or the draw is kept")
    require(float(noise.std(0).max()) > 1e-6, f"all rows share one {name}: draw as many numbers as there are entries")
    columns = torch.corrcoef(noise.T).abs().reshape(noise.shape[1], -1)
    require(
        noise.shape[1] == 1 or float((columns - torch.eye(len(columns))).max()) < 0.1,
        f"the entries of a row share one {name}: draw as many numbers as there are entries",
    )
    values = noise.flatten()
    require(len(values.abs().unique()) > 0.9 * len(values), f"numbers of {name} come up twice: draw every one anew")
    mean, deviation = float(values.mean()), float(values.std())
    low, high = float(values.min()), float(values.max())
    if low > -0.01 and high < 1.01:
        raise Wrong(f"{name} is uniform on [0, 1]: it needs the standard normal, randn, not rand")
    five = 5 / len(values) ** 0.5  # standard errors of the mean
    require(abs(mean) < five, f"{name} has mean {mean:.3f} where 0 is expected")
    require(abs(deviation - 1) < five / 2**0.5, f"{name} has standard deviation {deviation:.3f} where 1 is expected")
    tails = float(((values - mean) / deviation).pow(4).mean())
    normal = stats.kstest(values.numpy(), "norm").pvalue > 1e-6 and abs(tails - 3) < 0.15
    require(
        normal and max(-low, high) > 3.55,
        f"mean and variance of {name} are right, its law is not: it reaches from {low:.1f} to {high:.1f}, with a "
        f"fourth moment of {tails:.2f} where the normal's is 3. Draw it with randn, and neither clamp nor round it",
    )
