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


def is_blank(error: Exception) -> bool:
    """Whether an exception is a blank that waits for its answer, and not one of torch's NotImplementedErrors."""
    return isinstance(error, NotImplementedError) and (not str(error) or "replace this line" in str(error))


_KINDS = "numbers of two precisions or kinds met: make new tensors with torch.zeros_like or dtype=x.dtype"
_WHOLE = "torch cannot do this with whole numbers or truth values: make them .float() first"
_SHAPES = "two shapes that do not fit: print both shapes"
_SEVERAL = "several numbers stand where one is expected: reduce them, or take torch's function in place of math's"
_PAIR = "max, min, topk and sort along a dimension return two things: take .values or .indices"
_TRUTH = "`if`, `and`, `or` and `not` take one truth value: for many use torch.where, &, | and ~, or .all()"
_AXIS = "the array has fewer dimensions than this asks for: print its shape"
MEANINGS = {  # a part of torch's, NumPy's or Python's message: what it means to a learner
    "same dtype": _KINDS,
    "did not match": _KINDS,
    "scalar type": _KINDS,
    "implemented for": _WHOLE,
    "could not infer output dtype": _WHOLE,
    "only support floating": _WHOLE,
    "used as indices": "an index must be whole numbers or truth values: topk and sort give .indices",
    "bool tensor": "truth values cannot be subtracted: make them .float() first, or use ~ and ^",
    "boolean subtract": "truth values cannot be subtracted: make them .astype(float) first, or use ~ and ^",
    "leaf Variable": "an input that wants gradients is written into: work on a new tensor, or under torch.no_grad()",
    "modified by an inplace": "a value that the backward pass still needs was written over: work on a new tensor",
    "recursion": "the function calls itself without an end",
    "must match the size": f"{_SHAPES}, and use keepdim=True where you reduce",
    "could not be broadcast": f"{_SHAPES}, and use keepdims=True where you reduce",
    "mat1 and mat2 shapes": "the inner sizes of a matrix product differ: print both shapes; .T turns a matrix",
    "core dimension": "the inner sizes of a matrix product differ: print both shapes; .T turns a matrix",
    "inconsistent tensor size": _SHAPES,
    "tensor to be equal size": _SHAPES,
    "Sizes of tensors must match": _SHAPES,
    "same number of dimensions": f"{_SHAPES}; x[None] adds a dimension",
    "is invalid for input of size": "the numbers do not fill the shape asked for: print both",
    "does not require grad": "no gradient leads here: .detach(), .item() or no_grad() has cut it off",
    "second time": "backward() has been called on this before: compute the value anew",
    "did not converge": "there are NaN or infinite values in the matrix",
    "and 'function'": "a function stands where its value is meant: call it",
    "grad can be implicitly created": "backward() starts from one number: sum or average first",
    "must be Tensor, not": "torch's functions take tensors, not plain numbers: torch.tensor(2.0), or math's function",
    "must be real number": _SEVERAL,
    "onverted to Scalar": _SEVERAL,
    "onverted to Python scalar": _SEVERAL,
    "return_types.linalg": "qr, svd and eigh return several things: take .Q, .S, .eigenvalues",
    "return_types": _PAIR,
    "concatenate tuple": _PAIR,
    "Dimension out of range": _AXIS,
    "axis 1 is out of bounds": _AXIS,
    "than one value is ambiguous": _TRUTH,
    "than one element is ambiguous": _TRUTH,
    "Can't call numpy()": "gradients pass through this tensor and NumPy would cut them off: stay with torch's functions",
}
