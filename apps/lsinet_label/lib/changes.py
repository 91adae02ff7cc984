"""How much a job changes the masks of a video."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lib.store import Replaced, StoredVideo, decode_mask, encode_mask
from lsinet_monai.masks import mask_change

__all__ = ["Changes"]


class Changes:
    """Measures how much a job changes the masks of a video.

    Args:
        video: the video.
        frame: the frame from which the masks are propagated, if it is one: then that can be undone.
    """

    def __init__(self, video: StoredVideo, frame: int | None) -> None:
        self._video = video
        self._frame = frame
        self._before: dict[int, bytes] = {}  # PNG files, because there may be many
        self._replaced: dict[int, Replaced] = {}

    def remember(self, frames: Iterable[int]) -> None:
        """Keep the masks of frames as they are before the job first changes them."""
        for frame in frames:
            if frame not in self._before:
                self._before[frame] = encode_mask(self._video.mask(frame).labels)
                self._replaced[frame] = self._video.propagations.replaceable(frame)

    def note_spread(self) -> None:
        """Note what was replaced, so that it can be undone."""
        if self._frame in self._video.spreading_corrections:
            self._video.propagations.note(self._frame, self._replaced)
        elif self._frame is not None:
            self._video.propagations.follow(self._frame, self._replaced)

    def note(self) -> list[dict[str, Any]]:
        """Store how much each mask now differs from the one of the frame before, and what was replaced.

        Returns:
            the frames whose masks the job changed, each with ``change``, 1 - IoU; without corrected frames.
        """
        video, corrections = self._video, self._video.corrections
        around = {other for changed in self._before for other in (changed, changed + 1)}
        for other in sorted(around - {0, video.info.frame_count}):
            change = mask_change(video.mask(other - 1).labels > 0, video.mask(other).labels > 0)
            video.values.set_change(other, change)
        self.note_spread()
        changes = {
            other: mask_change(decode_mask(content, video.info.size) > 0, video.mask(other).labels > 0)
            for other, content in sorted(self._before.items())
            if other not in corrections
        }
        return [{"frame": other, "change": round(change, 4)} for other, change in changes.items() if change]
