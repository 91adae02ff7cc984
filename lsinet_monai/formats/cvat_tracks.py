"""The tracks of CVAT's XML: which polygon is in which frame."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice, zip_longest
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels, Reading, paint
from lsinet_monai.formats.cvat_meta import Meta, Task, choose_task, read_meta
from lsinet_monai.formats.labels import LabelChoice, Labels
from lsinet_monai.formats.lesion_ids import LAST_LESION, fit_ids
from lsinet_monai.formats.shapes import check_fits, check_points, polygon_to_mask, runs_to_mask

__all__ = ["LESION", "CvatFile"]

LESION = "lesion"
"""The attribute that holds a lesion's id."""

_AREAS = ("polygon", "ellipse", "mask")
_OTHER_SHAPES = ("box", "polyline", "points", "skeleton", "cuboid")
_ELLIPSE_POINTS = 64
_COPIES = {
    "still": "as CVAT shows them",
    "moving": "while CVAT would move it towards the next: check them, or export from CVAT, which writes every frame",
}
"""Kinds of copies of a shape, and what a note says of them."""


class _Shape(NamedTuple):
    frame: int
    tag: str
    is_outside: bool
    content: Any
    """The points, or the run lengths in their box; None for a shape without an area."""
    attributes: dict[str, Any]


@dataclass
class _Track:
    label: str
    task_id: str | None
    lesion: int | None
    shapes: list[_Shape] = field(default_factory=list)

    def visible(self, frames: range) -> Iterator[tuple[int, _Shape, str]]:
        """Yield each frame in which CVAT shows the track, its shape, and where that comes from.

        A shape stays until the track's next one. It comes from the file itself (an empty text), or is a copy of an
        earlier one: ``moving`` if CVAT would move it step by step to the next, else ``still``.
        """
        shapes = sorted(self.shapes, key=lambda shape: shape.frame)
        for shape, after in zip_longest(shapes, shapes[1:]):
            if shape.is_outside:
                continue
            yield shape.frame, shape, ""
            is_moving = after is not None and not after.is_outside and _moves(shape, after)
            end = frames.stop if after is None else min(after.frame, frames.stop)
            for frame in range(shape.frame + frames.step, end, frames.step):
                yield frame, shape, "moving" if is_moving else "still"


class CvatFile:
    """A file of CVAT: give it each event of the parser, then ask it for the labels of a clip."""

    def __init__(self) -> None:
        self._meta = Meta([], [], is_project=False)
        self._tracks: list[_Track] = []
        self._open: list[ElementTree.Element] = []
        self._shapes: list[_Shape] = []
        self._others: Counter[str] = Counter()

    def take(self, event: str, element: ElementTree.Element) -> None:
        """Take the start or the end of an element, and free it after use.

        Raises:
            InputError: if the file is not in the format "CVAT for video 1.1".
        """
        if event == "start":
            if not self._open and element.tag != "annotations":
                kind = " (Pascal VOC or labelme)" if element.tag == "annotation" else ""
                raise InputError(
                    f"is not a file of CVAT: it starts with <{element.tag}>{kind}; export 'CVAT for video 1.1' from "
                    "CVAT, or COCO with polygons or masks from another tool"
                )
            if element.tag == "image" and len(self._open) == 1:
                raise InputError("is 'CVAT for images': export the task as 'CVAT for video 1.1'")
            self._open.append(element)
            return
        self._open.pop()
        depth = len(self._open)
        if depth == 1 and element.tag == "meta":
            self._meta = read_meta(element)
        elif depth == 1 and element.tag == "track":
            self._take_track(element)
        elif depth == 2 and element.tag in (*_AREAS, *_OTHER_SHAPES):
            self._shapes.append(_read_shape(element))
            element.clear()
        elif (depth == 1 and element.tag != "version") or (depth == 2 and self._open[1].tag == "track"):
            self._others[element.tag] += 1
        if depth == 1:
            self._open[0].clear()

    def _take_track(self, element: ElementTree.Element) -> None:
        shapes, self._shapes = self._shapes, []
        ids = [shape.attributes.pop(LESION, None) for shape in shapes]
        numbers = [int(text) for text in ids if text is not None and re.fullmatch("[0-9]{1,9}", text)]
        lesion = numbers[0] if numbers and numbers[0] else None
        self._tracks.append(_Track(element.get("label", ""), element.get("task_id"), lesion, shapes))

    def labels(self, clip: ClipInfo, labels: Labels | None) -> ClipLabels:
        """Number the lesions of the clip's polyps, and sort their shapes by frame.

        Raises:
            InputError: as in :func:`lsinet_monai.formats.read_cvat`.
        """
        reading = Reading(left_out={f"elements <{tag}>": count for tag, count in self._others.items()})
        task = choose_task(self._meta, [track.task_id for track in self._tracks], clip, reading)
        tracks = self._tracks_of(task, reading)
        own = range(clip.frame_count)
        is_stated = task is not None and bool(task.frames)
        if task is not None and is_stated:
            own = range(task.frames.start, min(task.frames.stop, clip.frame_count), task.frames.step)
            _move_to_frames(tracks, task)
        for track in tracks:
            _check_frames(track, own, clip, is_stated)

        count = Counter(dict.fromkeys(self._meta.labels, 0))
        for track in tracks:
            count[track.label] += sum(not shape.is_outside for shape in track.shapes)
        choice = LabelChoice(labels, count)
        choice.report(count, "label", reading)
        polyps = [track for track in tracks if choice.is_polyp(track.label)]
        _check_shapes(polyps, clip)

        shapes: dict[int, list[tuple[int, _Shape]]] = {index: [] for index in (own if is_stated else ())}
        attributes: dict[int, dict[int, dict[str, Any]]] = {}
        copies: Counter[str] = Counter()
        lesions, reading.ids = _number(
            polyps,
            [choice.lesion(track.label) for track in polyps],
            own,
            max((track.lesion for track in tracks if track.lesion is not None), default=0),
        )
        for track, lesion in zip(polyps, lesions, strict=True):
            for index, shape, copy in track.visible(own):
                shapes.setdefault(index, []).append((lesion, shape))
                attributes.setdefault(index, {})[lesion] = shape.attributes
                copies[copy] += 1
        for kind, end in _COPIES.items():
            if copies[kind]:
                reading.notes.append(f"{copies[kind]} masks between key frames repeat the one before, {end}")

        unknown = {
            index
            for track in tracks
            if not choice.is_polyp(track.label) and not choice.is_something_else(track.label)
            for index, *_ in track.visible(own)
            if not shapes.get(index)
        }
        reading.left_alone = sorted(unknown)

        def decode(of_frame: list[tuple[int, _Shape]]) -> np.ndarray:
            return paint(clip.size, ((lesion, _draw(shape, clip.size)) for lesion, shape in of_frame))

        known = {index: of_frame for index, of_frame in shapes.items() if index not in unknown}
        return ClipLabels(known, decode, attributes, reading)

    def _tracks_of(self, task: Task | None, reading: Reading) -> list[_Track]:
        """Return the tracks of a task. Only the tracks of a project say which task they are of."""
        if task is None or all(track.task_id is None for track in self._tracks):
            return self._tracks
        others = Counter(track.task_id for track in self._tracks if track.task_id != task.id)
        reading.left_out |= {f"tracks of task {id}": number for id, number in others.items()}
        return [track for track in self._tracks if track.task_id == task.id]


def _number(tracks: list[_Track], chosen: list[int | None], own: range, largest: int) -> tuple[list[int], set[int]]:
    """Number the lesions of tracks.

    CVAT writes a single shape as a track of one frame. Where these are most of the tracks, they do not say which shapes
    of different frames are the same lesion.

    Args:
        tracks: the tracks.
        chosen: the ids that a person gave to their labels.
        own: the frames of the file.
        largest: the largest id in the file.

    Returns:
        The lesion of each track; and those of them that stand for one lesion in all frames.
    """
    is_single = [len(list(islice(track.visible(own), 2))) < 2 for track in tracks]
    are_shapes = 2 * sum(is_single) > len(tracks)
    next_id = largest + 1
    ids: list[int | None] = []
    for track, single in zip(tracks, is_single, strict=True):
        ids.append(track.lesion)
        if track.lesion is None and not (single and are_shapes):
            ids[-1], next_id = next_id, next_id + 1
    given = {lesion for lesion in chosen if lesion is not None}
    fitted = fit_ids((id for id, lesion in zip(ids, chosen, strict=True) if id is not None and not lesion), given)
    known = given | set(fitted.values())
    free = count(max(known | {last for last in [next_id - 1] if last <= LAST_LESION}, default=0) + 1)
    lesions = [lesion or (next(free) if id is None else fitted[id]) for id, lesion in zip(ids, chosen, strict=True)]
    return lesions, known


def _read_shape(element: ElementTree.Element) -> _Shape:
    attributes: dict[str, Any] = {
        attribute.get("name", ""): attribute.text or "" for attribute in element.findall("attribute")
    }
    with suppress(KeyError, ValueError):  # other people's files may have no score, or "good"
        attributes["score"] = float(attributes["score"])
    is_outside = element.get("outside", "").lower() in ("1", "true")
    content: Any = None
    try:
        if not is_outside and element.tag in _AREAS:
            content = _runs(element) if element.tag == "mask" else _points(element)
        return _Shape(_frame_of(element), element.tag, is_outside, content, attributes)
    except KeyError as error:
        where = f" of frame {element.attrib['frame']}" if "frame" in element.attrib else ""
        raise InputError(f"<{element.tag}>{where} has no {error.args[0]!r}; export it from CVAT again") from error


def _frame_of(element: ElementTree.Element) -> int:
    text = element.attrib["frame"]
    try:
        return int(text)
    except ValueError as error:
        said = f"<{element.tag}> has frame={text[:20]!r}, which is no whole number; export it from CVAT again"
        raise InputError(said) from error


def _moves(shape: _Shape, after: _Shape) -> bool:
    """Whether CVAT would draw something in between two shapes. It does not move masks."""
    return shape.tag != "mask" and (shape.tag != after.tag or not np.array_equal(shape.content, after.content))


def _move_to_frames(tracks: list[_Track], task: Task) -> None:
    """Take off the offset that CVAT adds to the frames of a project's tasks.

    Raises:
        InputError: if the frames fit with the offset and without it.
    """
    if not task.offset:
        return
    found = [shape.frame for track in tracks for shape in track.shapes if not shape.is_outside]
    fits = [all(frame - offset in task.frames for frame in found) for offset in (0, task.offset)]
    if found and all(fits):
        raise InputError(f"does not say from where it counts the frames of task {task.id}; export this task alone")
    if fits[0]:
        return
    for track in tracks:
        track.shapes = [shape._replace(frame=shape.frame - task.offset) for shape in track.shapes]


def _check_frames(track: _Track, own: range, clip: ClipInfo, is_stated: bool) -> None:
    for shape in track.shapes:
        if shape.is_outside:
            continue
        if not 0 <= shape.frame < clip.frame_count:
            raise InputError(f"frame {shape.frame} is not in '{clip.name}', which has {clip.frame_count} frames")
        if is_stated and shape.frame not in own:
            every = f", every {own.step}th" if own.step > 1 else ""
            raise InputError(
                f"has a shape in frame {shape.frame}, which is not one of its own frames, {own.start} to "
                f"{own.stop - 1}{every}; export the task or job again"
            )


def _check_shapes(polyps: list[_Track], clip: ClipInfo) -> None:
    """Refuse shapes other than masks, which would become masks that nobody drew, and masks of another size.

    Polygons are checked when they are drawn.
    """
    shapes = [shape for track in polyps for shape in track.shapes if not shape.is_outside]
    without = Counter(shape.tag for shape in shapes if shape.content is None)
    if without:
        listed = ", ".join(f"{count} {tag}" for tag, count in sorted(without.items()))
        first = min(shape.frame for shape in shapes if shape.content is None)
        raise InputError(
            f"has shapes of polyps that are no masks ({listed}, first in frame {first}); draw polygons or masks in "
            "CVAT, and export again"
        )
    for shape in shapes:
        if shape.tag == "mask":
            top, left, (height, width), _ = shape.content
            if top + height > clip.size[0] or left + width > clip.size[1]:
                raise InputError(
                    f"the mask of frame {shape.frame} reaches beyond the frame of {clip.size[1]}x{clip.size[0]} pixels"
                )


def _points(element: ElementTree.Element) -> np.ndarray:
    """Return the corners of a polygon or ellipse: float32, (N, 2), x and y."""
    if element.tag == "polygon":
        numbers = element.attrib["points"].replace(";", ",").split(",")
        if len(numbers) % 2:
            raise InputError(
                f"a polygon has {len(numbers)} numbers, and needs an x and a y for each point; draw it again"
            )
        points = np.array(numbers, float).reshape(-1, 2)
    else:
        centre = float(element.attrib["cx"]), float(element.attrib["cy"])
        radii = float(element.attrib["rx"]), float(element.attrib["ry"])
        turns = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
        offsets = np.stack([np.cos(turns), np.sin(turns)], axis=1) * radii
        angle = np.radians(float(element.get("rotation", "0")))  # clockwise, with y downwards
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        points = centre + offsets @ turn
    check_points(points)
    return points.astype(np.float32)


def _runs(element: ElementTree.Element) -> tuple[int, int, tuple[int, int], np.ndarray]:
    """Return a mask in its box: top, left, (height, width), and its run lengths."""
    top, left, height, width = (int(float(element.attrib[name])) for name in ("top", "left", "height", "width"))
    if min(top, left) < 0 or min(height, width) < 1:
        raise ValueError("a mask reaches beyond the frame")
    runs = [int(run) for run in element.attrib["rle"].split(",")]
    if sum(runs) != height * width or min(runs) < 0:  # refuse it here, not when its frame is accessed
        raise ValueError(f"the run lengths do not add up to {height * width} pixels")
    return top, left, (height, width), np.array(runs, np.int32)


def _draw(shape: _Shape, size: tuple[int, int]) -> np.ndarray:
    where = f"the {shape.tag} of frame {shape.frame}"
    if shape.tag == "mask":
        top, left, (height, width), runs = shape.content
        mask = np.zeros(size, bool)
        mask[top : top + height, left : left + width] = runs_to_mask(runs, (height, width))
    else:
        if shape.tag == "polygon":  # an ellipse may lie across the frame's edge
            try:
                check_fits(shape.content, size)
            except InputError as error:
                raise InputError(f"{where} {error}") from error
        mask = polygon_to_mask(shape.content, size)
    if not mask.any():
        raise InputError(f"{where} covers no pixel of the frame; remove it, or draw it again")
    return mask
