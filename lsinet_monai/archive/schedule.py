"""Who does which video: workers take videos one by one, failed ones are tried again, and lost workers are replaced."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lsinet_monai.archive.failures import Failures
from lsinet_monai.archive.segmenter import Outcome
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError

__all__ = ["Engine", "Event", "run_all"]

_FALSE_STARTS = 3
"""This many workers in a row that end before they are ready end the run."""

_LOSSES = 10
"""A video under which more machines than this are lost may be the reason: each further loss is a failure."""

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
        """How many workers there is room for now. Machines may come and go."""

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
    on_wait: Callable[[], None] = lambda: None,
    on_unfit: Callable[[str], None] = lambda reason: None,
) -> None:
    """Do all videos, the largest first, so that no long one is left for a single worker in the end.

    A video that failed waits behind the others for its next try. If its worker died under it, that is a failure too,
    because the video may be the reason; if the machine is gone, it is not, but for the eleventh time.

    A worker whose machine lacks something gets no video, and rests: a new one would start in its place.

    Args:
        engine: starts the workers.
        videos: what to do, without those that are set aside.
        failures: notes each failure, and says when a video is set aside.
        on_done: called with the row of each video that is done.
        on_failed: called after each failure.
        on_wait: called after each wait.
        on_unfit: called with the reason when a worker cannot work, and others can.

    Raises:
        InputError: no video can be done: the disk is full, the workers do not start, or none of them can work.
    """
    queue = deque(sorted(videos, key=lambda video: (-video.size, video.name)))
    starting: set[Worker] = set()
    idle: list[Worker] = []
    busy: dict[Worker, ArchiveVideo] = {}
    resting: set[Worker] = set()
    false_starts = 0
    losses: Counter[str] = Counter()

    def note_failure(video: ArchiveVideo, reason: str) -> None:
        failures.add(video, reason)
        if not failures.is_set_aside(video):
            queue.append(video)
        on_failed(video)

    while queue or busy:
        while idle and queue:
            worker = idle.pop()
            busy[worker] = queue.popleft()
            engine.submit(worker, busy[worker])
        # Not more than there are videos for.
        wanted = min(engine.capacity() - len(resting), len(busy) + len(queue))
        for _ in range(wanted - len(busy) - len(idle) - len(starting)):
            starting.add(engine.start())
        for event in engine.wait():
            worker, outcome = event.worker, event.outcome
            resting.discard(worker)
            video = busy.pop(worker, None)
            if event.kind == "ready":
                starting.discard(worker)
                false_starts = 0
            if outcome is not None and outcome.kind == "stop":
                if event.kind != "ready" or not (starting or idle or busy):
                    raise InputError(f"{outcome.reason}, then run the same command again")
                resting.add(worker)
                engine.rest(worker)
                on_unfit(outcome.reason)
            elif event.kind == "ready":
                idle.append(worker)
            elif event.kind == "lost":
                starting.discard(worker)
                idle = [other for other in idle if other != worker]
                if video is not None:
                    losses[video.name] += 1
                    if losses[video.name] <= _LOSSES:
                        queue.appendleft(video)
                    else:
                        note_failure(video, f"{video.path}: its worker was lost ({event.reason})")
            elif event.kind == "died":
                idle = [other for other in idle if other != worker]
                if video is not None:
                    note_failure(video, f"{video.path}: its worker died ({event.reason})")
                elif worker in starting:
                    starting.discard(worker)
                    false_starts += 1
                    if false_starts == _FALSE_STARTS:
                        raise InputError(
                            f"{_FALSE_STARTS} workers in a row died before their first video: {event.reason}"
                        )
            elif outcome is not None and video is not None:
                if outcome.kind == "broken":
                    engine.end(worker)
                else:
                    idle.append(worker)
                if outcome.row is not None:
                    on_done(outcome.row)
                else:
                    note_failure(video, outcome.reason)
        on_wait()
