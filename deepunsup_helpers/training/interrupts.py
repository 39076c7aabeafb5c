"""Ctrl-C between two steps, never within one."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class HeldInterrupts:
    """`with interrupts:` lets the block end before a Ctrl-C that came meanwhile counts; a second Ctrl-C does not wait.

    So no optimizer stops halfway through a network's weights. Where signals are not this thread's, nothing is held.
    """

    def __init__(self) -> None:
        self._inside = self._came = False

    def __enter__(self) -> None:
        self._inside = True

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._inside = False
        if self._came and kind is None:
            self._came = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Only inside this are interrupts held."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self._inside and not self._came:
                self._came = True
            else:
                before(number, frame)

        signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
