"""Turns on the device, which the processes of jobs and of training share."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock

__all__ = ["DeviceTurns"]


class DeviceTurns:
    """Let processes compute in turns.

    A process that waits comes before one that has just had a turn. A turn ends when its process dies.

    Args:
        folder: where the lock files are, the same for all processes.
        slice_seconds: the shortest turn, see :meth:`hand_over`.
    """

    def __init__(self, folder: Path, slice_seconds: float = 3.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # A waiting process holds the first lock, so that one that has just had a turn queues behind it.
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
        """If the turn is over, let a waiting process have the next one. Call this between small pieces of work."""
        if time.monotonic() >= self._end:
            self.__exit__(None, None, None)
            self.__enter__()
