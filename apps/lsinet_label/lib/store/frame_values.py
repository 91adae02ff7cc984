"""The values of each frame, such as score and uncertainty: ``frames.json``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from lib.store.files import write_durably
from lib.store.masks import NEW, PREDICTED, PROPAGATED, Masks
from lib.store.video_info import VideoInfo
from lsinet_monai.data import unclear_frames
from lsinet_monai.masks import fault_doubts, frame_doubts, has_polyp, temporal_disagreement, video_doubt

__all__ = ["FrameValues"]

_NAMES = ("scores", "uncertainty", "errors", "changes", "quality", "has_polyp", "lesions")


class FrameValues:
    """Values of each frame of one video.

    Args:
        folder: the video's folder in the store.
        lock: the video's lock.
        info: has the number of frames.
        masks: has the corrected frames. A person's mask has no uncertainty.
    """

    def __init__(self, folder: Path, lock: AbstractContextManager[Any], info: VideoInfo, masks: Masks) -> None:
        self._file = folder / "frames.json"
        self._new_file = folder / "frames.new.json"
        self._lock = lock
        self._info = info
        self._masks = masks
        self.reload()

    def reload(self) -> None:
        """Read the values from the disk."""
        self._predicted: dict[str, Any] = _read(self._file) or {}
        self._new: dict[str, Any] | None = _read(self._new_file)
        # Kept apart from the model's own values, which count again when a correction is taken back.
        propagated = self._predicted.pop(PROPAGATED, {})
        self._propagated = {int(frame): values for frame, values in propagated.items()}
        self.forget_rank()

    def flush(self) -> None:
        """Write the values to the disk."""
        with self._lock:
            write_durably(self._file, json.dumps({**self._predicted, PROPAGATED: self._propagated}).encode())
            if self._new is not None:
                write_durably(self._new_file, json.dumps(self._new).encode())

    # Writing ---------------------------------------------------------------------------------------------------------

    def begin(self, kind: str) -> None:
        """Begin with the model's first frame.

        Args:
            kind: ``predicted``: the model has no values of the video yet; ``new``: it has, and they stay until
                :meth:`adopt_new`. Values of propagated masks stay either way.
        """
        with self._lock:
            values = {name: [None] * self._info.frame_count for name in _NAMES}
            if kind == NEW:
                self._new = values
            else:
                self._predicted = values
            self.forget_rank()

    def adopt_new(self) -> None:
        """Replace the values of the model's own masks by the new ones, if there are any."""
        with self._lock:
            if self._new is None:
                return
            self._predicted, self._new = self._new, None
            # Without a mask, they only say how the old mask next to a propagated one changed.
            self._propagated = {frame: found for frame, found in self._propagated.items() if "has_polyp" in found}
            self.flush()
            self._new_file.unlink(missing_ok=True)
            self.forget_rank()

    def set(self, kind: str, frame: int, labels: np.ndarray, **values: float) -> None:
        """Store the values of a frame. Values that are not given stay as they are.

        Args:
            kind: ``predicted``, ``propagated`` or ``new``.
            frame: its index.
            labels: its mask, uint8, (H, W): lesion ids.
            values: ``scores``, ``uncertainty``, ``errors``, ``changes``, ``quality``.
        """
        found: dict[str, Any] = {name: round(value, 4) for name, value in values.items()}
        found |= {"has_polyp": has_polyp(labels > 0), "lesions": np.unique(labels[labels > 0]).tolist()}
        with self._lock:
            self.forget_rank()
            if kind == PROPAGATED:
                self._propagated.setdefault(frame, {}).update(found)
                return
            values = self._predicted if kind == PREDICTED or self._new is None else self._new
            for name, value in found.items():
                values.setdefault(name, [None] * self._info.frame_count)[frame] = value

    def set_sources(self, frame: int, sources: Sequence[int]) -> None:
        """Store the corrected frames from which the mask of a frame was propagated."""
        with self._lock:
            self._propagated.setdefault(frame, {})["sources"] = list(sources)

    def sources(self, frame: int) -> list[int] | None:
        """The corrected frames from which the mask of a frame was propagated; None if an older version did that."""
        with self._lock:
            return self._propagated.get(frame, {}).get("sources")

    def set_change(self, frame: int, change: float) -> None:
        """Store 1 - IoU between the masks of a frame and the frame before, after a correction changed one of them."""
        with self._lock:
            self._propagated.setdefault(frame, {})["changes"] = round(change, 4)
            self.forget_rank()

    def propagated(self, frame: int) -> dict[str, Any] | None:
        """The propagated values of a frame, or None."""
        with self._lock:
            values = self._propagated.get(frame)
            return None if values is None else dict(values)

    def put_propagated(self, frame: int, values: dict[str, Any] | None) -> None:
        """Put propagated values back, as :meth:`propagated` returned them."""
        with self._lock:
            if values is None:
                self._propagated.pop(frame, None)
            else:
                self._propagated[frame] = values
            self.forget_rank()

    def remove_propagated(self, frames: Iterable[int]) -> None:
        """Forget the propagated values of some frames."""
        with self._lock:
            for frame in frames:
                self._propagated.pop(frame, None)
            self.forget_rank()

    def forget_rank(self) -> None:
        """Let :meth:`rank` compute the rank again. Call this after each change of values or corrections."""
        self._rank: tuple[float | None] | None = None
        self._without_mask: int | None = None
        self._unreadable: list[int] | None = None

    # Reading ---------------------------------------------------------------------------------------------------------

    def per_frame(self, name: str, replaced: Collection[int] = ()) -> list[Any]:
        """One value per frame. Corrected frames have the values of the person's mask.

        Args:
            name: ``scores``, ``uncertainty``, ``errors`` (what the network expects of 1 - Dice), ``changes``,
                ``quality``, ``has_polyp`` or ``lesions``.
            replaced: frames whose propagated mask does not count.

        Returns:
            the values in the order of the frames, None where a value is not known.
        """
        count = self._info.get("frames") or 0
        with self._lock:
            values = list(self._predicted.get(name) or [None] * count)
            for frame, known in self._propagated.items():
                if frame < count and frame not in replaced:
                    values[frame] = known.get(name, values[frame])
            for frame, correction in self._masks.corrections.items():
                if frame < len(values):
                    sure = {"scores": float(correction.has_polyp), "uncertainty": 0.0, "errors": 0.0}
                    if name not in ("changes", "quality"):  # of the frame before, and of the picture
                        values[frame] = sure.get(name, getattr(correction, name, None))
        return values

    def corrected_lesions(self) -> list[tuple[int, ...]]:
        """The lesions in each mask that a person saved."""
        with self._lock:
            return [correction.lesions for correction in self._masks.corrections.values()]

    def doubts(self) -> list[float | None]:
        """The doubt of each frame, in [0, 1]; None if the frame is corrected or not predicted yet."""
        uncertainty, errors = self.per_frame("uncertainty"), self.per_frame("errors")
        # Older versions stored no expected errors. Doubts of two kinds do not compare, so then all frames get the old.
        if any(error is None and bits is not None for error, bits in zip(errors, uncertainty, strict=True)):
            doubts = frame_doubts(uncertainty, temporal_disagreement(self.per_frame("changes")))
        else:
            doubts = fault_doubts(errors, self.per_frame("has_polyp"), self._info.get("fps") or 25)
        return [
            None if doubt is None or frame in self._masks.corrections else round(doubt, 4)
            for frame, doubt in enumerate(doubts)
        ]

    def unclear(self) -> list[int]:
        """The frames whose picture is blurred or white, ascending."""
        return unclear_frames(self.per_frame("quality"))

    def rank(self) -> float | None:
        """The doubt of the video, in [0, 1], by which lists are ordered; None if it is final or not annotated."""
        if self._info.is_final or not self._info.is_annotated:
            return None
        with self._lock:
            if self._rank is None:  # slow for an hour of video, and pages ask for the list of videos every second
                self._rank = (video_doubt(self.doubts()),)
            return self._rank[0]

    def unreadable(self) -> list[int]:
        """The frames that the model could not read and that nobody gave a mask; known once it has seen all frames."""
        if not self._info.is_annotated:
            return []
        with self._lock:
            if self._unreadable is None:
                self._unreadable = [i for i, score in enumerate(self.per_frame("scores")) if score is None]
            return self._unreadable

    def without_mask(self, original: bool = False) -> int:
        """How many frames have no mask yet; 0 once the model has gone through the whole video.

        Frames that cannot be decoded never get a mask: then they are :meth:`unreadable`.

        Args:
            original: count the model's own masks alone.
        """
        if self._info.is_annotated or not self._info.get("frames"):
            return 0
        with self._lock:
            if original:
                known = self._predicted.get("scores") or []
                return int(self._info.get("frames")) - sum(score is not None for score in known)
            if self._without_mask is None:
                self._without_mask = self.per_frame("scores").count(None)
            return self._without_mask


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content
