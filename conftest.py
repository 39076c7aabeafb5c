"""What all tests share: threads, places, the data folder, and how a notebook is judged under nbval."""

import os
import tempfile
import time
from pathlib import Path

from deepunsup_helpers.runner.threads import thread_variables

# Fixed threads, so that numbers repeat; two workers share the cores. Set before torch loads, here and in kernels.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.update(thread_variables(_WORKERS, os.environ, fixed=True))
os.environ.setdefault("DEEPUNSUP_PRODUCTS", "default")  # the library of products, too: torch's own
if os.environ.get("DEEPUNSUP_DATA"):  # tests and kernels run in other folders than the caller's
    os.environ["DEEPUNSUP_DATA"] = str(Path(os.environ["DEEPUNSUP_DATA"]).expanduser().resolve())

import pytest  # noqa: E402

from deepunsup_helpers.record import CLAIM_MIME_TYPE, MIME_TYPE  # noqa: E402
from deepunsup_helpers.runner.notebook.digest import code_digest  # noqa: E402
from deepunsup_helpers.runner.notebook.files import read_notebook  # noqa: E402

NOT_COMPARED = ("stderr", MIME_TYPE)
ENOUGH = 90  # per cent of the claims asked: another processor may tip one


class Claims(pytest.Item):
    """The last check of a notebook under nbval: of the claims that its cells asked, nine in ten hold."""

    def __init__(self, *, cells, **rest):
        super().__init__(**rest)
        self.cells = cells

    def runtest(self):
        outputs = [output for cell in self.cells for output in cell.test_outputs or ()]
        claims = [output["data"][CLAIM_MIME_TYPE] for output in outputs if CLAIM_MIME_TYPE in output.get("data", ())]
        asked = [claim for claim in claims if claim["holds"] is not None]
        broken = [claim["text"] for claim in asked if not claim["holds"]]
        if not broken:
            return
        message = f"{len(asked) - len(broken)} of {len(asked)} claims hold; not: " + "; ".join(broken)
        if 100 * (len(asked) - len(broken)) < ENOUGH * len(asked):
            pytest.fail(message, pytrace=False)
        self.warn(pytest.PytestWarning(f"{self.path.name}: {message}"))

    def reportinfo(self):
        return self.path, 0, f"{self.path.name}::claims"


def is_cell(item) -> bool:
    """Whether a test is a cell under nbval."""
    return hasattr(item, "cell") and hasattr(item.parent, "skip_compare")


def pytest_configure(config):
    """What tests and notebooks save by a bare file name goes into a scratch folder; under nbval claims are counted."""
    scratch = tempfile.TemporaryDirectory(prefix="deepunsup-tests-")
    config.add_cleanup(scratch.cleanup)
    os.environ["DEEPUNSUP_OUTPUT"] = scratch.name
    if getattr(config.option, "nbval", False):
        os.environ["DEEPUNSUP_STRICT"] = "1"


def pytest_runtest_setup(item):
    """After DEEPUNSUP_LAST_START (seconds since 1970) no further notebook is begun under nbval: it is skipped by name."""
    last = os.environ.get("DEEPUNSUP_LAST_START")
    if last and hasattr(item.parent, "skip_compare") and item.parent.kernel is None and time.time() > float(last):
        pytest.skip(f"{item.path.name} was not started: the time for notebooks was used up")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tell nbval what not to compare, let the claims follow a notebook's last cell, and bring all into a good order."""
    cells = {}
    for item in filter(is_cell, items):
        cells.setdefault(item.parent, []).append(item)
    for notebook, its_cells in cells.items():
        notebook.skip_compare = (*notebook.skip_compare, *NOT_COMPARED)
        for cell in its_cells:
            cell.output_timeout = 60
        claims = Claims.from_parent(notebook, name="claims", cells=its_cells)
        items.insert(items.index(its_cells[-1]) + 1, claims)
    ranks = {path: rank(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: ranks[item.path])  # stable: a file's tests stay in their order


def rank(path: Path) -> tuple:
    """The order of files: smoke runs (the longest file), other tests, then notebooks under nbval.

    Of these, first those whose stored outputs were made by other code than what is there now (a slow hour may leave the
    rest out), and the longest first, so that no worker ends with a long one alone.
    """
    if path.suffix != ".ipynb":
        return (path.name != "test_notebooks.py",)
    notebook = read_notebook(path)
    return 2, notebook.about.get("digest") == code_digest(notebook), -(notebook.seconds or 0)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder with real MNIST, from DEEPUNSUP_DATA; skips without it, fails under CI."""
    folder = os.environ.get("DEEPUNSUP_DATA")
    if folder and (Path(folder) / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        return Path(folder)
    message = "real MNIST is not here: set DEEPUNSUP_DATA to a folder with MNIST/raw/*-ubyte"
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
