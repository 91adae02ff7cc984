from __future__ import annotations

import gc
import threading
import time

import pytest

from lsinet_monai.data.video.prefetch import Prefetch


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "lsinet-prefetch"]


class Counter:
    """A source that counts its items, and records whether it was closed."""

    def __init__(self, end=10**9, error=None):
        self.made, self.closed, self.end, self.error = 0, threading.Event(), end, error

    def items(self):
        try:
            while self.made < self.end:
                self.made += 1
                yield self.made
            if self.error:
                raise self.error
        finally:
            self.closed.set()


def test_items_come_in_order_without_none():
    def source():
        yield from [None, 1, None, None, 2, 3, None]

    ahead = Prefetch(source(), 2)
    assert list(ahead) == [1, 2, 3]
    assert list(ahead) == []  # and again
    ahead.close()
    assert not threads()


def test_no_more_is_made_than_the_buffer_holds():
    counter = Counter()
    ahead = Prefetch(counter.items(), 3)
    assert [next(ahead) for _ in range(5)] == [1, 2, 3, 4, 5]
    ahead.close()
    assert counter.made <= 5 + 3 + 1 + 1  # taken, waiting, in the thread's hand, and one while it is being stopped
    assert counter.closed.is_set() and not threads()


def test_an_error_comes_where_its_item_would_have():
    ahead = Prefetch(Counter(2, KeyError("here")).items(), 5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(KeyError, match="here"):
        next(ahead)
    assert list(ahead) == []


def test_closing_wakes_a_waiting_reader(deadline):
    hold = threading.Event()

    def source():
        hold.wait(deadline)
        yield None

    ahead = Prefetch(source(), 1)
    got = []
    waiting = threading.Thread(target=lambda: got.append(list(ahead)))
    waiting.start()
    closing = threading.Thread(target=ahead.close)
    closing.start()
    hold.set()
    for thread in (waiting, closing):
        thread.join(deadline)
    assert got == [[]] and not threads()


def test_the_thread_ends_while_no_item_comes():
    def source():
        while True:
            time.sleep(1e-3)
            yield None

    Prefetch(source(), 1).close()
    assert not threads()


def test_a_buffer_that_nobody_reads_keeps_nothing_alive():
    ahead = Prefetch(Counter(1).items(), 1)
    ahead.close()
    del ahead
    gc.collect()
    assert not threads()
