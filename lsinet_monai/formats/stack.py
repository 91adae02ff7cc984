"""NIfTI and NRRD for ITK-SNAP and 3D Slicer: a stack of label maps or frames, uint8, axes (W, H, T).

MONAI's :class:`~monai.data.ITKWriter` writes it, so that both tools show it upright. To them, the third axis is a
length: every pixel and every frame is 1 mm. ``first_frame``, ``frames`` (their number) and ``fps`` are fields of NRRD,
and are in the description of NIfTI. Tools that cut frames off keep them.
"""

from __future__ import annotations

import gzip
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
from lsinet_monai.formats.clip_labels import (
    GZIP_MARK,
    AddFrame,
    Attributes,
    ClipInfo,
    ClipLabels,
    Reading,
    check_file,
    log_reading,
)
from lsinet_monai.formats.labels import Labels, UnclearLabels
from lsinet_monai.formats.lesion_ids import LAST_LESION
from lsinet_monai.formats.orientation import Orientation, nrrd_affine
from lsinet_monai.formats.stack_labels import check_background, choose_segments, segment_names

__all__ = ["LARGEST_STACK", "check_stack", "read_stack", "write_image_stack", "write_stack"]

LARGEST_STACK = 2**30
"""The largest stack in bytes, uncompressed: 1 GiB. Writing takes three times its size in memory."""

_AS_LABEL_MAP = "a segmentation of 3D Slicer must be exported as a label map, with the video's volume as its reference"
_NIFTI_2_MARKS = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))  # the size of its header
_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
_HEADER_BYTES = 2**16


def check_stack(clip: ClipInfo, frames: range, channels: int = 1) -> None:
    """Check that frames fit in a stack, before a long run starts.

    Args:
        clip: the clip.
        frames: the indices of the frames, without gaps.
        channels: 1 for masks, 3 for colour frames.

    Raises:
        InputError: if the frames need more than :data:`LARGEST_STACK` bytes, or there are none.
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
    """Write lesions as a stack of label maps, which appears when the block ends.

    The label is the lesion's id. There are 255 labels; lesion 256 has label 1 again.

    Args:
        path: the file: ``*.nii.gz``, ``*.nii`` or ``*.nrrd``.
        clip: the clip.
        frames: the indices of the frames to write, without gaps. Frames that are not added stay empty.

    Yields:
        A function to call with each frame's index, its labels, int32, (H, W), and its lesions' attributes, for which a
        stack has no field. It ignores frames that are not in ``frames``.

    Raises:
        InputError: if the frames do not fit, see :func:`check_stack`.
    """
    check_stack(clip, frames)
    masks = np.zeros((len(frames), *clip.size), np.uint8)

    def add(index: int, labels: np.ndarray, attributes: Attributes) -> None:
        if index in frames:
            masks[index - frames.start] = np.where(labels > 0, (labels - 1) % LAST_LESION + 1, 0)

    yield add
    _save(Path(path), masks, clip, frames.start)


def write_image_stack(path: str | Path, clip: ClipInfo, frames: range, images: Iterable[np.ndarray]) -> None:
    """Write frames as a stack of RGB vectors, the background for the stack of their masks.

    Args:
        path: the file: ``*.nii.gz``, ``*.nii`` or ``*.nrrd``.
        clip: the clip.
        frames: the indices of the frames to write, without gaps.
        images: these frames in order, RGB, uint8, (H, W, 3).

    Raises:
        InputError: if the frames do not fit, see :func:`check_stack`.
    """
    check_stack(clip, frames, channels=3)
    stack = np.zeros((len(frames), *clip.size, 3), np.uint8)
    for place, image in enumerate(images):
        stack[place] = image
    _save(Path(path), stack, clip, frames.start)


def _save(path: Path, stack: np.ndarray, clip: ClipInfo, first: int) -> None:
    """Write a stack, (T, H, W) or (T, H, W, 3), as a file that appears complete or not at all."""
    import itk  # type: ignore[import-untyped]  # imported here, since it takes seconds
    from monai.data import ITKWriter

    is_colour = stack.ndim == 4
    image = ITKWriter.create_backend_obj(
        np.moveaxis(stack, (0, 1, 2), (2, 1, 0)),
        channel_dim=-1 if is_colour else None,
        affine=np.eye(4),
        dtype=np.uint8,
        affine_lps_to_ras=False,
    )
    fields = {"first_frame": str(first), "frames": str(len(stack))} | ({"fps": f"{clip.fps:g}"} if clip.fps else {})
    header = image.GetMetaDataDictionary()
    if path.name.lower().endswith(".nrrd"):
        for name, value in fields.items():
            header[name] = value
    else:
        header["ITK_FileNotes"] = " ".join(f"{name}={value}" for name, value in fields.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    # itk.imwrite chooses the format by the file name, so the temporary file must have the final name.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".stack-") as folder:
        itk.imwrite(image, os.path.join(folder, path.name), compression=True)
        os.replace(os.path.join(folder, path.name), path)


def read_stack(
    path: str | Path, clip: ClipInfo, first_frame: int | None = None, labels: Labels | None = None
) -> ClipLabels:
    """Read a stack of masks or labels that ITK-SNAP, 3D Slicer or :func:`write_stack` wrote.

    A stack that another tool has turned is turned back, see :class:`~lsinet_monai.formats.orientation.Orientation`.

    Args:
        path: the file: ``*.nii.gz``, ``*.nii`` or ``*.nrrd``.
        clip: the clip.
        first_frame: the index of the stack's first frame; by default the number in the file. If another tool has
            dropped it, or has cut frames off, a stack of all frames begins at 0, and a shorter one needs this argument.
        labels: the segments of 3D Slicer's ``*.seg.nrrd`` that are polyps, see
            :class:`~lsinet_monai.formats.labels.LabelChoice`. In other files, which name none, every label is a polyp.

    Returns:
        The stack's frames, with the labels of the file, see :func:`~lsinet_monai.formats.lesion_ids.fit_ids`. If 255 or
        128 is the only label, it is a mask without ids of lesions, and becomes 1.
        A frame is left out if it shows only segments of which nobody said whether they are polyps.

    Raises:
        InputError: if the file cannot be read, or belongs to another clip.
        UnclearLabels: if it is unclear which segments are polyps.
    """
    path = check_file(path, _SUFFIXES)
    try:
        read = _read_nrrd if path.name.lower().endswith(".nrrd") else _read_nifti
        stack, orientation, fields = read(path, clip)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, EOFError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError, zlib.error) as error:
        reason = str(error).strip().replace("\n", " ")
        raise InputError(
            f"{path}: cannot be read as a stack ({reason}); save it again, as NIfTI-1 (*.nii.gz) or NRRD (*.nrrd)"
        ) from error
    frames = stack.shape[2]
    if first_frame is None:
        found = re.search(r"first_frame\W+([0-9]{1,9})\b", fields)
        written = re.search(r"(?:^frames:=|\bframes=)([0-9]{1,9})\b", fields, re.MULTILINE)
        if written and int(written[1]) != frames:
            found = None
        if not found and frames < clip.frame_count:
            raise InputError(
                f"{path}: has {frames} of the {clip.frame_count} frames of '{clip.name}', and does not say which. Give "
                "first_frame, the index of the stack's first frame"
            )
        first_frame = int(found[1]) if found else 0
    is_own = "first_frame" in fields  # a network's masks, kept whatever they look like
    if not 0 <= first_frame <= clip.frame_count - frames:
        raise InputError(
            f"{path}: has {frames} frames from frame {first_frame} on; '{clip.name}' has {clip.frame_count}. Give "
            "first_frame, the index of the stack's first frame"
        )
    reading = Reading()
    if not orientation.is_upright:
        reading.notes.append("the file says that its frames are turned or mirrored; they were turned upright")
    if orientation.is_ignored:
        reading.notes.append(
            "the file states an orientation and an origin that are not those of an exported stack; its frames were "
            "taken as they lie: check that the masks fit"
        )
    try:
        values, ids, unknown = choose_segments(stack, segment_names(fields), labels, reading)
        if not is_own:
            check_background(stack, values[ids > 0], reading)
    except UnclearLabels as error:
        raise UnclearLabels(f"{path}: {error}", error.details["labels"]) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    reading.left_alone = [first_frame + place for place in unknown]
    log_reading(path, reading)
    return ClipLabels(
        {first_frame + place: place for place in range(frames) if place not in unknown},
        lambda place: ids[np.searchsorted(values, stack[:, :, place].T)],
        reading=reading,
    )


def _check_size(sizes: Sequence[int], clip: ClipInfo) -> None:
    """Check that a stack is (W, H, T) and not too large, before its pixels are read."""
    width, height, frames, *rest = sizes
    if any(length != 1 for length in rest):
        raise InputError(
            f"has the axes {'x'.join(map(str, sizes))}, and a stack of masks has (width, height, frames); "
            f"{_AS_LABEL_MAP}"
        )
    if (height, width) != clip.size:
        raise InputError(f"{clip.mismatch((height, width))}; {_AS_LABEL_MAP}")
    if not 0 < frames <= clip.frame_count:
        raise InputError(f"has {frames} frames, '{clip.name}' has {clip.frame_count}; give the masks of this clip")
    check_stack(clip, range(frames))


def _read_nifti(path: Path, clip: ClipInfo) -> tuple[np.ndarray, Orientation, str]:
    with path.open("rb") as file:
        # The name may say otherwise, as of what the label app gets.
        is_packed = file.read(len(GZIP_MARK)) == GZIP_MARK
    with gzip.open(path) if is_packed else path.open("rb") as file:
        mark = file.read(4)
        if mark == b"NRRD":
            raise InputError("is NRRD, not NIfTI; give it as *.nrrd")
        if mark in _NIFTI_2_MARKS:
            raise InputError("is NIfTI-2; save it as NIfTI-1 (*.nii.gz), or as *.nrrd")
        file.seek(0)
        try:
            image = nibabel.nifti1.Nifti1Image.from_stream(file)
        except (nibabel.filebasedimages.ImageFileError, HeaderDataError, WrapStructError) as error:
            raise ValueError(str(error)) from error
        header = image.header
        has_affine = header["sform_code"] > 0 or header["qform_code"] > 0
        orientation = Orientation(image.affine if has_affine else None, image.shape)
        _check_size(orientation.sizes(image.shape), clip)
        if image.get_data_dtype().kind not in "uif" or image.get_data_dtype().itemsize > 8:
            raise InputError(f"has pixels of type {image.get_data_dtype()}; save it as a label map")
        try:
            stack = np.asarray(image.dataobj).reshape((*image.shape, 1, 1)[:3])
            file.read(1)  # nibabel stops before the end, where gzip compares the checksum
        except (OSError, EOFError, zlib.error) as error:  # whose text may name a file of the server
            raise ValueError("its pixels are cut off or damaged") from error
    return _whole_numbers(orientation.upright(stack)), orientation, header["descrip"].tobytes().decode("latin-1")


def _read_nrrd(path: Path, clip: ClipInfo) -> tuple[np.ndarray, Orientation, str]:
    with path.open("rb") as file:
        header, end, _ = file.read(_HEADER_BYTES).replace(b"\r\n", b"\n").partition(b"\n\n")
    text = header.decode("latin-1")
    fields = {name.lower(): value.strip() for name, value in re.findall("^([^:#\n]+): ?(.*)$", text, re.MULTILINE)}
    if not text.startswith("NRRD000") or not end:
        raise ValueError("it has no NRRD header")
    if "data file" in fields or "datafile" in fields:
        raise InputError("has its pixels in another file; save both as one *.nrrd")
    sizes = [int(length) for length in fields.get("sizes", "").split()]
    orientation = Orientation(nrrd_affine(fields), sizes)
    _check_size(orientation.sizes(sizes), clip)
    import itk  # imported here, since it takes seconds

    try:
        stack = itk.array_from_image(itk.imread(str(path)))
    except RuntimeError as error:  # whose text names files of the server
        raise ValueError("its pixels are cut off, or not packed as its header says") from error
    return _whole_numbers(orientation.upright(stack.reshape((*sizes, 1, 1)[2::-1]).T)), orientation, text


def _whole_numbers(stack: np.ndarray) -> np.ndarray:
    """Check that pixels are labels: whole numbers from 0, of any type."""
    if stack.size and not (stack.min() >= 0 and stack.max() < 2**31 and (stack == np.rint(stack)).all()):
        raise InputError("has pixels that are not whole numbers from 0; save it as a label map")
    return stack
