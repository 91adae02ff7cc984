"""The packets of a video file, read so that no file can do harm, and with as much of a damaged one as there is."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lsinet_monai.errors import InputError

__all__ = ["Packets", "Source", "decode", "number_of", "numbers_by_place"]

Source = Callable[[], "str | io.RawIOBase"]

# Nothing that leads to other files or to the network, as playlists do: a file may come from anyone.
_FORMATS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,h264,hevc,asf,flv"
_MOST_PIXELS = 2**26  # a frame of 8192 x 8192
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file", "max_pixels": str(_MOST_PIXELS)}
_TIMEOUT = 60  # seconds in which FFmpeg has to open a file, or to find the next packet in it
# A title that is no UTF-8 is no error; from PyAV 19 on it is none anyway.
_METADATA: Any = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
_MOST_ERRORS = 100  # in a row
_AVI_CHUNK_HEADER = 8  # bytes between the place that an AVI's index names and that of the packet


class Packets:
    """A file's packets, from the start or from a time on.

    Args:
        path: what errors name.
        source: opens the file: a name with FFmpeg's protocol, or a binary file that it then closes.
    """

    def __init__(self, path: Path, source: Source) -> None:
        self.path = path
        self._source = source

    @contextmanager
    def open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file.

        Yields:
            the container, and its video stream, with a decoder of its own.

        Raises:
            InputError: the file is no video, or has no video stream that can be decoded.
        """
        source = self._source()
        try:
            try:
                container = av.open(source, "r", options=dict(_OPTIONS), timeout=_TIMEOUT, **_METADATA)
            except (FFmpegError, OSError, ValueError) as error:
                raise InputError(
                    f"{self.path}: cannot be read as a video: it is none, of a kind that is not read, or cut off; "
                    "replace it, or convert it to MP4"
                ) from error
            with container:
                yield container, self._video_stream(container)
        finally:
            if not isinstance(source, str):
                source.close()

    def _video_stream(self, container: InputContainer) -> VideoStream:
        # Audio files carry their cover as a video stream of one picture.
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams:
            raise InputError(f"{self.path}: has no video in it; give a file that has")
        stream = max(streams, key=lambda stream: bool(stream.disposition & Disposition.default))
        if stream.codec_context is None:
            raise InputError(
                f"{self.path}: there is no decoder for its video, or the file is cut off; convert it to H.264"
            )
        if stream.width * stream.height > _MOST_PIXELS:
            raise InputError(
                f"{self.path}: its frames of {stream.height}x{stream.width} are too large; convert it to at most "
                f"{_MOST_PIXELS} pixels a frame"
            )
        stream.codec_context.options = {"max_pixels": _OPTIONS["max_pixels"]}
        return stream

    def all(self, container: InputContainer, *streams: Stream) -> Generator[Packet, None, None]:
        """Read the packets of some streams, or of all; what cannot be read is passed over."""
        errors = 0
        while errors < _MOST_ERRORS:
            try:
                for packet in container.demux(*streams):
                    if packet.size:  # an empty one would tell a decoder that the end is reached
                        errors = 0
                        yield packet
                return
            except ExitError:  # the time is up
                return
            except (FFmpegError, OSError, IndexError):  # the last where a stream appears on the way
                errors += 1

    def video(
        self, container: InputContainer, stream: VideoStream, *, numbered: bool = False, seek_to: int | None = None
    ) -> Generator[Packet, None, None]:
        """Read the packets of the video stream.

        Args:
            container: the open file.
            stream: its video stream.
            numbered: put the packets' numbers in decoding order in place of their presentation times; see
                :func:`number_of`.
            seek_to: a decoding time in the stream's unit; reading starts at a key frame before it, if all goes well.
        """
        number_at = numbers_by_place(container, stream) if numbered else {}
        following = 0
        if seek_to is not None:
            try:
                container.seek(seek_to, stream=stream)
            except FFmpegError:
                return
        for packet in self.all(container, stream):
            if numbered:
                if seek_to is not None and not following and packet.pos not in number_at:
                    return  # nobody knows which one this is
                packet.pts = number_of(packet.pos, number_at, following)
                packet.dts = None
                following = packet.pts + 1
            yield packet


def numbers_by_place(container: InputContainer, stream: VideoStream) -> dict[int, int]:
    """The packets' numbers in decoding order by their places in the file, as far as the file has an index: an AVI's.

    A chunk of no bytes stands for a frame that the camera dropped; the index leaves it out and counts it in its times.
    """
    if container.format.name != "avi":
        return {}
    entries = list(stream.index_entries)
    times = [entry.timestamp for entry in entries]
    are_numbers = all(before < after for before, after in pairwise([-1, *times, max(len(entries), stream.frames)]))
    numbers = times if are_numbers else range(len(entries))
    return {entry.pos + _AVI_CHUNK_HEADER: number for entry, number in zip(entries, numbers, strict=True)}


def number_of(place: int | None, number_at: Mapping[int, int], following: int) -> int:
    """A packet's number in decoding order.

    Args:
        place: where it is in the file.
        number_at: what the file's index says. Packets that are lost leave their numbers out.
        following: the number after that of the packet before, which is taken where the index does not help.
    """
    return max(number_at.get(-1 if place is None else place, following), following)


def decode(stream: VideoStream, packet: Packet | None) -> list[VideoFrame]:
    """Give a packet to a stream's decoder, or the end with None, and take the frames that come out of it.

    A damaged packet brings no frame, or one that is marked as corrupt.
    """
    try:
        return stream.codec_context.decode(packet)
    except FFmpegError:
        return []
