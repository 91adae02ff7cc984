"""A video's masks as files of other tools: export and import."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lib.store import LAST_LESION, StoredVideo, VideoStore
from lsinet_monai.errors import InputError
from lsinet_monai.formats import (
    AddFrame,
    Attributes,
    ClipLabels,
    read_labels,
    write_coco,
    write_cvat,
    write_png,
    write_stack,
)
from lsinet_monai.masks import LesionLinker, mask_change

__all__ = ["FORMATS", "Format", "read_masks", "write_each_mask", "write_masks"]


class Format(NamedTuple):
    """A file format."""

    suffix: str
    media_type: str
    has_lesions: bool
    """Whether it holds the lesions' ids. If not, an imported mask takes the ids of the lesions that it overlaps."""
    tolerance: float
    """An imported mask counts as changed from this 1 - IoU on: a polygon alone may differ by 2% of the mask."""


FORMATS = {
    "cvat": Format(".xml", "application/xml", True, 0.04),
    "coco": Format(".json", "application/json", True, 0.0),
    "png": Format(".zip", "application/zip", False, 0.0),
    "nifti": Format(".nii.gz", "application/gzip", True, 0.0),
    "nrrd": Format(".nrrd", "application/octet-stream", True, 0.0),
}

_LARGEST_PNG = 2**26
_LARGEST_ARCHIVE = 2**32


def write_masks(video: StoredVideo, name: str, path: Path, original: bool = False, frames: range | None = None) -> None:
    """Write masks of a video to a file in one call, see :func:`write_each_mask`."""
    for _ in write_each_mask(video, name, path, original, frames):
        pass


def write_each_mask(
    video: StoredVideo, name: str, path: Path, original: bool = False, frames: range | None = None
) -> Iterator[int]:
    """Write the current masks of a video, or the model's own, frame by frame: an hour of video takes a while.

    COCO and CVAT files have the lesions' ids and names and, for corrected frames, who saved them and when. An archive
    of PNG files has that in ``corrections.json``.

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


def read_masks(video: StoredVideo, path: Path, user: str, videos: VideoStore) -> list[int]:
    """Import masks from another tool. Each mask that differs from the current one becomes a correction.

    Args:
        video: the video.
        path: the file. Its suffix gives the format.
        user: who is recorded as having corrected them.
        videos: gives a place to unpack an archive.

    Returns:
        The frames whose masks changed.

    Raises:
        InputError: the file cannot be read, or belongs to another video. Then no mask changes.
        Conflict: the video is final.
    """
    name = next((name for name, kind in FORMATS.items() if path.name.lower().endswith(kind.suffix)), "")
    if name == "png":
        with videos.scratch() as folder:
            _unpack(path, folder, video.info.frame_count)
            return _save_changes(video, read_labels(folder, video.info.clip), FORMATS[name], user)
    try:
        labels = read_labels(path, video.info.clip)
    except InputError as error:
        raise InputError(str(error).replace(f"{path}: ", f"{video.id}: the file ")) from error
    kind = FORMATS.get(name, FORMATS["nifti"])
    return _save_changes(video, labels, kind, user)


def _unpack(path: Path, folder: Path, frame_count: int) -> None:
    """Unpack the PNG files of an archive, without the folders in their names, up to a size."""
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".png")]
            sizes = [entry.file_size for entry in entries]
            if len(entries) > frame_count or max(sizes, default=0) > _LARGEST_PNG or sum(sizes) > _LARGEST_ARCHIVE:
                raise InputError("the archive has more or larger masks than the video has frames for")
            for entry in entries:
                target = folder / Path(entry.filename.replace("\\", "/")).name
                if target.exists():
                    raise InputError(f"the archive has two files named {target.name}")
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"the file cannot be read as a ZIP archive ({error})") from error


def _save_changes(video: StoredVideo, labels: ClipLabels, kind: Format, user: str) -> list[int]:
    # Read everything before saving anything: a file that is damaged in its last frame must change nothing.
    changed = [frame for frame in labels if _is_changed(video.mask(frame).labels, labels[frame], kind)]
    for frame in changed:
        video.save_correction(frame, _to_ids(video.mask(frame).labels, labels[frame], kind), user)
    return changed


def _is_changed(before: np.ndarray, after: np.ndarray, kind: Format) -> bool:
    if mask_change(before > 0, after > 0) > kind.tolerance:
        return True
    if not kind.has_lesions:
        return False
    lesions = set(np.unique(before).tolist()) | set(np.unique(after).tolist())
    return any(mask_change(before == lesion, after == lesion) > kind.tolerance for lesion in lesions - {0})


def _to_ids(before: np.ndarray, after: np.ndarray, kind: Format) -> np.ndarray:
    if kind.has_lesions:
        if after.max(initial=0) > LAST_LESION:
            raise InputError(f"a lesion has the id {after.max()}: ids go up to {LAST_LESION}")
        return after.astype(np.uint8)
    linker = LesionLinker()
    linker.follow(before)
    return linker(after > 0).clip(0, LAST_LESION).astype(np.uint8)
