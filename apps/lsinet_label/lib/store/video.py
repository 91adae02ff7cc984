"""One stored video, and the changes that touch several of its files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from threading import RLock

import numpy as np

from lib.errors import Conflict, NotFound
from lib.store.files import utc_now
from lib.store.frame_values import FrameValues
from lib.store.history import History
from lib.store.lesions import Lesions
from lib.store.masks import CHECKED, CORRECTED, DRAWN, NEW, PREDICTED, PROPAGATED, Correction, Mask, Masks
from lib.store.propagations import Propagations
from lib.store.stretches import Stretches
from lib.store.undo_log import UndoLog
from lib.store.video_info import VideoInfo
from lsinet_monai.masks import has_polyp

__all__ = ["LABEL_SUFFIXES", "LABEL_TAGS", "REACH", "StoredVideo"]

REACH = 30
"""On so many frames on either side a correction acts."""

logger = logging.getLogger(__name__)

LABEL_TAGS = ("original", "final")
"""The datastore's labels of a video: their folders lie next to this store's."""
LABEL_SUFFIXES = (".json", ".xml", ".nii.gz", ".nii", ".nrrd", ".zip")


class StoredVideo:
    """One video with its masks, values, lesions and history.

    Args:
        image_id: its id in the datastore.
        path: the video.
        folder: its folder in the store.

    Attributes:
        lock: held during every change. Only the server's process changes anything; other processes read.
        info: what the video is, and whether it is final.
        history: who did what.
        values: scores and doubts of the frames.
        lesions: their ids, names and colours.
        stretches: what people do to many frames at once.
        propagations: the propagations that can be undone.
    """

    def __init__(self, image_id: str, path: Path, folder: Path) -> None:
        self.id = image_id
        self.path = path
        self.folder = folder
        self.lock = RLock()
        self.info = VideoInfo(image_id, path, folder, self.lock, self._set_aside)
        self.history = History(folder)
        self._masks = Masks(folder, self.history)
        self.values = FrameValues(folder, self.lock, self.info, self._masks)
        self.lesions = Lesions(self.lock, self.info, self.values, self.history)
        log = UndoLog(folder / "undo")
        self.stretches = Stretches(self, self._masks, log)
        self.propagations = Propagations(self, self._masks, log)

    def _set_aside(self) -> None:
        """Move the data and labels of the previous video with this name to another folder."""
        aside = self.folder.with_name(f".replaced-{datetime.now():%Y%m%d-%H%M%S}-{self.id}")
        self.folder.rename(aside)
        for tag in LABEL_TAGS:
            for suffix in LABEL_SUFFIXES:
                label = self.folder.parents[1] / tag / f"{self.id}{suffix}"
                if label.exists():
                    label.rename(aside / f"{tag}{suffix}")
        for part in (self.info, self._masks, self.values):
            part.reload()

    # Masks -----------------------------------------------------------------------------------------------------------

    @property
    def corrections(self) -> dict[int, Correction]:
        """A copy of people's masks, by frame, in order."""
        with self.lock:
            return dict(sorted(self._masks.corrections.items()))

    @property
    def spreading_corrections(self) -> dict[int, Correction]:
        """Those of people's masks that spread to the frames around them: the drawn ones."""
        return {frame: correction for frame, correction in self.corrections.items() if correction.how == DRAWN}

    @property
    def saves(self) -> int:
        """How often people changed a mask, or many at once, or kept or undid something."""
        with self.lock:
            return self._masks.saves + int(self.info.get("acts", 0)) + int(self.info.get("answers", 0))

    def mask(self, frame: int, original: bool = False) -> Mask:
        """The current mask of a frame, or the model's own.

        Raises:
            NotFound: the video has no such frame.
        """
        self.info.check_frame(frame)
        with self.lock:
            version = self._masks.version(frame)
            found = self._masks.read((PREDICTED,) if original else (CORRECTED, PROPAGATED, PREDICTED), frame)
            if found is not None:
                labels, kind = found
                merged = labels if original else self.lesions.merges()[labels]
                if kind == CORRECTED:
                    known = self._masks.corrections.get(frame)  # another process may read a newer file
                    source = CHECKED if known is not None and known.how == CHECKED else CORRECTED
                    return Mask(merged, source, version)
                return Mask(merged, "predicted", version)
        return Mask(np.zeros(self.info.size, np.uint8), "none", version)

    def corrected_labels(self, frame: int) -> np.ndarray | None:
        """The mask that a person saved, uint8, (H, W): lesion ids; None if the frame is not corrected."""
        with self.lock:
            return self.mask(frame).labels if frame in self._masks.corrections else None

    def is_propagated(self, frame: int) -> bool:
        """Whether the frame has a propagated mask."""
        return self._masks.is_propagated(frame)

    def propagated_frames(self) -> list[int]:
        """The frames that have a propagated mask, in order."""
        return self._masks.propagated_frames()

    # A propagated mask never outlives all corrections from which it came. Its values name them, so that this holds
    # wherever it lies, also behind a frame that was checked after the propagation.

    def reached_from(self, frame: int) -> range:
        """The frames on which a correction of a frame acts, with itself: not beyond the next ones with people's masks.

        The frame need not be corrected.
        """
        people = self.corrections
        before = (other + 1 for other in people if other < frame)
        after = (other for other in people if other > frame)
        return range(max([0, frame - REACH, *before]), min([self.info.frame_count, frame + REACH + 1, *after]))

    def propagated_from(self, frame: int) -> set[int]:
        """The frames whose propagated mask came from the correction of a frame, and perhaps from others, too."""

        def came(other: int) -> bool:
            sources = self.values.sources(other)
            if sources is None:  # propagated by an older version: it came from a correction within reach
                return abs(other - frame) <= REACH
            return frame in sources

        with self.lock:
            return {other for other in self.propagated_frames() if came(other)}

    def orphans(self) -> set[int]:
        """The frames whose propagated mask came from corrections of which none is left."""
        with self.lock:
            drawn = self.spreading_corrections

            def is_orphan(frame: int) -> bool:
                sources = self.values.sources(frame)
                if sources is None:  # propagated by an older version: it came from a correction within reach
                    return all(abs(other - frame) > REACH for other in drawn)
                return drawn.keys().isdisjoint(sources)

            return {frame for frame in self.propagated_frames() if is_orphan(frame)}

    def remove_orphans(self) -> None:
        """Remove the propagated masks of :meth:`orphans`."""
        with self.lock:
            if orphans := self.orphans():
                self.remove_propagated(orphans)
                self.values.flush()

    @property
    def warnings(self) -> list[str]:
        """What a person should know of the video: how it was read, and which frames cannot be read."""
        unreadable = self.values.unreadable()
        if not unreadable:
            return list(self.info.get("warnings") or [])
        first = f"the first one is frame {unreadable[0] + 1}"
        return [
            *(self.info.get("warnings") or []),
            f"{len(unreadable)} of {self.info.frame_count} frames cannot be read ({first}): they have no mask, and "
            "count as frames without a polyp",
        ]

    def check_whole(self, original: bool = False) -> None:
        """Check that no frame waits for its first mask.

        Args:
            original: for one of the model's own.

        Raises:
            Conflict: some do.
            InputError: the video cannot be read.
        """
        self.info.open_once()
        if count := self.values.without_mask(original):
            raise Conflict(
                f"{count} of the {self.info.frame_count} frames of '{self.id}' have no mask yet: let the network find "
                "the polyps first, or add partial=true"
            )

    # What people do --------------------------------------------------------------------------------------------------

    def save_correction(self, frame: int, labels: np.ndarray, user: str, version: int | None = None) -> Correction:
        """Store a person's mask. It is on the disk when this returns.

        Args:
            frame: its index.
            labels: uint8, (H, W): lesion ids; all 0 says that there is no polyp.
            user: who saves it.
            version: the version that the person started from; None replaces any version.

        Raises:
            Conflict: somebody else saved meanwhile, or the video is final.
            NotFound: the video has no such frame.
        """
        self.info.check_frame(frame)
        with self.lock:
            self.info.check_not_final()
            current = self._masks.version(frame)
            if version is not None and version != current:
                raise Conflict(
                    f"somebody else saved frame {frame} of '{self.id}' meanwhile: load its mask again", version=current
                )
            lesions = tuple(np.unique(labels[labels > 0]).tolist())
            correction = Correction(frame, user, utc_now(), current + 1, lesions, has_polyp(labels > 0), DRAWN)
            self._masks.write_correction(correction, labels)
            self.values.forget_rank()
            try:
                self.history.add(user, "save", frame=frame, version=correction.version, empty=correction.empty)
            except OSError:  # not lost: the mask's own file says who saved it, and when
                logger.exception("the save of frame %d of '%s' is missing in its history", frame, self.id)
            return correction

    def take_back(self, frame: int, user: str) -> int:
        """Remove a person's mask, so that the model's is back.

        Returns:
            the frame's new version.

        Raises:
            Conflict: the video is final.
            NotFound: the frame is not corrected.
        """
        self.info.check_frame(frame)
        with self.lock:
            self.info.check_not_final()
            if frame not in self._masks.corrections:
                raise NotFound(f"frame {frame} of '{self.id}' is not corrected")
            version = self._masks.version(frame) + 1
            self.history.add(user, "take back", frame=frame, version=version)
            self._masks.remove_correction(frame, version)
            self.propagations.close(frame)
            self.values.forget_rank()
            return version

    def set_final(self, final: bool, user: str) -> None:
        """Mark the video as final, so that its masks do not change any more; or open it again."""
        with self.lock:
            if final != self.info.is_final:
                self.history.add(user, "final" if final else "open again")
                self.info.update(final=final)

    # What jobs do ----------------------------------------------------------------------------------------------------

    def begin_annotation(self) -> None:
        """Prepare for masks of the model's own, from the first frame on. All masks that the video has stay.

        If it has some of the model's, the new ones are kept apart until :meth:`end_annotation`.
        """
        self.info.open_once()
        with self.lock:
            self._masks.adopt_complete()
            if self._masks.has_predictions:
                self._masks.begin_new()
            self.values.begin(self.annotated_kind)

    @property
    def annotated_kind(self) -> str:
        """The kind of the masks that an annotation writes: ``new`` if it replaces earlier ones, else ``predicted``."""
        return NEW if self._masks.has_new else PREDICTED

    def annotated_labels(self, frame: int) -> np.ndarray:
        """The mask that the annotation under way wrote, uint8, (H, W): lesion ids; all 0 if it wrote none."""
        found = self._masks.read((self.annotated_kind,), frame)
        return np.zeros(self.info.size, np.uint8) if found is None else found[0]

    def end_annotation(self, model: str) -> None:
        """Note that the model has gone through the whole video. Its new masks and values replace earlier ones together.

        Propagated masks stay: they are to be propagated again.

        Args:
            model: identifies the model file, see :meth:`lib.model.ServedModel.load`.
        """
        with self.lock:
            self.info.check_not_final()  # a cancelled job may still do its last step
            self.values.flush()
            self._masks.adopt_new()
            self.values.adopt_new()
            self.lesions.forget_made()
            self.info.update(annotated={"model": model, "time": utc_now()})

    def write_prediction(self, kind: str, frame: int, labels: np.ndarray, **values: float) -> None:
        """Store a frame's mask and values.

        Args:
            kind: :attr:`annotated_kind` for the model's own mask, ``propagated`` for one predicted from a correction.
            frame: its index.
            labels: uint8, (H, W): lesion ids.
            values: ``scores``, ``uncertainty``, ``errors``, ``changes``, ``quality``. Values that are not given stay
                as they are.
        """
        with self.lock:
            self._masks.write_prediction(kind, frame, labels)
        self.values.set(kind, frame, labels, **values)

    def write_propagated(self, frame: int, labels: np.ndarray, sources: Sequence[int], **values: float) -> bool:
        """Store a mask that was predicted from corrections, unless these have all been taken back meanwhile.

        Args:
            frame: its index.
            labels: uint8, (H, W): lesion ids.
            sources: the corrected frames.
            values: see :meth:`write_prediction`.

        Returns:
            whether it was stored.
        """
        with self.lock:
            if self.spreading_corrections.keys().isdisjoint(sources):
                return False
            self.write_prediction(PROPAGATED, frame, labels, **values)
            self.values.set_sources(frame, sources)
        return True

    def remove_propagated(self, frames: Iterable[int]) -> None:
        """Remove the propagated masks and values of some frames: the model's own are current again."""
        frames = list(frames)
        with self.lock:
            self._masks.remove_propagated(frames)
            self.values.remove_propagated(frames)
