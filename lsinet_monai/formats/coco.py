"""COCO JSON: an image per frame and an instance per lesion, which has a run-length code and a score.

The format: https://cocodataset.org/#format-data. The lesion's id is the instance's attribute ``track_id``, where CVAT
and others look for it. ``videos``, ``video_id`` and ``frame_id`` are as in YouTube-VIS, COCO's extension to video.
``fps`` and ``seconds`` are our own fields.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import (
    AddFrame,
    Attributes,
    ClipInfo,
    ClipLabels,
    Reading,
    check_file,
    log_reading,
    paint,
)
from lsinet_monai.formats.coco_images import frames_of_images
from lsinet_monai.formats.coco_masks import draw_annotation
from lsinet_monai.formats.labels import POLYP, LabelChoice, Labels, UnclearLabels
from lsinet_monai.formats.lesion_ids import fit_ids
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_coco", "write_coco"]

_LARGEST_ID = 2**31 - 1
_PARTS = ("images", "annotations", "categories")
_VIA = "a file of VGG Image Annotator"
_OTHER_FILES = {
    "a file of labelme": {"shapes", "imagePath"},
    "a file of Supervisely": {"objects", "size"},
    "a file of YouTube-VIS": {"videos", "annotations"},
    _VIA: {"_via_img_metadata"},
}
"""Keys that other files have in place of COCO's."""


@contextmanager
def write_coco(path: str | Path, clip: ClipInfo) -> Iterator[AddFrame]:
    """Write a COCO file frame by frame, without keeping masks in memory. The file appears when the block ends.

    Args:
        path: the file.
        clip: the clip.

    Yields:
        A function to call with each frame's index, its labels, int32, (H, W), and its lesions' attributes.

    Raises:
        InputError: if pycocotools is not installed.
    """
    coco_masks = require_extra("pycocotools.mask", "video")
    height, width = clip.size
    indices: list[int] = []
    annotations = 0

    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:

        def add(index: int, labels: np.ndarray, attributes: Attributes) -> None:
            nonlocal annotations
            indices.append(index)
            for lesion in np.unique(labels[labels > 0]).tolist():
                code = coco_masks.encode(np.asfortranarray(labels == lesion, np.uint8))
                of_lesion = dict(attributes.get(lesion, {}))
                score = {"score": of_lesion.pop("score")} if "score" in of_lesion else {}
                annotations += 1
                entry = {
                    "id": annotations,
                    "image_id": index + 1,
                    "category_id": 1,
                    "segmentation": {"size": [height, width], "counts": code["counts"].decode("ascii")},
                    "area": int(coco_masks.area(code)),
                    "bbox": coco_masks.toBbox(code).tolist(),
                    "iscrowd": 0,
                    **score,
                    "attributes": {**of_lesion, "track_id": lesion},
                }
                file.write((",\n" if annotations > 1 else "\n") + json.dumps(entry))

        info = {"description": f"{clip.name}: masks by lsinet_monai"}
        file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"annotations": [')
        yield add
        video = {"id": 1, "name": clip.name, "width": width, "height": height, "fps": clip.fps}
        categories = [{"id": 1, "name": POLYP, "supercategory": "lesion"}]
        file.write(f'],\n"categories": {json.dumps(categories)},\n"videos": [{json.dumps(video)}],\n"images": [')
        for place, index in enumerate(indices):
            image = {
                "id": index + 1,
                "file_name": clip.file(index),
                "width": width,
                "height": height,
                "video_id": 1,
                "frame_id": index,
                "seconds": clip.seconds.get(index),
            }
            file.write((",\n" if place else "\n") + json.dumps(image))
        file.write("]}\n")


def read_coco(path: str | Path, clip: ClipInfo, labels: Labels | None = None) -> ClipLabels:
    """Read the instances of a COCO file: polygons, and run-length codes, compressed or not.

    Args:
        path: the file.
        clip: the clip. :func:`~lsinet_monai.formats.coco_images.frames_of_images` says which image is which frame.
        labels: the categories that are polyps, see :class:`~lsinet_monai.formats.labels.LabelChoice`; by default
            those whose names mean polyp.

    Returns:
        The frames that are images of the file. A frame is left out if it shows only categories of which nobody said
        whether they are polyps. A lesion's id is its ``track_id``, see
        :func:`~lsinet_monai.formats.lesion_ids.fit_ids`. An instance without one is a lesion of its own; these get the
        ids after the largest, and are not in ``reading.ids``.

    Raises:
        InputError: if the file cannot be read, is not a COCO file, belongs to another clip, or has boxes or points in
            place of masks; on access, if a segmentation is damaged, or does not fit the frame.
        UnclearLabels: if it is unclear which categories are polyps.
    """
    path = check_file(path, [".json"])
    try:
        content = json.loads(path.read_bytes())  # finds out which UTF it is
        _check_parts(content)
        found = _labels(path, content, clip, labels)
    except UnclearLabels as error:
        raise UnclearLabels(f"{path}: {error}", error.details["labels"]) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        reason = "it is not text in UTF-8, UTF-16 or UTF-32" if isinstance(error, UnicodeDecodeError) else reason
        raise InputError(
            f"{path}: cannot be read as COCO instances ({reason}); export it again, as 'COCO instances' in JSON"
        ) from error
    log_reading(path, found.reading)
    return found


def _check_parts(content: Any) -> None:
    """Refuse other JSON than COCO instances, and say what it seems to be."""
    missing = [part for part in _PARTS if not isinstance(content, dict) or not isinstance(content.get(part), list)]
    if not missing:
        if any("segments_info" in entry for entry in content["annotations"]):
            raise InputError("is a file of COCO panoptic, whose masks are in pictures; export it as 'COCO instances'")
        return
    seems = []
    if isinstance(content, dict):
        seems = [kind for kind, keys in _OTHER_FILES.items() if keys <= content.keys()]
        seems += [_VIA] if any("regions" in value for value in content.values() if isinstance(value, dict)) else []
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        kinds = {"image_id": "a file of COCO results", "data": "a file of Label Studio"}
        seems = [kind for key, kind in kinds.items() if key in content[0]]
    raise InputError(
        f"is not a file of COCO instances: {', '.join(missing)} missing{f', as in {seems[0]}' if seems else ''}; "
        "export it as 'COCO instances', with polygons or masks"
    )


class _Annotation(NamedTuple):
    frame: int
    category: str
    entry: dict[str, Any]


def _labels(path: Path, content: dict[str, Any], clip: ClipInfo, labels: Labels | None) -> ClipLabels:
    names = _category_names(content["categories"])
    reading = Reading()
    content = _without_deleted(content, reading)
    frame_of = frames_of_images(content, clip, reading)
    found = list(_annotations(content, frame_of, names))
    count = Counter(dict.fromkeys(names.values(), 0))
    count.update(annotation.category for annotation in found)
    choice = LabelChoice(labels, count)
    choice.report(count, "category", reading)
    polyps = [annotation for annotation in found if choice.is_polyp(annotation.category)]
    _check_masks(polyps)

    shapes: dict[int, list[tuple[int, Any]]] = {index: [] for index in frame_of.values() if index is not None}
    attributes: dict[int, dict[int, dict[str, Any]]] = {}
    chosen = [choice.lesion(annotation.category) for annotation in polyps]
    tracks = [_track_id(annotation.entry) for annotation in polyps]
    given = {lesion for lesion in chosen if lesion is not None}
    fitted = fit_ids((id for id, own in zip(tracks, chosen, strict=True) if id is not None and not own), given)
    reading.ids = given | set(fitted.values())
    next_id = max(reading.ids, default=0) + 1
    for (index, _, entry), own, track in zip(polyps, chosen, tracks, strict=True):
        known = own if own is not None or track is None else fitted[track]
        lesion = next_id if known is None else known
        next_id += known is None
        shapes[index].append((lesion, entry))
        others = {name: value for name, value in (entry.get("attributes") or {}).items() if name != "track_id"}
        score = {"score": entry["score"]} if "score" in entry else {}
        attributes.setdefault(index, {})[lesion] = others | score
    unknown = {
        annotation.frame
        for annotation in found
        if not choice.is_polyp(annotation.category)
        and not choice.is_something_else(annotation.category)
        and not shapes[annotation.frame]
    }
    reading.left_alone = sorted(unknown)

    def decode(of_frame: list[tuple[int, Any]]) -> np.ndarray:
        return paint(clip.size, ((lesion, draw_annotation(path, entry, clip.size)) for lesion, entry in of_frame))

    known_frames = {index: of_frame for index, of_frame in shapes.items() if index not in unknown}
    return ClipLabels(known_frames, decode, attributes, reading)


def _without_deleted(content: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """Leave out the images and annotations that COCO Annotator keeps after a person has deleted them."""
    gone = {image["id"] for image in content["images"] if image.get("deleted") is True}
    annotations = [
        entry for entry in content["annotations"] if entry.get("deleted") is not True and entry["image_id"] not in gone
    ]
    left_out = {"deleted images": len(gone), "deleted annotations": len(content["annotations"]) - len(annotations)}
    reading.left_out.update({name: count for name, count in left_out.items() if count})
    images = [image for image in content["images"] if image["id"] not in gone]
    return {**content, "images": images, "annotations": annotations}


def _category_names(categories: list[dict[str, Any]]) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for entry in categories:
        if names.setdefault(entry["id"], entry["name"]) != entry["name"]:
            raise InputError(f"two categories have the id {entry['id']!r}: {names[entry['id']]!r}, {entry['name']!r}")
    if not all(isinstance(name, str) for name in names.values()):
        raise InputError("a category has a name that is not a text")
    return names


def _annotations(
    content: dict[str, Any], frame_of: Mapping[Any, int | None], names: Mapping[Any, str]
) -> Iterator[_Annotation]:
    """Yield the annotations of the clip, after a check of what they refer to."""
    for entry in content["annotations"]:
        image, category, number = entry["image_id"], entry["category_id"], entry.get("id")
        if image not in frame_of:
            raise InputError(f"image {image!r} is missing in 'images': annotation {number!r} is on it")
        if category not in names:
            raise InputError(
                f"category {category!r} of annotation {number!r} is missing in 'categories'; add it there with its name"
            )
        frame = frame_of[image]
        if frame is not None:
            yield _Annotation(frame, names[category], entry)


def _check_masks(polyps: list[_Annotation]) -> None:
    """Refuse boxes and points: a mask that nobody drew must not become a person's."""
    without = [annotation for annotation in polyps if not _has_mask(annotation.entry)]
    if without:
        frame, _, entry = without[0]
        kind = "points" if entry.get("keypoints") else "a box"
        raise InputError(
            f"annotation {entry.get('id')!r} of frame {frame} has {kind} and no mask, as have {len(without)} of "
            f"{len(polyps)}; draw polygons or masks, and export COCO with 'segmentation'"
        )


def _has_mask(entry: Mapping[str, Any]) -> bool:
    """Whether an annotation has a mask; COCO Annotator writes a drawn box as a polygon."""
    segmentation = entry.get("segmentation")
    has_shape = any(segmentation) if isinstance(segmentation, list) else segmentation is not None
    return has_shape and entry.get("isbbox") is not True


def _track_id(entry: dict[str, Any]) -> int | None:
    value = (entry.get("attributes") or {}).get("track_id", entry.get("track_id"))
    return value if type(value) is int and 0 <= value <= _LARGEST_ID else None
