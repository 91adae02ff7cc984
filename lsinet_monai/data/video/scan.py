"""One pass over a video file's packets, mostly without decoding, to find the index and time of every frame."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from tqdm import tqdm

from lsinet_monai.data.video.packets import Packets, decode, number_of, numbers_by_place, picture_streams
from lsinet_monai.data.video.timeline import (
    Pace,
    Timeline,
    are_times,
    find_pace,
    place_in_time,
    place_shown,
    times_of_decoding,
)
from lsinet_monai.data.video.transport_stream import find_joints
from lsinet_monai.data.video.video import DEFAULT_FPS
from lsinet_monai.errors import InputError

__all__ = ["Scan", "scan"]

_MOST_PACKETS = 5_000_000  # a day at 60 frames/s
_SHOW_PROGRESS_AFTER = 3  # seconds
_SAME_RATE = 0.01  # relative
_SHORTER = 1.5  # frames: a container's duration may be rounded, or leave out the last frame
_SHORTER_STREAM = 0.5  # frames: the video stream's own duration is more exact
_NO_TIME = np.iinfo(np.int64).min

# Formats, by FFmpeg's names.
_MOV = "mov,mp4,m4a,3gp,3g2,mj2"
_ANNOUNCE_DURATION = {_MOV, "matroska,webm", "flv", "asf"}  # FFmpeg guesses the duration of others
_BARE, _JOINABLE = {"h264", "hevc", "mpegvideo", "m4v"}, "mpegts"  # joined streams are a file


@dataclass(frozen=True)
class Scan:
    """The result of a pass over the packets.

    Args:
        timeline: the index of every packet.
        seconds: (frame_count,) float64: the time of every frame, after the first one.
        fps: frames per second; the mean if the rate varies.
        expected: the number of frames that the container announces, or None.
        damaged: the indices of packets that are marked as damaged.
        seek_to: the decoding time to seek to for a key frame, by the key frame's stamp. Decoding begins at the start of
            the file for others, such as the first packet: a seek to it would lose what only the start has.
        first_key: the index of the first frame that is marked as a key frame; None if none is.
        notes: what a person should know of how the file was read.
    """

    timeline: Timeline
    seconds: np.ndarray
    fps: float
    expected: int | None
    damaged: frozenset[int]
    seek_to: dict[int, int]
    first_key: int | None
    notes: tuple[str, ...] = ()


@dataclass
class _Header:
    """The container's own data about the video, known before any packet is read."""

    kind: str  # FFmpeg's name of the format
    stream_id: int
    unit: Fraction  # seconds per unit of time
    fps: float
    reordered: bool
    has_palette: bool  # only the first packet carries it, so decoding must start there
    frames: int  # 0 if unknown
    end: float | None  # seconds
    end_is_of_video: bool  # or of the stream that ends last
    number_at: dict[int, int]  # by position in the file
    entry_times: dict[int, int]  # by number
    begins_with_key: bool  # by an index of all frames
    notes: tuple[str, ...]


@dataclass
class _Table:
    """The video's packets in decoding order, one entry each, and the ends of the streams."""

    pts: list[int] = field(default_factory=list)
    dts: list[int] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    is_damaged: list[bool] = field(default_factory=list)
    places: list[int | None] = field(default_factory=list)
    discarded: int = 0
    end: float = 0  # seconds
    end_of_all: float = 0  # seconds


def scan(packets: Packets, fps: float | None) -> Scan:
    """Find the index and the time of every frame in a video file.

    A stream with reordered frames but without presentation times (H.264 with B-frames in AVI, or bare) is decoded once
    to find the order.

    Args:
        packets: the file.
        fps: frames per second of a bare stream, or None if unknown.

    Raises:
        InputError: as :meth:`Packets.open`; or the video has no packets, or too many.
    """
    with packets.open() as (container, stream):
        header = _read_header(container, stream, fps)
        table = _read_packets(packets, container, stream, header)
    stamps = np.array(table.pts, np.int64)
    # AVI has no presentation times; FFmpeg guesses them, wrongly for H.264. ASF and MXF may give
    # the times of decoding instead.
    is_decoding_order = header.kind in ("asf", "mxf") and header.reordered and bool((np.diff(stamps) >= 0).all())
    is_guess = header.kind == "avi" or is_decoding_order
    has_restarts = False
    if header.kind == _JOINABLE:
        decoding_times = None if _NO_TIME in table.dts else np.array(table.dts, np.int64)
        joints = find_joints(packets, header.stream_id, decoding_times, table.places, table.is_damaged)
        has_restarts = joints.clock_falls_back
        header.notes += joints.notes
        for at in joints.intact:
            table.is_damaged[at] = False
    if not is_guess and not has_restarts and not (stamps == _NO_TIME).any() and are_times(stamps):
        return _lay_out_in_time(header, table)
    times = np.array(table.dts, np.float64)
    has_decoding_times = is_decoding_order and _NO_TIME not in table.dts and bool((np.diff(times) > 0).all())
    return _lay_out_in_order(header, table, packets, times if has_decoding_times else None)


def _read_header(container: InputContainer, stream: VideoStream, fps: float | None) -> _Header:
    kind = container.format.name
    # For a bare stream, the average rate is only FFmpeg's default.
    rates = [fps, stream.guessed_rate] if kind in _BARE else [stream.average_rate, stream.guessed_rate, fps]
    duration = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""))
    end = None
    if duration:
        end = 3600 * int(duration[1]) + 60 * int(duration[2]) + float(duration[3])
    elif kind in _ANNOUNCE_DURATION and container.duration is not None:
        # The header of FLV says when its last frame ends, also if its first one, with B-frames, begins later than at 0.
        start = 0 if kind == "flv" else container.start_time or 0
        end = (start + container.duration) / 1e6
    entries = list(stream.index_entries)
    number_at = numbers_by_place(container, stream)
    return _Header(
        kind=kind,
        stream_id=stream.id,
        unit=stream.time_base or Fraction(1),
        fps=float(next((rate for rate in rates if rate), DEFAULT_FPS)),
        reordered=bool(stream.codec_context.has_b_frames),
        has_palette=stream.codec_context.pix_fmt == "pal8",
        frames=len(entries) if kind == _MOV else stream.frames,
        end=end,
        end_is_of_video=duration is not None,
        number_at=number_at,
        entry_times=dict(zip(number_at.values(), (entry.timestamp for entry in entries), strict=False)),
        begins_with_key=kind in (_MOV, "avi") and bool(entries) and entries[0].is_keyframe,
        notes=_note_on_streams(container, stream),
    )


def _note_on_streams(container: InputContainer, chosen: VideoStream) -> tuple[str, ...]:
    streams = picture_streams(container)
    if len(streams) < 2:
        return ()
    sizes = ", ".join(f"{stream.height}x{stream.width}" for stream in streams)
    return (
        f"has {len(streams)} video streams ({sizes}); the one of {chosen.height}x{chosen.width}, number "
        f"{streams.index(chosen)} from 0, is read, as ffmpeg would choose",
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
                ends[at] = max(ends.get(at, time), time + max(packet.duration or 0, usual.get(at, 0)))
            if at != stream.index:
                continue
            if packet.is_discard:  # cut off by an edit list
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
    # MOV and MP4 list all frames in a separate table, so damage leaves no gaps.
    indices = np.arange(len(stamps)) if header.kind == _MOV else place_in_time(stamps.astype(np.float64))
    frame_count = int(indices[-1]) + 1
    seconds = np.interp(np.arange(frame_count), indices, (stamps - stamps[0]) * float(header.unit))
    fps = header.fps
    if seconds[-1] > 0:
        measured = float((frame_count - 1) / seconds[-1])
        rounding = float(header.unit) / seconds[-1]
        fps = fps if abs(measured / fps - 1) <= max(_SAME_RATE, 2 * rounding) else measured
    decoding_times = np.array(table.dts, np.int64)[order]
    is_key = _keys(table, header)[order]
    early = int(1 / header.unit)  # a second, because some formats seek only to within a few packets
    seek_to = {
        int(stamp): int(time) - early
        for stamp, time in zip(stamps[is_key], decoding_times[is_key], strict=True)
        if time != _NO_TIME and stamp != table.pts[0]
    }
    return Scan(
        timeline=Timeline(stamps, indices, is_key, frame_count, in_time=True),
        seconds=seconds,
        fps=fps,
        expected=_expected(header, table, frame_count, fps, header.frames),
        damaged=frozenset(indices[np.array(table.is_damaged)[order]].tolist()),
        seek_to=seek_to,
        first_key=_first_key(header, table, indices[np.argsort(order)]),
        notes=header.notes,
    )


def _lay_out_in_order(header: _Header, table: _Table, packets: Packets, decoding_times: np.ndarray | None) -> Scan:
    numbers: list[int] = []
    for place in table.places:
        numbers.append(number_of(place, header.number_at, numbers[-1] + 1 if numbers else 0))
    stamps = np.array(numbers, np.int64)
    shown = _order_of_showing(packets, len(numbers)) if header.reordered else []
    indices = place_shown(stamps, shown) if shown else stamps.copy()
    if not header.number_at:  # some packets may have times, as in MPEG program streams
        times = np.array(table.pts, np.float64)
        times[np.array(table.pts) == _NO_TIME] = np.nan
        order = np.argsort(indices)
        indices[order] = place_in_time(times[order])
    frame_count = 1 + max(int(indices.max()), *header.number_at.values(), 0)
    is_key = _keys(table, header)
    entry_times = header.entry_times
    fps, frames = header.fps, header.frames
    seconds = np.arange(frame_count) / fps
    if decoding_times is not None and frame_count == len(decoding_times) > 1:
        seconds = times_of_decoding(decoding_times) * float(header.unit)
        fps = (frame_count - 1) / float(seconds[-1])  # FFmpeg guesses it from times in milliseconds
    if pace := _find_pace(header, table):
        fps, frames = fps / pace.slots_per_frame, pace.count_frames(frames)
        seconds = pace.slots_of(np.arange(frame_count)) / header.fps
    return Scan(
        timeline=Timeline(stamps, indices, is_key, frame_count, in_time=False),
        seconds=seconds,
        fps=fps,
        expected=_expected(header, table, frame_count, fps, frames),
        damaged=frozenset(indices[np.array(table.is_damaged)].tolist()),
        seek_to={key: entry_times[key] for key in stamps[is_key].tolist() if key != numbers[0] and key in entry_times},
        first_key=_first_key(header, table, indices),
        notes=header.notes,
    )


def _find_pace(header: _Header, table: _Table) -> Pace | None:
    """Find the pace of an AVI file with more chunks than frames; None if each chunk is a frame, and for other files."""
    # The index is at the end. Without it, FFmpeg's decoding times count the chunks.
    slots = np.array(list(header.entry_times.values()) or table.dts, np.int64)
    if header.kind != "avi" or len(slots) < 2 or not (np.diff(slots) > 0).all() or slots[0] == _NO_TIME:
        return None
    return find_pace(slots)


def _keys(table: _Table, header: _Header) -> np.ndarray:
    """Return which packets are key frames: the first one, if none is marked, or if it alone has the palette."""
    is_key = np.array(table.is_key)
    if header.has_palette:
        is_key[1:] = False
    is_key[0] |= not is_key.any()
    return is_key


def _first_key(header: _Header, table: _Table, indices: np.ndarray) -> int | None:
    """Return the first index of a packet, in decoding order, that is marked as a key frame, here or in the index."""
    is_key = np.array(table.is_key)
    is_key[0] |= header.begins_with_key  # a damaged one is no longer marked itself
    return int(indices[is_key].min()) if is_key.any() else None


def _order_of_showing(packets: Packets, count: int) -> list[int]:
    """Decode the video, and return the packets' numbers in the order in which a decoder shows the frames."""
    shown: list[int | None] = []
    with packets.open() as (container, stream):
        description = f"{packets.path.name}: looking for the frames' order"
        numbered = packets.video(container, stream, numbered=True)
        for packet in tqdm(numbered, desc=description, total=count, delay=_SHOW_PROGRESS_AFTER, leave=False):
            shown += [frame.pts for frame in decode(stream, packet)]
        shown += [frame.pts for frame in decode(stream, None)]
    return [number for number in shown if number is not None]


def _expected(header: _Header, table: _Table, frame_count: int, fps: float, frames: int) -> int | None:
    """Return the number of frames that the container announces, by a count or else by its duration."""
    if frames:
        return frames - table.discarded
    if header.end is None:
        return None
    missing = (header.end - (table.end if header.end_is_of_video else table.end_of_all)) * fps
    shorter = _SHORTER_STREAM if header.end_is_of_video else _SHORTER
    return frame_count + (round(missing) if missing > shorter else 0)
