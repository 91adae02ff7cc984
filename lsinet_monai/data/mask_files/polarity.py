"""Tell whether masks show polyps as black on white, where their set's rule takes white as polyp."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, label

__all__ = ["Look", "find_inverted", "look_at", "mostly_inverted"]

_BORDER, _AREA = 0.75, 0.5
_RIM, _RIM_AREA = 0.99, 0.6
_LEAST_REST = 0.002  # of a frame; smaller holes are no polyps
_PARTS, _IN_PARTS = 3, 0.9  # a frame shows few polyps
_FILLED = 0.4  # of the box around a polyp
_LEAST_CASE = 2  # masks


@dataclass(frozen=True)
class Look:
    """What one mask looks like by a rule.

    Args:
        path: the mask's file.
        shows_polyp: whether a pixel is polyp.
        is_inverted: whether the polyp covers most of the border and of the area; None if it covers all or nothing.
        is_surely_inverted: whether, moreover, it covers the whole border, and the rest is a few compact areas.
    """

    path: str
    shows_polyp: bool
    is_inverted: bool | None = None
    is_surely_inverted: bool = False


def look_at(path: str, mask: np.ndarray) -> Look:
    """Look at a mask: bool, (H, W), True for polyp."""
    if not mask.any() or mask.all():
        return Look(path, bool(mask.any()))
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    area = mask.mean()
    is_surely_inverted = bool(border >= _RIM and _RIM_AREA < area <= 1 - _LEAST_REST) and _is_compact(~mask)
    return Look(path, True, bool(border > _BORDER and area > _AREA), is_surely_inverted)


def _is_compact(rest: np.ndarray) -> bool:
    parts, _ = label(rest)
    areas = np.bincount(parts.ravel())[1:]
    largest = int(areas.argmax())
    rows, columns = find_objects(parts)[largest]
    box = (rows.stop - rows.start) * (columns.stop - columns.start)
    few = np.sort(areas)[-_PARTS:].sum() >= _IN_PARTS * areas.sum()
    return bool(few and areas[largest] >= _FILLED * box)


def mostly_inverted(looks: Iterable[Look]) -> bool:
    """Tell whether most masks look inverted."""
    inverted = [look.is_inverted for look in looks if look.is_inverted is not None]
    return bool(inverted and np.mean(inverted) > 0.5)


def find_inverted(
    looks: Sequence[Look], files: Sequence[str], read_looks: Callable[[Sequence[str]], list[Look]]
) -> tuple[list[Look], bool]:
    """Find masks that look inverted among others that do not.

    Args:
        looks: what some masks of the set look like.
        files: all masks of the set; those of a case lie in one folder.
        read_looks: looks at some masks of a list of files, spread over it.

    Returns:
        The masks that look inverted, and whether they are a quarter of the set or whole cases.
    """
    shaped = [look for look in looks if look.is_inverted is not None]
    inverted = [look for look in shaped if look.is_surely_inverted]
    if not inverted:
        return [], False
    if 4 * len(inverted) >= len(shaped):
        return inverted, True
    right = {os.path.dirname(look.path) for look in shaped if not look.is_surely_inverted}
    cases = defaultdict(list)
    for file in files:
        cases[os.path.dirname(file)].append(file)
    for case in {os.path.dirname(look.path) for look in inverted} - right:
        found = [look.is_surely_inverted for look in read_looks(cases[case]) if look.is_inverted is not None]
        if len(found) >= _LEAST_CASE and all(found):
            return inverted, True
    return inverted, False
