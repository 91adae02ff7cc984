"""Masks to polygons, polygons to masks, run lengths to masks.

A pixel covers a unit square: the one in row r and column c has the corners (c, r) and (c + 1, r + 1), in x and y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra

__all__ = ["check_fits", "check_points", "mask_to_polygon", "polygon_to_mask", "runs_to_mask"]

_FARTHEST = 1e6  # pixels
_MOST_POINTS = 100_000
_MARGIN = 0.1  # of the frame: people and tools draw a little beyond its edge
_MIN_IOU = 0.98
_TOLERANCES = (1.0, 0.5, 0.25, 0.0)  # pixels that a simplified line may be away from the exact one
_HOLE_SHARE = 0.01  # fill holes that together are smaller than this share of the mask

_CROSSINGS_AT_ONCE = 2**22

# Why not scikit-image: its polygon2mask takes 30 to 1000 times as long, and counts pixel centres on an edge as inside,
# so that it draws the seams of mask_to_polygon. Its approximate_polygon is the same algorithm, at a third of the speed.


def mask_to_polygon(mask: np.ndarray) -> np.ndarray:
    """Outline a mask by one polygon of few points.

    Other tools expect a polygon of one part without holes. So holes that together cover less than 1% of the mask are
    filled. Larger holes, and parts that are not connected, are joined to the outline by a seam: two edges on the same
    line, with no area between them.

    Args:
        mask: bool, (H, W), with at least one pixel.

    Returns:
        float64, (N, 2), x and y in pixels, to 2 decimals; the first point is not repeated at the end. Drawn by
        :func:`polygon_to_mask`, it has an IoU of at least 0.98 with the mask.
    """
    top, left = (int(mask.any(axis).argmax()) for axis in (1, 0))
    bottom, right = (len(line) - int(line[::-1].argmax()) for line in (mask.any(1), mask.any(0)))
    part = mask[top:bottom, left:right]
    rings = _rings(part)
    for tolerance in _TOLERANCES:
        polygon = np.round(_join([_simplify(ring, tolerance) for ring in rings]), 2)
        drawn = polygon_to_mask(polygon, part.shape)
        if np.count_nonzero(drawn & part) >= _MIN_IOU * np.count_nonzero(drawn | part):
            break
    return polygon + np.array([left, top])


def polygon_to_mask(points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Draw a polygon: a pixel is inside where its centre is, by the even-odd rule.

    Args:
        points: float, (N, 2), x and y in pixels, clockwise or not; parts outside the frame are cut off.
        size: the frame's height and width.

    Returns:
        bool, (H, W).

    Raises:
        ValueError: if the points are not (N, 2), are more than 100,000, or one is NaN or over a million pixels away.
    """
    check_points(points)
    points = points.astype(np.float64)  # in float32, an edge through a pixel's centre may fall on its other side
    height, width = size
    # Every edge starts at its upper end, so that the two edges of a seam have exactly the same crossings.
    edges = np.stack([points, np.roll(points, -1, axis=0)], axis=1)
    downwards = edges[:, 0, 1] <= edges[:, 1, 1]
    upper, lower = np.where(downwards[:, None, None], edges, edges[:, ::-1]).swapaxes(0, 1)
    first, last = (np.clip(np.ceil(end[:, 1] - 0.5), 0, height).astype(np.int64) for end in (upper, lower))
    crossed = last > first
    upper, lower, first, count = upper[crossed], lower[crossed], first[crossed], (last - first)[crossed]
    slope = (lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1])

    # Along the pixel centres of a row, inside and outside alternate at every crossing with an edge.
    crossings = np.zeros(height * (width + 1), np.uint8)
    step = max(1, _CROSSINGS_AT_ONCE // max(height, 1))
    for start in range(0, len(count), step):
        few = slice(start, start + step)
        edge = np.repeat(np.arange(len(count))[few], count[few])
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count[few]) - count[few], count[few]) + first[edge]
        x = upper[edge, 0] + (row + 0.5 - upper[edge, 1]) * slope[edge]
        column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
        np.add.at(crossings, row * (width + 1) + column, np.uint8(1))
    crossings = crossings.reshape(height, width + 1)[:, :width]
    return (np.cumsum(crossings, axis=1, dtype=np.uint8) & 1).astype(bool)


def check_points(points: np.ndarray) -> None:
    """Check that a polygon from another tool's file can be drawn, and quickly.

    Args:
        points: float, (N, 2), x and y in pixels.

    Raises:
        ValueError: as in :func:`polygon_to_mask`.
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(points) > _MOST_POINTS:
        raise ValueError(f"a polygon must have up to {_MOST_POINTS} points of two numbers each")
    if not (np.abs(points) <= _FARTHEST).all():
        raise ValueError(f"a polygon has a point that is not within {_FARTHEST:.0f} pixels of the frame")


def check_fits(points: np.ndarray, size: tuple[int, int]) -> None:
    """Check that a polygon from another tool's file is in pixels of this frame, not in shares of it or of a larger one.

    Args:
        points: float, (N, 2), x and y.
        size: the frame's height and width.

    Raises:
        InputError: if all its coordinates are between 0 and 1, or it reaches far beyond the frame.
    """
    check_points(points)
    # The outline of the pixel at the origin touches all four sides of this square.
    is_pixel = (points.min(0) == 0).all() and (points.max(0) == 1).all()
    if points.min() >= 0 and points.max() <= 1 and not is_pixel:
        raise InputError("has coordinates between 0 and 1; export them in pixels, not as shares of the frame")
    height, width = size
    shape = np.array([width, height])
    margin = shape * _MARGIN + 1
    if (points < -margin).any() or (points > shape + margin).any():
        raise InputError(
            f"reaches from {points.min(0).tolist()} to {points.max(0).tolist()} (x, y), far beyond the frame of "
            f"{width}x{height} pixels; give masks in the frame's own size"
        )


def runs_to_mask(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Decode run lengths: row by row, the lengths of background and mask in turn, starting with background.

    Args:
        runs: the lengths in pixels, whole numbers from 0.
        size: the mask's height and width.

    Returns:
        bool, (H, W).

    Raises:
        ValueError: if the lengths do not add up to the number of pixels, or one is negative.
    """
    pixels = size[0] * size[1]
    lengths = np.asarray([int(run) for run in runs], object)
    if (lengths < 0).any() or lengths.sum() != pixels:
        raise ValueError(f"the run lengths do not add up to {pixels} pixels")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths.astype(np.int64)).reshape(size)


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """Trace the borders of a mask, the longest first: outlines, and holes if they are large."""
    contourpy = require_extra("contourpy", "video")
    # The contour at 0.5 runs halfway between the centres of a pixel inside and one outside.
    padded = np.pad(mask.astype(np.float32), 1)
    outlines = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset).filled(0.5, 2.0)
    parts = [np.split(points, offsets[1:-1]) for points, offsets in zip(*outlines, strict=True)]
    holes = [ring for _, *inner in parts for ring in inner]
    rings = [outer for outer, *_ in parts]
    if sum(map(_area, holes)) >= _HOLE_SHARE * np.count_nonzero(mask):
        rings += holes
    # Padding moved the pixels by 1. In contourpy whole numbers are the pixels' centres, and here their corners.
    return sorted((ring[:-1] - 0.5 for ring in rings), key=len, reverse=True)


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def _simplify(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """Drop points of a closed line that are within ``tolerance`` of the rest (Douglas and Peucker, 1973)."""
    closed = np.concatenate([ring, ring[:1]])
    farthest = int(np.hypot(*(ring - ring[0]).T).argmax())
    keep = np.zeros(len(closed), bool)
    keep[[0, farthest]] = True
    pending = [(0, farthest), (farthest, len(ring))]
    while pending:
        start, end = pending.pop()
        if end - start < 2:
            continue
        between, chord = closed[start + 1 : end] - closed[start], closed[end] - closed[start]
        distance = np.abs(between[:, 0] * chord[1] - between[:, 1] * chord[0]) / np.hypot(*chord)
        middle = start + 1 + int(distance.argmax())
        if distance.max() > tolerance + 1e-9:
            keep[middle] = True
            pending += [(start, middle), (middle, end)]
    return ring[keep[:-1]]


def _join(rings: list[np.ndarray]) -> np.ndarray:
    """Join closed lines into one, by seams between their nearest points."""
    joined, *others = rings
    for ring in others:
        distance = np.hypot(*(joined[:, None] - ring[None]).transpose(2, 0, 1))
        here, there = np.unravel_index(int(distance.argmin()), distance.shape)
        detour = np.roll(ring, -int(there), axis=0)
        joined = np.concatenate([joined[: here + 1], detour, detour[:1], joined[here:]])
    return joined
