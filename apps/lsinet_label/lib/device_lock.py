"""The device that jobs and training share, though they are different processes."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock

__all__ = ["DeviceTurns"]


class DeviceTurns:
    """Lets processes compute in turns: whoever asks while another computes is the next, so that none has to wait for
    more than one turn. A process that dies gives its turn back.

    Args:
        folder: the same one for all of them.
        slice_seconds: after so long :meth:`hand_over` lets the next one compute.
    """

    def __init__(self, folder: Path, slice_seconds: float = 3.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Whoever computes cannot be the next as well: who has waited comes before who asks again.
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
        """Let the next one compute, if the turn is over, and go on after it; to be called between small pieces."""
        if time.monotonic() >= self._end:
            self.__exit__(None, None, None)
            self.__enter__()
