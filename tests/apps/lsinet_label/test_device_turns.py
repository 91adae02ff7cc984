"""Turns at the device, of threads and processes."""

from __future__ import annotations

import multiprocessing
import threading

import lib.device_turns
from filelock import FileLock
from lib.device_turns import DeviceTurns


def test_a_waiting_process_comes_before_one_that_asks_again(tmp_path, monkeypatch, wait_until):
    waiting, log = threading.Event(), []

    class WatchedLock(FileLock):
        def acquire(self, *arguments, **options):
            result = super().acquire(*arguments, **options)
            if threading.current_thread() is other:
                waiting.set()  # it has the first lock, and waits for the second
            return result

    def compute():
        with DeviceTurns(tmp_path, slice_seconds=0):
            log.append("other")

    monkeypatch.setattr(lib.device_turns, "FileLock", WatchedLock)
    other = threading.Thread(target=compute)
    with DeviceTurns(tmp_path, slice_seconds=0) as turns:
        other.start()
        wait_until(waiting.is_set)
        log.append("first")
        turns.hand_over()
        log.append("first again")
    other.join()
    assert log == ["first", "other", "first again"]


def test_one_computes_at_a_time_and_all_get_turns(tmp_path, wait_until):
    log, stop = [], threading.Event()

    def compute(name):
        with DeviceTurns(tmp_path, slice_seconds=0) as turns:
            while not stop.is_set():
                log.append(name)
                stop.wait(0.002)
                log.append(name)
                turns.hand_over()

    threads = [threading.Thread(target=compute, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    wait_until(lambda: min(log.count("a"), log.count("b")) >= 6)
    stop.set()
    for thread in threads:
        thread.join()
    assert log[::2] == log[1::2]


def _hold(folder, has_begun):
    DeviceTurns(folder).__enter__()
    has_begun.set()
    threading.Event().wait()


def test_a_process_that_dies_gives_its_turn_back(tmp_path, deadline):
    context = multiprocessing.get_context("spawn")
    has_begun = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, has_begun))
    process.start()
    assert has_begun.wait(deadline)
    process.kill()
    process.join()
    with DeviceTurns(tmp_path):
        pass
