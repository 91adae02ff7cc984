"""Frames and masks as a training reads them: at which size, and which of them are kept decoded between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from lsinet_monai.data.frames import read_frame, read_mask, resize_frame
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
        read_size: side, or height and width, in pixels, to which frames and masks are resized as they are read,
            bilinear and antialiased; None leaves them as they are.
        progress: show a progress bar while it is filled.

    Raises:
        InputError: a file that cannot be read.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        max_gb: float = 0,
        read_size: int | Sequence[int] | None = None,
        progress: bool = True,
    ) -> None:
        self.max_gb = max_gb
        self.read_size = (read_size, read_size) if isinstance(read_size, int) else read_size
        self.size = 0
        """bytes that are kept."""
        self._kept: dict[str, np.ndarray] = {}
        if max_gb > 0:
            self._fill(clips, progress)

    def read_frame(self, path: str) -> np.ndarray:
        """Read a frame: uint8, (H, W, 3), RGB; one from memory is not to be written to."""
        kept = self._kept.get(path)
        return self._resize(read_frame(path)) if kept is None else kept

    def read_mask(self, path: str) -> np.ndarray:
        """Read a mask: uint8, (H, W), 0 or 255, soft at its edges if resized; as :meth:`read_frame` otherwise."""
        kept = self._kept.get(path)
        return self._resize(read_mask(path).view(np.uint8) * 255) if kept is None else kept

    def _resize(self, frame: np.ndarray) -> np.ndarray:
        return frame if self.read_size is None else resize_frame(frame, (self.read_size[0], self.read_size[1]))

    def _fill(self, clips: Sequence[Clip], progress: bool) -> None:
        total = sum(len(clip["image"]) for clip in clips)
        with tqdm(_in_turns(clips), "keeping frames in memory", total, unit="frame", disable=not progress) as bar:
            for frame, mask in bar:
                if not (self._keep(frame, self.read_frame) and (mask is None or self._keep(mask, self.read_mask))):
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
