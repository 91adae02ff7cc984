"""One pass over a video file's packets, which are not decoded, to learn what belongs where in time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from tqdm import tqdm

from lsinet_monai.data.video.packets import Packets, decode, number_of, numbers_by_place
from lsinet_monai.data.video.timeline import Timeline, are_times, place_in_time, place_shown
from lsinet_monai.data.video.video import DEFAULT_FPS
from lsinet_monai.errors import InputError

__all__ = ["Scan", "scan"]

_MOST_PACKETS = 5_000_000  # a day at 60 frames/s
_SHOW_PROGRESS_AFTER = 3  # seconds
_SAME_RATE = 0.01  # relative
_SHORTER = 1.5  # frames: a duration may be rounded, or leave the last frame out
_SHORTER_STREAM = 0.5  # frames, where the duration is the video stream's own
_NO_TIME = np.iinfo(np.int64).min

# FFmpeg's names of formats.
_MOV = "mov,mp4,m4a,3gp,3g2,mj2"
_ANNOUNCE_DURATION = {_MOV, "matroska,webm", "flv", "asf"}  # of others FFmpeg guesses it, from the size or the end
_BARE = {"h264", "hevc", "mpegvideo"}


@dataclass(frozen=True)
class Scan:
    """What a pass over the packets finds.

    Args:
        timeline: which packet belongs where.
        seconds: (frame_count,) float64, since the first frame.
        fps: frames per second, the mean where the rate varies.
        expected: the number of frames that the container announces, or None.
        damaged: indices of the packets that are known to be damaged.
        seek_to: the decoding time to seek to for a key frame, by its stamp, as far as seeking is possible.
    """

    timeline: Timeline
    seconds: np.ndarray
    fps: float
    expected: int | None
    damaged: frozenset[int]
    seek_to: dict[int, int]


@dataclass
class _Header:
    """What the container says before any packet is read."""

    kind: str
    unit: Fraction
    fps: float
    reordered: bool
    frames: int  # 0 if it does not say
    end: float | None  # seconds
    end_is_of_video: bool  # or else of the stream that ends last
    number_at: dict[int, int]
    entry_times: dict[int, int]
    """By number."""


@dataclass
class _Table:
    """The video's packets in decoding order, an entry each, and how far the streams go."""

    pts: list[int] = field(default_factory=list)
    dts: list[int] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    is_damaged: list[bool] = field(default_factory=list)
    places: list[int | None] = field(default_factory=list)
    discarded: int = 0
    end: float = 0  # seconds
    end_of_all: float = 0  # seconds


def scan(packets: Packets, fps: float | None) -> Scan:
    """Find what belongs where in a video file.

    Streams without presentation times but with reordered frames (H.264 with B-frames in AVI, or bare) are decoded to
    learn their order.

    Args:
        packets: the file.
        fps: frames per second of a bare stream, or None if that is not known.

    Raises:
        InputError: as :meth:`Packets.open`; or there are no packets, or too many.
    """
    with packets.open() as (container, stream):
        header = _read_header(container, stream, fps)
        table = _read_packets(packets, container, stream, header)
    stamps = np.array(table.pts, np.int64)
    # AVI has no presentation times: FFmpeg guesses them, and is wrong about H.264.
    if header.kind != "avi" and not (stamps == _NO_TIME).any() and are_times(stamps):
        return _lay_out_in_time(header, table)
    return _lay_out_in_order(header, table, packets)


def _read_header(container: InputContainer, stream: VideoStream, fps: float | None) -> _Header:
    kind = container.format.name
    # A bare stream's average rate is a default of FFmpeg's.
    rates = [fps, stream.guessed_rate] if kind in _BARE else [stream.average_rate, stream.guessed_rate, fps]
    duration = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""))
    end = None
    if duration:
        end = 3600 * int(duration[1]) + 60 * int(duration[2]) + float(duration[3])
    elif kind in _ANNOUNCE_DURATION and container.duration is not None:
        end = ((container.start_time or 0) + container.duration) / 1e6
    number_at = numbers_by_place(container, stream)
    return _Header(
        kind=kind,
        unit=stream.time_base or Fraction(1),
        fps=float(next((rate for rate in rates if rate), DEFAULT_FPS)),
        reordered=bool(stream.codec_context.has_b_frames),
        frames=len(stream.index_entries) if kind == _MOV else stream.frames,
        end=end,
        end_is_of_video=duration is not None,
        number_at=number_at,
        entry_times=dict(zip(number_at.values(), (entry.timestamp for entry in stream.index_entries), strict=False)),
    )


def _read_packets(packets: Packets, container: InputContainer, stream: VideoStream, header: _Header) -> _Table:
    table = _Table()
    ends: dict[int, int] = {}
    usual = {stream.index: round(1 / (header.fps * header.unit))}
    description = f"{packets.path.name}: looking for frames"
    with tqdm(
        total=container.size, desc=description, unit="B", unit_scale=True, delay=_SHOW_PROGRESS_AFTER, leave=False
    ) as progress:
        for packet in packets.all(container):
            at = packet.stream_index
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None:
                ends[at] = max(ends.get(at, time), time + (packet.duration or usual.get(at, 0)))
            if at != stream.index:
                continue
            if packet.is_discard:  # an edit list cuts it off
                table.discarded += 1
                continue
            table.pts.append(_NO_TIME if packet.pts is None else packet.pts)
            table.dts.append(_NO_TIME if packet.dts is None else packet.dts)
            table.is_key.append(packet.is_keyframe)
            table.is_damaged.append(packet.is_corrupt)
            table.places.append(packet.pos)
            progress.update(max(0, (packet.pos or 0) - progress.n))
            if len(table.pts) > _MOST_PACKETS:
                raise InputError(f"{packets.path}: has more than {_MOST_PACKETS} frames; cut it into parts")
        seconds = {at: float(end * (container.streams[at].time_base or 1)) for at, end in ends.items()}
    if not table.pts:
        raise InputError(f"{packets.path}: has no frames in it; replace it")
    table.end, table.end_of_all = seconds.get(stream.index, 0), max(seconds.values(), default=0)
    return table


def _lay_out_in_time(header: _Header, table: _Table) -> Scan:
    stamps = np.array(table.pts, np.int64)
    order = np.argsort(stamps)
    stamps = stamps[order]
    # A MOV or MP4 has a table of all its frames apart from them: damage makes none of them disappear.
    indices = np.arange(len(stamps)) if header.kind == _MOV else place_in_time(stamps.astype(np.float64))
    frame_count = int(indices[-1]) + 1
    seconds = np.interp(np.arange(frame_count), indices, (stamps - stamps[0]) * float(header.unit))
    fps = header.fps
    if seconds[-1] > 0:
        measured = float((frame_count - 1) / seconds[-1])
        rounding = float(header.unit) / seconds[-1]
        fps = fps if abs(measured / fps - 1) <= max(_SAME_RATE, 2 * rounding) else measured
    decoding_times = np.array(table.dts, np.int64)[order]
    is_key = _keys(table)[order]
    early = int(1 / header.unit)  # a second: some formats are exact to a few packets only
    seek_to = {
        int(stamp): int(time) - early
        for stamp, time in zip(stamps[is_key], decoding_times[is_key], strict=True)
        if time != _NO_TIME
    }
    return Scan(
        timeline=Timeline(stamps, indices, is_key, frame_count, in_time=True),
        seconds=seconds,
        fps=fps,
        expected=_expected(header, table, frame_count, fps),
        damaged=frozenset(indices[np.array(table.is_damaged)[order]].tolist()),
        seek_to=seek_to,
    )


def _lay_out_in_order(header: _Header, table: _Table, packets: Packets) -> Scan:
    numbers: list[int] = []
    for place in table.places:
        numbers.append(number_of(place, header.number_at, numbers[-1] + 1 if numbers else 0))
    stamps = np.array(numbers, np.int64)
    shown = _order_of_showing(packets, len(numbers)) if header.reordered else []
    indices = place_shown(stamps, shown) if shown else stamps.copy()
    if not header.number_at:  # some packets have times all the same, as in MPEG program streams
        times = np.array(table.pts, np.float64)
        times[np.array(table.pts) == _NO_TIME] = np.nan
        order = np.argsort(indices)
        indices[order] = place_in_time(times[order])
    frame_count = 1 + max(int(indices.max()), *header.number_at.values(), 0)
    is_key = _keys(table)
    entry_times = header.entry_times
    return Scan(
        timeline=Timeline(stamps, indices, is_key, frame_count, in_time=False),
        seconds=np.arange(frame_count) / header.fps,
        fps=header.fps,
        expected=_expected(header, table, frame_count, header.fps),
        damaged=frozenset(indices[np.array(table.is_damaged)].tolist()),
        seek_to={number: entry_times[number] for number in stamps[is_key].tolist() if number in entry_times},
    )


def _keys(table: _Table) -> np.ndarray:
    is_key = np.array(table.is_key)
    is_key[0] |= not is_key.any()
    return is_key


def _order_of_showing(packets: Packets, count: int) -> list[int]:
    """The numbers of the packets in the order in which a decoder shows the frames."""
    shown: list[int | None] = []
    with packets.open() as (container, stream):
        description = f"{packets.path.name}: looking for the frames' order"
        numbered = packets.video(container, stream, numbered=True)
        for packet in tqdm(numbered, desc=description, total=count, delay=_SHOW_PROGRESS_AFTER, leave=False):
            shown += [frame.pts for frame in decode(stream, packet)]
        shown += [frame.pts for frame in decode(stream, None)]
    return [number for number in shown if number is not None]


def _expected(header: _Header, table: _Table, frame_count: int, fps: float) -> int | None:
    """The number of frames that the container announces, by a count or else by its duration."""
    if header.frames:
        return header.frames - table.discarded
    if header.end is None:
        return None
    missing = (header.end - (table.end if header.end_is_of_video else table.end_of_all)) * fps
    shorter = _SHORTER_STREAM if header.end_is_of_video else _SHORTER
    return frame_count + (round(missing) if missing > shorter else 0)
