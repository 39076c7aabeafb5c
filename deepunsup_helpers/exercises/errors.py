"""What an exception in the learner's code means, in one sentence."""

import inspect
import linecache
from collections.abc import Callable


def told(error: Exception, mine: Callable) -> str:
    """An exception in the learner's code, in one sentence: her line, what happened, what it usually means."""
    first = str(error).strip().partition("\n")[0]
    meaning = next((words for sign, words in MEANINGS.items() if sign in str(error)), "")
    if isinstance(error, NameError):  # Python's own words name the name
        meaning = f"{first}: a slip of the pen, or a cell that was not run"
    said = ": ".join(filter(None, [type(error).__name__, meaning or first]))
    return f"{_where(error, mine)}raised {said}"


def _where(error: Exception, mine: Callable) -> str:
    """ "line 3, `y = x @ W`, " : the innermost line of the file or cell in which the learner's function stands."""
    code = getattr(inspect.unwrap(mine) if callable(mine) else mine, "__code__", None)
    trace, found = error.__traceback__, None
    while trace is not None:
        if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
            found = trace
        trace = trace.tb_next
    if found is None:
        return "it "
    text = linecache.getline(code.co_filename, found.tb_lineno).strip()
    return f"line {found.tb_lineno}" + (f", `{text[:60]}{'...' if len(text) > 60 else ''}`, " if text else " ")


_KINDS = "numbers of two precisions or kinds met: make new tensors with torch.zeros_like or dtype=x.dtype"
MEANINGS = {  # a part of torch's or Python's message: what it means to a learner
    "same dtype": _KINDS,
    "did not match": _KINDS,
    "scalar type": _KINDS,
    "implemented for": "torch cannot do this with whole numbers or truth values: make them .float() first",
    "leaf Variable": "an input that wants gradients is written into: work on a new tensor, or under torch.no_grad()",
    "modified by an inplace": "a value that the backward pass still needs was written over: work on a new tensor",
    "recursion": "the function calls itself without an end",
    "must match the size": "two shapes that do not fit: print both shapes, and use keepdim=True where you reduce",
    "could not be broadcast": "two shapes that do not fit: print both shapes, and use keepdims=True where you reduce",
    "mat1 and mat2 shapes": "the inner sizes of a matrix product differ: print both shapes; .T turns a matrix",
    "grad can be implicitly created": "backward() starts from one number: sum or average first",
}
