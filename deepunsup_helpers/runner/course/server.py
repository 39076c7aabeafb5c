"""JupyterLab that ends when the command that started it is gone: `python -m ...server FD [arguments of JupyterLab]`."""

import os
import runpy
import signal
import sys
import threading


def end_with_starter(pipe: int) -> None:
    """Wait until nobody holds the other end of the pipe, then ask this server to end, its kernels with it."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_starter, args=(int(sys.argv.pop(1)),), daemon=True).start()
    runpy.run_module("jupyterlab", run_name="__main__", alter_sys=True)
