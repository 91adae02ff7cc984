"""COCO JSON: an image per frame and an instance per lesion, which has a run-length code and a score.

The format: https://cocodataset.org/#format-data. The lesion's id is the instance's attribute ``track_id``, where CVAT
and others look for it. ``videos``, ``video_id`` and ``frame_id`` are as in YouTube-VIS, COCO's extension to video.
``fps`` and ``seconds`` are our own fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import AddFrame, Attributes, ClipInfo, ClipLabels, check_file, paint
from lsinet_monai.formats.shapes import polygon_to_mask, runs_to_mask
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_coco", "write_coco"]

_LARGEST_ID = 2**31 - 1


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
        categories = [{"id": 1, "name": "polyp", "supercategory": "lesion"}]
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


def read_coco(path: str | Path, clip: ClipInfo, label: str | None = None) -> ClipLabels:
    """Read the instances of a COCO file: polygons, and run-length codes, compressed or not.

    Args:
        path: the file.
        clip: the clip. An image belongs to the frame of its ``frame_id``, or else to the frame that its file name
            refers to: see :meth:`ClipInfo.index_of`.
        label: read only this category; by default all.

    Returns:
        The frames that are images of the file. A lesion's id is its ``track_id``. An instance without one is a lesion
        of its own; these get the ids after the largest ``track_id``.

    Raises:
        InputError: if the file cannot be read, is not a COCO file, or belongs to another clip; on access, if a
            segmentation is damaged.
    """
    path = check_file(path, [".json"])
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file)
        return _labels(path, content, clip, label)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: cannot be read as COCO instances ({reason})") from error


def _labels(path: Path, content: dict[str, Any], clip: ClipInfo, label: str | None) -> ClipLabels:
    wanted = {entry["id"] for entry in content["categories"] if label in (None, entry["name"])}
    if not wanted and label is not None:
        names = ", ".join(repr(entry["name"]) for entry in content["categories"])
        raise InputError(f"{path}: has no category '{label}'; its categories: {names or 'none'}")
    index_of = {image["id"]: _index(path, image, clip) for image in content["images"]}
    shapes: dict[int, list[tuple[int, Any]]] = {index: [] for index in index_of.values()}
    attributes: dict[int, dict[int, dict[str, Any]]] = {}
    entries = [entry for entry in content["annotations"] if entry["category_id"] in wanted]
    ids = [_track_id(entry) for entry in entries]
    next_id = max((known for known in ids if known is not None), default=0) + 1
    for entry, known in zip(entries, ids, strict=True):
        lesion = next_id if known is None else known
        next_id += known is None
        index = index_of[entry["image_id"]]
        shapes[index].append((lesion, entry["segmentation"]))
        others = {name: value for name, value in entry.get("attributes", {}).items() if name != "track_id"}
        score = {"score": entry["score"]} if "score" in entry else {}
        attributes.setdefault(index, {})[lesion] = others | score

    def decode(segmentations: list[tuple[int, Any]]) -> np.ndarray:
        try:
            return paint(clip.size, ((lesion, _mask(code, clip.size)) for lesion, code in segmentations))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise InputError(f"{path}: a segmentation is damaged ({error})") from error

    return ClipLabels(shapes, decode, attributes)


def _index(path: Path, image: dict[str, Any], clip: ClipInfo) -> int:
    if image.get("height", clip.size[0]) != clip.size[0] or image.get("width", clip.size[1]) != clip.size[1]:
        raise InputError(f"{path}: {clip.mismatch((image.get('height'), image.get('width')))}")
    index = image.get("frame_id")
    if not _is_whole(index, 0, clip.frame_count - 1):
        index = clip.index_of(image["file_name"])
    if index is None:
        raise InputError(f"{path}: image {image['file_name']!r} is not a frame of '{clip.name}'")
    return int(index)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _track_id(entry: dict[str, Any]) -> int | None:
    value = entry.get("attributes", {}).get("track_id", entry.get("track_id"))
    return value if _is_whole(value, 1, _LARGEST_ID) else None


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Decode a segmentation; raise ValueError, KeyError or TypeError if it is damaged."""
    if isinstance(segmentation, list):
        mask = np.zeros(size, bool)
        for polygon in segmentation:
            mask |= polygon_to_mask(np.asarray(polygon, float).reshape(-1, 2), size)
        return mask
    if segmentation["size"] != list(size):
        raise ValueError(f"size {segmentation['size']}")
    counts = segmentation["counts"]
    return runs_to_mask(_counts(counts) if isinstance(counts, str) else counts, size[::-1]).T


def _counts(code: str) -> list[int]:
    """Decode COCO's compressed run lengths.

    A number is a sequence of characters with 5 bits each, the lowest first: 48 + bits, + 32 if another one follows. The
    highest bit of the last one is the sign. From the fourth number on, each is the difference to the last but one.
    """
    # pycocotools trusts its input: it reads past the end of a code that is cut off.
    counts: list[int] = []
    value, shift = 0, 0
    for character in code:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("not run lengths")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("the run lengths are cut off")
    return counts
