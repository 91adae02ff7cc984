"""Read the frames and masks of a training sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from lsinet_monai.data.cache import FrameCache

__all__ = ["LoadFramesd"]


class LoadFramesd(MapTransform):
    """Read frames and masks from their paths.

    Args:
        keys: paths of frames, which become uint8, (H, W, 3), RGB.
        mask_keys: paths of masks, which become uint8, (H, W), 0 to 255; None becomes zeros of the first frame's size.
            The key ``mask_rule`` says which of their pixels are polyp, see :class:`~lsinet_monai.data.Clip`.
        cache: reads the files and keeps some of them decoded in memory.

    Raises:
        InputError: on call, if a file cannot be read.
    """

    def __init__(self, keys: KeysCollection, mask_keys: Sequence[str], cache: FrameCache | None = None) -> None:
        super().__init__(keys)
        self.mask_keys = tuple(mask_keys)
        self.cache = cache or FrameCache([])

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of this transform, by config key."""
        return {"read_size": self.cache.read_size}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with an array in place of every path."""
        d = dict(data)
        frames = {path: self.cache.read_frame(path) for path in {d[key] for key in self.key_iterator(d)}}
        rule = d.pop("mask_rule", None)
        masks = {path: self.cache.read_mask(path, rule) for path in {d[key] for key in self.mask_keys} - {None}}
        for key in self.key_iterator(d):
            d[key] = frames[d[key]]
        masks[None] = np.zeros(d[self.keys[0]].shape[:2], np.uint8)
        for key in self.mask_keys:
            d[key] = masks[d[key]]
        return d
