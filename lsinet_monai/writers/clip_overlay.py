"""A clip's overlay while the clip is being segmented: draws each frame, and stores segments in the unfinished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lsinet_monai.errors import InputError
from lsinet_monai.writers.frame_records import FrameRecord
from lsinet_monai.writers.overlay_drawing import BAR_HEIGHT, StatusBar, overlay
from lsinet_monai.writers.overlays import GifOverlay, Mp4Overlay
from lsinet_monai.writers.unfinished import UnfinishedRun

__all__ = ["ClipOverlay"]

_FRAME_SECONDS = 0.1


class ClipOverlay:
    """Draw a clip's overlay frame by frame, in segments that a later run can continue.

    Args:
        kind: "gif", or "mp4" (with the extra ``video``).
        run: keeps the segments.
        threshold: a pixel belongs to the mask if its probability is above this, in [0, 1].
        score_bar: draw the bar of frame scores below each frame.
        frame_seconds: the time between frames in seconds; None if unknown, which counts as 0.1.
        frame_count: the number of the clip's frames, which is the length of the bar's timeline; None if unknown.

    Raises:
        InputError: the kind is unknown, or PyAV is not installed for an MP4.
    """

    def __init__(
        self,
        kind: str,
        run: UnfinishedRun,
        threshold: float,
        score_bar: bool,
        frame_seconds: float | None,
        frame_count: int | None = None,
    ) -> None:
        self.run = run
        self.threshold = threshold
        self.score_bar = score_bar
        self.frame_count = frame_count
        self._bar: StatusBar | None = None
        self._file: GifOverlay | Mp4Overlay
        if kind == "gif":
            self._file = GifOverlay(frame_seconds or _FRAME_SECONDS)
        elif kind == "mp4":
            self._file = Mp4Overlay()
        else:
            raise InputError(f"overlay '{kind}' is neither gif nor mp4")
        self._segment: Path | None = None  # the one being written
        self._size = (0, 0)  # width and height of a frame in the overlay

    def add(self, records: Sequence[FrameRecord], frame: np.ndarray, probability: np.ndarray) -> None:
        """Draw the next frame.

        Args:
            records: the clip's frames up to this one.
            frame: RGB, uint8, (H, W, 3).
            probability: the probability of a polyp, float32, (H, W), in [0, 1].
        """
        first, last, number = records[0], records[-1], len(records) - 1
        if self._segment is None:
            self._size = _fit((first.height, first.width), self._file.long_side)
            self._segment = self.run.new_segment(number)
            width, height = self._size
            self._file.start(self._segment, (width, height + (BAR_HEIGHT if self.score_bar else 0)))
        # Draw the outline at the overlay's size, on the resized map: a resized outline would be thick or broken.
        fitted_frame, fitted_map = (
            np.asarray(ImageOps.pad(Image.fromarray(image), self._size, Image.Resampling.BILINEAR))
            for image in (frame, probability.astype(np.float32))
        )
        picture = overlay(fitted_frame, fitted_map > self.threshold)
        if self.score_bar:
            picture = np.concatenate([picture, self._draw_bar(records)])
        if last.seconds is None or first.seconds is None:
            seconds = number * _FRAME_SECONDS
        else:
            seconds = last.seconds - first.seconds
        self._file.add(picture, number, seconds)

    def _draw_bar(self, records: Sequence[FrameRecord]) -> np.ndarray:
        new = records[-1:]
        if self._bar is None:
            self._bar = StatusBar(self._size[0], self.frame_count)
            new = records  # a resumed clip has more than one
        for record in new:
            self._bar.add(record.index, record.score, record.has_polyp)
        return self._bar.draw()

    def end_segment(self, frames: int) -> None:
        """Complete the current segment, if any.

        Args:
            frames: the number of frames of the clip up to its end.
        """
        if self._segment:
            self._file.finish()
            self.run.end_segment(self._segment, frames)
            self._segment = None

    def finish(self, path: Path) -> None:
        """Join all segments, if any, in one file, which appears complete or not at all.

        Args:
            path: the file without its suffix, ``.gif`` or ``.mp4``.
        """
        if segments := self.run.segments():
            self._file.join(list(segments), path.with_name(path.name + self._file.suffix))


def _fit(size: tuple[int, int], long_side: tuple[int, int]) -> tuple[int, int]:
    """Width and height, both even, at which the overlay shows frames of a given height and width."""
    height, width = size
    scale = min(max(height, width, long_side[0]), long_side[1]) / max(height, width)
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
