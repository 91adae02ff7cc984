"""Stacks of lesions or frames for ITK-SNAP and 3D Slicer: NIfTI or NRRD, axes (W, H, T), uint8, 1 mm a step.

Written through MONAI's :class:`~monai.data.ITKWriter`, upright in both tools. Their third axis is a length, so it is
1 a frame too; ``first_frame`` and ``fps`` stand in NRRD's fields of these names, and in NIfTI's description.
"""

from __future__ import annotations

import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import AddFrame, Attributes, ClipInfo, ClipLabels, check_file

__all__ = ["LARGEST_STACK", "check_stack", "read_stack", "write_image_stack", "write_stack"]

LARGEST_STACK = 2**30
"""A stack may take up to this many bytes before it is compressed: 1 GiB. Writing it takes three times the memory."""

_LAST_LABEL = 255
_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
_HEADER_BYTES = 2**16


def check_stack(clip: ClipInfo, frames: range, channels: int = 1) -> None:
    """Make sure, before anything long starts, that frames fit in a stack.

    Args:
        clip: the clip.
        frames: indices of its frames, without gaps.
        channels: 1 for masks, 3 for frames.

    Raises:
        InputError: they take more than :data:`LARGEST_STACK`, or there are none.
    """
    height, width = clip.size
    most = LARGEST_STACK // (height * width * channels)
    if not 0 < len(frames) <= most:
        raise InputError(
            f"a stack of {len(frames)} frames of '{clip.name}' does not fit: at {width}x{height} it has 1 to {most} "
            f"frames ({LARGEST_STACK} bytes); choose fewer with --frames A:B"
        )


@contextmanager
def write_stack(path: str | Path, clip: ClipInfo, frames: range) -> Iterator[AddFrame]:
    """Write lesions as a stack, which appears when the block ends.

    A lesion's label value is its id: so these tools tell lesions apart. There are 255; after the last one they begin
    again.

    Args:
        path: the file: ``*.nii.gz``, ``*.nii`` or ``*.nrrd``.
        clip: the clip.
        frames: indices of the frames to write, without gaps. One that is not added has no polyp.

    Yields:
        A function to call with each frame's index, its labels, int32, (H, W), and its lesions' attributes; a stack has
        no place for these. Frames that are not in ``frames`` are passed over.

    Raises:
        InputError: the frames do not fit, see :func:`check_stack`.
    """
    check_stack(clip, frames)
    masks = np.zeros((len(frames), *clip.size), np.uint8)

    def add(index: int, labels: np.ndarray, attributes: Attributes) -> None:
        if index in frames:
            masks[index - frames.start] = np.where(labels > 0, (labels - 1) % _LAST_LABEL + 1, 0)

    yield add
    _save(Path(path), masks, clip, frames.start)


def write_image_stack(path: str | Path, clip: ClipInfo, frames: range, images: Iterable[np.ndarray]) -> None:
    """Write frames as a stack of colour vectors, to lie below the stack of their masks.

    Args:
        path: the file: ``*.nii.gz``, ``*.nii`` or ``*.nrrd``.
        clip: the clip.
        frames: indices of the frames to write, without gaps.
        images: these frames in order, RGB, uint8, (H, W, 3).

    Raises:
        InputError: the frames do not fit, see :func:`check_stack`.
    """
    check_stack(clip, frames, channels=3)
    stack = np.zeros((len(frames), *clip.size, 3), np.uint8)
    for place, image in enumerate(images):
        stack[place] = image
    _save(Path(path), stack, clip, frames.start)


def _save(path: Path, stack: np.ndarray, clip: ClipInfo, first: int) -> None:
    """Write a stack, (T, H, W) or (T, H, W, 3); the file appears whole or not at all."""
    import itk  # type: ignore[import-untyped]  # here, since it takes seconds to load
    from monai.data import ITKWriter

    is_colour = stack.ndim == 4
    image = ITKWriter.create_backend_obj(
        np.moveaxis(stack, (0, 1, 2), (2, 1, 0)),
        channel_dim=-1 if is_colour else None,
        affine=np.eye(4),
        dtype=np.uint8,
        affine_lps_to_ras=False,
    )
    fields = {"first_frame": str(first)} | ({"fps": f"{clip.fps:g}"} if clip.fps else {})
    header = image.GetMetaDataDictionary()
    if path.name.lower().endswith(".nrrd"):
        for name, value in fields.items():
            header[name] = value
    else:
        header["ITK_FileNotes"] = " ".join(f"{name}={value}" for name, value in fields.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    # The writer takes the format from the name, so the name cannot be another one until the file is whole.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".stack-") as folder:
        itk.imwrite(image, os.path.join(folder, path.name), compression=True)
        os.replace(os.path.join(folder, path.name), path)


def read_stack(path: str | Path, clip: ClipInfo, first_frame: int | None = None) -> ClipLabels:
    """Read a stack of masks or labels that ITK-SNAP, 3D Slicer or :func:`write_stack` wrote.

    Args:
        path: the file: ``*.nii.gz``, ``*.nii`` or ``*.nrrd``.
        clip: the clip.
        first_frame: the index of the first frame in the stack; by default what the file says, or 0 where another tool
            dropped it.

    Returns:
        The stack's frames, with its labels as they are.

    Raises:
        InputError: the file cannot be read, or belongs to another clip.
    """
    path = check_file(path, _SUFFIXES)
    try:
        stack, fields = (_read_nrrd if path.name.lower().endswith(".nrrd") else _read_nifti)(path, clip)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, EOFError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError, zlib.error) as error:
        reason = str(error).strip().replace("\n", " ")
        raise InputError(f"{path}: cannot be read as a stack ({reason})") from error
    if first_frame is None:
        found = re.search(r"first_frame\W+([0-9]{1,9})\b", fields)
        first_frame = int(found[1]) if found else 0
    frames = stack.shape[2]
    if not 0 <= first_frame <= clip.frame_count - frames:
        raise InputError(
            f"{path}: has {frames} frames, from frame {first_frame} on; '{clip.name}' has {clip.frame_count}. Give "
            "first_frame, the index of the first one"
        )
    return ClipLabels(
        {first_frame + place: place for place in range(frames)}, lambda place: stack[:, :, place].T.astype(np.int32)
    )


def _check_size(sizes: Sequence[int], clip: ClipInfo) -> tuple[int, int, int]:
    """Make sure, before any pixel is read, that a stack is (W, H, T) and no larger than what is written."""
    width, height, frames, *rest = (*sizes, *(3 - len(sizes)) * [1])
    if any(length != 1 for length in rest):
        raise InputError(f"has the axes {'x'.join(map(str, sizes))}; a stack of masks has (width, height, frames)")
    if (height, width) != clip.size:
        raise InputError(clip.mismatch((height, width)))
    if not 0 < frames <= clip.frame_count:
        raise InputError(f"has {frames} frames, '{clip.name}' has {clip.frame_count}")
    check_stack(clip, range(frames))
    return width, height, frames


def _read_nifti(path: Path, clip: ClipInfo) -> tuple[np.ndarray, str]:
    try:
        image = nibabel.nifti1.Nifti1Image.from_filename(path)
    except (nibabel.filebasedimages.ImageFileError, HeaderDataError, WrapStructError) as error:
        raise ValueError(str(error)) from error
    size = _check_size(image.shape, clip)
    if image.get_data_dtype().kind not in "uif" or image.get_data_dtype().itemsize > 8:
        raise InputError(f"has pixels of type {image.get_data_dtype()}; save it as a label map")
    stack = np.asarray(image.dataobj).reshape(size)
    return _whole_numbers(stack), image.header["descrip"].tobytes().decode("latin-1")


def _read_nrrd(path: Path, clip: ClipInfo) -> tuple[np.ndarray, str]:
    with path.open("rb") as file:
        header, end, _ = file.read(_HEADER_BYTES).replace(b"\r\n", b"\n").partition(b"\n\n")
    text = header.decode("latin-1")
    fields = {name.lower(): value.strip() for name, value in re.findall("^([^:#\n]+): ?(.*)$", text, re.MULTILINE)}
    if not text.startswith("NRRD000") or not end:
        raise ValueError("it has no NRRD header")
    if "data file" in fields or "datafile" in fields:
        raise InputError("has its pixels in another file; save it as one *.nrrd")
    size = _check_size([int(length) for length in fields.get("sizes", "").split()], clip)
    import itk  # here, since it takes seconds to load

    stack = itk.array_from_image(itk.imread(str(path)))
    return _whole_numbers(stack.reshape(size[::-1]).T), text


def _whole_numbers(stack: np.ndarray) -> np.ndarray:
    """Make sure that pixels are labels: whole numbers of 0 or more, in the type that the file has them in."""
    if stack.size and not (stack.min() >= 0 and stack.max() < 2**31 and (stack == np.rint(stack)).all()):
        raise InputError("has pixels that are no whole numbers of 0 or more; save it as a label map")
    return stack
