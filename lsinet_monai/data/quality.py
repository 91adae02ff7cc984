"""How clear a frame is: whether a person could correct its mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

__all__ = ["frame_quality", "unclear_frames"]

_SIZE = 96, 128  # pixels: noise and compression are averaged away, edges of mucosa and vessels stay
_WHITE = 225  # of 255
_UNCLEAR = 0.5  # of the video's median


def frame_quality(frame: np.ndarray) -> float:
    """Measure how clear a frame is, low if it is blurred or white.

    Sharpness depends on the scene and the endoscope, so compare frames of one video only.

    Args:
        frame: uint8, (H, W, 3), RGB.

    Returns:
        the standard deviation of the Laplacian of the frame's brightness at 96x128 pixels, in grey levels, times the
        share of the pixels that are not white; at least 0.
    """
    grey = Image.fromarray(frame).convert("L").resize(_SIZE[::-1], Image.Resampling.BOX)
    brightness = np.asarray(grey, np.float32)
    return float(ndimage.laplace(brightness).std() * (brightness <= _WHITE).mean())


def unclear_frames(qualities: Sequence[float | None]) -> list[int]:
    """List the frames of a video that are blurred or white: their quality is below half of the video's median.

    Args:
        qualities: for each frame :func:`frame_quality`, or None if it is unknown.

    Returns:
        indices from 0, ascending; without frames of unknown quality.
    """
    known = [quality for quality in qualities if quality is not None]
    limit = _UNCLEAR * float(np.median(known)) if known else 0.0
    return [frame for frame, quality in enumerate(qualities) if quality is not None and quality < limit]
