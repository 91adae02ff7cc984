"""Recognise a video again by small pictures of a few of its frames, whichever decoder reads it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lsinet_monai.data.frames import resize_frame
from lsinet_monai.errors import InputError

__all__ = ["is_same_picture", "thumbnail"]

_SIDE = 16
_LARGEST_DIFFERENCE = 8.0  # mean over the pixels, of 255: decoders differ by less, two colonoscopies by more


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Shrink a frame to a picture that is small enough to store with everything made from its video.

    Args:
        frame: uint8, (H, W, 3), RGB.

    Returns:
        uint8, (16, 16, 3), RGB.
    """
    return resize_frame(frame, (_SIDE, _SIDE))


def is_same_picture(stored: Any, frame: np.ndarray) -> bool:
    """Check whether a frame shows the same picture as a stored thumbnail.

    Args:
        stored: values in 0..255 of a thumbnail from :func:`thumbnail`, or of any other square thumbnail (older versions
            stored 8 x 8 pixels). An array or CPU tensor (side, side, 3), or a flat list of the same values.
        frame: uint8, (H, W, 3), RGB: a frame, or a thumbnail of it that is at least as large as the stored one.

    Returns:
        True if the two differ by at most 8 of 255 on average.

    Raises:
        InputError: ``stored`` does not have the size of a square thumbnail.
    """
    values = np.asarray(stored, np.float32).ravel()
    side = math.isqrt(values.size // 3)
    if not side or values.size != 3 * side * side:
        raise InputError(f"a stored thumbnail has {values.size} values, but a square RGB picture has 3 x side x side")
    difference = values - resize_frame(frame, (side, side)).astype(np.float32).ravel()
    return bool(np.abs(difference).mean() <= _LARGEST_DIFFERENCE)
