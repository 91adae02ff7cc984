"""How a person's mask spreads to the frames around it: what it is computed from, and the lesions' ids there."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from lib.store import REACH, StoredVideo
from lsinet_monai.formats.lesion_ids import LAST_LESION
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.inferers.corrections import nearest_frames
from lsinet_monai.inferers.propagation import PropagatedFrame
from lsinet_monai.masks import LesionTracker
from lsinet_monai.networks import LSINet

__all__ = ["Inferers", "SpreadLesions", "as_bytes", "corrections_in_use", "sources_of", "without_specks"]

_MIN_AREA = 0.001  # of the frame, the same as for "has a polyp"


class Inferers:
    """What segments the frames of videos, in jobs and in previews. It keeps the graphs that a GPU has captured."""

    def __init__(self) -> None:
        self._known: dict[bool, SequentialVideoInferer] = {}

    def of(self, network: LSINet) -> SequentialVideoInferer:
        """Return the inferer for a network; masks are refined if it has a prompt head."""
        refine = network.prompt_head is not None
        if refine not in self._known:
            self._known[refine] = SequentialVideoInferer(
                adjacent="clearest", detect_cuts=True, smoothing=0.35, refine=refine
            )
        return self._known[refine]


def corrections_in_use(corrected: Collection[int], frame: int, reached: range) -> list[int]:
    """The corrected frames on which a propagation from a frame depends, in order; itself among them, if it is one.

    Args:
        corrected: the frames with drawn masks.
        frame: the frame from which a mask spreads.
        reached: the frames that it reaches.
    """
    nearest = {frame, *nearest_frames(corrected, frame - 1), *nearest_frames(corrected, frame + 1)}
    # The inferer detects cuts: corrections out of reach of a frame are then not in its memory.
    used = range(reached.start - REACH, reached.stop + REACH)
    return sorted(nearest.intersection(corrected).intersection(used))


def sources_of(found: PropagatedFrame, frame: int, video: StoredVideo, is_stale: bool) -> list[int] | None:
    """Decide what becomes of a frame around a drawn mask.

    Args:
        found: the frame, and what a propagation found in it.
        frame: the frame with the drawn mask.
        video: the video.
        is_stale: whether the mask that it has came from a drawn mask that was replaced or taken back.

    Returns:
        the corrected frames from which it gets the propagated mask; none if the network's own mask is current again;
        None if it keeps the mask that it has, because the drawn mask says nothing about it.
    """
    if frame in found.carried or (is_stale and found.carried):
        return list(found.carried)
    has_mask = video.mask(found.frame, original=is_stale).source != "none"
    if not has_mask:
        return sorted({frame, *found.carried})  # better than none: nobody has let the network find polyps there
    return [] if is_stale else None


class SpreadLesions:
    """Gives ids to the lesions of frames around a drawn mask, from frame to frame in each direction.

    Args:
        frame: the frame of the drawn mask.
        labels: the drawn mask, uint8, (H, W): lesion ids.
        threshold: a pixel belongs to a mask if its probability is above this.
        next_id: new lesions get this id, or higher ones. It may be raised meanwhile.
    """

    def __init__(self, frame: int, labels: np.ndarray, threshold: float, next_id: int) -> None:
        self.frame = frame
        self.labels = labels
        self.threshold = threshold
        self.next_id = next_id
        self._trackers: dict[bool, LesionTracker] = {}

    def __call__(self, frame: int, probability: np.ndarray) -> np.ndarray:
        """Make the mask of the next frame in its direction.

        Args:
            frame: its index.
            probability: (H, W).

        Returns:
            uint8, (H, W): lesion ids, without specks.
        """
        is_after = frame > self.frame
        if is_after not in self._trackers:  # each direction starts at the person's mask
            self._trackers[is_after] = LesionTracker()
            self._trackers[is_after].follow(self.labels)
        tracker = self._trackers[is_after]
        tracker.next_id = max(tracker.next_id, self.next_id)
        labels = as_bytes(tracker(without_specks(probability > self.threshold)))
        self.next_id = tracker.next_id
        return labels


def without_specks(mask: np.ndarray) -> np.ndarray:
    """Remove parts of a mask, bool, (H, W), that are too small for a polyp: people would have to erase them."""
    parts, _ = ndimage.label(mask, np.ones((3, 3), bool))
    areas = np.bincount(parts.ravel())
    return mask & (areas > _MIN_AREA * mask.size)[parts]


def as_bytes(labels: np.ndarray) -> np.ndarray:
    """Convert lesion ids to uint8. After the highest id they start again at 1."""
    return np.where(labels > 0, (labels - 1) % LAST_LESION + 1, 0).astype(np.uint8)
