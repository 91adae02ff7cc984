"""Read masks in any of the formats."""

from __future__ import annotations

from pathlib import Path

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels
from lsinet_monai.formats.coco import read_coco
from lsinet_monai.formats.cvat import read_cvat
from lsinet_monai.formats.png import read_png_folder
from lsinet_monai.formats.stack import read_stack

__all__ = ["read_labels"]


def read_labels(path: str | Path, clip: ClipInfo) -> ClipLabels:
    """Read the masks of a clip; the name of the file or folder selects the format.

    Args:
        path: a folder of ``*.png`` (:func:`read_png_folder`), CVAT's ``*.xml`` (:func:`read_cvat`), COCO's ``*.json``
            (:func:`read_coco`), or a stack, ``*.nii.gz``, ``*.nii`` or ``*.nrrd`` (:func:`read_stack`).
        clip: the clip.

    Returns:
        The file's frames and their lesions.

    Raises:
        InputError: if the name fits no format, or the format's reader refuses the file.
    """
    path = Path(path)
    name = path.name.lower()
    if path.is_dir():
        return read_png_folder(path, clip)
    if name.endswith(".xml"):
        return read_cvat(path, clip)
    if name.endswith(".json"):
        return read_coco(path, clip)
    if name.endswith((".nii.gz", ".nii", ".nrrd")):
        return read_stack(path, clip)
    raise InputError(
        f"{path}: give a folder of PNG files, *.xml (CVAT for video 1.1), *.json (COCO), *.nii.gz, *.nii or *.nrrd"
    )
