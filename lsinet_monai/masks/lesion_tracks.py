"""Lesions as a person counts them: a polyp keeps its id while it is cut, hidden or out of view."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from lsinet_monai.masks.tracking import LesionLinker, find_overlaps

__all__ = ["SHORT_TRACK", "LesionTracker", "Run", "Track", "join_tracks"]

MAX_ABSENCE = 75
"""Frames: three seconds at 25 frames a second."""
SHORT_TRACK = 5
"""Frames: a lesion that fewer frames show is left out of lists of a video's lesions."""

# Parts of one lesion in a frame.
_SMALL = 0.3  # of a part's area: a part that is smaller than this, next to it, belongs to it
_NEAR = 0.5  # of the square root of a part's area: what is next to it
_COVERED = 0.5  # of a part's area: so much of it belonged to a lesion before
_KNOWN = 3  # frames that show a lesion, before it keeps its share of a joint part, and before its look tells it apart
# A part that overlaps a lesion by an IoU of less than this, and is less alike, is another lesion. After an absence
# it must be as alike as any lesion that is back.
_OVERLAP, _STRANGE = 0.3, 0.4
# A lesion after an absence. ``benchmarks/lesions.py`` says how well these numbers fit.
_SEEN = 2  # frames that show a lesion, before it may be back next to another
_ALIKE = 0.5  # cosine of its features before and after
_PER_SIDE = 0.07  # more for each time that it moved by its own size
_PER_FRAME = 0.003  # more for each frame of the absence
_SHARED = 0.4  # of a track's frames: so many may show the track that it joins, as another part of one lesion
_FADE = 0.9  # of the sum of a lesion's features stays from frame to frame

Place = tuple[float, float, float]
"""Centre y, x of a lesion's largest part, and the square root of its area, in pixels."""


class Run(NamedTuple):
    """Successive frames that show a lesion."""

    first: int
    last: int
    start: Place
    """Where it was in the first of them."""
    end: Place
    """Where it was in the last of them."""


@dataclass
class Track:
    """When and where a lesion was seen, and what it looked like."""

    runs: list[Run]
    """In order of time."""
    look: np.ndarray
    """(C,): a sum of its features, in which late frames count more."""

    @property
    def frames(self) -> int:
        """The number of frames that show it."""
        return sum(run.last - run.first + 1 for run in self.runs)


class LesionTracker(LesionLinker):
    """Track the lesions of a video so that a polyp is one lesion: called with each frame's mask and features in turn.

    Like :class:`LesionLinker`, it first links parts to the lesions of the last frames that they overlap. Where a part
    hardly overlaps one that three frames have shown, the features must be similar too, since the camera may have moved.
    Then:

    - A part that joins lesions that were apart for some frames is divided: each pixel goes to the nearest of them.
    - A part that overlaps none belongs to the same lesion as a part of three times its area close to it, or to a
      lesion in view that covered half of it in the last frames. So a lesion may have several parts, as behind an
      instrument. But a part next to a larger one is another lesion if that one is back (see the next rule), and its
      features are more similar.
    - Otherwise the part may be a lesion that is back: one that no other part shows, that was seen up to
      ``max_absence`` frames ago and has similar features. The longer it was away and the farther it moved, the more
      similar they must be.
    - What is left is a new lesion.

    All frames must have one size.

    Args:
        max_absence: for how many frames a lesion may be absent and keep its id.

    Attributes:
        tracks: what is known of each lesion, by its id; :func:`join_tracks` needs it.
        frame: the index of the next frame; raise it where frames are missing.
    """

    def __init__(self, max_absence: int = MAX_ABSENCE) -> None:
        super().__init__()
        self.max_absence = max_absence
        self.tracks: dict[int, Track] = {}
        self.frame = 0

    def __call__(self, mask: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """Label the next frame.

        Args:
            mask: bool, (H, W).
            features: the encoder's features of the frame, (C, h, w), of the same level in all frames; without them
                no lesion is found to be back.

        Returns:
            int32, (H, W): 0 for the background, elsewhere the lesion's id, from 1.
        """
        earlier = [labels for labels, _ in self._earlier if labels.shape == mask.shape]
        before = np.zeros(mask.shape, np.int32)
        for labels in earlier:
            before = np.where(labels > 0, labels, before)  # the last lesion of each pixel
        first_new = self.next_id
        parts = super().__call__(mask)
        self._earlier.pop()
        self.next_id = first_new
        self._divide(parts, before)
        found = _find_parts(parts, features)
        known = {part: part for part in found if part < first_new and self._goes_on(found[part], part, parts, earlier)}
        lesions = self._choose(parts, found, before, known)
        table = np.zeros(max(found, default=0) + 1, np.int32)
        table[list(lesions)] = list(lesions.values())
        result: np.ndarray = table[parts]
        super().follow(result)
        self._see({lesions[part]: found[part] for part in reversed(found)})
        return result.copy()

    def follow(self, labels: np.ndarray, features: np.ndarray | None = None) -> None:
        """Take over a frame whose lesions already have ids, given by a person or an earlier run, as the next frame.

        Args:
            labels: integers, (H, W): 0 for the background, elsewhere the lesion's id, from 1.
            features: see :meth:`__call__`.
        """
        super().follow(labels)
        self._see(_find_parts(labels, features))

    def state_dict(self) -> dict[str, Any]:
        """The tracks, the next id and the number of the next frame, as numbers and lists; without label images."""
        tracks = {
            lesion: [[[run.first, run.last, list(run.start), list(run.end)] for run in track.runs], track.look.tolist()]
            for lesion, track in self.tracks.items()
        }
        return {"frame": self.frame, "next_id": self.next_id, "tracks": tracks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the result of :meth:`state_dict`. Before this, :meth:`follow` the last four frames again."""
        self.frame, self.next_id = state["frame"], state["next_id"]
        self.tracks = {
            lesion: Track([Run(a, b, tuple(start), tuple(end)) for a, b, start, end in runs], np.array(look))
            for lesion, (runs, look) in state["tracks"].items()
        }

    def _divide(self, parts: np.ndarray, before: np.ndarray) -> None:
        """Divide the parts that join lesions: write the lesions' ids into them."""
        areas = np.bincount(before.ravel())
        joined: dict[int, list[int]] = {}
        for part, lesion, area in find_overlaps(parts, before):
            if area >= _COVERED * areas[lesion] and lesion in self.tracks and self.tracks[lesion].frames >= _KNOWN:
                joined.setdefault(part, []).append(lesion)
        for part, lesions in joined.items():
            if len(lesions) > 1:
                (box,) = ndimage.find_objects((parts == part).astype(np.uint8))
                seeds = np.where(np.isin(before[box], lesions), before[box], 0)
                nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
                parts[box] = np.where(parts[box] == part, seeds[tuple(nearest)], parts[box])

    def _choose(
        self, parts: np.ndarray, found: Mapping[int, _Part], before: np.ndarray, known: Mapping[int, int]
    ) -> dict[int, int]:
        """Choose the lesion of each part. Those of ``known`` have one already."""
        lesions = dict(known)
        new = [part for part in found if part not in lesions]
        covers: dict[int, int] = {}
        if new:
            for part, lesion, area in find_overlaps(parts, before):
                if area >= _COVERED * found[part].area:
                    covers[part] = lesion
        for part in new:
            shown = set(lesions.values())
            larger = _find_larger(parts, found, part, lesions)
            if larger is not None:
                next_to = lesions[larger]
                back = self._find_absent(found[part], shown, seen=_SEEN, than=next_to)
                lesions[part] = next_to if back is None else back
            elif covers.get(part) in shown:
                lesions[part] = covers[part]
            elif (back := self._find_absent(found[part], shown)) is not None:
                lesions[part] = back
            else:
                lesions[part] = self.next_id
                self.next_id += 1
        return lesions

    def _goes_on(self, part: _Part, lesion: int, parts: np.ndarray, earlier: list[np.ndarray]) -> bool:
        """Whether the part that overlaps a lesion of the last frames, and has its id, can be this lesion."""
        track = self.tracks.get(lesion)
        if track is None or track.frames < _KNOWN or not (part.look.any() and track.look.any()):
            return True
        needed = _STRANGE if track.runs[-1].last == self.frame - 1 else _ALIKE
        if _cosine(part.look, track.look) >= needed:
            return True
        before = next(shown for shown in (labels == lesion for labels in reversed(earlier)) if shown.any())
        now = parts == lesion
        return bool(np.count_nonzero(before & now) >= _OVERLAP * np.count_nonzero(before | now))

    def _find_absent(self, part: _Part, shown: set[int], seen: int = 1, than: int | None = None) -> int | None:
        """Find the lesion that a part fits best, among those that the frame does not show yet.

        Args:
            part: the part.
            shown: the lesions that the frame shows.
            seen: the number of frames that must have shown the lesion.
            than: a lesion whose features must be less similar to the part's.
        """
        limit = _cosine(part.look, self.tracks[than].look) if than in self.tracks else -1.0
        fits: list[tuple[float, int]] = []
        for lesion, track in self.tracks.items():
            gap = self.frame - track.runs[-1].last
            if lesion not in shown and gap <= self.max_absence and track.frames >= seen:
                fits.append((_fit(part.place, part.look, track.runs[-1].end, track.look, gap), lesion))
        fit, best = max(fits, default=(0.0, None))
        return best if best is not None and fit > 0 and _cosine(part.look, self.tracks[best].look) > limit else None

    def _see(self, found: Mapping[int, _Part]) -> None:
        """Add a frame to the tracks of its lesions: the largest part of each."""
        for lesion, part in found.items():
            now = Run(self.frame, self.frame, part.place, part.place)
            track = self.tracks.setdefault(lesion, Track([], np.zeros_like(part.look)))
            if track.runs and track.runs[-1].last == self.frame - 1:
                track.runs[-1] = track.runs[-1]._replace(last=self.frame, end=part.place)
            else:
                track.runs.append(now)
            track.look = _FADE * track.look + part.look
        self.frame += 1


def join_tracks(tracks: Mapping[int, Track], max_absence: int = MAX_ABSENCE) -> dict[int, int]:
    """Find the tracks that are one lesion, when all frames are known: each joins the longer track that it fits best.

    Two tracks fit if one ends, or pauses, at most ``max_absence`` frames before the other begins or goes on, with
    similar features, as for a lesion that is back. At most two fifths of the shorter one's frames may show both: a
    stray part may have kept the id of a lesion that comes into view again.

    Args:
        tracks: the tracks, by their ids.
        max_absence: in frames.

    Returns:
        for each id that another one replaces, that one.
    """
    left = {lesion: Track(list(track.runs), track.look) for lesion, track in tracks.items()}
    joined: dict[int, int] = {}
    for lesion in sorted(left, key=lambda lesion: left[lesion].frames):
        track = left.pop(lesion)
        fits = [
            (_fit_between(track, longer, max_absence), other)
            for other, longer in left.items()
            if longer.frames >= track.frames
        ]
        fit, best = max(fits, default=(0.0, lesion))
        if fit > 0:
            left[best].runs = sorted([*left[best].runs, *track.runs])
            joined[lesion] = best
        else:
            left[lesion] = track
    for lesion in reversed(joined):  # a later one may replace the one that replaces this
        joined[lesion] = joined.get(joined[lesion], joined[lesion])
    return joined


class _Part(NamedTuple):
    area: int
    place: Place
    look: np.ndarray
    """(C,), of length 1; a single 0 if there are no features."""


def _find_parts(parts: np.ndarray, features: np.ndarray | None) -> dict[int, _Part]:
    """Describe the parts of a label image, largest first."""
    rows, columns = np.nonzero(parts)
    ids, which, areas = np.unique(parts[rows, columns], return_inverse=True, return_counts=True)
    if features is None or not np.isfinite(features).all():
        looks = np.zeros((len(ids), 1))
    else:
        # What all of the frame has in common, such as its light, would make everything alike.
        height, width = features.shape[1:]
        flat = features.reshape(len(features), -1).astype(np.float32)
        flat = flat - flat.mean(1, keepdims=True)
        cells = rows * height // parts.shape[0] * width + columns * width // parts.shape[1]
        shares = np.bincount(which * (height * width) + cells, minlength=len(ids) * height * width)
        looks = shares.reshape(len(ids), height * width) @ flat.T
        looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-6)
    y, x = (np.bincount(which, weights=axis, minlength=len(ids)) / areas for axis in (rows, columns))
    return {
        int(ids[i]): _Part(int(areas[i]), (float(y[i]), float(x[i]), math.sqrt(areas[i])), looks[i])
        for i in np.argsort(-areas, kind="stable")
    }


def _find_larger(parts: np.ndarray, found: Mapping[int, _Part], part: int, others: Mapping[int, int]) -> int | None:
    """Find the nearest of the other parts that are much larger than a part and close to it."""
    larger = [other for other in others if found[part].area <= _SMALL * found[other].area]
    if not larger:
        return None
    reach = math.ceil(_NEAR * max(found[other].place[2] for other in larger))
    y, x = np.nonzero(parts == part)
    window = parts[max(0, y.min() - reach) : y.max() + reach + 1, max(0, x.min() - reach) : x.max() + reach + 1]
    distances = ndimage.distance_transform_edt(window != part)
    near = [
        (float(distances[window == other].min()) / found[other].place[2], other)
        for other in larger
        if (window == other).any()
    ]
    distance, nearest = min(near, default=(math.inf, None))
    return nearest if distance <= _NEAR else None


def _fit_between(track: Track, longer: Track, max_absence: int) -> float:
    """Rate how well a track fits another, where it does best; above 0 it fits."""
    best = -1.0
    shared = 0
    for run in track.runs:
        for other in longer.runs:
            if run.first <= other.last and other.first <= run.last:
                shared += min(run.last, other.last) - max(run.first, other.first) + 1
                if shared > _SHARED * track.frames:
                    return -1.0
                continue
            if run.first > other.last:
                gap, here, there = run.first - other.last, run.start, other.end
            else:
                gap, here, there = other.first - run.last, run.end, other.start
            if gap <= max_absence:
                best = max(best, _fit(here, track.look, there, longer.look, gap))
    return best


def _fit(here: Place, look: np.ndarray, there: Place, other_look: np.ndarray, gap: int) -> float:
    """Rate how well a lesion fits another place and look, ``gap`` frames away; above 0 it fits."""
    moved = math.dist(here[:2], there[:2]) / max(here[2], there[2])
    return _cosine(look, other_look) - _ALIKE - _PER_SIDE * moved - _PER_FRAME * gap


def _cosine(look: np.ndarray, other: np.ndarray) -> float:
    return float((look * other).sum()) / max(float(np.linalg.norm(look) * np.linalg.norm(other)), 1e-6)
