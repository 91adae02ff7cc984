"""Masks and maps as PNG files, one a frame, in SUN-SEG's layout: grey, 8 bits, named as the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lsinet_monai.data import frame_size, read_mask
from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_png_folder", "write_png"]

# Encoding maps is the slowest part of writing: Pillow's level 6 takes four times as long for a fifth less.
_COMPRESS_LEVEL = 1


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image, uint8, (H, W), as a PNG file that appears whole or not at all."""
    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", compress_level=_COMPRESS_LEVEL)


def read_png_folder(path: str | Path, clip: ClipInfo) -> ClipLabels:
    """Read masks that lie as PNG files in a folder. Files are opened when their frames are asked for.

    Args:
        path: the folder; each file's name says which frame it belongs to, see :meth:`ClipInfo.index_of`.
        clip: the clip.

    Returns:
        The frames that have a file: 1 where it is brighter than 128 of 255, as SUN-SEG has it, else 0.

    Raises:
        InputError: there is no such folder or no PNG file in it; a file belongs to no frame, or two to one; on access,
            a file that cannot be read or has another size than the frames.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() != ".png" or file.name.startswith("."):
            continue
        index = clip.index_of(file.name)
        if index is None:
            raise InputError(f"{file}: '{clip.name}' has no frame of this name; remove or rename the file")
        if index in files:
            raise InputError(f"{file}: {files[index].name} is a mask of the same frame; remove one of them")
        files[index] = file
    if not files:
        raise InputError(f"{folder}: holds no PNG files")

    def decode(file: Path) -> np.ndarray:
        size = frame_size(file)  # before anything large is decoded
        if size != clip.size:
            raise InputError(f"{file}: {clip.mismatch(size)}")
        return read_mask(file).astype(np.int32)

    return ClipLabels(files, decode)
