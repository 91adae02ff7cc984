"""Ids of other tools as ids of lesions, which are numbered from 1 to 255."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count

__all__ = ["LAST_LESION", "fit_ids"]

LAST_LESION = 255
"""The highest id of a lesion: label images and masks have 8 bits."""


def fit_ids(ids: Iterable[int], taken: Collection[int] = ()) -> dict[int, int]:
    """Map a file's ids to ids of lesions. Ids from 1 to 255 stay; the others get the lowest free ids, in order.

    Args:
        ids: the file's ids, in any order. 0 is an id like any other: CVAT numbers tracks from 0.
        taken: other ids that are in use.

    Returns:
        Each id -> the lesion's id. No two are equal. They are above 255 only where there are more than 255.
    """
    found = sorted(set(ids))
    kept = {id for id in found if 0 < id <= LAST_LESION}
    free = (id for id in count(1) if id not in kept and id not in taken)
    return {id: id if id in kept else next(free) for id in found}
