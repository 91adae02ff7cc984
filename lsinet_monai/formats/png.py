"""PNG: one 8-bit grey file per frame, named like the frame, in the layout of SUN-SEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lsinet_monai.data import frame_size, read_mask
from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_png_folder", "write_png"]

# Encoding maps is the slowest part of writing. Pillow's default, level 6, takes four times as long for files a fifth
# smaller.
_COMPRESS_LEVEL = 1


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image, uint8, (H, W), as a PNG file that appears complete or not at all."""
    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", compress_level=_COMPRESS_LEVEL)


def read_png_folder(path: str | Path, clip: ClipInfo) -> ClipLabels:
    """Read a folder of masks in PNG files. Each file is opened when its frame is accessed.

    Args:
        path: the folder. A file belongs to the frame that its name refers to, see :meth:`ClipInfo.index_of`.
        clip: the clip.

    Returns:
        The frames that have a file: 1 for pixels brighter than 128 of 255, as in SUN-SEG, else 0.

    Raises:
        InputError: if the folder is missing or has no PNG files, a file belongs to no frame, or two files to the same
            frame; on access, if a file cannot be read or its size is not that of the frames.
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
            raise InputError(f"{file}: {files[index].name} is a mask of the same frame; remove one of the two")
        files[index] = file
    if not files:
        raise InputError(f"{folder}: holds no PNG files")

    def decode(file: Path) -> np.ndarray:
        size = frame_size(file)  # before anything large is decoded
        if size != clip.size:
            raise InputError(f"{file}: {clip.mismatch(size)}")
        return read_mask(file).astype(np.int32)

    return ClipLabels(files, decode)
