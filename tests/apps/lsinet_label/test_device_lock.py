"""Turns at the device, of threads and processes."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time

from lib.device_lock import DeviceTurns


def test_a_waiting_process_comes_before_one_that_asks_again(tmp_path):
    log, stop = [], threading.Event()

    def compute(name):
        turns = DeviceTurns(tmp_path, slice_seconds=0.2)
        with turns:
            while not stop.is_set():
                log.append(name)
                time.sleep(0.02)
                log.append(name)
                turns.hand_over()

    threads = [threading.Thread(target=compute, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    while len(log) < 150:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    pieces = log[::2]
    assert log[1::2] == pieces  # never both at once
    turns = [len(list(turn)) for _, turn in itertools.groupby(pieces)]
    # Ten pieces a turn; now and then one comes again before the other has asked.
    assert len(turns) > 3 and max(turns[1:-1]) <= 20


def _hold(folder, has_begun):
    DeviceTurns(folder).__enter__()
    has_begun.set()
    time.sleep(60)


def test_a_process_that_dies_gives_its_turn_back(tmp_path):
    context = multiprocessing.get_context("spawn")
    has_begun = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, has_begun))
    process.start()
    assert has_begun.wait(60)
    process.kill()
    process.join()
    with DeviceTurns(tmp_path):
        pass
