"""Open any video by its path."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from lsinet_monai.data.folders import frames_in
from lsinet_monai.data.frames import FRAME_SUFFIXES
from lsinet_monai.data.video.folder import FolderVideo
from lsinet_monai.data.video.pictures import PicturesVideo, holds_several, is_picture_file
from lsinet_monai.data.video.video import DEFAULT_FPS, Video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import check_link

__all__ = ["check_decode_device", "is_dicom", "open_video"]

_DICOM_PREAMBLE = 128  # bytes
_DICOM_MARK = b"DICM"


def open_video(
    path: str | os.PathLike[str], fps: float | None = None, decode_device: torch.device | str = "cpu"
) -> Video:
    """Open a video: a file, a folder of frames, or a DICOM file.

    These can be read:

    - MP4, MOV, AVI, MKV, WebM, MPEG (program and transport streams), WMV, FLV, Ogg, MXF, DV and NUT with
      any codec that FFmpeg decodes, and bare H.264, HEVC, MPEG-2 and MPEG-4 streams, all with PyAV;
    - folders of images, in natural order;
    - animated GIF, PNG and WebP, and TIFF of several pages, with Pillow; also alone in a folder;
    - DICOM with an encapsulated H.264, HEVC or MPEG-2 stream, and uncompressed or JPEG multi-frame.

    The kind of a file is found from its content. A rotation flag is applied. Interlaced frames and pixels that
    are not square stay as they are stored. ``docs/video.md`` shows how damaged files are read.

    Args:
        path: the file or folder.
        fps: frames per second of videos without timing: a folder of images, a TIFF, a bare stream, or a DICOM file
            without a frame time; 30 by default.
        decode_device: "cpu", or an NVIDIA GPU, such as "cuda", whose decoder decodes the streams that it can when the
            video is iterated over. Their frames equal the CPU's, but damage may go unnoticed.

    Returns:
        An iterable of ``(index, seconds, frame)``, and a context manager; see :class:`Video`. Opening a file reads it
        once, mostly without decoding, to find the time of each frame.

    Raises:
        InputError: the file is missing, empty or not a video, or has no frame that can be decoded; ``fps`` is not a
            positive number; ``decode_device`` cannot decode video; or the extra ``video`` is not installed.

    Example::

        with open_video("colonoscopy.mp4") as video:
            for index, seconds, frame in video:
                ...
            print(video.report)
    """
    path = Path(path)
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"{path}: fps={fps} must be a number above 0")
    if os.path.isdir(path):  # unlike Path.is_dir, never raises
        frames = frames_in(path)
        if len(frames) == 1 and holds_several(frames[0]):
            return PicturesVideo(frames[0], fps)
        return FolderVideo(path, fps or DEFAULT_FPS)
    first = _first_bytes(path)
    if is_picture_file(first) or path.suffix.lower() in FRAME_SUFFIXES:
        return PicturesVideo(path, fps)
    if _is_marked(first):
        require_extra("pydicom", "video")
        from lsinet_monai.data.video.dicom import open_dicom

        return open_dicom(path, fps, decode_device)
    require_extra("av", "video")
    from lsinet_monai.data.video.container import ContainerVideo

    return ContainerVideo(path, fps, decode_device=decode_device)


def check_decode_device(decode_device: torch.device | str) -> None:
    """Check whether a device can decode video streams, before any video is opened.

    Args:
        decode_device: see :func:`open_video`.

    Raises:
        InputError: it cannot, or the extra ``video`` is not installed for another device than the CPU.
    """
    if str(decode_device) != "cpu":
        require_extra("av", "video")
        from lsinet_monai.data.video.decode_device import find_gpu_decoder

        find_gpu_decoder(decode_device)


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Return whether a file exists, can be read, and is a DICOM file by its content."""
    try:
        return _is_marked(_first_bytes(Path(path)))
    except InputError:
        return False


def _is_marked(first: bytes) -> bool:
    return first[_DICOM_PREAMBLE:] == _DICOM_MARK


def _first_bytes(path: Path) -> bytes:
    try:
        check_link(path)
        if not path.is_file():
            problem = "is neither a file nor a folder" if path.exists() else "no such file or folder"
            raise InputError(f"{path}: {problem}; give a video or a folder of frames")
        with path.open("rb") as file:
            first = file.read(_DICOM_PREAMBLE + len(_DICOM_MARK))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file that can be read") from error
    if not first:
        raise InputError(f"{path}: is empty (0 bytes); replace it")
    return first
