"""CVAT's XML, "CVAT for video 1.1": a track per lesion, with a polygon per frame.

The format: https://docs.cvat.ai/docs/other/xml_format. It has no field for times. CVAT repeats a track's last polygon
until one says ``outside="1"``. CVAT cannot track masks, so lesions are written as polygons.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import AddFrame, Attributes, ClipInfo, ClipLabels, check_file, paint
from lsinet_monai.formats.shapes import check_points, mask_to_polygon, polygon_to_mask, runs_to_mask
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_cvat", "write_cvat"]

_LABEL = "polyp"
_LESION = "lesion"
_AREAS = ("polygon", "box", "ellipse", "mask")
_OTHER_SHAPES = ("polyline", "points", "skeleton", "cuboid")
_ELLIPSE_POINTS = 64

logger = logging.getLogger(__name__)


@contextmanager
def write_cvat(path: str | Path, clip: ClipInfo) -> Iterator[AddFrame]:
    """Write CVAT's XML frame by frame. The polygons stay in memory until the block ends, when the file appears.

    :func:`lsinet_monai.formats.shapes.mask_to_polygon` outlines a lesion. A track ends with a copy of its last polygon
    that has ``outside="1"``, in the frame after, unless the clip ends there. A lesion's id is the number of its track,
    and its attribute ``lesion``, since CVAT renumbers tracks.

    Args:
        path: the file.
        clip: the clip.

    Yields:
        A function to call with each frame's index, its labels, int32, (H, W), and its lesions' attributes.
    """
    tracks: dict[int, list[str]] = {}
    open_tracks: dict[int, tuple[str, Mapping[str, Any]]] = {}  # lesion -> its last points and attributes
    indices: list[int] = []
    names: set[str] = set()

    def close(lesions: Iterable[int], index: int) -> None:
        for lesion in lesions:
            points, of_lesion = open_tracks.pop(lesion)
            tracks[lesion].append(_polygon(index, True, points, of_lesion))

    def add(index: int, labels: np.ndarray, attributes: Attributes) -> None:
        if indices and index > indices[-1] + 1:
            # Frames are missing in between, so no track may continue through them.
            close(list(open_tracks), indices[-1] + 1)
        indices.append(index)
        lesions = np.unique(labels[labels > 0]).tolist()
        close(open_tracks.keys() - set(lesions), index)
        for lesion in lesions:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in mask_to_polygon(labels == lesion))
            of_lesion = {**attributes.get(lesion, {}), _LESION: lesion}
            names.update(of_lesion)
            tracks.setdefault(lesion, []).append(_polygon(index, False, points, of_lesion))
            open_tracks[lesion] = points, of_lesion

    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield add
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(_serialise(_meta(clip, indices, sorted(names))))
        for lesion, polygons in sorted(tracks.items()):
            file.write(f'<track id="{lesion - 1}" label="{_LABEL}" source="auto">\n{"".join(polygons)}</track>\n')
        file.write("</annotations>\n")


def _polygon(index: int, outside: bool, points: str, attributes: Mapping[str, Any]) -> str:
    element = ElementTree.Element(
        "polygon",
        frame=str(index),
        keyframe="1",
        outside=str(int(outside)),
        occluded="0",
        points=points,
        z_order="0",
    )
    for name, value in attributes.items():
        ElementTree.SubElement(element, "attribute", name=_printable(name)).text = _printable(value)
    return _serialise(element)


def _serialise(element: ElementTree.Element) -> str:
    return ElementTree.tostring(element, encoding="unicode") + "\n"


def _printable(value: Any) -> str:
    """Replace the control characters that XML cannot represent."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "?", str(value))


def _meta(clip: ClipInfo, indices: list[int], names: list[str]) -> ElementTree.Element:
    """Build the header. Importers need its labels, and compare its number and size of frames with theirs."""
    first, last = (indices[0], indices[-1]) if indices else (0, 0)
    height, width = clip.size
    meta = ElementTree.Element("meta")
    task = ElementTree.SubElement(meta, "task")
    fields = {
        "name": _printable(clip.name),
        "size": last - first + 1,
        "mode": "interpolation",
        "overlap": 0,
        "start_frame": first,
        "stop_frame": last,
        "frame_filter": "",
    }
    for name, value in fields.items():
        ElementTree.SubElement(task, name).text = str(value)
    label = ElementTree.SubElement(ElementTree.SubElement(task, "labels"), "label")
    ElementTree.SubElement(label, "name").text = _LABEL
    attributes = ElementTree.SubElement(label, "attributes")
    for name in names:
        attribute = ElementTree.SubElement(attributes, "attribute")
        ElementTree.SubElement(attribute, "name").text = _printable(name)
        ElementTree.SubElement(attribute, "mutable").text = str(name != _LESION)
        ElementTree.SubElement(attribute, "input_type").text = "text"
        ElementTree.SubElement(attribute, "default_value")
        ElementTree.SubElement(attribute, "values")
    size = ElementTree.SubElement(task, "original_size")
    ElementTree.SubElement(size, "width").text = str(width)
    ElementTree.SubElement(size, "height").text = str(height)
    return meta


def read_cvat(path: str | Path, clip: ClipInfo, label: str | None = None) -> ClipLabels:
    """Read the tracks of CVAT's XML: polygons, boxes, ellipses and masks. Lines and points have no area; skip them.

    CVAT writes every frame of a track, including those that it interpolated, so the reader does not interpolate.

    Args:
        path: the file, "CVAT for video 1.1": ``annotations.xml`` in the archive that CVAT exports.
        clip: the clip.
        label: read only tracks of this label; by default all.

    Returns:
        The frames of CVAT's task, also those without a lesion. A lesion's id is its attribute ``lesion``; tracks
        without one get the ids after the largest. Attributes are texts, except ``score``, a number.

    Raises:
        InputError: if defusedxml is not installed; if the file cannot be read, has another format, or belongs to
            another clip.
    """
    path = check_file(path, [".xml"])
    parser = require_extra("defusedxml.ElementTree", "video")
    reading = _Reading(clip)
    try:
        with path.open("rb") as file:
            for event, element in parser.iterparse(file, events=("start", "end")):
                reading.take(event, element)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ElementTree.ParseError, ValueError, KeyError, TypeError, OverflowError, LookupError) as error:
        raise InputError(f"{path}: cannot be read as CVAT's XML ({error!r})") from error
    return reading.labels(path, label)


class _Track(NamedTuple):
    label: str
    lesion: int | None
    shapes: list[tuple[int, str, Any, dict[str, Any]]]  # frame, tag, points or run lengths, attributes


class _Reading:
    """Collects tracks while a file is parsed, and frees each element after use."""

    def __init__(self, clip: ClipInfo) -> None:
        self.clip = clip
        self.tracks: list[_Track] = []
        self.frames = range(0)
        self.skipped: Counter[str] = Counter()
        self._open: list[ElementTree.Element] = []
        self._shapes: list[tuple[int, str, Any, dict[str, Any]]] = []

    def take(self, event: str, element: ElementTree.Element) -> None:
        if event == "start":
            if not self._open and element.tag != "annotations":
                raise InputError(f"is not a file of CVAT: it starts with <{element.tag}>")
            self._open.append(element)
            return
        self._open.pop()
        if element.tag == "task":
            self._take_task(element)
        elif element.tag == "image":
            raise InputError("is 'CVAT for images': export the task as 'CVAT for video 1.1'")
        elif element.tag == "track":
            self._take_track(element)
        elif element.tag in _AREAS and len(self._open) == 2:
            self._take_shape(element)
        elif element.tag in _OTHER_SHAPES:
            self.skipped[element.tag] += 1
        if element.tag in _AREAS:
            element.clear()
        if len(self._open) == 1:
            self._open[0].clear()

    def labels(self, path: Path, label: str | None) -> ClipLabels:
        """Number the lesions, and sort their shapes by frame."""
        known = {track.label for track in self.tracks}
        if label is not None and self.tracks and label not in known:
            raise InputError(
                f"{path}: has no track of label '{label}'; its labels: {', '.join(map(repr, sorted(known)))}"
            )
        if self.skipped:
            found = ", ".join(f"{count} {tag}" for tag, count in sorted(self.skipped.items()))
            logger.warning("%s: skipped shapes without an area: %s", path, found)
        shapes: dict[int, list[tuple[int, str, Any]]] = {index: [] for index in self.frames}
        attributes: dict[int, dict[int, dict[str, Any]]] = {}
        next_id = max((track.lesion for track in self.tracks if track.lesion is not None), default=0) + 1
        for track in self.tracks:
            if label not in (None, track.label):
                continue
            lesion = track.lesion
            if lesion is None:
                lesion, next_id = next_id, next_id + 1
            for index, tag, content, of_lesion in track.shapes:
                shapes.setdefault(index, []).append((lesion, tag, content))
                attributes.setdefault(index, {})[lesion] = of_lesion
        return ClipLabels(shapes, self._decode, attributes)

    def _decode(self, shapes: list[tuple[int, str, Any]]) -> np.ndarray:
        return paint(self.clip.size, ((lesion, _draw(tag, content, self.clip.size)) for lesion, tag, content in shapes))

    def _take_task(self, task: ElementTree.Element) -> None:
        size = task.find("original_size")
        if size is not None:
            found = int(size.findtext("height", "")), int(size.findtext("width", ""))
            if found != self.clip.size:
                raise InputError(self.clip.mismatch(found))
        first, last = int(task.findtext("start_frame", "0")), int(task.findtext("stop_frame", "-1"))
        step = re.fullmatch("step=([0-9]{1,9})", task.findtext("frame_filter", "").strip())
        self.frames = range(max(first, 0), min(last + 1, self.clip.frame_count), max(int(step[1]) if step else 1, 1))

    def _take_track(self, element: ElementTree.Element) -> None:
        shapes, self._shapes = self._shapes, []
        ids = [attributes.pop(_LESION, None) for *_, attributes in shapes]
        numbers = [int(text) for text in ids if text is not None and re.fullmatch("[0-9]{1,9}", text)]
        lesion = numbers[0] if numbers and numbers[0] else None
        self.tracks.append(_Track(element.get("label", ""), lesion, shapes))

    def _take_shape(self, element: ElementTree.Element) -> None:
        if element.get("outside") == "1":
            return
        index = int(element.attrib["frame"])
        if not 0 <= index < self.clip.frame_count:
            raise InputError(f"frame {index} is not in '{self.clip.name}', which has {self.clip.frame_count} frames")
        attributes: dict[str, Any] = {
            attribute.get("name", ""): attribute.text or "" for attribute in element.findall("attribute")
        }
        if "score" in attributes:
            attributes["score"] = float(attributes["score"])
        content = _runs(element, self.clip.size) if element.tag == "mask" else _points(element)
        self._shapes.append((index, element.tag, content, attributes))


def _points(element: ElementTree.Element) -> np.ndarray:
    """Return the corners of a polygon, box or ellipse: float32, (N, 2), x and y."""
    if element.tag == "polygon":
        numbers = element.attrib["points"].replace(";", ",").split(",")
        points = np.array(numbers, float).reshape(-1, 2)
    else:
        if element.tag == "box":
            left, top, right, bottom = (float(element.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
            offsets = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * ((right - left) / 2, (bottom - top) / 2)
            centre = (left + right) / 2, (top + bottom) / 2
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


def _runs(element: ElementTree.Element, size: tuple[int, int]) -> tuple[int, int, tuple[int, int], np.ndarray]:
    """Return a mask in its box: top, left, (height, width), and its run lengths."""
    top, left, height, width = (int(float(element.attrib[name])) for name in ("top", "left", "height", "width"))
    if min(top, left) < 0 or min(height, width) < 1 or top + height > size[0] or left + width > size[1]:
        raise ValueError("a mask reaches beyond the frame")
    runs = [int(run) for run in element.attrib["rle"].split(",")]
    runs_to_mask(runs, (height, width))  # refuse a damaged mask here, not when its frame is accessed
    return top, left, (height, width), np.array(runs, np.int32)


def _draw(tag: str, content: Any, size: tuple[int, int]) -> np.ndarray:
    if tag != "mask":
        return polygon_to_mask(content, size)
    top, left, (height, width), runs = content
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = runs_to_mask(runs, (height, width))
    return mask
