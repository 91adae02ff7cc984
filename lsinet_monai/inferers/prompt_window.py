"""The part of a frame that the prompt head looks at: a window about a small lesion, seen larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.networks.encoder import STRIDES

__all__ = ["Window", "choose_window", "crop", "paste"]

_MARGIN = 2.0  # sides of the lesion
_SMALLEST = 0.25  # of the frame's sides
_LARGEST = 0.75  # of the frame's sides: a larger window is the whole frame


class Window(NamedTuple):
    """A window of a frame, in whole pixels at the encoder's input."""

    left: int
    top: int
    width: int
    height: int


def choose_window(
    mask: np.ndarray, points: Sequence[tuple[float, float]] = (), box: Sequence[float] | None = None
) -> Window:
    """Choose the window in which the next mask is computed.

    It is twice as large as what is known of the lesion, has the frame's proportions, and is at least a quarter as wide
    and high as the frame. Without a mask and a box, and for large lesions, it is the whole frame.

    Args:
        mask: bool, (H, W), the lesion's mask so far, at the encoder's input.
        points: x, y of the points in the lesion, in pixels of the mask.
        box: left, top, right, bottom of a person's box, in pixels of the mask.
    """
    height, width = mask.shape
    whole = Window(0, 0, width, height)
    y, x = np.nonzero(mask)
    if not x.size and box is None:
        return whole
    xs, ys = [px for px, _ in points], [py for _, py in points]
    if x.size:
        xs += [x.min(), x.max() + 1]
        ys += [y.min(), y.max() + 1]
    if box is not None:
        xs += [box[0], box[2]]
        ys += [box[1], box[3]]
    share = max(_SMALLEST, _MARGIN * max((max(xs) - min(xs)) / width, (max(ys) - min(ys)) / height))
    if share >= _LARGEST:
        return whole
    sides = round(share * width), round(share * height)
    centre = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    left, top = (
        int(min(max(0, round(c - side / 2)), most - side))
        for c, side, most in zip(centre, sides, (width, height), strict=True)
    )
    return Window(left, top, *sides)


def crop(x: Tensor, windows: Sequence[Window], image_size: tuple[int, int]) -> Tensor:
    """See a window of each frame larger: as large as the frame.

    Args:
        x: (B, C, h, w), features or masks of the whole frames, padded as the encoder pads them.
        windows: one for each row.
        image_size: height and width of the frames at the encoder's input, without padding.

    Returns:
        (B, C, h, w). Its padding shows what is right of the window and below it.
    """
    height, width = image_size
    padded_height, padded_width = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in image_size)
    maps = []
    for left, top, wide, high in windows:
        across, down = wide / width, high / height
        # Both sides run from -1 to 1, with their padding.
        maps.append([[across, 0, 2 * left / padded_width + across - 1], [0, down, 2 * top / padded_height + down - 1]])
    grid = F.affine_grid(torch.tensor(maps, dtype=x.dtype, device=x.device), [len(windows), 1, *x.shape[-2:]], False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def paste(canvas: Tensor, part: Tensor, window: Window) -> Tensor:
    """Return a copy of a canvas, (1, 1, H, W), with a window's logits, (1, 1, h, w), in their place."""
    left, top, width, height = window
    pasted = canvas.clone()
    size = height, width
    small = part if part.shape[-2:] == size else F.interpolate(part, size, mode="bilinear", antialias=True)
    pasted[..., top : top + height, left : left + width] = small
    return pasted
