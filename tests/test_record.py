"""What leaves a notebook by name: claims that never stop it, in a plain script and in a kernel."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from toy_notebooks import variables

from deepunsup_helpers import claim
from deepunsup_helpers.record import CLAIM_MIME_TYPE


def fails():
    raise ValueError("no such class\nsecond line")


@pytest.mark.parametrize(("holds", "line"), [
    (True, "holds: it works"),
    (np.float64(1.0) < 2, "holds: it works"),
    (np.array(1.0) > 2, "does not hold: it works"),
    (torch.tensor(2.0) > 1, "holds: it works"),
    (torch.tensor([False]), "does not hold: it works"),
    (lambda: torch.tensor(1) == 1, "holds: it works"),
    (fails, "does not hold: it works (ValueError: no such class"),
    (None, "does not hold: it works (TypeError: expected true or false, got NoneType)"),
    ("no", "does not hold: it works (TypeError: expected true or false, got str)"),
    (0.3, "does not hold: it works (TypeError: expected true or false, got float)"),
])  # fmt: skip
def test_a_claim_says_in_one_line_whether_it_holds_and_never_raises(holds, line, capsys):
    claim("it works", holds)
    assert capsys.readouterr().out == line + "\n"


def test_a_claim_that_tells_about_several_values_does_not_hold(capsys):
    claim("all are small", np.array([True, False]))
    assert capsys.readouterr().out.startswith("does not hold: all are small (ValueError: ")


def test_a_claim_that_is_not_asked_calls_nothing(capsys):
    claim("it works", fails, when=np.bool_(False))
    assert capsys.readouterr().out == "not asked: it works\n"


def test_in_a_kernel_a_claim_travels_as_data_beside_its_line():
    script = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from IPython.utils.capture import capture_output\n"
        "from deepunsup_helpers import claim\n"
        "shell = InteractiveShell.instance()\n"
        "with capture_output() as seen:\n"
        "    claim('a', 1 < 2); claim('b', 1 > 2); claim('c', None, when=False)\n"
        "print([output.data for output in seen.outputs])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=variables(), capture_output=True, text=True, check=True)
    expected = [("a", True, "holds"), ("b", False, "does not hold"), ("c", None, "not asked")]
    assert eval(done.stdout) == [
        {CLAIM_MIME_TYPE: {"text": text, "holds": holds}, "text/plain": f"{line}: {text}"}
        for text, holds, line in expected
    ]


def test_a_plain_script_needs_no_ipython():
    script = (
        "import sys; sys.modules['IPython'] = None\nfrom deepunsup_helpers import claim, record\n"
        "record(loss=1.5); claim('small', True)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=variables(), capture_output=True, text=True, check=True)
    assert done.stdout == "recorded: loss\nholds: small\n"
