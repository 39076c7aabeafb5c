"""The process that executes one notebook: `python -P -m deepunsup_helpers.runner.run.worker`.

Its working directory holds plan.json and notebook.ipynb; the end of standard input means "stop". What happens is told on
standard output, one JSON event a line, in the words of execution.Outcome:

    {"total": 38}                          the kernel is up
    {"last_cell": 3}                       cell 3 begins
    {"done": [3, 0.2]}                     cell 3 ended after 0.2 s, well or not
    {"status": "completed", ...}           completed, failed, died or interrupted; then the process ends
"""

import _thread
import ast
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from ..errors import describe
from ..files import write_text
from .kernels import end_processes

SAVE_EVERY = 1.0  # least seconds between two saves while a cell is under way; ten times as long as a save takes

# Asked of the kernel after the last cell; evaluated there, where torch may be loaded.
FACTS = """(lambda modules, chosen: (lambda torch, threads: {
    "threads": list(threads.used_threads()) if threads else [torch.get_num_threads()] if torch else None,
    "device": (str(chosen) if chosen not in (None, "auto") else
               "cuda" if torch and torch.cuda.is_available() else
               "mps" if torch and torch.backends.mps.is_available() else "cpu"),
    "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
})(modules.get("torch"), modules.get("deepunsup_helpers.training.threads")))(
    __import__("sys").modules, globals().get("device"))"""


class Client(NotebookClient):
    """nbclient's client; it reports cells, saves the notebook as they end, and joins what they print in linear time."""

    def __init__(self, notebook: nbformat.NotebookNode, plan: dict[str, Any], send: Callable[..., None]):
        super().__init__(
            notebook, kernel_name="python3", startup_timeout=60, iopub_timeout=60, raise_on_iopub_timeout=True,
            store_widget_state=False, record_timing=False, resources={"metadata": {"path": plan["folder"]}},
            on_cell_executed=self.ended,
        )  # fmt: skip
        self.path, self.send = Path(plan["output"]), send
        self.is_up, self.began, self.next_save = False, 0.0, 0.0

    def ended(self, cell: nbformat.NotebookNode, cell_index: int, execute_reply: dict) -> None:
        """A cell ended, well or not: what it recorded shall survive whatever the next one does."""
        self.send(done=[cell_index, round(time.monotonic() - self.began, 3)])
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = overwritten("".join(output.text))
        self.save()

    def process_message(self, msg: dict, cell: nbformat.NotebookNode, cell_index: int) -> Any:
        """Take a message; a display whose content has the wrong types is kept as text."""
        try:
            return super().process_message(msg, cell, cell_index)
        except nbformat.ValidationError:
            msg["content"] |= {"data": {"text/plain": repr(msg["content"].get("data"))}, "metadata": {}}
            return super().process_message(msg, cell, cell_index)

    def output(self, outs: list, msg: dict, display_id: str | None, cell_index: int) -> Any:
        """Take an output; a printed text continues the one before it. (nbclient's way is quadratic in a line's length.)"""
        new = super().output(outs, msg, display_id, cell_index)
        if new is not None and new.output_type == "stream":
            new.text = [new.text]  # pieces, which the format allows too
            for earlier in reversed(outs[-3:-1]):  # stdout and stderr may take turns
                if earlier.output_type != "stream":
                    break
                if earlier.name == new.name:
                    earlier.text += outs.pop().text
                    break
        if time.monotonic() > self.next_save:
            self.save()
        return new

    def save(self) -> None:
        """Write the notebook as it is now."""
        began = time.monotonic()
        write_text(self.path, nbformat.writes(self.nb) + "\n")
        self.next_save = time.monotonic() + max(SAVE_EVERY, 10 * (time.monotonic() - began))

    def facts(self) -> dict[str, Any]:
        """Device and threads, from the kernel; nothing where it does not answer as it should."""
        try:
            reply = self.wait_for_reply(self.kc.execute("", silent=True, user_expressions={"facts": FACTS}))
            return ast.literal_eval(reply["content"]["user_expressions"]["facts"]["data"]["text/plain"])
        except Exception:
            return {}

    def run(self) -> dict[str, Any]:
        """Execute all cells; returns the final event."""
        with self.setup_kernel():
            self.is_up, status = True, "completed"
            self.send(total=len(self.nb.cells))
            try:
                for index, cell in enumerate(self.nb.cells):
                    if cell.cell_type == "code":
                        self.send(last_cell=index)
                        self.began = time.monotonic()
                        self.execute_cell(cell, index)
            except CellExecutionError:
                status = "failed"
            except DeadKernelError:
                return {"status": "died", "message": how_it_ended(self.km)}
            except KeyboardInterrupt:
                self.shutdown_kernel = "immediate"
                raise
            finally:
                self.save()
            return {"status": status, "facts": self.facts()}


def overwritten(text: str) -> str:
    """Text after its carriage returns: what stands before one in a line is gone, as a terminal shows it."""
    if "\r" not in text:
        return text
    return "\n".join(line[line.rfind("\r", 0, len(line) - 1) + 1 :] for line in text.split("\n"))


def how_it_ended(manager: Any) -> str:
    """Why a kernel is gone, as far as its exit status tells."""
    code = getattr(getattr(manager.provisioner, "process", None), "returncode", None)
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"it left with exit status {code}" if code else "it left by itself"


def to_execute(parameters: dict[str, Any]) -> nbformat.NotebookNode:
    """The notebook without outputs; papermill puts the parameters below the cell tagged `parameters`."""
    notebook = nbformat.v4.upgrade(nbformat.read("notebook.ipynb", as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if not parameters:
        return notebook
    from papermill.parameterize import parameterize_notebook  # 0.16 s

    notebook.metadata.setdefault("papermill", {})
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])  # papermill asks each
    return parameterize_notebook(notebook, parameters, kernel_name="python3", language="python")


def run(plan: dict[str, Any], send: Callable[..., None]) -> dict[str, Any]:
    """Execute the plan's notebook; a kernel that does not start gets one more try. Returns the final event."""
    for attempt in (1, 2):
        client = None
        try:
            client = Client(to_execute(plan["parameters"]), plan, send)
            return client.run()
        except KeyboardInterrupt:
            return {"status": "interrupted"}
        except Exception as error:
            message = describe(error).strip().splitlines()[0]
            if client is None:
                return {"status": "failed", "message": f"the notebook cannot be run: {message}"}
            if client.is_up:
                full_disk = isinstance(error, OSError)
                return {"status": "failed" if full_disk else "died", "message": message}
            if attempt == 2:
                return {"status": "died", "message": f"the kernel did not start ({message})"}


def stop_with_input() -> None:
    """Interrupt the main thread when standard input ends: the runner wants to stop, or is gone."""
    sys.stdin.buffer.read()
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        _thread.interrupt_main()


def main() -> None:
    """Read the plan, execute, send the end, leave without waiting for anything."""
    plan = json.loads(Path("plan.json").read_text(encoding="utf-8"))
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")  # not inherited by the kernel
    os.dup2(2, 1)  # what libraries print goes to the log

    def send(**event: Any) -> None:
        with contextlib.suppress(OSError):  # the runner is gone: the end of standard input says so too
            print(json.dumps(event), file=events, flush=True)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=stop_with_input, daemon=True).start()
    try:
        send(**run(plan, send))
    finally:
        end_processes(plan["mark"])  # the runner does so too, if it lives
        os._exit(0)  # an interrupted event loop may hold tasks that never end


if __name__ == "__main__":
    main()
