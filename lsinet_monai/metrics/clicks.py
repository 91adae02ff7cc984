"""Simulated clicks: where a person who sees the truth would click next, to measure and to train the prompt head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

__all__ = ["Click", "next_click"]


class Click(NamedTuple):
    """A click on a frame."""

    x: float
    """In pixels of the frame, from 0 at its left rim; the first pixel's centre is at 0.5."""
    y: float
    """In pixels, from 0 at its upper rim."""
    label: int
    """1: the place belongs to the polyp; 0: it does not."""


def next_click(mask: np.ndarray, truth: np.ndarray, rng: np.random.Generator | None = None) -> Click | None:
    """Click into the largest region that a mask has wrong.

    The regions are the connected parts of what the mask misses and of what it has too much; pixels touch by their
    sides. The click is at the region's centre: the pixel farthest from the region's rim and from the frame's.

    Args:
        mask: bool, (H, W).
        truth: bool, (H, W).
        rng: click at a random place instead, the likelier the farther it is from the rim, as people do; for training.

    Returns:
        the click, or None where mask and truth are equal.
    """
    best: tuple[int, np.ndarray, tuple[slice, ...], int] | None = None
    for wrong, label in ((truth & ~mask, 1), (mask & ~truth, 0)):
        regions, count = ndimage.label(wrong)
        if not count:
            continue
        areas = np.bincount(regions.ravel())[1:]
        largest = int(areas.argmax())
        if best is None or areas[largest] > best[0]:
            window = ndimage.find_objects(regions)[largest]
            best = int(areas[largest]), regions[window] == largest + 1, window, label
    if best is None:
        return None
    _, region, window, label = best
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    at = int(depth.argmax()) if rng is None else int(rng.choice(depth.size, p=(depth / depth.sum()).ravel()))
    y, x = np.unravel_index(at, depth.shape)
    return Click(window[1].start + float(x) + 0.5, window[0].start + float(y) + 0.5, label)
