"""A small picture of each video for the report: its most doubtful frame with the mask outlined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.data.frames import resize_frame
from lsinet_monai.errors import InputError
from lsinet_monai.formats import read_mask_table
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.writers import overlay

__all__ = ["write_thumbnail"]

_WIDTH = 320
_QUALITY = 85


def write_thumbnail(path: Path, video: Path, index: int, mask_table: Path) -> None:
    """Draw a frame of a video with its mask. If the frame cannot be read, no file is written.

    Args:
        path: the JPEG to write.
        video: the video.
        index: the frame's index.
        mask_table: the video's masks, see :func:`~lsinet_monai.formats.write_mask_table`.
    """
    try:
        with open_video(video) as opened:
            frame = opened[index]
    except InputError:  # a damaged video may decode in order, but not seek to this frame
        return
    height, width = frame.shape[:2]
    size = max(1, round(height * _WIDTH / width)), _WIDTH
    code = next((code for at, code in read_mask_table(mask_table) if at == index), None)
    if code is None:
        mask = np.zeros(size, bool)
    else:
        decoded = require_extra("pycocotools.mask", "video").decode(code)
        mask = resize_frame(decoded * 255, size) > 127
    Image.fromarray(overlay(resize_frame(frame, size), mask)).save(path, format="JPEG", quality=_QUALITY)
