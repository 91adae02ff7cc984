"""The interface of every video, whatever its format: frames in time, and a report of the damage."""

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
"""Frames per second of a video without timing, such as a folder of frames."""

BUFFER_BYTES = 2**27
"""The approximate size of a buffer of frames: 128 MiB."""

_MOST_AHEAD = 16  # frames: a longer buffer evens out no more delays
_RANGES_NAMED = 8
_COLOUR_STEP = 16  # pixels
_SAME_COLOUR = 2  # of 255: the largest difference

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoReport:
    """How many frames a video announces, and how many can be read.

    Args:
        path: the video.
        expected: the number of frames that the file announces, or None if it announces none.
        found: the number of frames in the file, without those in ``skipped``.
        skipped: the indices, ascending, of the damaged or lost frames found so far. Some are found only when an
            iteration reaches them, so the list is complete after an iteration over the whole video.
        ends_early: whether the file has fewer frames than it announces. Then ``expected`` less ``found`` and
            ``skipped`` are missing.
        notes: what else a person should know of how the video was read, such as which of several streams.
    """

    path: Path
    expected: int | None
    found: int
    skipped: tuple[int, ...]
    ends_early: bool
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether no frame is known to be damaged, lost or missing."""
        return not (self.skipped or self.ends_early)

    def __str__(self) -> str:
        """Return the report in one line."""
        problems = []
        if self.ends_early:
            problems.append(f"the file ends early, after {self.found + len(self.skipped)} of {self.expected} frames")
        if self.skipped:
            problems.append(f"{len(self.skipped)} damaged or lost frames skipped ({_ranges(self.skipped)})")
        return f"{self.path}: {'; '.join([*(problems or [f'{self.found} frames, complete']), *self.notes])}"


def _ranges(indices: Iterable[int]) -> str:
    """Format ascending indices as ranges: ``3, 7-9``."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    named = [f"{first}-{last}" if last > first else str(first) for first, last in ranges[:_RANGES_NAMED]]
    return ", ".join(named + ["..."] * (len(ranges) > _RANGES_NAMED))


def _has_colour(frame: np.ndarray, colour: np.ndarray) -> bool:
    return int(np.abs(frame.astype(np.int16) - colour).max()) <= _SAME_COLOUR


class Video(ABC):
    """The frames of a video, in order or at random access; :func:`~lsinet_monai.data.video.open_video` opens one.

    An index is a position in time: a damaged frame keeps its index, and later frames keep theirs.

    Iterating yields ``(index, seconds, frame)``: ``frame`` is uint8, (H, W, 3), RGB, upright by the file's rotation
    flag; ``seconds`` count from the first frame. Each iteration has its own thread, which decodes ahead into a bounded
    buffer. The thread ends with the iteration, also if that is dropped half-way.

    Attributes:
        path: the file or folder.
        size: height and width of the frames in pixels. The frames of a folder may differ from it.
        fps: frames per second; the mean if the rate varies.
        frame_count: the number of indices, including those of damaged or lost frames; also ``len(video)``.
        files: file names by index if each frame is a file, else empty.
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
        notes: Iterable[str] = (),
    ) -> None:
        self.path = path
        self.size = size
        self.fps = fps
        self.frame_count = frame_count
        self.files = files or {}
        self._expected = expected
        self._ends_early = ends_early
        self._skipped = set(lost)
        self._notes = list(notes)
        self._colour: np.ndarray | None = None  # of the first pixel read
        self._shows_something = False  # whether a pixel had another colour
        self._reported = False
        self._closed = False
        self._running: WeakSet[Prefetch[tuple[int, np.ndarray]]] = WeakSet()

    @abstractmethod
    def seconds(self, index: int) -> float:
        """Return the time of a frame, in seconds after the first one."""

    @abstractmethod
    def _decode_one(self, index: int) -> np.ndarray | None:
        """Decode one frame, uint8, (H, W, 3), RGB; None if it is damaged."""

    def _decode(self, start: int, end: int) -> Generator[tuple[int, np.ndarray] | None, None, None]:
        """Decode the frames from ``start`` to before ``end``, in order, without the damaged ones.

        Runs in its own thread. Yields None from time to time while no frame is ready, so that the thread can stop.
        """
        for index in range(start, end):
            frame = self._decode_one(index)
            yield None if frame is None else (index, frame)

    @property
    def report(self) -> VideoReport:
        """The frames expected, and those found so far."""
        skipped = tuple(sorted(self._skipped))
        found = self.frame_count - len(skipped)
        return VideoReport(self.path, self._expected, found, skipped, self._ends_early, tuple(self._notes))

    def frames(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, float, np.ndarray]]:
        """Read the frames from ``start`` to before ``end``; both count like the bounds of a slice.

        Yields:
            Index, seconds, and the frame, uint8, (H, W, 3), RGB. Damaged frames are left out.

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
                self._watch_colours(frame)
                yield index, self.seconds(index), frame
        if self._closed:
            return
        self._skipped.update(range(following, end))
        if end == self.frame_count and not self._reported:
            self._reported = True
            if self._colour is not None and not self._shows_something:
                colour = ", ".join(map(str, self._colour.tolist()))
                self._notes.append(
                    f"every picture has one colour, rgb({colour}): if a player shows more, convert the video to H.264"
                )
            report = self.report
            if not report.is_complete or report.notes:
                logger.warning("%s", report)

    def _watch_colours(self, frame: np.ndarray) -> None:
        if self._shows_something:
            return
        if self._colour is None:
            self._colour = frame[0, 0].copy()
        # A few pixels are mostly enough to see another colour.
        parts = (frame[::_COLOUR_STEP, ::_COLOUR_STEP], frame)
        self._shows_something = not all(_has_colour(part, self._colour) for part in parts)

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        return self.frames()

    def frame(self, index: int) -> np.ndarray:
        """Read one frame: exactly the one that an iteration yields at this index. Also ``video[index]``.

        After damage in a file, the decoder's replacement may differ from an iteration's until the next key frame.

        Reading frame after frame, forwards or backwards, is almost as fast as iterating.

        Args:
            index: the index; a negative one counts from the end.

        Returns:
            uint8, (H, W, 3), RGB.

        Raises:
            IndexError: the video has no such index.
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
        """Stop the running iterations and free the file. Closing twice is fine."""
        self._closed = True
        for ahead in list(self._running):
            ahead.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
