"""Frames and masks that are kept decoded between the epochs of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from lsinet_monai.data.frames import read_frame, read_mask
from lsinet_monai.data.sun_seg import Clip

__all__ = ["FrameCache"]


class FrameCache:
    """Read frames and masks, some of them from memory, where they were put once, decoded, as far as they fit.

    It is filled here, before a data loader starts its workers: on Linux these share its memory with their parent, and
    neither it nor they grow. Each process of a training on several devices has a cache of its own.

    Args:
        clips: what is read; the first frame of every clip is kept, then the second of every clip, and so on, each with
            its mask.
        max_gb: how much of it is kept, in 10^9 bytes, at most; a frame takes H * W * 4 bytes with its mask. 0 keeps
            nothing.
        progress: show a progress bar while it is filled.

    Raises:
        InputError: a file that cannot be read.
    """

    def __init__(self, clips: Sequence[Clip], max_gb: float = 0, progress: bool = True) -> None:
        self.max_gb = max_gb
        self.size = 0
        """bytes that are kept."""
        self._kept: dict[str, np.ndarray] = {}
        if max_gb > 0:
            self._fill(clips, progress)

    def read_frame(self, path: str) -> np.ndarray:
        """Return :func:`~lsinet_monai.data.read_frame` of a path; one from memory is not to be written to."""
        kept = self._kept.get(path)
        return read_frame(path) if kept is None else kept

    def read_mask(self, path: str) -> np.ndarray:
        """Return :func:`~lsinet_monai.data.read_mask` of a path; one from memory is not to be written to."""
        kept = self._kept.get(path)
        return read_mask(path) if kept is None else kept

    def _fill(self, clips: Sequence[Clip], progress: bool) -> None:
        total = sum(len(clip["image"]) for clip in clips)
        with tqdm(_in_turns(clips), "keeping frames in memory", total, unit="frame", disable=not progress) as bar:
            for frame, mask in bar:
                if not (self._keep(frame, read_frame) and (mask is None or self._keep(mask, read_mask))):
                    return

    def _keep(self, path: str, read: Callable[[str], np.ndarray]) -> bool:
        array = read(path)
        if self.size + array.nbytes > self.max_gb * 1e9:
            return False
        array.flags.writeable = False  # it is handed out again and again
        self._kept[path] = array
        self.size += array.nbytes
        return True


def _in_turns(clips: Sequence[Clip]) -> Iterator[tuple[str, str | None]]:
    """The first frame and mask of every clip, then the second of every clip, and so on."""
    for index in range(max(len(clip["image"]) for clip in clips)):
        for clip in clips:
            if index < len(clip["image"]):
                yield clip["image"][index], clip["label"][index] if clip["label"] else None
