"""Read masks in any of the formats."""

from __future__ import annotations

from pathlib import Path

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels
from lsinet_monai.formats.coco import read_coco
from lsinet_monai.formats.cvat import read_cvat
from lsinet_monai.formats.labels import Labels
from lsinet_monai.formats.png import read_png_folder
from lsinet_monai.formats.stack import read_stack

__all__ = ["read_labels"]


def read_labels(
    path: str | Path, clip: ClipInfo, labels: Labels | None = None, first_frame: int | None = None
) -> ClipLabels:
    """Read the masks of a clip; the name of the file or folder selects the format.

    Args:
        path: a folder of ``*.png`` (:func:`read_png_folder`), CVAT's ``*.xml`` (:func:`read_cvat`), COCO's ``*.json``
            (:func:`read_coco`), or a stack, ``*.nii.gz``, ``*.nii`` or ``*.nrrd`` (:func:`read_stack`).
        clip: the clip.
        labels: which labels of the file are polyps, see :class:`~lsinet_monai.formats.labels.LabelChoice`; of
            PNG files, which values.
        first_frame: the index of a stack's first frame, see :func:`read_stack`.

    Returns:
        The file's frames and their lesions, and what was left out.

    Raises:
        InputError: if the name fits no format, or the format's reader refuses the file.
    """
    path = Path(path)
    name = path.name.lower()
    is_stack = name.endswith((".nii.gz", ".nii", ".nrrd"))
    if first_frame is not None and (path.is_dir() or not is_stack):
        raise InputError(f"{path}: is not a stack; leave out first_frame={first_frame}")
    if path.is_dir():
        return read_png_folder(path, clip, labels)
    if is_stack:
        return read_stack(path, clip, first_frame, labels)
    if name.endswith((".xml", ".json")):
        return (read_cvat if name.endswith(".xml") else read_coco)(path, clip, labels)
    raise InputError(
        f"{path}: give a folder of PNG files, *.xml (CVAT for video 1.1), *.json (COCO), *.nii.gz, *.nii or *.nrrd"
    )
