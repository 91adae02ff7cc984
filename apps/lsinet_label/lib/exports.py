"""A video's masks as files of other tools: the formats, and export. :mod:`lib.imports` reads them back."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lib.store import CHECKED, StoredVideo
from lsinet_monai.formats import (
    AddFrame,
    Attributes,
    write_coco,
    write_cvat,
    write_png,
    write_stack,
)

__all__ = ["FORMATS", "Format", "write_each_mask", "write_masks"]


class Format(NamedTuple):
    """A file format."""

    suffix: str
    media_type: str
    has_lesions: bool
    """Whether it holds lesion ids. If not, parts of an imported mask get the ids of the lesions that they overlap."""
    tolerance: float
    """A mask counts as changed if 1 - IoU is above this. Polygons alone may differ from a mask by 2%."""


FORMATS = {
    "cvat": Format(".xml", "application/xml", True, 0.04),
    "coco": Format(".json", "application/json", True, 0.0),
    "png": Format(".zip", "application/zip", False, 0.0),
    "nifti": Format(".nii.gz", "application/gzip", True, 0.0),
    "nrrd": Format(".nrrd", "application/octet-stream", True, 0.0),
}


def write_masks(video: StoredVideo, name: str, path: Path, original: bool = False, frames: range | None = None) -> None:
    """Write masks of a video to a file in one call, see :func:`write_each_mask`.

    Raises:
        InputError: a NIfTI or NRRD file would be too large, or a package is missing.
    """
    for _ in write_each_mask(video, name, path, original, frames):
        pass


def write_each_mask(
    video: StoredVideo, name: str, path: Path, original: bool = False, frames: range | None = None
) -> Iterator[int]:
    """Write the current masks of a video, or the model's own, one frame at a time.

    COCO and CVAT files hold the ids and names of the lesions and, for corrected frames, who saved the mask and when. An
    archive of PNG files has the latter in ``corrections.json``.

    Args:
        video: the video.
        name: one of :data:`FORMATS`.
        path: the file, with the format's suffix.
        original: write the model's own masks.
        frames: a range without gaps; all frames by default.

    Yields:
        the index of each written frame. The file appears after the last one.

    Raises:
        InputError: a NIfTI or NRRD file would be too large, or a package is missing.
    """
    clip = video.info.clip
    frames = range(clip.frame_count) if frames is None else frames
    if name == "png":
        yield from _write_archive(video, path, original, frames)
        return
    writer: AbstractContextManager[AddFrame]
    if name == "cvat":
        writer = write_cvat(path, clip)
    elif name == "coco":
        writer = write_coco(path, clip)
    else:
        writer = write_stack(path, clip, frames)
    with writer as add:
        for frame, labels, attributes in _masks(video, original, frames):
            add(frame, labels, attributes)
            yield frame


def _masks(video: StoredVideo, original: bool, frames: range) -> Iterator[tuple[int, np.ndarray, Attributes]]:
    names = {entry["id"]: entry["name"] for entry in video.lesions.entries()}
    corrections, scores = video.corrections, video.values.per_frame("scores")
    for frame in frames:
        labels = video.mask(frame, original).labels
        of_frame: dict[str, Any] = {"source": "model"}
        if not original and frame in corrections:
            correction = corrections[frame]
            if correction.how == CHECKED:
                of_frame |= {"checked_by": correction.user, "checked_at": correction.time}
            else:
                of_frame = {"source": "person", "corrected_by": correction.user, "corrected_at": correction.time}
        if scores[frame] is not None:
            of_frame["score"] = round(scores[frame], 4)
        lesions = np.unique(labels[labels > 0]).tolist()
        yield (
            frame,
            labels.astype(np.int32),
            {lesion: {"name": names.get(lesion, f"Polyp {lesion}"), **of_frame} for lesion in lesions},
        )


def _write_archive(video: StoredVideo, path: Path, original: bool, frames: range) -> Iterator[int]:
    clip = video.info.clip
    folder = path.with_suffix(".folder")
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for frame, labels, _ in _masks(video, original, frames):
                file = folder / "mask.png"
                write_png(file, np.where(labels > 0, 255, 0).astype(np.uint8))
                archive.write(file, f"{Path(clip.file(frame)).stem}.png")
                yield frame
            if not original:
                content = [
                    {"file": f"{Path(clip.file(f)).stem}.png", **c._asdict()} for f, c in video.corrections.items()
                ]
                archive.writestr("corrections.json", json.dumps(content, indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
