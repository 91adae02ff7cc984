"""CVAT's XML, "CVAT for video 1.1": a track per lesion, with a polygon per frame.

The format: https://docs.cvat.ai/docs/other/xml_format. It has no field for times. CVAT repeats a track's last polygon
until one says ``outside="1"``. CVAT cannot track masks, so lesions are written as polygons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import AddFrame, Attributes, ClipInfo, ClipLabels, check_file, log_reading
from lsinet_monai.formats.cvat_tracks import LESION, CvatFile
from lsinet_monai.formats.labels import POLYP, Labels, UnclearLabels
from lsinet_monai.formats.shapes import mask_to_polygon
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_cvat", "write_cvat"]


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
            of_lesion = {**attributes.get(lesion, {}), LESION: lesion}
            names.update(of_lesion)
            tracks.setdefault(lesion, []).append(_polygon(index, False, points, of_lesion))
            open_tracks[lesion] = points, of_lesion

    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield add
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(_serialise(_meta(clip, indices, sorted(names))))
        for lesion, polygons in sorted(tracks.items()):
            file.write(f'<track id="{lesion - 1}" label="{POLYP}" source="auto">\n{"".join(polygons)}</track>\n')
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
    ElementTree.SubElement(label, "name").text = POLYP
    attributes = ElementTree.SubElement(label, "attributes")
    for name in names:
        attribute = ElementTree.SubElement(attributes, "attribute")
        ElementTree.SubElement(attribute, "name").text = _printable(name)
        ElementTree.SubElement(attribute, "mutable").text = str(name != LESION)
        ElementTree.SubElement(attribute, "input_type").text = "text"
        ElementTree.SubElement(attribute, "default_value")
        ElementTree.SubElement(attribute, "values")
    size = ElementTree.SubElement(task, "original_size")
    ElementTree.SubElement(size, "width").text = str(width)
    ElementTree.SubElement(size, "height").text = str(height)
    return meta


def read_cvat(path: str | Path, clip: ClipInfo, labels: Labels | None = None) -> ClipLabels:
    """Read the tracks of CVAT's XML: polygons, ellipses and masks.

    A shape stays until the track's next one, also in a file that has key frames only. A note says where CVAT would move
    it in between; its own exports have every frame.

    Args:
        path: the file, "CVAT for video 1.1" of a task, a job or a project: ``annotations.xml`` in the archive that CVAT
            exports. Of a project, :func:`~lsinet_monai.formats.cvat_meta.choose_task` takes the clip's task.
        clip: the clip.
        labels: the labels that are polyps, see :class:`~lsinet_monai.formats.labels.LabelChoice`; by default those
            whose names mean polyp.

    Returns:
        The frames of CVAT's task or job, also those without a lesion. A frame is left out if it shows only labels of
        which nobody said whether they are polyps. A lesion's id is its attribute ``lesion``; tracks without one get the
        ids after the largest, see :func:`~lsinet_monai.formats.lesion_ids.fit_ids`. If most tracks show one frame only,
        as CVAT writes single shapes, then those without the attribute are not in ``reading.ids``.
        Attributes are texts, except a ``score`` that is a number.

    Raises:
        InputError: if defusedxml is not installed; if the file cannot be read, has another format, belongs to another
            clip, or has boxes, points or lines in place of masks; on access, if a shape does not fit the frame.
        UnclearLabels: if it is unclear which labels are polyps.
    """
    path = check_file(path, [".xml"])
    parser = require_extra("defusedxml.ElementTree", "video")
    content = CvatFile()
    try:
        with path.open("rb") as file:
            for event, element in parser.iterparse(file, events=("start", "end")):
                content.take(event, element)
        found = content.labels(clip, labels)
    except UnclearLabels as error:
        raise UnclearLabels(f"{path}: {error}", error.details["labels"]) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: is not XML, or is cut off ({error}); export it from CVAT again") from error
    except (ValueError, TypeError, OverflowError, LookupError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: cannot be read as CVAT's XML ({reason}): export it again") from error
    log_reading(path, found.reading)
    return found
