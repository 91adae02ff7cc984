"""Turns at the device, which jobs and training share as different processes."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock

__all__ = ["DeviceTurns"]


class DeviceTurns:
    """Let processes compute in turns.

    A process that asks during a turn gets the next turn, so that none waits for more than one. A process that dies
    gives its turn back.

    Args:
        folder: for the locks, the same in all processes.
        slice_seconds: how long a turn lasts at least, see :meth:`hand_over`.
    """

    def __init__(self, folder: Path, slice_seconds: float = 3.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Two locks: a process that has just computed and asks again queues behind one that waits.
        self._next = FileLock(folder / ".next.lock")
        self._computes = FileLock(folder / ".computes.lock")
        self._slice_seconds = slice_seconds
        self._end = 0.0

    def __enter__(self) -> DeviceTurns:
        with self._next:
            self._computes.acquire()
        self._end = time.monotonic() + self._slice_seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._computes.release()

    def hand_over(self) -> None:
        """If the turn is over, let the next process compute, and wait for a turn. Call it between small pieces."""
        if time.monotonic() >= self._end:
            self.__exit__(None, None, None)
            self.__enter__()
