"""What all tests share: threads, the data folder, and how stored notebook outputs are compared."""

import os
from pathlib import Path

from deepunsup_helpers.runner.threads import thread_variables

# Two workers with two threads each stop each other: give each its share of the cores, before torch loads.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _WORKERS > 1:
    os.environ.update(thread_variables(_WORKERS, os.environ))
if os.environ.get("DEEPUNSUP_DATA"):  # tests and kernels run in other folders than the caller's
    os.environ["DEEPUNSUP_DATA"] = str(Path(os.environ["DEEPUNSUP_DATA"]).expanduser().resolve())

import pytest  # noqa: E402

from deepunsup_helpers.record import MIME_TYPE  # noqa: E402

NOT_COMPARED = ("stderr", MIME_TYPE)


def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "cell") and hasattr(item.parent, "skip_compare"):  # a cell under nbval
            item.output_timeout = 60
            item.parent.skip_compare = (*item.parent.skip_compare, *NOT_COMPARED)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder with real MNIST, from DEEPUNSUP_DATA; skips without it, fails under CI."""
    folder = os.environ.get("DEEPUNSUP_DATA")
    if folder and (Path(folder) / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        return Path(folder)
    message = "real MNIST is not here: set DEEPUNSUP_DATA to a folder with MNIST/raw/*-ubyte"
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
