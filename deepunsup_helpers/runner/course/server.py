"""JupyterLab that ends when the command that started it is gone: `python -m ...server [arguments of JupyterLab]`."""

import os
import runpy
import signal
import threading
import time

STARTER = os.getppid()


def end_with_starter() -> None:
    """Wait until another process is our parent, then ask this server to end, its kernels with it."""
    while os.getppid() == STARTER:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_starter, daemon=True).start()
    runpy.run_module("jupyterlab", run_name="__main__", alter_sys=True)
