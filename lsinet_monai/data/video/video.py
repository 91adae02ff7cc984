"""What every video is to those who read it, whatever it is kept in: frames in time, and a report of what is damaged."""

from __future__ import annotations

import logging
import operator
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

import numpy as np

from lsinet_monai.data.video.prefetch import Prefetch
from lsinet_monai.errors import InputError

__all__ = ["DEFAULT_FPS", "Video", "VideoReport"]

DEFAULT_FPS = 30.0
"""Frames per second where nothing says otherwise, as in a folder of frames."""

BUFFER_BYTES = 2**27
"""About how much memory a buffer of frames may take: 128 MiB."""

_MOST_AHEAD = 16  # frames: a longer buffer bridges no hiccup that this one does not
_RANGES_NAMED = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoReport:
    """What a video was expected to hold, and what was found.

    Args:
        path: the video.
        expected: the number of frames that the file announces, or None if it announces none.
        found: the number of frames that are there, less those in ``skipped``.
        skipped: the indices, in order, of the frames that are damaged or lost, as far as is known: some are found only
            when an iteration comes to them, so this is complete after one from the first frame to the last.
        ends_early: whether the file ends before it announces; ``expected`` less ``found`` and ``skipped`` are missing.
    """

    path: Path
    expected: int | None
    found: int
    skipped: tuple[int, ...]
    ends_early: bool

    @property
    def is_complete(self) -> bool:
        """Whether nothing is known to be damaged, lost or missing."""
        return not (self.skipped or self.ends_early)

    def __str__(self) -> str:
        """All of it in one line."""
        told = []
        if self.ends_early:
            told.append(f"the file ends early, after {self.found + len(self.skipped)} of {self.expected} frames")
        if self.skipped:
            told.append(f"{len(self.skipped)} damaged or lost frames skipped ({_ranges(self.skipped)})")
        return f"{self.path}: {'; '.join(told) or f'{self.found} frames, complete'}"


def _ranges(indices: Iterable[int]) -> str:
    """Name indices in ascending order by their ranges: ``3, 7-9``."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    named = [f"{first}-{last}" if last > first else str(first) for first, last in ranges[:_RANGES_NAMED]]
    return ", ".join(named + ["..."] * (len(ranges) > _RANGES_NAMED))


class Video(ABC):
    """Frames of a video, one by one or any of them; made by :func:`~lsinet_monai.data.video.open_video`.

    An index is a position in time: what is damaged leaves its index out, and shifts no later frame.

    Iterating yields ``(index, seconds, frame)``: ``frame`` is uint8, (H, W, 3), RGB, upright by the file's rotation
    flag; ``seconds`` count from the first frame. Each iteration decodes ahead in a thread of its own, within a bounded
    buffer, and ends it when it ends or is dropped.

    Attributes:
        path: the file or folder.
        size: height and width of the frames in pixels. Each frame of a folder keeps its own size, should they differ.
        fps: frames per second; the mean where the rate varies.
        frame_count: the number of indices; also ``len(video)``. Frames that are damaged or lost are counted.
        files: the frames' file names by index where each frame is a file, else empty.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: float,
        frame_count: int,
        *,
        expected: int | None = None,
        lost: Iterable[int] = (),
        ends_early: bool = False,
        files: Mapping[int, str] | None = None,
    ) -> None:
        self.path = path
        self.size = size
        self.fps = fps
        self.frame_count = frame_count
        self.files = files or {}
        self._expected = expected
        self._ends_early = ends_early
        self._skipped = set(lost)
        self._reported = False
        self._closed = False
        self._running: WeakSet[Prefetch[tuple[int, np.ndarray]]] = WeakSet()

    @abstractmethod
    def seconds(self, index: int) -> float:
        """When a frame is shown, in seconds after the first one."""

    @abstractmethod
    def _decode(self, start: int, end: int) -> Generator[tuple[int, np.ndarray] | None, None, None]:
        """Decode the frames from ``start`` up to, without, ``end``, in order; the damaged ones are left out.

        Runs in a thread of its own. A None means that there is no frame yet, and lets the thread be stopped.
        """

    @abstractmethod
    def _decode_one(self, index: int) -> np.ndarray | None:
        """Decode one frame; None if it is damaged."""

    @property
    def report(self) -> VideoReport:
        """What was expected and what is found so far."""
        skipped = tuple(sorted(self._skipped))
        return VideoReport(self.path, self._expected, self.frame_count - len(skipped), skipped, self._ends_early)

    def frames(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, float, np.ndarray]]:
        """Read the frames from ``start`` up to, without, ``end``; the indices are as a slice takes them.

        Yields:
            index, seconds, and the frame, uint8, (H, W, 3), RGB; damaged frames are left out.

        Raises:
            ValueError: the video is closed.
        """
        start, end, _ = slice(start, end).indices(self.frame_count)
        self._check_open()
        limit = min(_MOST_AHEAD, BUFFER_BYTES // (3 * self.size[0] * self.size[1]))
        following = start
        with closing(Prefetch(self._decode(start, end), limit)) as ahead:
            self._running.add(ahead)
            for index, frame in ahead:
                self._skipped.update(range(following, index))
                following = index + 1
                yield index, self.seconds(index), frame
        if self._closed:
            return
        self._skipped.update(range(following, end))
        if end == self.frame_count and not self._reported:
            self._reported = True
            report = self.report
            if not report.is_complete:
                logger.warning("%s", report)

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        return self.frames()

    def frame(self, index: int) -> np.ndarray:
        """Read one frame: the very one that an iteration yields at this index. Also ``video[index]``.

        Where a file is damaged, what a decoder fills in may differ until the next key frame.

        Reading frame after frame, forwards or backwards, costs little more than iterating.

        Args:
            index: counts from the end if it is negative.

        Returns:
            uint8, (H, W, 3), RGB.

        Raises:
            IndexError: there is no such index.
            InputError: the frame is damaged.
            ValueError: the video is closed.
        """
        self._check_open()
        at = operator.index(index)
        if not -self.frame_count <= at < self.frame_count:
            raise IndexError(f"{self.path}: frame {index} of {self.frame_count}")
        at %= self.frame_count
        frame = None if at in self._skipped else self._decode_one(at)
        if frame is None:
            raise InputError(f"{self.path}: frame {at} is damaged or lost; take another")
        return frame

    __getitem__ = frame

    def __len__(self) -> int:
        return self.frame_count

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self.path} is closed")

    def close(self) -> None:
        """End the iterations that still run, and free the file. Closing twice does no harm."""
        self._closed = True
        for ahead in list(self._running):
            ahead.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
