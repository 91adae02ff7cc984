"""PNG and other pictures: one mask per frame, named like the frame. Those of ours are 0 and 255, as in SUN-SEG."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from lsinet_monai.data import FRAME_SUFFIXES, find_mask_rule, frame_size
from lsinet_monai.data.mask_files import UnclearMasks, list_values, match_masks
from lsinet_monai.data.mask_files.class_list_files import CLASS_LIST_FILES
from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels, Reading, log_reading
from lsinet_monai.formats.frame_names import without_uploads
from lsinet_monai.formats.labels import Labels, UnclearLabels
from lsinet_monai.formats.video_choice import choose_video, video_name
from lsinet_monai.utils.files import atomic_write

__all__ = ["is_picture", "other_files", "read_png_folder", "write_png"]

# Encoding maps is the slowest part of writing. Pillow's defaults take twice as long. Run lengths alone also make masks
# smaller.
_COMPRESSION = {"compress_level": 1, "compress_type": zlib.Z_RLE}


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image, uint8, (H, W), as a PNG file that appears complete or not at all."""
    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", **_COMPRESSION)


def read_png_folder(path: str | Path, clip: ClipInfo, labels: Labels | None = None) -> ClipLabels:
    """Read a folder of masks in PNG files or other pictures. Each file is opened when its frame is accessed.

    Args:
        path: the folder. A file belongs to the frame that its name refers to, see :meth:`ClipInfo.index_of`, and to the
            video that it is named after, see :func:`~lsinet_monai.formats.video_choice.choose_video`. Masks of a
            clip whose frames are files are also found as in training, see
            :func:`~lsinet_monai.data.mask_files.match_masks`.
        clip: the clip.
        labels: which values are polyp, such as ``1``, or names of CVAT's ``labelmap.txt`` or another class list;
            None finds it out, see :func:`~lsinet_monai.data.find_mask_rule`.

    Returns:
        The frames that have a file: 1 for polyp, else 0.

    Raises:
        InputError: if the folder is missing or has no pictures, it is unclear which of several videos is the clip's, a
            file belongs to no frame, or two files to the same frame; on access, if a file cannot be read or its size is
            not that of the frames.
        UnclearLabels: if it is not clear which values are polyp; on access, if a file has a value that the others
            lack. Its labels are the values, as ``labels`` takes them, and the number of masks that hold each.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    entries = sorted(folder.iterdir())
    reading = Reading(left_out=other_files(entry.name for entry in entries))
    pictures = [entry for entry in entries if is_picture(entry.name)]
    file_names = [file.name for file in pictures]
    names = dict(zip(pictures, without_uploads(file_names), strict=True))
    videos = {file: video_name(name, clip) for file, name in names.items()}
    if not videos:
        found = ", ".join(reading.left_out)
        raise InputError(f"{folder}: holds no PNG files" + (f", but {found}: save the masks as PNG" if found else ""))
    try:
        taken = choose_video(videos.values(), clip, "masks", reading)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    known = _masks_of_files(folder, clip) if clip.files else {}
    files: dict[int, Path] = {}
    for file in videos:
        if videos[file] not in taken:
            continue
        index = known.get(file, clip.index_of(file.name) if clip.files else None)
        index = clip.index_of(names[file]) if index is None else index
        if index is None:
            raise InputError(f"{file}: {clip.why_unknown(file.name)}, or remove it")
        if index in files:
            raise InputError(f"{file}: {files[index].name} is a mask of the same frame; remove one of the two")
        files[index] = file
    chosen = None if labels is None else _chosen_values(labels)
    right_size = [file for file in files.values() if _size(file) == clip.size]  # before anything large is decoded
    try:
        rule = find_mask_rule(right_size, chosen, str(folder), key="labels", may_be_empty=True)
    except UnclearMasks as error:
        raise UnclearLabels(str(error), list_values(right_size)) from error

    def decode(file: Path) -> np.ndarray:
        size = frame_size(file)
        if size != clip.size:
            raise InputError(f"{file}: {clip.mismatch(size)}")
        try:
            return rule.read(file, key="labels").astype(np.int32)
        except UnclearMasks as error:
            raise UnclearLabels(str(error), list_values([file, *right_size])) from error

    reading.notes.append(f"in the masks, {rule}")
    log_reading(folder, reading)
    return ClipLabels(files, decode, reading=reading)


def _masks_of_files(folder: Path, clip: ClipInfo) -> dict[Path, int]:
    """Find the masks of frames that are files: by the frame's name, and ``x_mask.png``, ``mask_x.png`` or ``X.png``."""
    frames = {index: Path(name) for index, name in clip.files.items() if clip.index_of(name) == index}
    masks, _ = match_masks([*frames.values()], folder)
    return dict(zip(masks, frames, strict=True))


def is_picture(name: str) -> bool:
    """Whether a file of this name is read as a mask."""
    return PurePath(name).suffix.lower() in FRAME_SUFFIXES and not name.startswith(".")


def other_files(names: Iterable[str]) -> dict[str, int]:
    """Count the files that are not read, by suffix, except for texts, class lists and hidden files."""
    names = [
        name for name in names if not is_picture(name) and name not in CLASS_LIST_FILES and not name.startswith(".")
    ]
    others = Counter(PurePath(name).suffix.lower() for name in names)
    return {f"*{suffix} files": count for suffix, count in sorted(others.items()) if suffix not in ("", ".txt")}


def _chosen_values(labels: Labels) -> str | list[str]:
    if isinstance(labels, str):
        return labels
    chosen = [name for name in labels if not isinstance(labels, Mapping) or labels[name] is not None]
    return chosen[0] if len(chosen) == 1 else chosen  # a threshold stands alone


def _size(file: Path) -> tuple[int, int] | None:
    try:
        return frame_size(file)
    except InputError:  # reported when its frame is accessed
        return None
