"""The process in which a student's answers are judged: `python -P -m deepunsup_helpers.exercises.judge`.

Standard input holds one JSON table: `module`, `token`, and `jobs`, a list of [name of the exercise, its function, the code
that defines it]. On standard output comes a line when a job begins, the token and {"begins": 2}, and one when it ends,
the token and {"job": 2, "passed": false, "message": "..."}. What the code itself prints goes nowhere. Whoever starts
this watches the time and the memory.

The checks are those of the installed package, loaded before the student's code and out of its reach: that code imports a
second copy of the package. Functions of torch, NumPy and Python that it replaces are named, and nothing passes.
"""

import builtins
import contextlib
import ctypes
import importlib
import inspect
import json
import linecache
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "deepunsup_helpers"
LARGEST_FILE = 100 * 2**20  # bytes that an answer may write into one file
MOST_MEMORY = 4 * 2**30  # bytes that it may ask for


def main() -> None:
    """Judge what standard input asks for."""
    plan = json.load(sys.stdin)
    say = _verdicts(plan.pop("token"))
    _close_the_network()
    _limit()
    import numpy as np
    import torch

    torch.set_num_threads(1)
    exercises = importlib.import_module(f"{PACKAGE}.exercises.{plan['module']}")
    for name in ("toolkit", "errors"):
        importlib.import_module(
            f"{PACKAGE}.exercises.{name}"
        )  # which run_check would load later, in the student's copy
    ours = _modules()
    scopes = (builtins, math, np, np.linalg, torch, torch.Tensor, torch.nn.functional, torch.linalg, torch.testing,
              torch.autograd, torch.distributions.Distribution)  # fmt: skip
    before = {scope: dict(vars(scope)) for scope in scopes}
    for number, (name, function, source) in enumerate(plan["jobs"]):
        say({"begins": number})
        with _in_place(ours):
            run_check, exercise = ours[f"{PACKAGE}.exercises"].run_check, getattr(exercises, name)
        passed, message = _judged(source, function, lambda mine: run_check(mine, exercise), ours)  # noqa: B023
        replaced = [f"{scope.__name__}.{key}" for scope, old in before.items() for key, value in old.items()
                    if callable(value) and not _is(vars(scope).get(key), value)]  # fmt: skip
        if replaced:
            passed, message = False, f"the notebook puts another function in the place of {replaced[0]}: take that out"
            for scope, old in before.items():
                for key in old.keys() & {one.rpartition(".")[2] for one in replaced}:
                    setattr(scope, key, old[key])  # the next exercise has a verdict of its own
        say({"job": number, "passed": passed, "message": message})


def _judged(source: str, function: str, check: Callable, ours: dict[str, ModuleType]) -> tuple[bool, str]:
    """Run a student's code, then the check on the function it defines."""
    cell: dict[str, Any] = {"__name__": "__main__"}
    linecache.cache["<answer>"] = (len(source), None, source.splitlines(keepends=True), "<answer>")
    try:
        try:
            exec(compile(source, "<answer>", "exec"), cell)
        except Exception as error:
            told = ours[f"{PACKAGE}.exercises.errors"].told
            here = eval(compile("lambda: None", "<answer>", "eval"))  # where the line is looked for
            return False, f"the code above the check does not run: {told(error, here)}"
        with _in_place(ours):
            result = check(cell.get(function))
        return bool(result.passed), str(result.message)
    except SystemExit:
        return False, "the code ends the program (exit, quit or sys.exit): take that out"
    except KeyboardInterrupt:
        return False, "the code interrupts the program (KeyboardInterrupt)"


def _is(now: Any, before: Any) -> bool:
    """Whether a name still stands for the same function; torch wraps some of its own when a part of it is first used."""
    wrapped = getattr(now, "__code__", None) is not None and "torch" in Path(now.__code__.co_filename).parts
    return now is before or wrapped and inspect.unwrap(now) is before


def _verdicts(token: str) -> Callable[[dict], None]:
    """A function that writes a line to where standard output went; after this, prints go nowhere, and so does input."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    born = os.getpid()

    def say(line: dict) -> None:
        if os.getpid() != born:  # a child that the student's code has forked
            os._exit(1)
        channel.write(token + json.dumps(line) + "\n")
        channel.flush()

    return say


def _modules() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}


@contextlib.contextmanager
def _in_place(ours: dict[str, ModuleType]) -> Iterator[None]:
    """Inside, the package is the one loaded first; outside, the student's copy, which begins empty."""
    theirs = _modules()
    for name in theirs:
        del sys.modules[name]
    sys.modules.update(ours)
    try:
        yield
    finally:
        ours.update(_modules())  # what a check loaded meanwhile
        for name in _modules():
            del sys.modules[name]
        sys.modules.update({name: module for name, module in theirs.items() if ours.get(name) is not module})


def _close_the_network() -> None:
    """A network of its own, without a way out, where Linux allows it; elsewhere nothing happens."""
    if sys.platform == "linux":
        alone, as_user = 0x40000000, 0x10000000  # CLONE_NEWNET, CLONE_NEWUSER
        libc = ctypes.CDLL(None)
        _ = libc.unshare(alone) == 0 or libc.unshare(alone | as_user)


def _limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))


if __name__ == "__main__":
    main()
