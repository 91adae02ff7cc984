"""Frames and masks of a training: at which size they are read, and which of them stay decoded between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from monai.utils import ensure_tuple_rep
from tqdm import tqdm

from lsinet_monai.data.clips import Clip
from lsinet_monai.data.frames import read_frame, resize_frame
from lsinet_monai.data.mask_files import MaskRule, read_mask
from lsinet_monai.utils.config_values import check_numbers

__all__ = ["FrameCache"]


# Not monai.data.CacheDataset: it limits the number of its items, not their bytes, and keeps the first ones, which are
# the frames of the first clips. Its items are also whole samples, while a sample here draws three frames of a clip.
class FrameCache:
    """Read frames and masks, and cache decoded ones in memory, up to ``max_gb``.

    :meth:`fill` fills the cache, before a data loader starts its workers: on Linux they share its memory with their
    parent, and neither it nor they grow. In a training on several devices each process has its own cache.

    Args:
        clips: the clips to cache: the first frame of every clip, then the second of every clip, and so on, each with
            its mask.
        max_gb: the size of the cache in 10^9 bytes, at most; a frame with its mask takes H * W * 4 bytes. 0 caches
            nothing.
        read_size: side, or height and width, in pixels, to which frames and masks are resized when they are read,
            bilinear and antialiased; None keeps their own size.

    Attributes:
        size: the bytes in the cache.

    Raises:
        InputError: ``max_gb`` is not a number of 0 or more.
    """

    def __init__(self, clips: Sequence[Clip], max_gb: float = 0, read_size: int | Sequence[int] | None = None) -> None:
        check_numbers(cache_gb=max_gb)
        self.clips = clips
        self.max_gb = max_gb
        self.read_size: tuple[int, int] | None = None if read_size is None else ensure_tuple_rep(read_size, 2)
        self.size = 0
        self._kept: dict[str, np.ndarray] = {}

    def read_frame(self, path: str) -> np.ndarray:
        """Read a frame: uint8, (H, W, 3), RGB; read-only if it comes from the cache."""
        kept = self._kept.get(path)
        return self._resize(read_frame(path)) if kept is None else kept

    def read_mask(self, path: str, rule: MaskRule | None = None) -> np.ndarray:
        """Read a mask: uint8, (H, W), 0 or 255, with soft edges if resized; read-only if it comes from the cache.

        Args:
            path: the mask.
            rule: the ``mask_rule`` of its clip.
        """
        kept = self._kept.get(path)
        return self._resize(read_mask(path, rule).view(np.uint8) * 255) if kept is None else kept

    def _resize(self, frame: np.ndarray) -> np.ndarray:
        return frame if self.read_size is None else resize_frame(frame, self.read_size)

    def fill(self, progress: bool = True) -> FrameCache:
        """Fill the cache.

        Args:
            progress: show a progress bar.

        Returns:
            the cache itself.

        Raises:
            InputError: a file cannot be read.
        """
        if not self.max_gb:
            return self
        total = sum(len(clip.image) for clip in self.clips)
        with tqdm(_in_turns(self.clips), "keeping frames in memory", total, unit="frame", disable=not progress) as bar:
            for frame, mask, rule in bar:
                read_by_rule = partial(self.read_mask, rule=rule)
                if not (self._keep(frame, self.read_frame) and (mask is None or self._keep(mask, read_by_rule))):
                    break
        return self

    def _keep(self, path: str, read: Callable[[str], np.ndarray]) -> bool:
        array = read(path)
        if self.size + array.nbytes > self.max_gb * 1e9:
            return False
        array.flags.writeable = False  # every epoch gets this same array
        self._kept[path] = array
        self.size += array.nbytes
        return True


def _in_turns(clips: Sequence[Clip]) -> Iterator[tuple[str, str | None, MaskRule | None]]:
    """The first frame and mask of every clip, with its rule, then the second of every clip, and so on."""
    for index in range(max(len(clip.image) for clip in clips)):
        for clip in clips:
            if index < len(clip.image):
                yield clip.image[index], clip.label[index] if clip.label else None, clip.mask_rule
