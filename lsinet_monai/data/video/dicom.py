"""DICOM files as videos: an encapsulated video stream, or uncompressed or JPEG multi-frame images.

Only the attributes for decoding and timing the frames are read: no patient attribute is ever in memory or in an error.
Pixel data is read piece by piece from its position in the file (DICOM PS3.5, section 8 and annex A.4).
"""

from __future__ import annotations

import io
import re
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from PIL import Image

from lsinet_monai.data.video.video import DEFAULT_FPS, Video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra

__all__ = ["open_dicom"]

_UNCOMPRESSED = {"1.2.840.10008.1.2": False, "1.2.840.10008.1.2.1": True}  # whether the VRs are explicit
_JPEG = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 90, 91)}  # baseline, extended; JPEG 2000
_VIDEO = {f"1.2.840.10008.1.2.4.{number}{split}" for number in range(100, 109) for split in ("", ".1")}
_FRAME_STARTS = (b"\xff\xd8", b"\xff\x4f")  # the first bytes of a JPEG and a JPEG 2000 image, and of no other fragment
_MODES = {"MONOCHROME1": "L", "MONOCHROME2": "L", "RGB": "RGB", "YBR_FULL": "YCbCr"}  # Pillow's modes
_MOST_FRAMES = 5_000_000
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_ITEM = b"\xfe\xff\x00\xe0"
_UNDEFINED = 0xFFFFFFFF
_ATTRIBUTES = (
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "RecommendedDisplayFrameRate",
)

_Place = tuple[int, int]  # offset and length in bytes


@dataclass(frozen=True)
class _Header:
    """The attributes of a file's frames, and the position of its pixel data."""

    syntax: str
    frames: int | None
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits: int
    fps: float | None
    frame_times: tuple[float, ...]  # milliseconds since the frame before; empty if unknown
    start: int  # of the pixel data's value, in bytes
    length: int | None  # of the pixel data in bytes; None if encapsulated


def open_dicom(path: Path, fps: float | None = None) -> Video:
    """Open a DICOM file as a video.

    Args:
        path: the file.
        fps: frames per second of a file without timing.

    Raises:
        InputError: the file is damaged, has no pixel data, or has it in an unsupported form.
    """
    header = _read_header(path)
    fps = header.fps or fps
    if header.syntax in _UNCOMPRESSED and header.length is not None:
        return _ImagesVideo(path, header, fps, _uncompressed_places(path, header), _pixels_of(path, header))
    if header.length is not None or header.syntax not in _JPEG | _VIDEO:
        # Any other text may be a part of a damaged file that names the patient.
        syntax = f" {header.syntax}" if re.fullmatch(r"[0-9.]{1,64}", header.syntax) else ""
        raise InputError(
            f"{path}: its transfer syntax{syntax} is not supported; convert it to uncompressed or JPEG multi-frame, "
            "for instance with DCMTK's dcmconv or dcmdjpeg"
        )
    fragments = _fragments(path, header.start)
    if header.syntax in _JPEG:
        return _ImagesVideo(path, header, fps, _group(path, fragments), _jpeg_of(header))
    require_extra("av", "video")
    from lsinet_monai.data.video.container import ContainerVideo

    if not sum(length for _, length in fragments):
        raise InputError(f"{path}: its video stream is empty; replace it")
    return ContainerVideo(path, fps, lambda: _FragmentsFile(path, fragments), header.frames)


def _read_header(path: Path) -> _Header:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings may quote values
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_ATTRIBUTES))
            syntax = str(dataset.file_meta.TransferSyntaxUID)
            start, length = _find_pixel_data(file, explicit=_UNCOMPRESSED.get(syntax, True))
            return _to_header(dataset, syntax, start, length)
    except InputError:
        raise
    # With a damaged file pydicom may raise any error, and its text may quote the patient's attributes.
    except Exception:
        raise InputError(f"{path}: its DICOM header is damaged or lacks what a video needs; replace it") from None


def _to_header(dataset: Any, syntax: str, start: int, length: int | None) -> _Header:
    times = dataset.get("FrameTimeVector")
    times = [] if times is None else times if isinstance(times, Sequence | pydicom.multival.MultiValue) else [times]
    rate = next((float(rate) for rate in map(dataset.get, ("CineRate", "RecommendedDisplayFrameRate")) if rate), 0.0)
    if dataset.get("FrameTime"):
        rate = 1000 / float(dataset.FrameTime)
    frames = int(dataset.get("NumberOfFrames") or 0)
    if not 0 <= frames <= _MOST_FRAMES:
        raise ValueError
    return _Header(
        syntax=syntax,
        frames=frames or None,
        rows=int(dataset.get("Rows") or 0),
        columns=int(dataset.get("Columns") or 0),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        photometric=str(dataset.get("PhotometricInterpretation")),
        planar=dataset.get("PlanarConfiguration") == 1,
        bits=int(dataset.get("BitsAllocated") or 8),
        fps=rate if 0 < rate < 10_000 else None,
        frame_times=tuple(map(float, times)),
        start=start,
        length=length,
    )


def _find_pixel_data(file: BinaryIO, explicit: bool) -> tuple[int, int | None]:
    """Find the start and length of the pixel data; the file is where pydicom stopped, before the element's tag."""
    head = file.read(12 if explicit else 8)
    if head[:4] != _PIXEL_DATA or len(head) < (12 if explicit else 8):
        raise ValueError
    length = int.from_bytes(head[-4:], "little")
    return file.tell(), None if length == _UNDEFINED else length


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
            if file.read(2) in _FRAME_STARTS or not frames:
                frames.append([])
            frames[-1].append((offset, length))
    return frames


def _uncompressed_places(path: Path, header: _Header) -> list[list[_Place]]:
    """Find the frames of uncompressed pixel data, as far as the file reaches."""
    size = header.rows * header.columns * header.samples
    if not size:
        raise InputError(f"{path}: its frames have no size; replace it")
    available = min(header.length or 0, path.stat().st_size - header.start)
    return [[(header.start + at * size, size)] for at in range(min(header.frames or 1, available // size))]


def _pixels_of(path: Path, header: _Header) -> Callable[[bytes], Image.Image]:
    """Return a function that makes an image of an uncompressed frame's bytes."""
    mode = _MODES.get(header.photometric)
    if mode is None or header.bits != 8 or header.samples != len(Image.new(mode, (1, 1)).getbands()):
        raise InputError(
            f"{path}: has {header.samples} samples of {header.bits} bits a pixel, photometric interpretation "
            f"{header.photometric if mode else 'other'}; convert it to RGB of 8 bits"
        )

    def image(data: bytes) -> Image.Image:
        pixels = np.frombuffer(data, np.uint8)
        if header.planar and header.samples > 1:
            pixels = pixels.reshape(header.samples, -1).T
        return Image.frombytes(mode, (header.columns, header.rows), pixels.tobytes())

    return image


def _jpeg_of(header: _Header) -> Callable[[bytes], Image.Image]:
    """Return a function that decodes a JPEG or JPEG 2000 frame."""

    def image(data: bytes) -> Image.Image:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG", "JPEG2000"))
        # If nothing in a JPEG names its components, libjpeg assumes YCbCr; the DICOM header knows better.
        is_unnamed = picture.format == "JPEG" and not {"jfif", "adobe"} & picture.info.keys()
        if is_unnamed and header.photometric == "RGB" and picture.mode == "RGB":
            picture.draft("YCbCr", picture.size)
            picture.load()
            picture = Image.frombytes("RGB", picture.size, picture.tobytes())
        return picture

    return image


class _ImagesVideo(Video):
    """Frames that are separate images within one file.

    Args:
        path: the file.
        header: its attributes.
        fps: frames per second if the header has no frame times; 30 by default.
        places: the pieces of each frame in the file.
        decode: makes an image of a frame's bytes.

    Raises:
        InputError: no frame can be decoded.
    """

    def __init__(
        self,
        path: Path,
        header: _Header,
        fps: float | None,
        places: list[list[_Place]],
        decode: Callable[[bytes], Image.Image],
    ) -> None:
        self.path = path
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
        super().__init__(
            path, (first.shape[0], first.shape[1]), fps, count, expected=expected, ends_early=count < expected
        )

    def seconds(self, index: int) -> float:
        """Return the time of a frame, in seconds after the first one."""
        return float(self._seconds[index])

    def _decode_one(self, index: int) -> np.ndarray | None:
        with self.path.open("rb") as file:
            data = b"".join(_read(file, place) for place in self._places[index])
        try:
            frame = np.array(self._image_of(data).convert("RGB"))
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
            return None
        return 255 - frame if self._inverted else frame


def _read(file: BinaryIO, place: _Place) -> bytes:
    file.seek(place[0])
    return file.read(place[1])


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
