"""Items made ahead in the background, up to the size of a buffer."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Empty, Queue
from typing import Generic, TypeVar

__all__ = ["Prefetch"]

T = TypeVar("T")


class _End:
    """The last entry in a buffer, with the error that ended the source, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetch(Iterator[T], Generic[T]):
    """An iterator whose items one thread makes ahead.

    An error in the source is raised in place of the item that it prevented.

    Args:
        source: makes the items; it runs, and is closed, in the thread. None is skipped: a source that takes long for an
            item should yield it now and then, so that :meth:`close` can stop the thread.
        limit: the largest number of items that wait in the buffer.
    """

    # MONAI's ThreadBuffer does not raise the source's errors to the reader: it would end the video silently.

    def __init__(self, source: Generator[T | None, None, None], limit: int) -> None:
        self._buffer: Queue[T | _End] = Queue(max(1, limit))
        self._stop = threading.Event()
        # Without a reference from the thread, this object can be garbage-collected and closed while the thread runs.
        self._thread = threading.Thread(
            target=_fill, args=(source, self._buffer, self._stop), name="lsinet-prefetch", daemon=True
        )
        self._thread.start()

    def __next__(self) -> T:
        item = self._buffer.get()
        if not isinstance(item, _End):
            return item
        self._buffer.put(_End())  # for later calls
        if item.error is not None:
            raise item.error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread, wait until it has ended, and drop the buffer. A reader that waits gets a StopIteration."""
        self._stop.set()
        self._drain()  # makes room for the one item that the thread may still be adding
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._drain()
        self._buffer.put(_End())

    def _drain(self) -> None:
        try:
            while True:
                self._buffer.get_nowait()
        except Empty:
            pass


def _fill(source: Generator[T | None, None, None], buffer: Queue[T | _End], stop: threading.Event) -> None:
    end = _End()
    try:
        for item in source:
            if stop.is_set():
                break
            if item is not None:
                buffer.put(item)
    except BaseException as error:  # any error belongs to the reader
        end.error = error
    finally:
        source.close()
        if not stop.is_set():
            buffer.put(end)
