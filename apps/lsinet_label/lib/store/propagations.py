"""What the last propagations from a corrected frame changed, until a person keeps or undoes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.errors import Conflict
from lib.store.masks import PROPAGATED, Masks, decode_mask
from lib.store.undo_log import PROPAGATION, UndoLog, backup_of, digest

if TYPE_CHECKING:
    from lib.store.video import StoredVideo

__all__ = ["Propagations", "Replaced"]


class Replaced(NamedTuple):
    """What a propagation replaced in a frame."""

    content: bytes | None
    """The PNG file of the propagated mask; None if the frame had none."""
    values: dict[str, Any] | None


class Propagations:
    """The propagations of one video that can be undone.

    Args:
        video: the video.
        masks: its mask files.
        log: its undo log.
    """

    def __init__(self, video: StoredVideo, masks: Masks, log: UndoLog) -> None:
        self._video, self._masks, self._log = video, masks, log

    def replaceable(self, frame: int) -> Replaced:
        """The propagated mask of a frame and its values, which a propagation may replace."""
        return Replaced(self._masks.content(PROPAGATED, frame), self._video.values.propagated(frame))

    def note(self, frame: int, before: dict[int, Replaced]) -> None:
        """Note what a propagation replaced, so that it can be undone. The correction itself stays then.

        One that changed nothing is not noted. One of the same mask as the last, which nobody has kept or undone yet, is
        noted as a part of that: both are undone together.

        Args:
            frame: the corrected frame.
            before: what each frame had before, see :meth:`replaceable`.
        """
        with self._video.lock:
            replaced = {
                other: old for other, old in before.items() if self._masks.content(PROPAGATED, other) != old.content
            }
            if not replaced:
                return
            version = self._masks.version(frame)
            folder, content = self._last() or (None, {})
            entries: dict[int, dict[str, Any]] = {}
            is_same = (content.get("frame"), content.get("version")) == (frame, version)
            if folder is not None and is_same and not content.get("kept"):
                entries = {entry["frame"]: entry for entry in content["entries"]}
            else:
                if folder is not None:
                    self._log.write(folder, content | {"closed": True})  # nobody is asked for it any more
                _, folder = self._log.begin(self._video.info)
            for other, old in replaced.items():
                if other not in entries:
                    self._log.keep(folder, PROPAGATED, other, old.content)
                    entries[other] = {"frame": other, "kind": PROPAGATED, "values": old.values}
                entries[other]["after"] = digest(self._masks.content(PROPAGATED, other))
            ordered = [entries[other] for other in sorted(entries)]
            self._log.write(folder, {"name": PROPAGATION, "frame": frame, "version": version, "entries": ordered})

    def follow(self, corrected: int, frames: Iterable[int]) -> None:
        """Note that frames follow other corrections after the one of a frame was taken back.

        What the last propagation replaced in them can still be undone, and so can the act that took it back.
        """
        with self._video.lock:
            frames = set(frames)
            for folder in reversed(self._log.finished()):
                content = self._log.read(folder)
                if corrected in content.get("withdrawn", []):
                    self._update(content["around"], frames)
                    self._log.write(folder, content)
                    break
            folder, content = self._last() or (None, {})
            if folder is None:
                return
            self._update(content["entries"], frames)
            if content["frame"] not in self._video.spreading_corrections:
                content["closed"] = True
            self._log.write(folder, content)

    def reopen(self, corrected: Collection[int], frames: Iterable[int]) -> None:
        """Note that corrections are back, and in frames around them what had come from these.

        The last propagation waits for an answer again if it came from one of them.
        """
        with self._video.lock:
            folder, content = self._last() or (None, {})
            if folder is None:
                return
            self._update(content["entries"], set(frames))
            if content["frame"] in corrected:
                content.pop("closed", None)
            self._log.write(folder, content)

    def _update(self, entries: Iterable[dict[str, Any]], frames: Collection[int]) -> None:
        """Note in entries of an act the masks that these frames have now."""
        for entry in entries:
            if entry["frame"] in frames:
                entry["after"] = digest(self._masks.content(PROPAGATED, entry["frame"]))

    def _last(self) -> tuple[Path, dict[str, Any]] | None:
        """The folder and the content of the last propagation."""
        for folder in reversed(self._log.finished()):
            content = self._log.read(folder)
            if content["name"] == PROPAGATION and content["entries"]:
                return folder, content
        return None

    def last_open(self) -> dict[str, Any] | None:
        """The last propagation, until a person keeps or undoes it, or takes its correction back.

        The next propagation is an answer to it, too.

        Returns:
            ``act``, its number; ``frame``, the corrected frame; and ``frames``, those whose masks it changed. None if
            no propagation waits for an answer.
        """
        with self._video.lock:
            last = self._last()
            if last is None:
                return None
            folder, content = last
            is_answered = content.get("kept") or content.get("closed")
            if is_answered or content["frame"] not in self._video.spreading_corrections:
                return None
            frames = [entry["frame"] for entry in content["entries"]]
            return {"act": int(folder.name), "frame": content["frame"], "frames": frames}

    def keep(self, act: int, user: str) -> list[int]:
        """Note that a person found a propagation right. It can still be undone by its number.

        Returns:
            the frames whose masks it changed.

        Raises:
            Conflict: the act is no propagation, or the video is final.
            NotFound: the act is not known any more.
        """
        folder = self._log.folder_of(act)
        with self._video.lock:
            self._video.info.check_not_final()
            content = self._log.read(folder)
            if content["name"] != PROPAGATION:
                raise Conflict(f"step {act} is no propagation: give the number of one")
            frames = [entry["frame"] for entry in content["entries"]]
            if not content.get("kept"):
                self._log.write(folder, content | {"kept": user})
                self._video.info.count("answers")
                self._video.history.add(user, "keep", frames=len(frames), frame=content["frame"])
        return frames

    def before(self, act: int, frame: int) -> np.ndarray:
        """The mask that a frame had before a propagation, uint8, (H, W): lesion ids.

        Raises:
            NotFound: the act is not known any more.
        """
        folder = self._log.folder_of(act)
        with self._video.lock:
            content = self._log.read(folder)
            if frame not in {entry["frame"] for entry in content["entries"]}:
                return self._video.mask(frame).labels
            file: Path = backup_of(folder, PROPAGATED, frame)
            if not file.exists():
                return self._video.mask(frame, original=True).labels
            return self._video.lesions.merges()[decode_mask(file.read_bytes(), self._video.info.size)]
