"""The packets of a video file: read safely from any file, and as far as possible from a damaged one."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lsinet_monai.data.video.timeline import place_slots
from lsinet_monai.errors import InputError

__all__ = ["Packets", "Source", "decode", "number_of", "numbers_by_place", "picture_streams"]

Source = Callable[[], "str | io.RawIOBase"]

# Files may come from anyone, so no format is allowed that refers to other files or to the network, as playlists do.
# Not among them, although FFmpeg reads them: Y4M and OBU, of which damage cuts off the rest in silence; IVF, whose
# times it spoils; GXF and bare MJPEG, whose rate is wrong; and bare H.263, whose frames depend on where decoding began.
_FORMATS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,h264,hevc,asf,flv,ogg,mxf,dv,nut,m4v"
_MOST_PIXELS = 2**26  # a frame of 8192 x 8192
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file", "max_pixels": str(_MOST_PIXELS)}
_TIMEOUT = 60  # seconds that FFmpeg may take to open a file, or to find the next packet
# Accept metadata that is not UTF-8; PyAV 19 and later always do.
_METADATA: Any = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
_MOST_ERRORS = 100  # in succession
_DEFAULT_BONUS = 5_000_000  # pixels
_AVI_CHUNK_HEADER = 8  # bytes from a position in an AVI file's index to the packet itself


class Packets:
    """A file's packets, from its start or from a given time.

    Args:
        path: the file, for errors.
        source: opens the file: returns a name with FFmpeg's protocol, or a binary file, which is closed after reading.
    """

    def __init__(self, path: Path, source: Source) -> None:
        self.path = path
        self._source = source

    @contextmanager
    def open(self, gpu_decoder: HWAccel | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file.

        Args:
            gpu_decoder: decodes the stream if it has its codec; by default the CPU does.

        Yields:
            The container, and its video stream with a new decoder.

        Raises:
            InputError: the file is not a video, or has no video stream that can be decoded.
        """
        source = self._source()
        try:
            try:
                container = av.open(
                    source, "r", options=dict(_OPTIONS), timeout=_TIMEOUT, hwaccel=gpu_decoder, **_METADATA
                )
            except (FFmpegError, OSError, ValueError) as error:
                raise InputError(
                    f"{self.path}: cannot be read as a video: it is not one, is of an unsupported kind, or is cut off; "
                    "replace it, or convert it to MP4"
                ) from error
            with container:
                yield container, self._video_stream(container)
        finally:
            if not isinstance(source, str):
                source.close()

    def read(self, start: int, size: int) -> bytes:
        """Read bytes of the file as it is; fewer at its end."""
        source = self._source()
        with open(source.removeprefix("file:"), "rb") if isinstance(source, str) else source as file:
            file.seek(start)
            return file.read(size) or b""

    def _video_stream(self, container: InputContainer) -> VideoStream:
        streams = picture_streams(container)
        if not streams:
            raise InputError(f"{self.path}: has no video in it; give a file with a video stream")
        if streams[0].codec_context is None:
            raise InputError(
                f"{self.path}: its video has no known decoder, or the file is cut off; convert it to H.264"
            )
        stream = max(streams, key=_preference)
        if stream.width * stream.height > _MOST_PIXELS:
            raise InputError(
                f"{self.path}: its frames of {stream.height}x{stream.width} are too large; convert it to at most "
                f"{_MOST_PIXELS} pixels a frame"
            )
        stream.codec_context.flags |= Flags.unaligned  # else a decoder rounds what is to be cut off at the left
        stream.codec_context.options = {"max_pixels": _OPTIONS["max_pixels"]}
        return stream

    def all(self, container: InputContainer, *streams: Stream) -> Generator[Packet, None, None]:
        """Read the packets of the given streams, or of all streams, and skip whatever cannot be read."""
        errors = 0
        while errors < _MOST_ERRORS:
            try:
                for packet in container.demux(*streams):
                    if packet.size:  # an empty packet would tell a decoder that the stream ends
                        errors = 0
                        yield packet
                return
            except ExitError:  # the timeout
                return
            except (FFmpegError, OSError, IndexError):  # IndexError if a stream appears on the way
                errors += 1

    def video(
        self, container: InputContainer, stream: VideoStream, *, numbered: bool = False, seek_to: int | None = None
    ) -> Generator[Packet, None, None]:
        """Read the packets of the video stream.

        Args:
            container: the open file.
            stream: its video stream.
            numbered: replace each packet's presentation time by its number in decoding order; see :func:`number_of`.
            seek_to: a decoding time in the stream's unit. Reading starts at a key frame before it, or anywhere if the
                file's index is wrong.
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
                    return  # its number is unknown
                packet.pts = number_of(packet.pos, number_at, following)
                packet.dts = None
                following = packet.pts + 1
            yield packet


def picture_streams(container: InputContainer) -> list[VideoStream]:
    """List a file's video streams that have a decoder, or all if none has.

    The covers that audio files store as a video stream of one picture do not count.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return [stream for stream in streams if stream.codec_context is not None] or streams


def _preference(stream: VideoStream) -> int:
    """Return how much the program ffmpeg prefers a video stream: by its pixels, and whether it is the default one."""
    return stream.width * stream.height + _DEFAULT_BONUS * bool(stream.disposition & Disposition.default)


def numbers_by_place(container: InputContainer, stream: VideoStream) -> dict[int, int]:
    """Read the packets' numbers in decoding order from the index of an AVI file; other files have none.

    An empty chunk stands for a frame that the camera dropped, or only fills up a rate that is higher than the video's;
    see :func:`~lsinet_monai.data.video.timeline.place_slots`. The index has no entry for it, but its times count it.

    Returns:
        The number of each packet in the index, by its position in the file in bytes.
    """
    if container.format.name != "avi":
        return {}
    entries = list(stream.index_entries)
    times = [entry.timestamp for entry in entries]
    are_slots = all(before < after for before, after in pairwise([-1, *times, max(len(entries), stream.frames)]))
    numbers = place_slots(np.array(times, np.int64)).tolist() if are_slots else range(len(entries))
    return {entry.pos + _AVI_CHUNK_HEADER: number for entry, number in zip(entries, numbers, strict=True)}


def number_of(place: int | None, number_at: Mapping[int, int], following: int) -> int:
    """Find a packet's number in decoding order.

    Args:
        place: the packet's position in the file in bytes, or None if unknown.
        number_at: the result of :func:`numbers_by_place`. Lost packets leave gaps in the numbers.
        following: the previous packet's number plus 1, for a packet that the index does not have.
    """
    return max(number_at.get(-1 if place is None else place, following), following)


def decode(stream: VideoStream, packet: Packet | None) -> list[VideoFrame]:
    """Decode a packet, or with None flush the decoder, and return the frames that are ready.

    A damaged packet gives no frame, or a frame that is marked as corrupt.
    """
    try:
        return stream.codec_context.decode(packet)
    except FFmpegError:
        return []
