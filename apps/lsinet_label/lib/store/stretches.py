"""What people do to many frames at once, and how it is undone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import Conflict
from lib.store.files import utc_now
from lib.store.masks import CHECKED, CORRECTED, DRAWN, FILLED, PREDICTED, PROPAGATED, Correction, Masks
from lib.store.undo_log import PROPAGATION, UndoLog, digest, is_as_left, read_backup
from lsinet_monai.errors import InputError
from lsinet_monai.masks import has_polyp

if TYPE_CHECKING:
    from lib.store.video import StoredVideo

__all__ = ["Act", "Stretches"]

logger = logging.getLogger(__name__)


@dataclass
class Act:
    """Something that a person did to a stretch of frames."""

    id: int
    frames: list[int] = field(default_factory=list)
    """Those whose mask it changed."""
    spread: list[int] = field(default_factory=list)
    """Those whose drawn mask had spread before the act withdrew it: the frames around them are to follow."""
    withdrawn: list[int] = field(default_factory=list)
    """All those that had a drawn mask before the act, and have none now."""
    into: int | None = None
    """The id that the lesion has now."""


class Stretches:
    """Acts on the frames from a first to a last one of one video. The last 50 can be undone.

    Args:
        video: the video.
        masks: its mask files.
        log: its undo log.
    """

    def __init__(self, video: StoredVideo, masks: Masks, log: UndoLog) -> None:
        self._video, self._masks, self._log = video, masks, log

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

        return self._fill("remove", first, last, user, FILLED, without, keeps_drawn=True)

    def relabel(self, first: int, last: int, user: str, lesion: int, into: int | None) -> Act:
        """Call a lesion by another id, or a new one, until the network goes through the video again."""
        if lesion == into:
            raise InputError(f"lesion {lesion} has this id already: choose two lesions")
        if into is None:
            into = self._video.lesions.name_new()

        def change(frame: int, backup: Callable[[str], None]) -> bool:
            found = self._masks.read((CORRECTED, PROPAGATED, PREDICTED), frame)
            if found is None:
                return False
            labels, kind = self._video.lesions.merges()[found[0]], found[1]
            if not (labels == lesion).any():
                return False
            backup(kind)
            renamed = np.where(labels == lesion, np.uint8(into), labels).astype(np.uint8)
            if kind == CORRECTED:
                old = self._masks.corrections[frame]
                self._masks.write_correction(old._replace(version=old.version + 1, lesions=_lesions(renamed)), renamed)
            else:
                self._video.write_prediction(kind, frame, renamed)
            return True

        act = self._act("relabel", first, last, user, change, lesion=lesion, into=into)
        act.into = into
        return act

    def clear(self, first: int, last: int, user: str) -> Act:
        """Take people's masks back, so that the network's are current again."""

        def change(frame: int, backup: Callable[[str], None]) -> bool:
            if frame not in self._masks.corrections:
                return False
            backup(CORRECTED)
            self._masks.remove_correction(frame, self._masks.version(frame) + 1)
            self._video.propagations.close(frame)
            return True

        return self._act("clear", first, last, user, change)

    def merge(self, user: str, lesion: int, into: int) -> Act:
        """Make a lesion part of another one, in all masks of the video, also in later ones.

        Raises:
            Conflict: the video is final.
            InputError: the video does not have both lesions, or they are the same.
        """
        lesions = self._video.lesions
        with self._video.lock:
            before = lesions.merged()
            lesions.merge(into, lesion, user)
            act, folder = self._log.begin(self._video.info)
            self._log.write(folder, {"name": "merge", "entries": [], "before": before, "after": lesions.merged()})
        return Act(act)

    def unlist(self, user: str, lesion: int) -> Act:
        """List a lesion no longer that no mask shows, see :meth:`Lesions.unlist`."""
        with self._video.lock:
            self._video.lesions.unlist(lesion, user)
            act, folder = self._log.begin(self._video.info)
            self._log.write(folder, {"name": "unlist", "entries": [], "lesion": lesion})
        return Act(act)

    def last(self) -> dict[str, Any] | None:
        """The last act: its number ``act``, ``name``, and the ``frames`` whose mask it changed.

        :meth:`undo` refuses it if one of these has changed since.
        """
        with self._video.lock:
            for folder in reversed(self._log.finished()):
                content = self._log.read(folder)
                if content["name"] != PROPAGATION:
                    frames = sorted({entry["frame"] for entry in content["entries"]})
                    return {"act": int(folder.name), "name": content["name"], "frames": frames}
        return None

    def recover(self) -> None:
        """Bring back what an act changed that a killed server left halfway."""
        with self._video.lock:
            for folder in self._log.unfinished():
                logger.warning("a step that was interrupted is taken back in '%s'", self._video.id)
                self._roll_back(folder)

    def undo(self, act: int, user: str) -> Act:
        """Bring back what an act changed, or the rest of it if an undo was interrupted.

        Where a later propagation lies over an earlier one, its masks stay.

        Raises:
            Conflict: some of it has changed since, or the video is final.
            NotFound: the act is not known any more.
        """
        folder = self._log.folder_of(act)
        with self._video.lock:
            self._video.info.check_not_final()
            content = self._log.read(folder)
            over = self._video.propagations.later_over(folder)
            entries = [entry for entry in content["entries"] if entry["frame"] not in over]
            for entry in entries:
                if not is_as_left(folder, content, entry, self._masks.content(entry["kind"], entry["frame"])):
                    raise Conflict(f"frame {entry['frame']} has changed since: this step cannot be undone any more")
            if content["name"] == "merge" and content["before"] != self._video.lesions.merged():
                self._video.lesions.undo_merge(content["before"], content["after"])
            elif content["name"] == "unlist":
                self._video.lesions.list_again(content["lesion"])
            self._log.write(folder, content | {"undoing": True})
            self._video.propagations.hand_over(folder, over)
            spread = [
                entry for entry in content.get("around", []) if not self._has_spread_again(folder, content, entry)
            ]
            for entry in [*entries, *spread]:
                self._restore(entry, folder)
            # Masks from before may have come from a correction that was taken back since.
            propagated = [entry["frame"] for entry in [*entries, *spread] if entry["kind"] == PROPAGATED]
            self._video.remove_propagated(self._video.orphans().intersection(propagated))
            self._video.propagations.reopen(content.get("withdrawn", []), propagated)
            self._video.info.count("answers")
            frames = [entry["frame"] for entry in entries]
            self._note("undo", frames, user, act=act)
            self._log.forget(folder)
        return Act(act, sorted({*frames, *propagated}))

    def withdrawn_by(self, act: int) -> list[int]:
        """The frames whose drawn mask an act withdrew.

        Raises:
            NotFound: the act is not known any more.
        """
        with self._video.lock:
            withdrawn: list[int] = self._log.read(self._log.folder_of(act)).get("withdrawn", [])
        return withdrawn

    # How they do it --------------------------------------------------------------------------------------------------

    def _unseen_mask(self, frame: int) -> np.ndarray | None:
        """The network's mask of a frame; None if there is none, or a person's."""
        mask = self._video.mask(frame)
        return mask.labels if mask.source == "predicted" else None

    def _fill(
        self,
        name: str,
        first: int,
        last: int,
        user: str,
        how: str,
        mask: Callable[[int], np.ndarray | None],
        keeps_drawn: bool = False,
    ) -> Act:
        """Give each frame a person's mask, unless ``mask(frame)`` is None. A drawn one may go on to spread."""
        time = utc_now()

        def change(frame: int, backup: Callable[[str], None]) -> bool:
            labels = mask(frame)
            if labels is None:
                return False
            backup(CORRECTED)
            version = self._masks.version(frame) + 1
            old = self._masks.corrections.get(frame)
            kind = DRAWN if keeps_drawn and old is not None and old.how == DRAWN else how
            correction = Correction(frame, user, time, version, _lesions(labels), has_polyp(labels > 0), kind)
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
            drawn = [frame for frame in self._video.spreading_corrections if first <= frame <= last]
            number, folder = self._log.begin(self._video.info)
            act = Act(number)
            entries: list[dict[str, Any]] = []

            def backup(kind: str, frame: int) -> None:
                self._log.keep(folder, kind, frame, self._masks.content(kind, frame))
                entries.append({"frame": frame, "kind": kind})

            try:
                for frame in range(first, last + 1):
                    if change(frame, partial(backup, frame=frame)):
                        entries[-1]["after"] = digest(self._masks.content(entries[-1]["kind"], frame))
                act.withdrawn = sorted(set(drawn) - self._video.spreading_corrections.keys())
                act.spread = [frame for frame in act.withdrawn if self._video.propagated_from(frame)]
                around = self._keep_spread(folder, act.spread)
                content = {"name": name, "entries": entries, "withdrawn": act.withdrawn, "around": around}
                self._log.write(folder, content)
            except BaseException:  # a full disk: all frames get their masks back
                self._roll_back(folder)
                raise
            act.frames = [entry["frame"] for entry in entries]
            if act.frames:
                self._note(name, act.frames, user, first=first, last=last, **details)
            else:
                self._log.forget(folder)
        return act

    def _keep_spread(self, folder: Path, corrected: list[int]) -> list[dict[str, Any]]:
        """Keep what came from withdrawn corrections, before a job makes it again from others; returns its entries."""
        around = set(corrected).union(*map(self._video.propagated_from, corrected))
        entries = []
        for frame in sorted(around):
            content = self._masks.content(PROPAGATED, frame)
            self._log.keep(folder, PROPAGATED, frame, content)
            values = self._video.values.propagated(frame)
            entries.append({"frame": frame, "kind": PROPAGATED, "values": values, "after": digest(content)})
        return entries

    def _has_spread_again(self, folder: Path, act: dict[str, Any], entry: dict[str, Any]) -> bool:
        """Whether a frame around a withdrawn correction has got a mask by a later propagation."""
        content = self._masks.content(PROPAGATED, entry["frame"])
        return content is not None and not is_as_left(folder, act, entry, content)

    def _roll_back(self, folder: Path) -> None:
        """Bring back all that an act has replaced so far, and forget the act."""
        for frame, kind in self._log.kept(folder):
            try:
                self._restore({"frame": frame, "kind": kind}, folder)
            except OSError:
                logger.exception("the mask of frame %d of '%s' cannot be brought back", frame, self._video.id)
        self._log.forget(folder)

    def _restore(self, entry: dict[str, Any], folder: Path) -> None:
        """Bring a mask back from the folder of an act."""
        frame, kind = entry["frame"], entry["kind"]
        content, version = read_backup(folder, kind, frame), self._masks.version(frame) + 1
        if content is not None:
            self._masks.put_content(kind, frame, content, version)
            if kind != CORRECTED:
                found = self._masks.read((kind,), frame)
                assert found is not None
                self._video.values.set(kind, frame, found[0])
        elif kind == PROPAGATED:
            self._masks.remove_propagated([frame])
        elif frame in self._masks.corrections:
            self._masks.remove_correction(frame, version)
        if "values" in entry:
            self._video.values.put_propagated(frame, entry["values"])

    def _note(self, name: str, frames: list[int], user: str, **details: int) -> None:
        """Write an act into the history, with the versions that its frames have now."""
        self._video.values.forget_rank()
        versions = {frame: self._masks.version(frame) for frame in frames}
        try:
            self._video.values.flush()
            self._video.history.add(user, name, frames=len(frames), versions=versions, **details)
        except OSError:  # not lost: the masks' own files say who saved them, and when
            logger.exception("a step of '%s' is missing in its history", self._video.id)


def _lesions(labels: np.ndarray) -> tuple[int, ...]:
    return tuple(np.unique(labels[labels > 0]).tolist())
