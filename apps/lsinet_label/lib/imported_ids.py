"""Which lesions of a video the masks of an imported file show."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

import numpy as np

from lib.store import StoredVideo
from lsinet_monai.errors import InputError
from lsinet_monai.formats.lesion_ids import LAST_LESION
from lsinet_monai.masks import LesionLinker, mask_change

__all__ = ["ImportedIds"]

_REACH = 3


class ImportedIds:
    """Give the lesions of a file ids, called with each of its frames in order.

    Ids of the file stay. Other parts of its masks get the ids of the lesions that they overlap: in the frame's current
    mask, or in the frames before. The rest are new lesions.

    Args:
        video: the video.
        ids: the ids that the file gives to lesions.
        is_spoken: whether the file has a frame.
        tolerance: masks that differ by less stay as they are.

    Raises:
        InputError: the file's ids are too large.
    """

    def __init__(
        self, video: StoredVideo, ids: Collection[int], is_spoken: Callable[[int], bool], tolerance: float = 0.0
    ) -> None:
        if max(ids, default=0) > LAST_LESION:
            raise InputError(
                f"{video.id}: lesions have ids up to {LAST_LESION}, and this file needs {len(ids)}, up to {max(ids)}; "
                "with labels=NAME:1, all shapes of that label are lesion 1"
            )
        self._video = video
        self._ids = sorted(ids)
        self._is_spoken = is_spoken
        self._tolerance = tolerance
        last = max(video.lesions.next_id() - 1, *self._ids, 0)
        free = [id for id in video.lesions.free_ids() if id not in ids]
        self._free = iter([id for id in free if id > last] + [id for id in free if id < last])
        self._earlier: deque[tuple[int, np.ndarray]] = deque(maxlen=_REACH)

    def __call__(self, frame: int, after: np.ndarray) -> np.ndarray:
        """Give the lesions of a frame ids.

        Args:
            frame: its index.
            after: the file's labels, integers, (H, W), 0 for the background.

        Returns:
            The lesions' ids, uint8, (H, W).

        Raises:
            InputError: a lesion is new, and no id is free.
        """
        of_file = np.isin(after, self._ids)
        labels = np.where(of_file, after, 0).astype(np.uint8)
        others = (after > 0) & ~of_file
        if others.any():
            before = self._without_ids(self._video.mask(frame).labels)
            is_same = mask_change(before > 0, others) <= self._tolerance
            labels = np.where(of_file, labels, before if is_same else self._link(frame, before, others))
        self._earlier.append((frame, self._without_ids(labels)))
        return labels

    def _link(self, frame: int, before: np.ndarray, mask: np.ndarray) -> np.ndarray:
        unspoken = [index for index in range(max(frame - _REACH, 0), frame) if not self._is_spoken(index)]
        own = [self._without_ids(self._video.mask(index).labels) for index in unspoken]
        earlier = [*(labels for index, labels in self._earlier if frame - index <= _REACH), *own, before]
        linker = LesionLinker(max_gap=len(earlier))
        linker.next_id = LAST_LESION + 1
        for known in earlier:
            linker.follow(known)
        labels = linker(mask)
        for lesion in range(LAST_LESION + 1, linker.next_id):
            labels[labels == lesion] = self._next_free(frame)
        return labels.astype(np.uint8)

    def _next_free(self, frame: int) -> int:
        for lesion in self._free:
            return lesion
        raise InputError(
            f"{self._video.id}: frame {frame} shows a new lesion, and all {LAST_LESION} lesion ids are used; import "
            "COCO or CVAT XML with a track per lesion"
        )

    def _without_ids(self, labels: np.ndarray) -> np.ndarray:
        """Take out the lesions that the file knows: its other shapes are not these."""
        return np.where(np.isin(labels, self._ids), 0, labels).astype(np.uint8)
