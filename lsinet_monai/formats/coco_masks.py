"""The masks of COCO's annotations: polygons and run-length codes to pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.shapes import check_fits, polygon_to_mask, runs_to_mask

__all__ = ["draw_annotation"]

# How far a mask's sides may be from those of its box: tools round, and draw lines of some width.
_BOX_MARGIN = 3.0  # pixels
_BOX_SHARE = 0.03  # of the box's longer side
_RUNS_HINT = "run lengths go down the columns and begin with the background's: write them as pycocotools does"


def draw_annotation(path: Path, entry: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Decode the mask of an annotation.

    Args:
        path: the file, for errors.
        entry: the annotation, with a ``segmentation`` that is not empty. A ``bbox`` is compared with the mask.
        size: the frame's height and width.

    Returns:
        bool, (H, W).

    Raises:
        InputError: it is damaged, has no pixel, does not fit the frame, or does not lie in its ``bbox``.
    """
    where = f"{path}: annotation {entry.get('id')!r}"
    try:
        mask = _mask(entry["segmentation"], size)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{where}: a segmentation is damaged ({error})") from error
    if not mask.any():
        raise InputError(f"{where}: covers no pixel of the frame; remove it, or draw it again")
    segmentation = entry["segmentation"]
    if not any(_fits_box(extent, entry.get("bbox"), size) for extent in _extents(segmentation, mask)):
        hint = "draw it again" if isinstance(segmentation, list) else _RUNS_HINT
        raise InputError(
            f"{where}: its mask does not lie in its bbox {entry['bbox']}; {hint}, or leave out a wrong bbox"
        )
    return mask


def _extents(segmentation: Any, mask: np.ndarray) -> Iterator[tuple[float, float, float, float]]:
    """The sides of a mask, and of the points of polygons, whose thin tails and lines draw no pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    yield columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    if isinstance(segmentation, list):
        flat = np.ravel(segmentation) if not isinstance(segmentation[0], list) else np.concatenate(segmentation)
        x, y = flat[0::2], flat[1::2]
        yield x.min(), y.min(), x.max(), y.max()


def _fits_box(extent: tuple[float, float, float, float], box: Any, size: tuple[int, int]) -> bool:
    """Whether an extent is that of a box: x, y, width and height in pixels, or x and y of two corners.

    A box that is missing, or smaller than a pixel, says nothing.
    """
    if not (isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)):
        return True
    left, top, width, height = box
    if not (np.isfinite(box).all() and width >= 1 and height >= 1):
        return True
    limits = np.array(size[::-1] * 2)  # polygons may reach beyond the frame
    own = np.clip(extent, 0, limits)
    corners = ([left, top, left + width, top + height], [left, top, width, height])
    margin = _BOX_MARGIN + _BOX_SHARE * max(width, height)
    return any(np.abs(np.clip(each, 0, limits) - own).max() <= margin for each in corners)


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Decode a segmentation.

    Raises:
        InputError: its size is width, height.
        ValueError, KeyError, TypeError: it is damaged.
    """
    if isinstance(segmentation, list):
        if all(isinstance(value, int | float) for value in segmentation):  # one polygon without its brackets
            segmentation = [segmentation]
        if len(segmentation) > 2 and all(isinstance(pair, list) and len(pair) == 2 for pair in segmentation):
            raise ValueError("is made of single points; write the numbers one after the other: [[x, y, x, y, ...]]")
        polygons = [_polygon(polygon) for polygon in segmentation]
        polygons = [polygon for polygon in polygons if len(polygon) > 2]  # tools leave lines next to polygons
        if not polygons:
            raise ValueError("no polygon has three points")
        check_fits(np.concatenate(polygons), size)
        mask = np.zeros(size, bool)
        for polygon in polygons:
            mask |= polygon_to_mask(polygon, size)
        return mask
    if not isinstance(segmentation, dict):
        raise ValueError(f"it must be polygons or run lengths, not {type(segmentation).__name__}")
    if segmentation["size"] == list(size[::-1]) != list(size):
        raise InputError(f"size {segmentation['size']} is width, height; it must be height, width")
    if segmentation["size"] != list(size):
        raise ValueError(f"size {segmentation['size']}, not {list(size)}")
    counts = segmentation["counts"]
    return runs_to_mask(_counts(counts) if isinstance(counts, str) else counts, size[::-1]).T


def _polygon(polygon: Any) -> np.ndarray:
    """Read points; refuse what other tools write in place of a polygon, and say how to write it."""
    is_pairs = isinstance(polygon, dict) and {"x", "y"} <= polygon.keys()
    if isinstance(polygon, dict) and not is_pairs:
        raise ValueError("its run lengths are in a list; write them without it: {'size': ..., 'counts': ...}")
    if is_pairs or any(isinstance(value, list | dict) for value in polygon):
        raise ValueError("its polygon is made of pairs; write the numbers one after the other: [x, y, x, y, ...]")
    if len(polygon) % 2:
        raise ValueError(f"its polygon has {len(polygon)} numbers, and needs an x and a y for each; draw it again")
    return np.asarray(polygon, float).reshape(-1, 2)


def _counts(code: str) -> list[int]:
    """Decode COCO's compressed run lengths.

    A number is a sequence of characters with 5 bits each, the lowest first: 48 + bits, + 32 if another one follows. The
    highest bit of the last one is the sign. From the fourth number on, each is the difference to the last but one.
    """
    # pycocotools trusts its input: it reads past the end of a code that is cut off.
    counts: list[int] = []
    value, shift = 0, 0
    for character in code:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("not run lengths")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("the run lengths are cut off")
    return counts
