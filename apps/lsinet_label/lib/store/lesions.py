"""The lesions of a video: ids, names, colours, merges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from lib.errors import Conflict
from lib.store.frame_values import FrameValues
from lib.store.history import History
from lib.store.video_info import VideoInfo
from lsinet_monai.errors import InputError
from lsinet_monai.formats.lesion_ids import LAST_LESION
from lsinet_monai.masks import SHORT_TRACK

__all__ = ["Lesions"]

# Colours that stand out on mucosa. The page has the same ones.
_PALETTE = ("#00d5ff", "#ffe033", "#2ee66b", "#ff9d2e", "#8c9bff", "#f0623c", "#ff9ad5")


class Lesions:
    """The lesions of one video.

    Args:
        lock: the video's lock.
        info: stores names and merges.
        values: has the ids in each mask.
        history: records merges.
    """

    def __init__(
        self, lock: AbstractContextManager[Any], info: VideoInfo, values: FrameValues, history: History
    ) -> None:
        self._lock = lock
        self._info = info
        self._values = values
        self._history = history

    def entries(self) -> list[dict[str, Any]]:
        """The lesions of the video by id: ``id``, ``name`` and ``colour`` of each.

        These are the ones that a mask shows, that a person named, or that a person has just made. Of the latter two,
        those that people took from the list are left out.
        """
        with self._lock:
            table = self.merges()
            known = {int(lesion): entry for lesion, entry in self._named().items()}
            seen = {int(table[lesion]) for lesion in self._in_masks()}
        kept = {lesion for lesion, entry in known.items() if entry.get("made") or entry["name"] != _name(lesion)}
        unlisted = {lesion for lesion, entry in known.items() if entry.get("unlisted")}
        present = sorted(lesion for lesion in seen | (kept - unlisted) if table[lesion] == lesion)
        given = {lesion: known[lesion]["colour"] for lesion in present if lesion in known}
        return [
            {"id": lesion, "name": known.get(lesion, {}).get("name", _name(lesion)), "colour": colour}
            for lesion, colour in _colours(present, given).items()
        ]

    def per_frame(self) -> list[list[int]]:
        """The lesions that the mask of each frame shows, in order."""
        with self._lock:
            table = self.merges()
            per_frame = self._values.per_frame("lesions")
        return [sorted({int(table[lesion]) for lesion in found or ()}) for found in per_frame]

    def short(self) -> list[int]:
        """The lesions that fewer than ``SHORT_TRACK`` frames show, unless a person drew, named or merged them."""
        with self._lock:
            known = set(self.merges()[list(self.of_people())].tolist())
            frames = Counter(lesion for lesions in self.per_frame() for lesion in lesions)
        return sorted(lesion for lesion, count in frames.items() if count < SHORT_TRACK and lesion not in known)

    def merges(self) -> np.ndarray:
        """A table from each id in a mask to the lesion that it was merged into, or to itself: uint8, (256,)."""
        table = np.arange(LAST_LESION + 1, dtype=np.uint8)
        for lesion, into in self.merged().items():
            table[int(lesion)] = into
        return table

    def rename(self, lesions: Sequence[dict[str, Any]]) -> None:
        """Give lesions names and colours: ``id``, ``name`` and ``colour`` of each.

        A lesion with an id that was never used is new: it is listed although no mask shows it, until the network goes
        through the video again. If another one has its colour of the palette, it gets a free one.
        """
        with self._lock:
            used, given = self._used(), dict(self._named())
            colours = {entry["id"]: entry["colour"] for entry in (*self.entries(), *lesions) if entry["id"] in used}
            for entry in lesions:
                lesion, colour = entry["id"], entry["colour"]
                stored = {**given.get(str(lesion), {}), "name": entry["name"]}
                stored.pop("unlisted", None)
                if lesion not in used:
                    stored["made"] = True
                    if colour in _PALETTE and colour in colours.values():
                        colour = _free_colour(colours.values())
                colours[lesion] = colour
                given[str(lesion)] = {**stored, "colour": colour}
            self._info.update(lesions=given)

    def forget_made(self) -> None:
        """List the lesions that people made, and neither named nor drew, no longer. Their ids stay used."""
        with self._lock:
            if any("made" in entry for entry in self._named().values()):
                self._info.update(
                    lesions={
                        lesion: {name: value for name, value in entry.items() if name != "made"}
                        for lesion, entry in self._named().items()
                    }
                )

    def merge(self, into: int, other: int, user: str) -> None:
        """Merge a lesion into another, in all masks.

        Raises:
            Conflict: the video is final.
            InputError: the video does not have both lesions, or they are the same.
        """
        with self._lock:
            self._info.check_not_final()
            table = self.merges()
            into = int(table[into])
            if into == other or not {into, other} <= {entry["id"] for entry in self.entries()}:
                raise InputError(
                    f"lesions {other} and {into} cannot be merged: choose two lesions of '{self._info.id}'"
                )
            merged = {str(lesion): into for lesion in range(1, len(table)) if table[lesion] == other}
            self._history.add(user, "merge", into=into, **{"from": other})
            self._info.update(merged={**self.merged(), **merged})

    def undo_merge(self, before: dict[str, int], after: dict[str, int]) -> None:
        """Undo a merge.

        Args:
            before: what was merged before it, see :meth:`merged`.
            after: what was merged after it.

        Raises:
            Conflict: other lesions were merged since.
        """
        with self._lock:
            if after != self.merged():
                raise Conflict("other lesions were merged since: this step cannot be undone any more")
            self._info.update(merged=before)

    def unlist(self, lesion: int, user: str) -> None:
        """List a lesion no longer that no mask shows. Its id stays used, and its name is back if a mask shows it again.

        Raises:
            Conflict: the video is final.
            InputError: a mask shows it, or it is not listed.
        """
        with self._lock:
            self._info.check_not_final()
            if frames := [frame for frame, found in enumerate(self.per_frame()) if lesion in found]:
                raise InputError(f"frame {frames[0]} shows lesion {lesion}: delete it from its frames first")
            if lesion not in {entry["id"] for entry in self.entries()}:
                raise InputError(f"'{self._info.id}' lists no lesion {lesion}: choose one of its list")
            self._history.add(user, "unlist", lesion=lesion)
            entry = {**self._named()[str(lesion)], "unlisted": True}
            self._info.update(lesions={**self._named(), str(lesion): entry})

    def list_again(self, lesion: int) -> None:
        """Undo :meth:`unlist`."""
        with self._lock:
            entry = {name: value for name, value in self._named()[str(lesion)].items() if name != "unlisted"}
            self._info.update(lesions={**self._named(), str(lesion): entry})

    def next_id(self, replaced: Collection[int] = ()) -> int:
        """The id after the highest that was ever used.

        Args:
            replaced: frames whose propagated mask is about to be replaced: the ids of that can be used again.
        """
        return max(self._used(replaced), default=0) + 1

    def of_people(self) -> set[int]:
        """The ids that a person drew, named or merged: the model's own masks do not count."""
        with self._lock:
            drawn = {lesion for lesions in self._values.corrected_lesions() for lesion in lesions}
            return drawn | {int(lesion) for lesion in (*self._named(), *self.merged())}

    def next_id_after_people(self) -> int:
        """The id after the highest of :meth:`of_people`."""
        return max(self.of_people(), default=0) + 1

    def free_ids(self) -> list[int]:
        """The ids that were never used, the lowest first."""
        return sorted(set(range(1, LAST_LESION + 1)) - self._used())

    def free_id(self) -> int | None:
        """The lowest id that was never used, or None if all were."""
        return next(iter(self.free_ids()), None)

    def name_new(self) -> int:
        """Name a lesion with an id that was never used; nobody else gets it.

        Raises:
            Conflict: all ids are used.
        """
        with self._lock:
            lesion = self.free_id()
            if lesion is None:
                raise Conflict(f"'{self._info.id}' has no free lesion number: all {LAST_LESION} are used")
            self.rename([{"id": lesion, "name": _name(lesion), "colour": _own_colour(lesion)}])
        return lesion

    def last_named_id(self) -> int:
        """The highest id that a person named or merged; 0 if there is none."""
        with self._lock:
            return max(map(int, {**self._named(), **self.merged()}), default=0)

    def _used(self, replaced: Collection[int] = ()) -> set[int]:
        """The ids that masks show, and those that people named or merged: masks of later frames may show them too."""
        with self._lock:
            return self._in_masks(replaced) | {int(lesion) for lesion in (*self._named(), *self.merged())}

    def _in_masks(self, replaced: Collection[int] = ()) -> set[int]:
        return {lesion for lesions in self._values.per_frame("lesions", replaced) for lesion in lesions or ()}

    def _named(self) -> dict[str, dict[str, Any]]:
        return self._info.get("lesions", {})

    def merged(self) -> dict[str, int]:
        """The lesions that people merged, by id, each with the id that it became part of."""
        return dict(self._info.get("merged", {}))


def _name(lesion: int) -> str:
    return f"Polyp {lesion}"


def _own_colour(lesion: int) -> str:
    return _PALETTE[(lesion - 1) % len(_PALETTE)]


def _free_colour(taken: Iterable[str]) -> str:
    """The first colour of the palette that no other lesion has; if all are taken, the one that the fewest have."""
    counts = Counter(taken)
    return min(_PALETTE, key=lambda colour: counts[colour])


def _colours(lesions: Sequence[int], given: Mapping[int, str]) -> dict[int, str]:
    """The colour of each lesion: the given one, else that of its id, or a free one if another lesion has that."""
    colours = dict(given)
    for lesion in lesions:  # first, so that few lesions change their colour when others are merged
        if lesion not in colours and _own_colour(lesion) not in colours.values():
            colours[lesion] = _own_colour(lesion)
    for lesion in lesions:
        if lesion not in colours:
            colours[lesion] = _free_colour(colours.values())
    return {lesion: colours[lesion] for lesion in lesions}
