"""Who does which video: workers take videos one by one, failed ones are tried again, and lost workers are replaced."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lsinet_monai.archive.failures import Failures
from lsinet_monai.archive.segmenter import Outcome
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError

__all__ = ["Engine", "Event", "run_all"]

_FALSE_STARTS = 3
"""After this many workers in a row that end before they are ready, no more are started for a while than there are."""

_PAUSE = 300.0  # seconds

_LOSSES = 10
"""A video under which more machines than this are lost may be the reason: each further loss is a failure."""

_BREAKS = 3
"""A machine on which this many videos break, and none is done between them, gets no more, if others work."""

_MOST_BREAKS = 10
"""If no other works, the run ends after so many for each worker."""

Worker = Hashable


@dataclass(frozen=True)
class Event:
    """What happened to a worker.

    Args:
        worker: the worker.
        kind: "ready", when it has loaded the network; "outcome", when it has done what it could for a video; "died"; or
            "lost", if its machine is gone.
        outcome: for "outcome"; and for "ready", of kind "stop" if something keeps it from working.
        reason: for "died" and "lost" why, in one line.
    """

    worker: Worker
    kind: Literal["ready", "outcome", "died", "lost"]
    outcome: Outcome | None = None
    reason: str = ""


class Engine(Protocol):
    """What starts workers, here or on other machines, and passes videos to them."""

    def capacity(self) -> int:
        """How many workers there is room for now, without those that rest. Machines may come and go."""

    def start(self) -> Worker:
        """Begin to start a worker; its event "ready" comes later."""

    def submit(self, worker: Worker, video: ArchiveVideo) -> None:
        """Give a video to a worker that has none."""

    def rest(self, worker: Worker) -> None:
        """Keep a worker that gets no video, so that no other starts in its place. Its end is an event."""

    def end(self, worker: Worker) -> None:
        """End a worker. No event of it comes any more."""

    def wait(self) -> Sequence[Event]:
        """Wait a moment for events, and return those that came."""


def run_all(
    engine: Engine,
    videos: Sequence[ArchiveVideo],
    failures: Failures,
    on_done: Callable[[dict[str, Any]], None],
    on_failed: Callable[[ArchiveVideo], None],
    on_wait: Callable[[int], None] = lambda busy: None,
    on_trouble: Callable[[str], None] = lambda reason: None,
    patience: float = 600.0,
) -> None:
    """Do all videos, the largest first, so that no long one is left for a single worker in the end.

    A video that failed waits behind the others for its next try. If its worker died under it, that is a failure too,
    because the video may be the reason; if the machine is gone, it is not, but for the eleventh time.

    A worker whose machine lacks something gets no video, and rests: a new one would start in its place. So does a
    worker on a machine that breaks videos and does none, while others work. If workers die before they are ready, none
    is started beyond those that are there, for five minutes.

    Args:
        engine: starts the workers.
        videos: what to do, without those that are set aside.
        failures: notes each failure, and says when a video is set aside.
        on_done: called with the row of each video that is done.
        on_failed: called after each failure.
        on_wait: called after each wait with the number of videos under way.
        on_trouble: called with the reason when a worker cannot work, while the run goes on.
        patience: how many seconds to wait for a machine when there is none.

    Raises:
        InputError: no video can be done: the disk is full, the workers do not start, none of them can work, or there
            is no machine any more.
    """
    run = _Run(engine, videos, failures, on_done, on_failed, on_trouble)
    last_work = time.monotonic()
    while run.queue or run.busy:
        run.hand_out()
        for event in engine.wait():
            run.take(event)
        on_wait(len(run.busy))
        if run.idle or run.busy or (run.starting and engine.capacity() > 0):
            last_work = time.monotonic()
        elif run.queue and time.monotonic() - last_work >= patience:
            reason = f" ({run.last_trouble})" if run.last_trouble else ""
            raise InputError(f"there is no machine any more that can work{reason}; the same command continues")


class _Run:
    """The workers and videos of a run."""

    def __init__(
        self,
        engine: Engine,
        videos: Sequence[ArchiveVideo],
        failures: Failures,
        on_done: Callable[[dict[str, Any]], None],
        on_failed: Callable[[ArchiveVideo], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self.engine, self.failures = engine, failures
        self.on_done, self.on_failed, self.on_trouble = on_done, on_failed, on_trouble
        self.queue = deque(sorted(videos, key=lambda video: (-video.size, video.name)))
        self.starting: set[Worker] = set()
        self.idle: list[Worker] = []
        self.busy: dict[Worker, ArchiveVideo] = {}
        self.last_trouble = ""
        self._machines: dict[Worker, str] = {}
        self._false_starts = 0
        self._most, self._most_until = 0, 0.0  # the number of workers for a while after some died at their start
        self._losses: Counter[str] = Counter()
        self._breaks: dict[str, set[str]] = defaultdict(set)  # by machine, the videos since one was done

    @property
    def is_working(self) -> bool:
        """Whether anything can come of waiting."""
        return bool(self.starting or self.idle or self.busy)

    def hand_out(self) -> None:
        """Give videos to workers, and start as many workers as there is room for, and are videos."""
        while self.idle and self.queue:
            worker = self.idle.pop()
            self.busy[worker] = self.queue.popleft()
            self.engine.submit(worker, self.busy[worker])
        wanted = min(self.engine.capacity(), len(self.busy) + len(self.queue))
        if time.monotonic() < self._most_until:
            wanted = min(wanted, self._most)
        for _ in range(wanted - len(self.busy) - len(self.idle) - len(self.starting)):
            self.starting.add(self.engine.start())

    def take(self, event: Event) -> None:
        """Take note of what happened to a worker."""
        worker, outcome = event.worker, event.outcome
        video = self.busy.pop(worker, None)
        if event.kind == "lost":
            self._forget(worker)
            if video is not None:
                self._lose(video, event.reason)
        elif event.kind == "died":
            self._die(worker, video, event.reason)
        elif event.kind == "ready" and outcome is not None:
            self.starting.discard(worker)
            self._false_starts = 0
            self._machines[worker] = outcome.machine
            if outcome.kind == "stop":
                self._rest(worker, outcome.reason)
            elif len(self._breaks[outcome.machine]) >= _BREAKS and self._others_work(outcome.machine):
                self._rest(worker, "")
            else:
                self.idle.append(worker)
        elif outcome is not None and video is not None:
            self._end_video(worker, video, outcome)

    def _end_video(self, worker: Worker, video: ArchiveVideo, outcome: Outcome) -> None:
        machine = self._machines.get(worker, "")
        if outcome.kind == "stop":
            raise InputError(f"{outcome.reason}, then run the same command again")
        if outcome.row is not None:
            self._breaks[machine].clear()
            self.idle.append(worker)
            self.on_done(outcome.row)
            return
        self._fail(video, outcome.reason)
        if outcome.kind != "broken":
            self.idle.append(worker)
            return
        self._breaks[machine].add(video.name)
        count = len(self._breaks[machine])
        if count >= _BREAKS and self._others_work(machine):
            self._rest(worker, f"{machine}: {count} videos broke there, the last one by {outcome.reason}")
            return
        if count >= _MOST_BREAKS * (1 + len(self.idle) + len(self.busy)):
            raise InputError(
                f"{count} videos broke, and none was done, the last one by {outcome.reason}: look for what is wrong "
                "with this machine, then run the same command again"
            )
        self._forget(worker)
        self.engine.end(worker)

    def _others_work(self, machine: str) -> bool:
        return any(self._machines.get(other) != machine for other in (*self.idle, *self.busy))

    def _rest(self, worker: Worker, reason: str) -> None:
        self.engine.rest(worker)
        self.last_trouble = reason or self.last_trouble
        if not self.is_working and self.engine.capacity() <= 0:
            raise InputError(f"{reason}, then run the same command again")
        if reason:
            self.on_trouble(reason)

    def _die(self, worker: Worker, video: ArchiveVideo | None, reason: str) -> None:
        is_starting = worker in self.starting
        self._forget(worker)
        if video is not None:
            self._fail(video, f"{video.path}: its worker died ({reason})")
        elif is_starting:
            self._false_starts += 1
            if self._false_starts < _FALSE_STARTS:
                return
            said = f"{_FALSE_STARTS} workers in a row died before their first video: {reason}"
            if not self.is_working:
                raise InputError(said)
            self._false_starts, self.last_trouble = 0, said
            self._most = max(1, len(self.idle) + len(self.busy) + len(self.starting))
            self._most_until = time.monotonic() + _PAUSE
            self.on_trouble(said)

    def _lose(self, video: ArchiveVideo, reason: str) -> None:
        self._losses[video.name] += 1
        if self._losses[video.name] <= _LOSSES:
            self.queue.appendleft(video)
        else:
            self._fail(video, f"{video.path}: its worker was lost ({reason})")

    def _fail(self, video: ArchiveVideo, reason: str) -> None:
        self.failures.add(video, reason)
        if not self.failures.is_set_aside(video):
            self.queue.append(video)
        self.on_failed(video)

    def _forget(self, worker: Worker) -> None:
        self.starting.discard(worker)
        self.idle = [other for other in self.idle if other != worker]
        self._machines.pop(worker, None)
