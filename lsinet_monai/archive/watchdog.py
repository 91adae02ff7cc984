"""The end of a process that hangs."""

from __future__ import annotations

import faulthandler
import sys
import time
from types import TracebackType
from typing import Any

from ignite.engine import Engine, Events

__all__ = ["Watchdog"]

_SHARE = 0.1
"""The clock is set back at most this often, as a share of the limit, because that starts a thread."""


class Watchdog:
    """Ends this process if nothing is done for a while, so that a video that hangs costs a worker, and not the run.

    It works from a thread that needs no Python, so code that hangs in a library is ended too. The place where it hung
    is written to the standard error. As a handler it counts each iteration of an engine as something done.

    Args:
        seconds: how long, in seconds; up to a tenth less is enough.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("inf")

    def __enter__(self) -> Watchdog:
        self._next = 0.0
        self.pulse()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._next = float("inf")

    def pulse(self) -> None:
        """Note that something was done. Outside of ``with`` this does nothing."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SHARE * self._seconds
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=sys.__stderr__ or sys.stderr)

    def attach(self, engine: Engine) -> None:
        """Count each iteration of an engine.

        Args:
            engine: the engine.
        """
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._on_iteration)

    def _on_iteration(self, engine: Any) -> None:
        self.pulse()
