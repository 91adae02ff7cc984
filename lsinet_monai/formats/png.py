"""PNG and other pictures: one mask per frame, named like the frame. Those of ours are 0 and 255, as in SUN-SEG."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from lsinet_monai.data import FRAME_SUFFIXES, find_mask_rule, frame_size
from lsinet_monai.data.mask_files import UnclearMasks, list_values
from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels, Reading
from lsinet_monai.formats.labels import Labels, UnclearLabels
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_png_folder", "write_png"]

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
        path: the folder. A file belongs to the frame that its name refers to, see :meth:`ClipInfo.index_of`.
        clip: the clip.
        labels: which values are polyp, such as ``1``, or names of CVAT's ``labelmap.txt``; None finds it out, see
            :func:`~lsinet_monai.data.find_mask_rule`.

    Returns:
        The frames that have a file: 1 for polyp, else 0.

    Raises:
        InputError: if the folder is missing or has no pictures, a file belongs to no frame, or two files to the same
            frame; on access, if a file cannot be read or its size is not that of the frames.
        UnclearLabels: if it is not clear which values are polyp; on access, if a file has a value that the others
            lack. Its labels are the values, as ``labels`` takes them, and the number of masks that hold each.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in FRAME_SUFFIXES or file.name.startswith("."):
            continue
        index = clip.index_of(file.name)
        if index is None:
            raise InputError(f"{file}: '{clip.name}' has no frame of this name; remove or rename the file")
        if index in files:
            raise InputError(f"{file}: {files[index].name} is a mask of the same frame; remove one of the two")
        files[index] = file
    if not files:
        raise InputError(f"{folder}: holds no PNG files")
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

    return ClipLabels(files, decode, reading=Reading(notes=[f"in the masks, {rule}"], has_ids=False))


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
