"""A small picture of each video for the report: its most doubtful frame with the mask outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def write_thumbnail(
    path: Path, video: Path, mask_table: Path, summary: Mapping[str, Any], doubts: Sequence[float | None]
) -> None:
    """Draw the most doubtful frame of a video; of several, the first. If it cannot be read, no file is written.

    Args:
        path: the JPEG to write.
        video: the video.
        mask_table: its masks, see :func:`~lsinet_monai.formats.write_mask_table`.
        summary: its summary.
        doubts: the doubt of each of its frames.
    """
    known = [
        (doubt, -entry["index"]) for doubt, entry in zip(doubts, summary["frames"], strict=True) if doubt is not None
    ]
    if not known:
        return
    index = -max(known)[1]
    try:
        with open_video(video) as opened:
            frame = opened[index]
    except InputError:  # a damaged video may decode in order, but not seek to this frame
        return
    height, width = frame.shape[:2]
    size = max(1, round(height * _WIDTH / width)), _WIDTH
    codes = (code for at, code in read_mask_table(mask_table) if at == index)
    code = next(codes, None)
    if code is None:
        mask = np.zeros(size, bool)
    else:
        decoded = require_extra("pycocotools.mask", "video").decode(code)
        mask = resize_frame(decoded * 255, size) > 127
    Image.fromarray(overlay(resize_frame(frame, size), mask)).save(path, format="JPEG", quality=_QUALITY)
