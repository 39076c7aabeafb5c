"""The process that executes one notebook with papermill: `python -m deepunsup_helpers.runner.run.worker`.

Its first line of standard input is the plan (JSON); the end of standard input means "stop". What happens is told on
standard output, one JSON event a line:

    {"event": "start", "total": 38}                          the kernel is up
    {"event": "cell", "index": 3}                            cell 3 begins
    {"event": "done", "index": 3, "seconds": 0.2}            cell 3 ended, well or not
    {"event": "end", "status": "completed", ...}             completed, failed, died or stopped; then the process ends
"""

import ast
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.log import logger

from ..files import write_text

SAVE_EVERY = 1.0  # seconds between two saves of a notebook that is under way; more where saving takes long

# Asked of the kernel after the last cell; evaluated there, where torch may be loaded.
FACTS = """(lambda torch, chosen: {
    "threads": torch.get_num_threads() if torch else None,
    "device": (str(chosen) if chosen not in (None, "auto") else
               "cuda" if torch and torch.cuda.is_available() else
               "mps" if torch and torch.backends.mps.is_available() else "cpu"),
    "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
})(__import__("sys").modules.get("torch"), globals().get("device"))"""


class Client(PapermillNotebookClient):
    """Papermill's client, which also asks the kernel for its device and kills it when told to stop."""

    facts: dict[str, Any] = {}

    def papermill_execute_cells(self) -> None:
        """Run the cells, then ask."""
        try:
            super().papermill_execute_cells()
            reply = self.wait_for_reply(self.kc.execute("", silent=True, user_expressions={"facts": FACTS}))
            answer = (reply or {}).get("content", {}).get("user_expressions", {}).get("facts", {})
            if answer.get("status") == "ok":
                type(self).facts = ast.literal_eval(answer["data"]["text/plain"])
        except KeyboardInterrupt:
            self.shutdown_kernel = "immediate"
            raise


class Watch:
    """Follows one execution: tells events, saves the notebook atomically, remembers whether a cell failed."""

    def __init__(self, path: Path, tell: Any):
        self.path, self.tell = path, tell
        self.started, self.failed = False, False
        self._next_save = 0.0
        self._cell_began = 0.0

    def attach(self, manager: Any) -> None:
        """Replace the manager's save and wrap what it is told about cells."""
        start, complete, fail = manager.cell_start, manager.cell_complete, manager.cell_exception

        def save(nb: Any = None, force: bool = False, **_: Any) -> None:
            manager.nb = nb or manager.nb
            manager.last_save_time = manager.now()
            began = time.monotonic()
            if force or began >= self._next_save:
                write_text(self.path, nbformat.writes(manager.nb) + "\n")
                ended = time.monotonic()
                self._next_save = ended + max(SAVE_EVERY, 10 * (ended - began))

        def cell_start(cell: Any, index: int, **rest: Any) -> None:
            if not self.started:
                self.started = True
                self.tell(event="start", total=len(manager.nb.cells))
            self.tell(event="cell", index=index)
            self._cell_began = time.monotonic()
            start(cell, index, **rest)

        def cell_complete(cell: Any, cell_index: int, **rest: Any) -> None:
            self.tell(event="done", index=cell_index, seconds=round(time.monotonic() - self._cell_began, 3))
            complete(cell, cell_index, **rest)

        def cell_exception(cell: Any, cell_index: int, **rest: Any) -> None:
            self.failed = True
            fail(cell, cell_index, **rest)

        manager.save, manager.cell_start, manager.cell_complete = save, cell_start, cell_complete
        manager.cell_exception = cell_exception
        manager.autosave_cell_every = SAVE_EVERY


def register(watch: Watch) -> None:
    """Make papermill's engine 'watched' use the client and the watch."""

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, start_timeout: int = 60, **_: Any) -> None:
            watch.attach(nb_man)
            client = Client(
                nb_man, kernel_name=kernel_name, log=logger, timeout=None, startup_timeout=start_timeout,
                iopub_timeout=60, store_widget_state=False, coalesce_streams=True,
            )  # fmt: skip
            try:
                client.execute()
            finally:
                nb_man.save(force=True)

    papermill_engines.register("watched", Engine)


def run(plan: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Execute the plan's notebook; a kernel that does not start gets one more try.

    Returns:
        the final event: status and, where the kernel died, a message.
    """
    register(watch)
    for attempt in (1, 2):
        try:
            papermill.execute_notebook(
                plan["notebook"], None, parameters=plan["parameters"], engine_name="watched", kernel_name="python3",
                language="python", progress_bar=False,
            )  # fmt: skip
        except KeyboardInterrupt:
            return {"status": "stopped"}
        except PapermillExecutionError:
            pass  # judged by the watch below: papermill takes an expected error (`raises-exception`) for a failure
        except Exception as error:
            if not watch.started and attempt == 1:
                continue
            told = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            return {"status": "died", "message": told if watch.started else f"the kernel did not start ({told})",
                    "dead_kernel": isinstance(error, DeadKernelError)}  # fmt: skip
        break
    return {"status": "failed" if watch.failed else "completed"}


def stop_with_input() -> None:
    """Interrupt the main thread when standard input ends: the runner wants to stop, or is gone."""
    sys.stdin.buffer.read()
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        import _thread

        _thread.interrupt_main()


def main() -> None:
    """Read the plan, execute, tell the end, leave without waiting for anything."""
    plan = json.loads(sys.stdin.buffer.readline())
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")  # not inherited by the kernel
    os.dup2(2, 1)  # what libraries print goes to the log

    def tell(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=stop_with_input, daemon=True).start()
    watch = Watch(path=Path(plan["output"]), tell=tell)
    try:
        end = run(plan, watch)
        tell(event="end", facts=Client.facts, **end)
    finally:
        os._exit(0)  # an interrupted event loop may hold tasks that never end


if __name__ == "__main__":
    main()
