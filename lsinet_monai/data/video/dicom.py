"""DICOM files as videos: an encapsulated video stream, or uncompressed, run-length encoded or JPEG multi-frame images.

Pixel data is read piece by piece from its position in the file (DICOM PS3.5, section 8 and annex A.4).
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image

from lsinet_monai.data.video.dicom_header import RLE, UNCOMPRESSED, Header, read_header
from lsinet_monai.data.video.dicom_pixels import frame_bytes, jpeg_of, pixels_of
from lsinet_monai.data.video.video import DEFAULT_FPS, Video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra

__all__ = ["open_dicom"]

_JPEG = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 90, 91)}  # baseline, extended; JPEG 2000
_VIDEO = {f"1.2.840.10008.1.2.4.{number}{split}" for number in range(100, 109) for split in ("", ".1")}
# The first bytes of a JPEG, a JPEG 2000 codestream and a JP2 file, and of no other fragment.
_FRAME_STARTS = (b"\xff\xd8", b"\xff\x4f", b"\0\0\0\x0cjP  ")
_ITEM = b"\xfe\xff\x00\xe0"

_Place = tuple[int, int]  # offset and length in bytes


def open_dicom(path: Path, fps: float | None = None, decode_device: torch.device | str = "cpu") -> Video:
    """Open a DICOM file as a video.

    Args:
        path: the file.
        fps: frames per second of a file without timing.
        decode_device: where an encapsulated stream is decoded, see :func:`~lsinet_monai.data.open_video`.

    Raises:
        InputError: the file is damaged, has no pixel data, or has it in an unsupported form.
    """
    header = read_header(path)
    fps = header.fps or fps
    if header.syntax in UNCOMPRESSED and header.length is not None:
        return _ImagesVideo(path, header, fps, _uncompressed_places(path, header), pixels_of(path, header))
    if header.length is not None or header.syntax not in _JPEG | _VIDEO | {RLE}:
        # Any other text may be a part of a damaged file that names the patient.
        syntax = f" {header.syntax}" if re.fullmatch(r"[0-9.]{1,64}", header.syntax) else ""
        raise InputError(
            f"{path}: its transfer syntax{syntax} is not supported; convert it to uncompressed or JPEG multi-frame, "
            "for instance with DCMTK's dcmconv or dcmdjpeg"
        )
    fragments = _fragments(path, header.start)
    if header.syntax == RLE:
        return _ImagesVideo(path, header, fps, [[fragment] for fragment in fragments], pixels_of(path, header))
    if header.syntax in _JPEG:
        return _ImagesVideo(path, header, fps, _group(path, fragments), jpeg_of(header))
    require_extra("av", "video")
    from lsinet_monai.data.video.container import ContainerVideo

    if not sum(length for _, length in fragments):
        raise InputError(f"{path}: its video stream is empty; replace it")
    return ContainerVideo(path, fps, lambda: _FragmentsFile(path, fragments), header.frames, decode_device)


def _fragments(path: Path, start: int) -> list[_Place]:
    """Find the fragments of encapsulated pixel data, without the offset table; the last one may be cut off."""
    places: list[_Place] = []
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        at = start
        while True:
            file.seek(at)
            head = file.read(8)
            if len(head) < 8 or head[:4] != _ITEM:
                return places[1:]
            length = int.from_bytes(head[4:], "little")
            places.append((at + 8, min(length, size - at - 8)))
            at += 8 + length


def _group(path: Path, fragments: list[_Place]) -> list[list[_Place]]:
    """Group fragments into frames by their first bytes: an image may have several, and offset tables may be wrong."""
    frames: list[list[_Place]] = []
    with path.open("rb") as file:
        for offset, length in fragments:
            file.seek(offset)
            if file.read(8).startswith(_FRAME_STARTS) or not frames:
                frames.append([])
            frames[-1].append((offset, length))
    return frames


def _uncompressed_places(path: Path, header: Header) -> list[list[_Place]]:
    """Find the frames of uncompressed pixel data, as far as the file reaches, and one more if there are more."""
    size = frame_bytes(header)
    if not size:
        raise InputError(f"{path}: its frames have no size; replace it")
    with header.open() as file:
        available = min(header.length or 0, file.seek(0, io.SEEK_END) - header.start)
    return [[(header.start + at * size, size)] for at in range(min((header.frames or 1) + 1, available // size))]


class _ImagesVideo(Video):
    """Frames that are separate images within one file.

    Args:
        path: the file.
        header: its attributes.
        fps: frames per second if the header has no frame times; 30 by default.
        places: the pieces of each frame in the file; there may be more than the header counts.
        decode: makes an image of a frame's bytes.

    Raises:
        InputError: no frame can be decoded.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        fps: float | None,
        places: list[list[_Place]],
        decode: Callable[[bytes], Image.Image],
    ) -> None:
        self.path = path
        self._header = header
        self._places = places[: header.frames or 1]
        self._inverted = header.photometric == "MONOCHROME1"
        self._image_of = decode
        count, expected = len(self._places), header.frames or 1
        first = next((frame for frame in map(self._decode_one, range(count)) if frame is not None), None)
        if first is None:
            raise InputError(f"{path}: none of its {expected} frames can be decoded; replace it")
        times = np.cumsum(header.frame_times) / 1000
        if len(times) >= count > 1 and (np.diff(times[:count]) > 0).all():
            self._seconds = times[:count] - times[0]
            fps = float((count - 1) / self._seconds[-1])
        else:
            fps = fps or DEFAULT_FPS
            self._seconds = np.arange(count) / fps
        notes = []
        if len(places) > count:
            said = "is missing" if header.frames is None else f"is {header.frames}"
            notes.append(f"NumberOfFrames {said}, but the file holds more frames, which are not read: mend that number")
        size = first.shape[0], first.shape[1]
        super().__init__(path, size, fps, count, expected=expected, ends_early=count < expected, notes=notes)

    def seconds(self, index: int) -> float:
        """Return the time of a frame, in seconds after the first one."""
        return float(self._seconds[index])

    def _decode_one(self, index: int) -> np.ndarray | None:
        with self._header.open() as file:
            read = _read_swapped if self._header.is_swapped else _read
            data = b"".join(read(file, place) for place in self._places[index])
        try:
            frame = np.array(self._image_of(data).convert("RGB"))
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
            return None
        return 255 - frame if self._inverted else frame


def _read(file: BinaryIO, place: _Place) -> bytes:
    file.seek(place[0])
    return file.read(place[1])


def _read_swapped(file: BinaryIO, place: _Place) -> bytes:
    """Read bytes that lie in words of two with the second byte first; a word begins at an even position in the file."""
    offset, length = place
    first = offset - offset % 2
    words = _read(file, (first, 2 * -(-(offset + length - first) // 2)))
    return np.frombuffer(words, np.uint16).byteswap().tobytes()[offset - first :][:length]


class _FragmentsFile(io.RawIOBase):
    """A read-only file that joins fragments of another file to the video stream that was split into them.

    Args:
        path: the other file.
        fragments: the offset and length of each fragment, in bytes.
    """

    def __init__(self, path: Path, fragments: list[_Place]) -> None:
        self._file = path.open("rb")
        self._fragments = fragments
        self._ends = list(accumulate(length for _, length in fragments))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read up to the end of the current fragment."""
        number = bisect_right(self._ends, self._at)
        if number == len(self._ends):
            return 0
        offset, length = self._fragments[number]
        left = self._ends[number] - self._at
        self._file.seek(offset + length - left)
        data = self._file.read(min(len(buffer), left))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, with the meaning of ``io.IOBase.seek``."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()
