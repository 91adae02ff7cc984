"""Cuts of a video whose frames are encoded on demand."""

from __future__ import annotations

from lsinet_monai.inferers.cuts import is_cut
from lsinet_monai.inferers.feature_store import EncodedFrame, FeatureStore

__all__ = ["StoredCuts"]


class StoredCuts:
    """Finds the cuts between frames of a store, and keeps what it has found.

    Frames that are damaged, not finite or of one colour are passed over, as in :func:`find_cuts`.

    Args:
        store: the video's encoded frames.
        detect: whether there are any cuts at all. If not, no frame is encoded.
    """

    def __init__(self, store: FeatureStore, detect: bool) -> None:
        self.store = store
        self.detect = detect
        self._begins_scene: dict[int, bool] = {}
        self._unusable: set[int] = set()

    def between(self, frame: int, other: int) -> bool:
        """Whether there is a cut between two frames, in any order. Encodes the frames between them as far as needed."""
        if not self.detect:
            return False
        step = 1 if other > frame else -1
        # From the first one on, in the direction in which its caller goes.
        return any(self.begins_scene(max(at, at + step), step) for at in range(frame, other, step))

    def begins_scene(self, frame: int, step: int = 1) -> bool:
        """Whether a frame comes after a cut.

        Args:
            frame: its index, from 0.
            step: 1 or -1: the direction in which further frames are needed, see :meth:`FeatureStore.get`.
        """
        if frame not in self._begins_scene:
            self._begins_scene[frame] = self._compare(frame, step)
        return self._begins_scene[frame]

    def _compare(self, frame: int, step: int) -> bool:
        later = self._usable(frame, step)
        if later is None:
            return False
        before = (self._usable(at, step) for at in range(frame - 1, -1, -1))
        earlier = next((found for found in before if found is not None), None)
        return earlier is not None and is_cut(earlier.features, later.features)

    def _usable(self, frame: int, step: int) -> EncodedFrame | None:
        if frame in self._unusable:  # A long black stretch is encoded once.
            return None
        encoded = self.store.get(frame, step)
        if encoded is not None and encoded.is_finite and not encoded.is_blank:
            return encoded
        self._unusable.add(frame)
        return None
