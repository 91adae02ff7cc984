"""What a person does to a stretch of frames at once, and how it is undone: ``undo/``."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import Conflict, NotFound
from lib.store.files import utc_now, write_durably
from lib.store.masks import CHECKED, CORRECTED, FILLED, PREDICTED, PROPAGATED, Correction, Masks
from lsinet_monai.errors import InputError
from lsinet_monai.masks import has_polyp

if TYPE_CHECKING:
    from lib.store.video import StoredVideo

__all__ = ["Act", "Stretches"]

_KEPT = 50  # acts that can be undone


@dataclass
class Act:
    """Something that a person did to a stretch of frames."""

    id: int
    frames: list[int] = field(default_factory=list)
    """Those whose mask it changed."""


class Stretches:
    """Acts on the frames from a first to a last one of one video. The last 50 can be undone.

    Args:
        video: the video.
        masks: its mask files.
    """

    def __init__(self, video: StoredVideo, masks: Masks) -> None:
        self._video = video
        self._masks = masks
        self._folder = video.folder / "undo"

    def check(self, first: int, last: int, user: str) -> Act:
        """Note that a person found the network's masks right. From then on no job changes them, and none spreads.

        Frames that a person has drawn, and frames without a mask, stay as they are.
        """
        return self._fill("check", first, last, user, CHECKED, self._unseen_mask)

    def empty(self, first: int, last: int, user: str) -> Act:
        """Give each frame an empty mask: it shows no polyp."""
        nothing = np.zeros(self._video.info.size, np.uint8)
        return self._fill("empty", first, last, user, FILLED, lambda frame: nothing)

    def copy(self, first: int, last: int, user: str, source: int) -> Act:
        """Give each frame, except the source itself, the mask of the frame ``source``."""
        self._video.info.check_frame(source)
        labels = self._video.mask(source).labels
        return self._fill("copy", first, last, user, FILLED, lambda frame: None if frame == source else labels)

    def remove(self, first: int, last: int, user: str, lesion: int) -> Act:
        """Remove a lesion from each mask that shows it."""

        def without(frame: int) -> np.ndarray | None:
            labels = self._video.mask(frame).labels
            return np.where(labels == lesion, 0, labels).astype(np.uint8) if (labels == lesion).any() else None

        return self._fill("remove", first, last, user, FILLED, without)

    def relabel(self, first: int, last: int, user: str, lesion: int, into: int) -> Act:
        """Call a lesion by the id of another one in these frames. Whose masks they are stays as it is."""
        if lesion == into:
            raise InputError(f"lesion {lesion} has this id already: choose two lesions")

        def change(frame: int, backup: Callable[[str], None]) -> bool:
            found = self._masks.read((CORRECTED, PROPAGATED, PREDICTED), frame)
            if found is None:
                return False
            labels, kind = self._video.lesions.merges()[found[0]], found[1]
            if not (labels == lesion).any():
                return False
            backup(kind)
            renamed = np.where(labels == lesion, into, labels).astype(np.uint8)
            if kind == CORRECTED:
                old = self._masks.corrections[frame]
                self._masks.write_correction(old._replace(version=old.version + 1, lesions=_lesions(renamed)), renamed)
            else:
                self._video.write_prediction(kind, frame, renamed)
            return True

        return self._act("relabel", first, last, user, change, lesion=lesion, into=into)

    def clear(self, first: int, last: int, user: str) -> Act:
        """Take people's masks back, so that the network's are current again."""

        def change(frame: int, backup: Callable[[str], None]) -> bool:
            if frame not in self._masks.corrections:
                return False
            backup(CORRECTED)
            self._masks.remove_correction(frame, self._masks.version(frame) + 1)
            return True

        return self._act("clear", first, last, user, change)

    def undo(self, act: int, user: str) -> Act:
        """Bring the masks back that an act changed.

        Raises:
            Conflict: one of them has changed since, or the video is final.
            NotFound: the act is not known any more.
        """
        folder = self._folder / f"{act:06d}"
        with self._video.lock:
            self._video.info.check_not_final()
            try:
                entries = json.loads((folder / "act.json").read_text(encoding="utf-8"))
            except FileNotFoundError:
                raise NotFound("this step cannot be undone any more") from None
            for entry in entries:
                content = self._masks.content(entry["kind"], entry["frame"])
                if entry["after"] != (None if content is None else _digest(content)):
                    raise Conflict(f"frame {entry['frame']} has changed since: this step cannot be undone any more")
            for entry in entries:
                self._restore(entry["frame"], entry["kind"], folder)
            frames = [entry["frame"] for entry in entries]
            self._note("undo", frames, user)
            shutil.rmtree(folder)
        return Act(act, frames)

    # How they do it --------------------------------------------------------------------------------------------------

    def _unseen_mask(self, frame: int) -> np.ndarray | None:
        """The network's mask of a frame; None if there is none, or a person's."""
        mask = self._video.mask(frame)
        return mask.labels if mask.source == "predicted" else None

    def _fill(
        self, name: str, first: int, last: int, user: str, how: str, mask: Callable[[int], np.ndarray | None]
    ) -> Act:
        """Give each frame a person's mask, unless ``mask(frame)`` is None."""
        time = utc_now()

        def change(frame: int, backup: Callable[[str], None]) -> bool:
            labels = mask(frame)
            if labels is None:
                return False
            backup(CORRECTED)
            version = self._masks.version(frame) + 1
            correction = Correction(frame, user, time, version, _lesions(labels), has_polyp(labels > 0), how)
            self._masks.write_correction(correction, labels)
            return True

        return self._act(name, first, last, user, change)

    def _act(
        self,
        name: str,
        first: int,
        last: int,
        user: str,
        change: Callable[[int, Callable[[str], None]], bool],
        **details: int,
    ) -> Act:
        """Call ``change(frame, backup)`` for each frame; it calls ``backup(kind)`` before it changes a mask's file."""
        for frame in (first, last):
            self._video.info.check_frame(frame)
        if last < first:
            raise InputError(f"the stretch ends at frame {last}, before its first frame {first}")
        with self._video.lock:
            self._video.info.check_not_final()
            act = Act(1 + max((int(folder.name) for folder in self._acts()), default=0))
            folder = self._folder / f"{act.id:06d}"
            folder.mkdir(parents=True)
            entries: list[dict[str, Any]] = []

            def backup(kind: str, frame: int) -> None:
                entries.append({"frame": frame, "kind": kind})
                if (content := self._masks.content(kind, frame)) is not None:
                    (folder / f"{frame:06d}.png").write_bytes(content)

            try:
                for frame in range(first, last + 1):
                    if change(frame, partial(backup, frame=frame)):
                        content = self._masks.content(entries[-1]["kind"], frame)
                        entries[-1]["after"] = None if content is None else _digest(content)
                write_durably(folder / "act.json", json.dumps(entries).encode())
            except BaseException:  # a full disk: all frames get their masks back
                for entry in entries:
                    self._restore(entry["frame"], entry["kind"], folder)
                shutil.rmtree(folder, ignore_errors=True)
                raise
            act.frames = [entry["frame"] for entry in entries]
            if act.frames:
                self._note(name, act.frames, user, first=first, last=last, **details)
            else:
                shutil.rmtree(folder)
            for old in self._acts()[:-_KEPT]:
                shutil.rmtree(old)
        return act

    def _restore(self, frame: int, kind: str, folder: Path) -> None:
        """Bring the mask of a frame back from the folder of an act."""
        file = folder / f"{frame:06d}.png"
        version = self._masks.version(frame) + 1
        if file.exists():
            self._masks.put_content(kind, frame, file.read_bytes(), version)
            if kind != CORRECTED:
                found = self._masks.read((kind,), frame)
                assert found is not None
                self._video.values.set(kind, frame, found[0])
        elif frame in self._masks.corrections:
            self._masks.remove_correction(frame, version)

    def _note(self, name: str, frames: list[int], user: str, **details: int) -> None:
        """Write an act into the history, with the versions that its frames have now."""
        self._video.values.forget_rank()
        self._video.values.flush()
        versions = {frame: self._masks.version(frame) for frame in frames}
        self._video.history.add(user, name, frames=len(frames), versions=versions, **details)

    def _acts(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*"))


def _lesions(labels: np.ndarray) -> tuple[int, ...]:
    return tuple(np.unique(labels[labels > 0]).tolist())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
