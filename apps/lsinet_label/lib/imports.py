"""Import masks from other tools' files, and report what an import would change before anything is stored."""

from __future__ import annotations

import logging
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lib.exports import FORMATS, Format
from lib.imported_ids import ImportedIds
from lib.store import StoredVideo, VideoStore
from lsinet_monai.data.mask_files.class_list_files import CLASS_LIST_FILES
from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, ClipLabels, Labels, Reading, UnclearLabels, list_frames, read_labels
from lsinet_monai.formats.frame_names import find_video, without_uploads
from lsinet_monai.formats.png import is_picture, other_files
from lsinet_monai.formats.video_choice import choose_video, video_name
from lsinet_monai.masks import mask_change

__all__ = ["ImportReport", "import_masks"]

logger = logging.getLogger(__name__)

_MASK_FOLDER = re.compile(r"(?:^|/)(?:SegmentationClass|masks?|labels?|gt|annotations?)/", re.IGNORECASE)
"""Folders of masks, next to which an archive may have folders of frames, or of colours for each object."""
_OURS = "corrections.json"
_LARGEST_PICTURE = 2**26
_LARGEST_ARCHIVE = 2**32


@dataclass(frozen=True)
class ImportReport:
    """What an import does to the frames of a video.

    Args:
        drawn: the frames that get a mask from the file.
        emptied: the frames that get a person's "no polyp", though they have a mask now.
        replaced: those of both that a person has corrected before.
        unchanged: the number of frames whose masks agree with the file's.
        unspoken: the number of frames that the file does not speak of. They stay as they are.
        has_polyp: whether any frame of the file shows a polyp.
        reading: what was taken from the file, and what was left out.
    """

    drawn: list[int]
    emptied: list[int]
    replaced: list[int]
    unchanged: int
    unspoken: int
    has_polyp: bool
    reading: Reading

    @property
    def changed(self) -> list[int]:
        """The frames whose masks change, in order."""
        return sorted([*self.drawn, *self.emptied])

    @property
    def needs_empty(self) -> bool:
        """Whether nothing but masks would be taken away, which a caller must ask for."""
        return bool(self.emptied) and not self.has_polyp

    def lines(self) -> list[str]:
        """Describe it for a person, one line a fact."""
        lines = [f"masks set: {list_frames(self.drawn)}"] if self.drawn else []
        if self.emptied:
            lines.append(f'marked as "no polyp": {list_frames(self.emptied)}, which have a mask now')
        if not self.changed:
            lines.append("no mask changes")
        if not self.has_polyp:
            lines.append("the file shows no polyp in any frame")
        if self.replaced:
            lines.append(f"corrections of people replaced: {list_frames(self.replaced)}")
        if self.unchanged:
            lines.append(f"agree with the file: {_count(self.unchanged)}")
        if self.unspoken:
            lines.append(f"not in the file, and left as they are: {_count(self.unspoken)}")
        return lines + self.reading.lines()

    def as_answer(self) -> dict[str, Any]:
        """Describe it for a client."""
        return {
            "frames": len(self.changed),
            "corrected": self.changed,
            "emptied": self.emptied,
            "replaced": self.replaced,
            "has_polyp": self.has_polyp,
            "needs_empty": self.needs_empty,
            "labels": self.reading.labels,
            "all_labels": self.reading.all_labels,
            "left_out": self.reading.left_out,
            "left_alone": self.reading.left_alone,
            "summary": self.lines(),
        }


def _count(frames: int) -> str:
    return f"{frames} frame{'s' * (frames != 1)}"


def import_masks(
    video: StoredVideo,
    path: Path,
    user: str,
    videos: VideoStore,
    labels: Labels | None = None,
    first_frame: int | None = None,
    empty: bool = False,
    dry_run: bool = False,
) -> ImportReport:
    """Import masks from another tool. Each mask that differs from the current one becomes a correction.

    Args:
        video: the video.
        path: the file. Its suffix gives the format.
        user: who is recorded as having corrected them.
        videos: provides a folder to unpack an archive in.
        labels: which labels of the file are polyps, see :func:`lsinet_monai.formats.read_labels`.
        first_frame: the index of a stack's first frame.
        empty: accept a file without a polyp, which marks every frame in it as "no polyp".
        dry_run: only report.

    Returns:
        what it has done; with ``dry_run``, what it would do.

    Raises:
        InputError: the file cannot be read, belongs to another video, or shows no polyp. No mask changes.
        UnclearLabels: it is unclear which labels are polyps. No mask changes.
        Conflict: the video is final.
    """
    with _open(video, path, videos, labels, first_frame) as (masks, kind):
        # Read everything before saving anything, so that a file with a damaged frame changes nothing.
        report = _compare(video, masks, kind)
        if report.changed:
            video.info.check_not_final()
        if report.needs_empty and not (empty or dry_run):
            raise InputError(
                f"{video.id}: the file shows no polyp in any frame, so {list_frames(report.emptied)} would lose their "
                "masks; if that is meant, import it with empty=true"
            )
        if not dry_run:
            changed = set(report.changed)
            for frame, numbered in _numbered(video, masks, kind):
                if frame in changed:
                    video.save_correction(frame, numbered, user)
    verb = "would import" if dry_run else "imports"
    logger.info("%s: %s %s masks: %s", video.id, user, verb, "; ".join(report.lines()))
    return report


@contextmanager
def _open(
    video: StoredVideo, path: Path, videos: VideoStore, labels: Labels | None, first_frame: int | None
) -> Iterator[tuple[ClipLabels, Format]]:
    """Read a file; its masks are there within the block."""
    kind = next((kind for kind in FORMATS.values() if path.name.lower().endswith(kind.suffix)), FORMATS["nifti"])
    read = path
    try:
        if kind is not FORMATS["png"]:
            yield _read(path, video, kind, labels, first_frame)
        else:
            with videos.scratch() as read:
                archive = _unpack(path, read, video)
                masks, kind = _read(read, video, kind, labels, first_frame)
                masks.reading.left_out |= archive.left_out
                masks.reading.notes[:0] = archive.notes
                yield masks, kind
    except InputError as error:
        message = str(error).replace(f"{read}: ", f"{video.id}: the file: ").replace(f"{read}/", f"{video.id}: ")
        if isinstance(error, UnclearLabels):
            raise UnclearLabels(message, error.details["labels"]) from error
        if type(error) is not InputError:
            raise
        raise InputError(message) from error


def _read(
    path: Path, video: StoredVideo, kind: Format, labels: Labels | None, first_frame: int | None
) -> tuple[ClipLabels, Format]:
    masks = read_labels(path, video.info.clip, labels, first_frame)
    return masks, kind._replace(has_lesions=bool(masks.reading.ids))


def _unpack(path: Path, folder: Path, video: StoredVideo) -> Reading:
    """Unpack the masks of an archive into one folder, whatever folders their names have, and their class list.

    Returns:
        what was left out, and notes.
    """
    folder.mkdir(parents=True)
    reading = Reading()
    try:
        with zipfile.ZipFile(path) as archive:
            reading.left_out = other_files(_name(entry) for entry in archive.infolist() if _name(entry) != _OURS)
            pictures = [entry for entry in archive.infolist() if is_picture(_name(entry))]
            if not pictures and reading.left_out:
                raise InputError(f"the archive holds no PNG files, but {', '.join(reading.left_out)}")
            entries = _of_video(_choose_folder(pictures, video.info.clip, reading), video.info.clip, reading)
            sizes = [entry.file_size for entry in entries]
            too_many = len(entries) > video.info.frame_count
            if too_many or max(sizes, default=0) > _LARGEST_PICTURE or sum(sizes) > _LARGEST_ARCHIVE:
                raise InputError("the archive has more or larger masks than the video has frames for")
            lists = [entry for name in CLASS_LIST_FILES for entry in archive.infolist() if _name(entry) == name]
            if entries:
                lists = _nearest(lists, _folder(entries[0]))
            for entry in entries + [entry for entry in lists[:1] if entry.file_size < _LARGEST_PICTURE]:
                target = folder / _name(entry)
                if target.exists():
                    raise InputError(f"the archive has two files named {target.name}")
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"the file cannot be read as a ZIP archive ({error})") from error
    return reading


def _nearest(entries: Sequence[zipfile.ZipInfo], folder: str) -> list[zipfile.ZipInfo]:
    """Those in a folder or above it, the nearest first."""
    above = [entry for entry in entries if not _folder(entry) or f"{folder}/".startswith(f"{_folder(entry)}/")]
    return sorted(above, key=lambda entry: -len(_folder(entry)))


def _name(entry: zipfile.ZipInfo) -> str:
    return entry.filename.replace("\\", "/").rpartition("/")[2]


def _folder(entry: zipfile.ZipInfo) -> str:
    return entry.filename.replace("\\", "/").rpartition("/")[0]


def _choose_folder(entries: list[zipfile.ZipInfo], clip: ClipInfo, reading: Reading) -> list[zipfile.ZipInfo]:
    """Choose the folder of masks; of several, the one that is named like the video."""
    masks = [entry for entry in entries if _MASK_FOLDER.search(f"{_folder(entry)}/")] or entries
    groups: dict[str, list[zipfile.ZipInfo]] = {}
    for entry in masks:
        groups.setdefault(video_name(_MASK_FOLDER.sub("/", f"{_folder(entry)}/"), clip), []).append(entry)
    chosen = find_video(groups, clip.name)
    if len(groups) > 1 and len(chosen) != 1:
        twice = [name for name, count in Counter(map(_name, masks)).items() if count > 1]
        reason = f"two files named {twice[0]}" if twice else "masks in several folders"
        raise InputError(
            f"the archive has {reason} ({_list_folders([group[0] for group in groups.values()])}), and not exactly one "
            f"folder is named like '{clip.name}'; give the masks of this video alone"
        )
    kept = groups[chosen[0]] if len(groups) > 1 else masks
    folders = sorted({_folder(entry) for entry in kept})
    if len(folders) > 1:
        reading.notes.append(f"masks of several folders are taken together: {', '.join(map(repr, folders[:5]))}")
    named = [*groups, *_video_names(masks, clip)]
    if len(groups) == 1 and any(groups) and not find_video(named, clip.name):
        reading.notes.append(
            f"its masks are in the folder {_folder(masks[0])!r}, which is not named like '{clip.name}'"
        )
    rest = set(entries) - set(kept)
    others = Counter(f"in the folder {_folder(entry)!r}" if _folder(entry) else "in no folder" for entry in rest)
    reading.left_out |= {f"pictures {place}": count for place, count in others.items()}
    return kept


def _list_folders(entries: list[zipfile.ZipInfo]) -> str:
    return ", ".join(repr(_folder(entry)) if _folder(entry) else "no folder" for entry in entries[:5])


def _video_names(entries: list[zipfile.ZipInfo], clip: ClipInfo) -> list[str]:
    """Return what the names of masks say of their videos, without their folders."""
    return [video_name(name, clip) for name in without_uploads(map(_name, entries))]


def _of_video(entries: list[zipfile.ZipInfo], clip: ClipInfo, reading: Reading) -> list[zipfile.ZipInfo]:
    """Leave out the masks that are named after another video, before they are counted; the reader notes the rest."""
    names = dict(zip(entries, _video_names(entries, clip), strict=True))
    found = Reading()
    try:
        chosen = choose_video(names.values(), clip, "masks", found)
    except InputError as error:
        raise InputError(f"the archive {error}") from error
    reading.left_out |= found.left_out
    return [entry for entry in entries if names[entry] in chosen]


def _compare(video: StoredVideo, masks: ClipLabels, kind: Format) -> ImportReport:
    drawn, emptied, has_polyp = [], [], False
    for frame, after in _numbered(video, masks, kind):
        before = video.mask(frame).labels
        has_polyp |= bool(after.any())
        if _is_changed(before, after, kind):
            (drawn if after.any() else emptied).append(frame)
    unspoken = video.info.frame_count - len(masks) - len(masks.reading.left_alone)
    return ImportReport(
        drawn,
        emptied,
        sorted(video.corrections.keys() & {*drawn, *emptied}),
        len(masks) - len(drawn) - len(emptied),
        unspoken,
        has_polyp,
        masks.reading,
    )


def _is_changed(before: np.ndarray, after: np.ndarray, kind: Format) -> bool:
    if mask_change(before > 0, after > 0) > kind.tolerance:
        return True
    if not kind.has_lesions:
        return False
    lesions = set(np.unique(before).tolist()) | set(np.unique(after).tolist())
    return any(mask_change(before == lesion, after == lesion) > kind.tolerance for lesion in lesions - {0})


def _numbered(video: StoredVideo, masks: ClipLabels, kind: Format) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each frame of a file, and its lesions with the ids of the video's, uint8, (H, W)."""
    ids = ImportedIds(video, masks.reading.ids, masks.__contains__, kind.tolerance)
    for frame in masks:
        yield frame, ids(frame, masks[frame])
