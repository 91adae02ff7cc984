"""The lesions of a video: ids, names, colours, merges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from lib.errors import Conflict
from lib.store.frame_values import FrameValues
from lib.store.history import History
from lib.store.masks import LAST_LESION
from lib.store.video_info import VideoInfo
from lsinet_monai.errors import InputError
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
        """All lesions that a mask shows or a person named, by id: ``id``, ``name`` and ``colour`` of each."""
        with self._lock:
            table = self.merges()
            named = {int(lesion): entry for lesion, entry in self._named().items()}
            seen = {int(table[lesion]) for lesion in self._in_masks()}
        present = sorted(lesion for lesion in seen | named.keys() if table[lesion] == lesion)
        return [
            {"id": lesion, "name": f"Polyp {lesion}", "colour": _PALETTE[(lesion - 1) % len(_PALETTE)]}
            | named.get(lesion, {})
            for lesion in present
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
        """Give lesions names and colours: ``id``, ``name`` and ``colour`` of each."""
        with self._lock:
            given = {str(entry["id"]): {"name": entry["name"], "colour": entry["colour"]} for entry in lesions}
            self._info.update(lesions={**self._named(), **given})

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

    def next_id(self) -> int:
        """The id after the highest that was ever used."""
        return max(self._used(), default=0) + 1

    def of_people(self) -> set[int]:
        """The ids that a person drew, named or merged: the model's own masks do not count."""
        with self._lock:
            drawn = {lesion for lesions in self._values.corrected_lesions() for lesion in lesions}
            return drawn | {int(lesion) for lesion in (*self._named(), *self.merged())}

    def next_id_after_people(self) -> int:
        """The id after the highest of :meth:`of_people`."""
        return max(self.of_people(), default=0) + 1

    def free_id(self) -> int | None:
        """The lowest id that was never used, or None if all were."""
        return next(iter(sorted(set(range(1, LAST_LESION + 1)) - self._used())), None)

    def name_new(self) -> int:
        """Name a lesion with an id that was never used; nobody else gets it.

        Raises:
            Conflict: all ids are used.
        """
        with self._lock:
            lesion = self.free_id()
            if lesion is None:
                raise Conflict(f"'{self._info.id}' has no free lesion number: all {LAST_LESION} are used")
            colour = _PALETTE[(lesion - 1) % len(_PALETTE)]
            self.rename([{"id": lesion, "name": f"Polyp {lesion}", "colour": colour}])
        return lesion

    def last_named_id(self) -> int:
        """The highest id that a person named or merged; 0 if there is none."""
        with self._lock:
            return max(map(int, {**self._named(), **self.merged()}), default=0)

    def _used(self) -> set[int]:
        """The ids that masks show, and those that people named or merged: masks of later frames may show them too."""
        with self._lock:
            return self._in_masks() | {int(lesion) for lesion in (*self._named(), *self.merged())}

    def _in_masks(self) -> set[int]:
        return {lesion for lesions in self._values.per_frame("lesions") for lesion in lesions or ()}

    def _named(self) -> dict[str, dict[str, Any]]:
        return self._info.get("lesions", {})

    def merged(self) -> dict[str, int]:
        """The lesions that people merged, by id, each with the id that it became part of."""
        return dict(self._info.get("merged", {}))
