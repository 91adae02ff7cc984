"""What the propagations from corrected frames changed, each until a person keeps or undoes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.errors import Conflict
from lib.store.masks import PROPAGATED, Masks, decode_mask
from lib.store.undo_log import PROPAGATION, UndoLog, digest, is_unanswered, read_backup

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
        noted as a part of that: both are undone together. Others wait for an answer of their own.

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
            folder, content = next(iter(self._all()), (None, {}))
            entries: dict[int, dict[str, Any]] = {}
            is_same = (content.get("frame"), content.get("version")) == (frame, version)
            if folder is not None and is_same and not content.get("kept"):
                entries = {entry["frame"]: entry for entry in content["entries"]}
            else:
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

        What propagations replaced in them can still be undone, and so can the act that took it back.
        """
        with self._video.lock:
            frames = set(frames)
            for folder in reversed(self._log.finished()):
                content = self._log.read(folder)
                if corrected in content.get("withdrawn", []):
                    for entry in content["around"]:
                        if entry["frame"] in frames:
                            entry["after"] = digest(self._masks.content(PROPAGATED, entry["frame"]))
                    self._log.write(folder, content)
                    break
            drawn = self._video.spreading_corrections
            self._update(frames, lambda content: content["frame"] not in drawn or content.get("closed", False))

    def reopen(self, corrected: Collection[int], frames: Iterable[int]) -> None:
        """Note that corrections are back, and in frames around them what had come from these.

        The propagations that came from them wait for an answer again.
        """
        with self._video.lock:
            self._update(
                set(frames), lambda content: content["frame"] not in corrected and content.get("closed", False)
            )

    def _update(self, frames: Collection[int], is_closed: Callable[[dict[str, Any]], bool]) -> None:
        """Note which propagations are closed, and what each of the others left in these frames.

        That is the mask that the next of them replaced, and what is there now for the last one.
        """
        left = {frame: digest(self._masks.content(PROPAGATED, frame)) for frame in frames}
        for folder, content in self._all():
            noted = json.dumps(content)
            content["closed"] = is_closed(content)
            for entry in content["entries"]:
                if entry["frame"] in left:
                    entry["after"] = left[entry["frame"]]
                    if not content["closed"]:
                        left[entry["frame"]] = digest(read_backup(folder, PROPAGATED, entry["frame"]))
            if json.dumps(content) != noted:  # writing is slow, and there may be many
                self._log.write(folder, content)

    def close(self, corrected: int) -> None:
        """Note that the correction of a frame was taken back: nobody is asked about what came from it."""
        with self._video.lock:
            for folder, content in self._all():
                if content["frame"] == corrected and is_unanswered(content):
                    self._log.write(folder, content | {"closed": True})

    def _all(self) -> list[tuple[Path, dict[str, Any]]]:
        """The folder and the content of each propagation that can be undone, the last one first."""
        contents = ((folder, self._log.read(folder)) for folder in reversed(self._log.finished()))
        return [(folder, content) for folder, content in contents if content["name"] == PROPAGATION]

    def unanswered(self) -> list[dict[str, Any]]:
        """The propagations that wait for an answer, the last one first.

        A person keeps or undoes each, or takes its correction back.

        Returns:
            of each ``act``, its number; ``frame``, the corrected frame; and ``frames``, those whose masks it changed,
            without those that people corrected or checked, and those that they kept as a later one changed them.
        """
        with self._video.lock:
            drawn, found = self._video.spreading_corrections, []
            answered = set(self._video.corrections)
            for folder, content in self._all():
                frames = [entry["frame"] for entry in content["entries"] if entry["frame"] not in answered]
                if content.get("kept"):
                    answered.update(frames)
                elif frames and not content.get("closed") and content["frame"] in drawn:
                    found.append({"act": int(folder.name), "frame": content["frame"], "frames": frames})
            return found

    def later_over(self, folder: Path) -> dict[int, Path]:
        """The frames of a propagation whose masks a later one replaced, each with the folder of the next such one.

        After an undo that was interrupted, also those that :meth:`hand_over` has prepared. Other acts have none.
        """
        content = self._log.read(folder)
        over: dict[int, Path] = {}
        if content["name"] != PROPAGATION:
            return over
        left = {entry["frame"]: entry["after"] for entry in content["entries"]}
        for later, other in reversed(self._all()):
            if later > folder and not other.get("closed"):
                for frame in {entry["frame"] for entry in other["entries"]} & left.keys() - over.keys():
                    replaced = read_backup(later, PROPAGATED, frame)
                    is_prepared = content.get("undoing") and replaced == read_backup(folder, PROPAGATED, frame)
                    if is_prepared or left[frame] == digest(replaced):  # else a job has come between the two
                        over[frame] = later
        return over

    def hand_over(self, folder: Path, over: dict[int, Path]) -> None:
        """Prepare to undo a propagation: what it replaced becomes what the later ones replaced.

        So their masks stay, and undoing them later does not bring back a mask that was undone before.

        Args:
            folder: the folder of the propagation.
            over: see :meth:`later_over`.
        """
        values = {entry["frame"]: entry.get("values") for entry in self._log.read(folder)["entries"]}
        for later in set(over.values()):
            content = self._log.read(later)
            for entry in content["entries"]:
                if over.get(entry["frame"]) == later:
                    self._log.keep(later, PROPAGATED, entry["frame"], read_backup(folder, PROPAGATED, entry["frame"]))
                    entry["values"] = values[entry["frame"]]
            self._log.write(later, content)

    def keep(self, act: int, user: str) -> list[int]:
        """Note that a person found a propagation right. It can still be undone by its number, as long as it is known.

        Earlier ones from the same frame are kept with it, if it has gone over all of their frames again.

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
                for other, earlier in self._all():
                    is_covered = {entry["frame"] for entry in earlier["entries"]} <= set(frames)
                    if other <= folder and earlier["frame"] == content["frame"] and is_covered:
                        self._log.write(other, {"kept": user} | earlier)
                self._video.info.count("answers")
                self._video.history.add(user, "keep", frames=len(frames), frame=content["frame"])
        return frames

    def has(self, act: int) -> bool:
        """Whether an act is a propagation that is still known."""
        folder = self._log.folder_of(act)
        with self._video.lock:
            return any(folder == known for known, _ in self._all())

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
            replaced = read_backup(folder, PROPAGATED, frame)
            if replaced is None:
                return self._video.mask(frame, original=True).labels
            return self._video.lesions.merges()[decode_mask(replaced, self._video.info.size)]
