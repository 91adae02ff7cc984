"""Lesions of a video: the connected parts of its masks, with ids that stay the same from frame to frame."""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy import ndimage

__all__ = ["LesionLinker"]

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


class LesionLinker:
    """Track the lesions of a video: called with the mask of each frame in turn, it labels the lesions.

    A lesion of a frame is an 8-connected part of its mask. It keeps the id of the earlier lesion that it overlaps:

    - Earlier lesions come from the previous frame and, to bridge gaps, from up to ``max_gap`` frames before that. Of
      all pairs of a part and an earlier lesion, the pair with the highest IoU is linked first, then the highest of the
      remaining ones. A part without a free overlapping lesion is a new lesion.
    - So in every frame an id stands for exactly one connected part.
    - Split: the part that fits the lesion best keeps its id; the others are new lesions.
    - Merge: the joint part keeps the id of the lesion that it fits best. The other ids are absent while the parts are
      joined; parts that separate within ``max_gap`` frames get their own ids back.
    - Only overlap links lesions: one that was absent for more than ``max_gap`` frames, or moved by more than its own
      size, is a new lesion.

    A frame of another size than the previous one is not linked to it; its ids continue the count. The state is the last
    few label images and the next id, and can be pickled.

    Args:
        max_gap: for how many frames a lesion may be absent and keep its id.
    """

    def __init__(self, max_gap: int = 3) -> None:
        self.next_id = 1
        # Label images and the areas of their lesions, newest last.
        self._earlier: deque[tuple[np.ndarray, dict[int, int]]] = deque(maxlen=max_gap + 1)

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        """Label the next frame.

        Args:
            mask: bool, (H, W).

        Returns:
            int32, (H, W): 0 for the background, elsewhere the lesion's id, from 1.
        """
        if self._earlier and self._earlier[-1][0].shape != mask.shape:
            self._earlier.clear()
        labels = np.zeros(mask.shape, np.int32)
        areas: dict[int, int] = {}
        # Most of a frame is background: only the mask's bounding box is labelled.
        box = tuple(
            slice(int(line.argmax()), len(line) - int(line[::-1].argmax())) for line in (mask.any(1), mask.any(0))
        )
        if mask.any():
            parts, count = ndimage.label(mask[box], _EIGHT_NEIGHBOURS)
            part_areas = np.bincount(parts.ravel(), minlength=count + 1)
            ids = self._ids(parts, part_areas, box)
            labels[box] = ids[parts]
            areas = dict(zip(ids[1:].tolist(), part_areas[1:].tolist(), strict=True))
        self._earlier.append((labels, areas))
        return labels.copy()

    def follow(self, labels: np.ndarray) -> None:
        """Continue from a frame whose lesions already have ids, given by a person or an earlier run.

        Lesions of later frames take over its ids where they overlap; new ids are larger than all of its ids.

        Args:
            labels: integers, (H, W): 0 for the background, elsewhere the lesion's id, from 1.
        """
        ids, areas = np.unique(labels[labels > 0], return_counts=True)
        known = dict(zip(ids.tolist(), areas.tolist(), strict=True))
        self._earlier.append((labels.astype(np.int32), known))
        self.next_id = max([self.next_id, *(lesion + 1 for lesion in known)])

    def _ids(self, parts: np.ndarray, part_areas: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
        """Return a lesion id for every part, which ``parts`` numbers from 1; entry 0 is the background."""
        overlaps: list[tuple[float, int, int, int]] = []  # IoU; position in time, newest highest; part; lesion
        for place, (earlier, areas) in enumerate(self._earlier):
            for part, lesion, area in find_overlaps(parts, earlier[box]):
                union = int(part_areas[part]) + areas[lesion] - area
                overlaps.append((area / union, place, part, lesion))
        ids = np.zeros(len(part_areas), np.int32)
        taken: set[int] = set()
        for _, _, part, lesion in sorted(overlaps, reverse=True):
            if not ids[part] and lesion not in taken:
                ids[part] = lesion
                taken.add(lesion)
        new = np.flatnonzero(ids[1:] == 0) + 1
        ids[new] = np.arange(self.next_id, self.next_id + len(new))
        self.next_id += len(new)
        return ids


def find_overlaps(parts: np.ndarray, lesions: np.ndarray) -> list[tuple[int, int, int]]:
    """Find the parts and lesions of two label images that overlap: (part, lesion, number of shared pixels)."""
    both = (parts > 0) & (lesions > 0)
    pairs = parts[both].astype(np.int64) << 32 | lesions[both]
    # Count runs of equal pairs, not pixels: there are far fewer of them to sort.
    starts = np.flatnonzero(np.diff(pairs, prepend=-1))
    found, places = np.unique(pairs[starts], return_inverse=True)
    areas = np.bincount(places, weights=np.diff(starts, append=len(pairs)))
    return [(pair >> 32, pair & 0xFFFFFFFF, int(area)) for pair, area in zip(found.tolist(), areas, strict=True)]
