"""Smooth random maps, and pictures bent or blurred by them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional as F

__all__ = ["blur", "displace", "smooth_noise"]


def smooth_noise(rng: np.random.Generator, cells: int, size: tuple[int, int]) -> np.ndarray:
    """Draw a smooth random map.

    Args:
        rng: the source of randomness.
        cells: the number of independent values a side, at least 2.
        size: height and width in pixels.

    Returns:
        float32, (H, W), from 0 to 1.
    """
    values = Image.fromarray(rng.random((cells, cells), np.float32))
    return np.clip(np.asarray(values.resize(size[::-1], Image.Resampling.BICUBIC)), 0, 1)


def blur(frame: np.ndarray, radius: float) -> np.ndarray:
    """Blur a frame, uint8, (H, W, 3), by a Gaussian whose standard deviation is ``radius`` in pixels."""
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(float(radius))))


def displace(frame: np.ndarray, mask: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bend a frame and its mask.

    Args:
        frame: uint8, (H, W, 3).
        mask: bool, (H, W).
        shift: float32, (2, H, W): how far to the right and below the result looks for each of its pixels, where a
            frame's side is 2. Beyond the rim lies the mirrored frame.

    Returns:
        the bent frame and mask, of the same types and sizes.
    """
    height, width = mask.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    grid = (torch.stack([x, y], -1) + torch.from_numpy(shift).movedim(0, -1))[None]
    planes = torch.from_numpy(np.concatenate([frame, 255 * mask[..., None].astype(np.uint8)], 2))
    bent = F.grid_sample(planes.movedim(-1, 0)[None].float(), grid, padding_mode="reflection", align_corners=True)
    result = bent[0].movedim(0, -1).numpy()
    return result[..., :3].round().astype(np.uint8), result[..., 3] > 127
