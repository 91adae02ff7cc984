"""Cuts of a video whose frames are encoded on demand."""

from __future__ import annotations

from lsinet_monai.inferers.cuts import MOST_PASSED, is_cut, shows_less
from lsinet_monai.inferers.feature_store import EncodedFrame, FeatureStore

__all__ = ["StoredCuts"]


class StoredCuts:
    """Finds the cuts between frames of a store, and keeps what it has found.

    Frames that are damaged, not finite, of one colour or much less clear are passed over, as in :func:`find_cuts`. A
    propagation may begin at any frame. So where the frames before one are not known, up to 25 of them tell whether it
    comes after an unclear stretch rather than after a cut.

    Args:
        store: the video's encoded frames.
        detect: whether there are any cuts at all. If not, no frame is encoded.
    """

    def __init__(self, store: FeatureStore, detect: bool) -> None:
        self.store = store
        self.detect = detect
        self._begins_scene: dict[int, bool] = {}
        self._unusable: set[int] = set()
        # Of frames that are much less clear than one before: that one, and how many were passed over since.
        self._passed: dict[int, tuple[int, int]] = {}

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
        before = next((at for at in range(frame - 1, -1, -1) if self._usable(at, step) is not None), None)
        if later is None or before is None:
            return False
        # What the frame before was compared with, if that frame was passed over.
        seen, passed = self._passed.get(before, (before, 0))
        if passed < MOST_PASSED and self._shows_less(seen, later, step):
            self._passed[frame] = seen, passed + 1
            return False
        return self._is_cut(seen, later, step) and not self._comes_back(seen, later, step)

    def _comes_back(self, frame: int, later: EncodedFrame, step: int) -> bool:
        """Whether a frame is unclear, and a clear one before it shows the scene of a later frame.

        Propagations begin anywhere, so this is found out when it is needed.
        """
        for at in range(frame - 1, max(frame - 1 - MOST_PASSED, -1), -1):
            unclear, earlier = self._usable(frame, step), self._usable(at, step)
            if unclear is not None and earlier is not None and self._shows_less(at, unclear, step):
                return not self._is_cut(at, later, step)
        return False

    def _is_cut(self, frame: int, later: EncodedFrame, step: int) -> bool:
        earlier = self._usable(frame, step)
        return earlier is not None and is_cut(earlier.features, later.features)

    def _shows_less(self, frame: int, later: EncodedFrame, step: int) -> bool:
        earlier = self._usable(frame, step)
        return earlier is not None and bool(shows_less(earlier.features.features[1], later.features.features[1]))

    def _usable(self, frame: int, step: int) -> EncodedFrame | None:
        if frame in self._unusable:  # A long black stretch is encoded once.
            return None
        encoded = self.store.get(frame, step)
        if encoded is not None and encoded.is_finite and not encoded.is_blank:
            return encoded
        self._unusable.add(frame)
        return None
