"""Work done ahead, in the background, as far as a bounded buffer allows."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Empty, Queue
from typing import Generic, TypeVar

__all__ = ["Prefetch"]

T = TypeVar("T")


class _End:
    """The last thing in a buffer: nothing follows, and perhaps an error says why."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetch(Iterator[T], Generic[T]):
    """An iterator whose items are made ahead by one thread.

    Args:
        source: makes the items. It runs, and is closed, in the thread. A None is no item: by yielding it a source that
            works long for one item lets :meth:`close` come through.
        limit: how many items may wait.

    An error in the source is raised where its item would have come. :meth:`close` returns when the thread has ended.
    """

    def __init__(self, source: Generator[T | None, None, None], limit: int) -> None:
        self._buffer: Queue[T | _End] = Queue(max(1, limit))
        self._stop = threading.Event()
        # The thread holds no reference to this object, which can so be collected, and closed, while it runs.
        self._thread = threading.Thread(
            target=_fill, args=(source, self._buffer, self._stop), name="lsinet-prefetch", daemon=True
        )
        self._thread.start()

    def __next__(self) -> T:
        item = self._buffer.get()
        if not isinstance(item, _End):
            return item
        self._buffer.put(_End())  # for whoever asks again
        if item.error is not None:
            raise item.error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread, and drop what is in the buffer. Whoever waits for an item is told that there is none."""
        self._stop.set()
        self._drain()  # after this the thread finds room for the item that it may be holding, and puts no other
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
    except BaseException as error:  # whatever it is, it belongs to who asks for the items
        end.error = error
    finally:
        source.close()
        if not stop.is_set():
            buffer.put(end)
