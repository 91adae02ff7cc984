"""Video files, decoded with PyAV (FFmpeg's libraries)."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from lsinet_monai.data.video.decode_device import find_gpu_decoder
from lsinet_monai.data.video.packets import Packets, Source, decode
from lsinet_monai.data.video.scan import scan
from lsinet_monai.data.video.video import BUFFER_BYTES, Video
from lsinet_monai.errors import InputError

__all__ = ["ContainerVideo"]

logger = logging.getLogger(__name__)

_TILT = 0.01  # the tangent of a smaller angle is rounding

# Where a GPU's decoder interleaves the colours, they are put apart first: FFmpeg's conversion to RGB interpolates the
# colours of planes, but not of interleaved ones. So the frames equal the CPU's.
_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p012le": "yuv420p12le", "p016le": "yuv420p16le"}

_Good = Generator["tuple[int, VideoFrame] | None", None, None]


class ContainerVideo(Video):
    """A video stream in a container, or a bare one.

    Args:
        path: the file, for errors.
        fps: frames per second of a bare stream, or None if unknown.
        source: opens the file; several readers may have it open at once. By default it opens ``path``.
        expected: the number of frames announced elsewhere, as in a DICOM header; by default, the container's number.
        decode_device: "cpu", or an NVIDIA GPU whose decoder is used for iterations; access to single frames stays on
            the CPU.

    Raises:
        InputError: the file is not a video, has no video stream, or has no frame that can be decoded.
    """

    def __init__(
        self,
        path: Path,
        fps: float | None = None,
        source: Source | None = None,
        expected: int | None = None,
        decode_device: torch.device | str = "cpu",
    ) -> None:
        self._gpu_decoder = find_gpu_decoder(decode_device)
        self._packets = Packets(path, source or (lambda: f"file:{path.absolute()}"))
        found = scan(self._packets, fps)
        self._timeline = found.timeline
        self._is_damaged = found.damaged
        self._seek_to = found.seek_to

        self._lock = threading.Lock()  # guards the fields below, which frame() uses
        self._reformatter = VideoReformatter()
        self._recent: OrderedDict[int, VideoFrame] = OrderedDict()
        self._cursor: _Good | None = None
        self._cursor_at = 0

        with closing(self._good_frames(0, found.timeline.frame_count)) as frames:
            first_index, first = next((item for item in frames if item is not None), (0, None))
        if first is None:
            raise InputError(f"{path}: none of its {found.timeline.frame_count} frames can be decoded; replace it")
        # Players cannot show what precedes the first key frame, as in a recording that was cut; so no one counts it.
        before = min(first_index, first_index if found.first_key is None else found.first_key)
        notes = list(found.notes)
        if before:
            notes.append(
                f"its first {before} frames precede the first key frame and cannot be decoded; frame 0 is the one "
                "after them, as in FFmpeg, OpenCV and CVAT"
            )
        if _is_tilted(first):
            notes.append("is marked to be turned by another angle than right ones, and turned by the nearest of these")
        timeline = self._timeline = found.timeline.without_first(before)
        self._seconds = found.seconds[before:] - found.seconds[before]
        self._is_damaged = frozenset(index - before for index in found.damaged)
        self._stored_size = first.height, first.width
        height, width = self._to_array(first, self._reformatter).shape[:2]
        self._most_recent = max(1, BUFFER_BYTES // (2 * height * width))

        announced = found.expected if expected is None else expected
        announced = None if announced is None else announced - before
        super().__init__(
            path,
            (height, width),
            found.fps,
            timeline.frame_count,
            # A header that announces fewer frames than the file has is wrong.
            expected=None if announced is None else max(announced, timeline.frame_count),
            lost=timeline.lost().tolist(),
            ends_early=announced is not None and announced > timeline.frame_count,
            notes=notes,
        )

    def seconds(self, index: int) -> float:
        """Return the time of a frame, in seconds after the first one."""
        return float(self._seconds[index])

    def close(self) -> None:
        """Stop the running iterations and free the file. Closing twice is fine."""
        super().close()
        with self._lock:
            self._forget_cursor()
            self._recent.clear()

    def _decode(self, start: int, end: int) -> Generator[tuple[int, np.ndarray] | None, None, None]:
        reformatter = VideoReformatter()
        with closing(self._good_frames(start, end, self._gpu_decoder)) as frames:
            for item in frames:
                yield None if item is None else (item[0], self._to_array(item[1], reformatter))

    def _decode_one(self, index: int) -> np.ndarray | None:
        with self._lock:
            if index not in self._recent:
                self._move_cursor(index)
            frame = self._recent.get(index)
            return None if frame is None else self._to_array(frame, self._reformatter)

    def _move_cursor(self, index: int) -> None:
        """Decode up to a frame, and keep it and the frames before it, for people who scrub back and forth."""
        key = max((shown for _, shown in self._timeline.keys_before(index)), default=0)
        if self._cursor is None or not key <= self._cursor_at <= index:
            self._forget_cursor()
            self._cursor = self._good_frames(max(key, index - self._most_recent + 1), self.frame_count)
        for item in self._cursor:
            if item is None:
                continue
            self._cursor_at = item[0] + 1
            self._recent[item[0]] = item[1]
            if len(self._recent) > self._most_recent:
                self._recent.popitem(last=False)
            if item[0] >= index:
                return
        self._forget_cursor()

    def _forget_cursor(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = None

    def _to_array(self, frame: VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
        """Convert to RGB, upright, in the first frame's size: a stream may change its size on the way."""
        height, width = self._stored_size
        # One thread: more threads cost more time than they save, and take cores from other work.
        return _upright(reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray(), frame)

    def _good_frames(self, start: int, end: int, gpu_decoder: HWAccel | None = None) -> _Good:
        """Decode the undamaged frames from ``start`` to before ``end``, in order; yield None while none is ready."""
        following = start
        if gpu_decoder is not None:
            with closing(self._from_gpu(start, end, gpu_decoder)) as frames:
                for item in frames:
                    if item is not None:
                        following = item[0] + 1
                    yield item
        # With parallel decoding, an error near the end drops the frames after it; the second way reads those again.
        for threads in ("AUTO", "SLICE"):
            if not self._timeline.has_packets(following, end):
                return
            with closing(self._from_key(following, end, threads)) as frames:
                for item in frames:
                    if item is not None:
                        following = item[0] + 1
                    yield item

    def _from_gpu(self, start: int, end: int, gpu_decoder: HWAccel) -> _Good:
        """Decode by a GPU up to the first frame that it leaves out, or gives in another form than the CPU's."""
        following = start
        planar = VideoReformatter()
        problem = None
        try:
            # Threads would not make it faster, and with many of them it runs out of surfaces.
            with closing(self._from_key(start, end, "SLICE", gpu_decoder)) as frames:
                for item in frames:
                    if item is not None:
                        index, frame = item
                        if self._timeline.has_packets(following, index):
                            break
                        # FFmpeg itself takes the CPU for what the GPU cannot, and leaves what is to be cut off at the
                        # left or top of a GPU's frame.
                        if frame.format.name not in _PLANAR or (frame.height, frame.width) != self._stored_size:
                            break
                        following = index + 1
                        item = index, planar.reformat(frame, format=_PLANAR[frame.format.name], threads=1)
                    yield item
        except InputError as error:  # the file could be opened without the GPU
            problem = error.__cause__
        if self._timeline.has_packets(following, end):
            reason = f" ({problem})" if problem else ""
            logger.warning(
                "%s: decoded on the CPU from frame %d on, because the GPU's decoder cannot%s",
                self.path, following, reason,
            )  # fmt: skip

    def _from_key(self, start: int, end: int, threads: str, gpu_decoder: HWAccel | None = None) -> _Good:
        """Do the work of :meth:`_good_frames` in one way of decoding, from the last suitable key frame."""
        keys = [stamp for stamp, _ in self._timeline.keys_before(start)]
        # If the seek fails, or a marked key frame is not one, read from the start to the key frame before it.
        ways = [(keys[-1], True), (keys[0], False)] if keys else [(None, False)]
        for number, (key, seek) in enumerate(ways, 1):
            following = start
            with closing(self._indexed(key, seek, threads, gpu_decoder)) as frames:
                for item in frames:
                    if item is None or item[0] < following:
                        yield None
                        continue
                    if item[0] >= end:
                        return
                    if following == start < item[0] and number < len(ways):
                        break
                    following = item[0] + 1
                    yield item
            if following > start:
                return

    def _indexed(self, key: int | None, seek: bool, threads: str, gpu_decoder: HWAccel | None) -> _Good:
        """Decode the file from a key frame on, without frames that are damaged or belong to no packet."""
        with self._packets.open(gpu_decoder) as (container, stream):
            stream.thread_type = threads
            seek_to = self._seek_to.get(key) if seek and key is not None else None
            packets = self._packets.video(container, stream, numbered=not self._timeline.in_time, seek_to=seek_to)
            with closing(packets):
                has_started = key is None
                for packet in packets:
                    has_started = has_started or packet.pts == key
                    if has_started:
                        yield from self._indices_of(decode(stream, packet))
                    elif key is not None and packet.is_keyframe and packet.pts is not None and packet.pts > key:
                        return  # the seek went past the key frame
                    else:
                        yield None
            yield from self._indices_of(decode(stream, None))

    def _indices_of(self, frames: list[VideoFrame]) -> _Good:
        """Pair the undamaged frames with their indices; yield a None first, so that the thread can stop."""
        yield None
        for frame in frames:
            index = self._timeline.index_of(frame.pts)
            if index is not None and index not in self._is_damaged and not frame.is_corrupt:
                yield index, frame


def _is_tilted(frame: VideoFrame) -> bool:
    """Whether a frame's display matrix turns it by another angle than right ones, see :func:`_upright`."""
    side_data: Any = frame.side_data
    matrix = side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False
    (xx, xy, _), (yx, yy, _), _ = np.abs(np.frombuffer(bytes(matrix), np.int32).reshape(3, 3).astype(np.int64))
    return bool(min(xx + yy, xy + yx) > _TILT * max(xx + yy, xy + yx))


def _upright(image: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Rotate an image, (H, W, 3), by right angles, or mirror it, following the frame's display matrix.

    The matrix maps the row vector (x, y, 1) of a pixel to its position on the screen (ISO/IEC 14496-12, 6.2.2).
    """
    side_data: Any = frame.side_data  # PyAV's stub has a wrong type
    matrix = side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    (xx, xy, _), (yx, yy, _), _ = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3).astype(np.int64)
    if abs(xy) + abs(yx) > abs(xx) + abs(yy):
        image, x, y = image.transpose(1, 0, 2), yx, xy
    else:
        x, y = xx, yy
    return np.ascontiguousarray(image[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1])
