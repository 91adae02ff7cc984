"""Overlays as animated GIF or MP4, written in segments, so that a stopped run can resume."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import GifImagePlugin, Image

from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write

__all__ = ["GifOverlay", "Mp4Overlay"]

_GIF_HEAD_BYTES = 32
_GIF_END = b";"
_MP4_TICKS = 90_000  # in a second, as usual for video
_MP4_OPTIONS = {
    "preset": "veryfast",
    "crf": "21",
    "g": "50",  # frames between key frames: seeking is quick
    "bf": "0",  # no frame refers to a later one, so segments can be joined
}


class GifOverlay:
    """An animated GIF, written picture by picture; Pillow's own writer would keep all pictures in memory.

    The format: https://www.w3.org/Graphics/GIF/spec-gif89a.txt. Each picture has its own 256 colours. All pictures are
    shown for the same time, because GIF's times are too coarse for the times of a video's frames.

    Args:
        frame_seconds: how long each picture is shown, in seconds.
    """

    suffix = ".gif"
    long_side = (320, 480)
    """The minimum and maximum of a picture's long side, in pixels."""

    def __init__(self, frame_seconds: float) -> None:
        self.frame_seconds = frame_seconds

    def start(self, path: Path, size: tuple[int, int]) -> None:
        """Start a segment.

        Args:
            path: the segment's file.
            size: width and height of its pictures in pixels.
        """
        self._file: IO[bytes] = path.open("wb")
        no_global_colours = bytes(3)
        loop_for_ever = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
        self._file.write(b"GIF89a" + struct.pack("<HH", *size) + no_global_colours + loop_for_ever)

    def add(self, picture: np.ndarray, number: int, seconds: float) -> None:
        """Add a picture.

        Args:
            picture: RGB, uint8, (height, width, 3).
            number: its number in the overlay, from 0.
            seconds: its time since the first picture; a GIF ignores it.
        """
        colours = Image.fromarray(picture).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        # GIF counts in 1/100 s: round the running sum, not each duration, to keep the speed. Viewers slow down below 2.
        begin, end = (round(100 * self.frame_seconds * count) for count in (number, number + 1))
        for block in GifImagePlugin.getdata(colours, duration=10 * max(2, end - begin), include_color_table=True):
            self._file.write(block)

    def finish(self) -> None:
        """End the segment."""
        self._file.write(_GIF_END)
        self._file.close()

    def join(self, segments: Sequence[Path], path: Path) -> None:
        """Join segments in a file, which appears complete or not at all.

        Args:
            segments: the segments' files, in order.
            path: the file to write.
        """
        with atomic_write(path) as temporary, temporary.open("wb") as joined:
            for place, segment in enumerate(segments):
                with segment.open("rb") as file:
                    file.seek(_GIF_HEAD_BYTES if place else 0)
                    shutil.copyfileobj(file, joined)
                joined.seek(-len(_GIF_END), 1)
            joined.write(_GIF_END)


class Mp4Overlay:
    """An MP4 file that browsers can play and seek: H.264, 4:2:0, index at the front. It keeps the times of the frames.

    Raises:
        InputError: PyAV is not installed.
    """

    suffix = ".mp4"
    long_side = (320, 960)
    """The minimum and maximum of a picture's long side, in pixels."""

    def __init__(self) -> None:
        self._av: Any = require_extra("av", "video")

    def start(self, path: Path, size: tuple[int, int]) -> None:
        """Start a segment.

        Args:
            path: the segment's file.
            size: width and height of its pictures in pixels, both even.
        """
        # NUT keeps times unchanged, where other formats start each segment at 0.
        self._container = self._av.open(_url(path), "w", format="nut")
        self._stream = self._container.add_stream("libx264", options=_MP4_OPTIONS)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _MP4_TICKS)
        self._last_tick = -1

    def add(self, picture: np.ndarray, number: int, seconds: float) -> None:
        """Add a picture.

        Args:
            picture: RGB, uint8, (height, width, 3).
            number: its number in the overlay, from 0; an MP4 ignores it.
            seconds: its time since the first picture.
        """
        frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._last_tick = frame.pts = max(self._last_tick + 1, round(seconds * _MP4_TICKS))
        frame.time_base = Fraction(1, _MP4_TICKS)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """End the segment."""
        self._container.mux(self._stream.encode())
        self._container.close()

    def join(self, segments: Sequence[Path], path: Path) -> None:
        """Join segments, without encoding them again, in a file, which appears complete or not at all.

        Args:
            segments: the segments' files, in order.
            path: the file to write.
        """
        with (
            atomic_write(path) as temporary,
            self._av.open(_url(temporary), "w", format="mp4", options={"movflags": "faststart"}) as joined,
        ):
            stream, last_tick = None, -1
            for segment in segments:
                with self._av.open(_url(segment), format="nut") as container:
                    source = container.streams.video[0]
                    stream = stream or joined.add_stream_from_template(source)
                    for packet in container.demux(source):
                        if packet.pts is not None:  # the last packet is empty; those of a short segment lack a dts
                            packet.stream = stream
                            last_tick = packet.dts = packet.pts = max(last_tick + 1, packet.pts)
                            joined.mux(packet)


def _url(path: Path) -> str:
    """A URL for FFmpeg, which would take a path with a colon for a protocol."""
    return f"file:{path.absolute()}"
