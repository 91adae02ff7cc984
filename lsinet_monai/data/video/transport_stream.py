"""Breaks in a transport stream's packet counters: whether a frame was damaged there, or recordings were joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsinet_monai.data.video.packets import Packets
from lsinet_monai.data.video.timeline import find_restarts

__all__ = ["Joints", "breaks_between_frames", "find_joints"]

_FRAMES_AROUND = 4  # FFmpeg marks the frame before the one at which it sees a break
_MOST_BYTES = 2**24

_PACKET, _SYNC = 188, 0x47  # bytes
_COUNTER_PERIOD = 16
_PCR, _OPCR, _SPLICE, _PRIVATE, _EXTENSION = 0x10, 0x08, 0x04, 0x02, 0x01  # flags of an adaptation field


@dataclass(frozen=True)
class Joints:
    """What is known of the places at which recordings were joined."""

    clock_falls_back: bool
    """Whether the times begin again at any of them."""
    intact: frozenset[int]
    """The numbers, in decoding order, of frames that FFmpeg wrongly marks as damaged there."""
    notes: tuple[str, ...]
    """What a person should know of them."""


def find_joints(
    packets: Packets,
    pid: int,
    decoding_times: np.ndarray | None,
    places: Sequence[int | None],
    is_damaged: Sequence[bool],
) -> Joints:
    """Find where recordings were joined. FFmpeg takes the other one's packet counters for a loss.

    Args:
        packets: the file.
        pid: the number of the video's packets.
        decoding_times: (N,) int64, of the frames in decoding order; None if any is unknown.
        places: where each frame begins in the file, in bytes; None if unknown.
        is_damaged: whether FFmpeg marks each frame as damaged.
    """
    restarts = [] if decoding_times is None else find_restarts(decoding_times).tolist()
    # A decoder finds out what is really damaged.
    at_restarts = {near for at in restarts for near in range(max(0, at - 3), at + 1)}
    marked = [at for at, is_marked in enumerate(is_damaged) if is_marked and at not in at_restarts]
    intact = [at for at in marked if _breaks_around(at, packets, pid, places)]
    notes = []
    if restarts:
        notes.append("its clock falls back, as where recordings were joined; its frames are counted on")
    if intact:
        notes.append("its packet counters break between complete frames, as where recordings were joined")
    return Joints(bool(restarts), frozenset(intact) | at_restarts, tuple(notes))


def _breaks_around(at: int, packets: Packets, pid: int, places: Sequence[int | None]) -> bool:
    start, following = places[at], places[at + _FRAMES_AROUND : at + _FRAMES_AROUND + 1]
    end = following[0] if following else None
    size = _MOST_BYTES if start is None or end is None else end - start
    if start is None or not 0 < size <= _MOST_BYTES:
        return False
    return breaks_between_frames(packets.read(start, size), pid)


def breaks_between_frames(content: bytes, pid: int) -> bool:
    """Return whether all breaks of a stream's counters lie between two complete frames, and there is at least one.

    A frame begins in a packet that is marked so, and the last packet of a frame is filled up. So a break between such
    packets has damaged neither frame. One frame in 184 fits its packets exactly, and then the answer is no.

    Args:
        content: a part of the file (ISO/IEC 13818-1), from the start of a packet.
        pid: the number of the video's packets.
    """
    count = len(content) // _PACKET
    packets = np.frombuffer(content, np.uint8, count * _PACKET).reshape(count, _PACKET)
    if not (packets[:, 0] == _SYNC).all():
        return False
    is_ours = ((packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]) == pid
    ours = packets[is_ours & ((packets[:, 3] & 0x10) > 0)]  # with a payload: only these are counted
    if (ours[:, 1] & 0x80).any():  # marked as damaged in transmission
        return False
    counters = ours[:, 3].astype(np.int64) & 0x0F
    steps = np.diff(counters) % _COUNTER_PERIOD
    repeated = (steps == 0) & (ours[1:] == ours[:-1]).all(axis=1)
    breaks = np.flatnonzero((steps != 1) & ~repeated)
    begins = (ours[:, 1] & 0x40) > 0
    return bool(len(breaks)) and all(begins[at + 1] and _is_filled_up(ours[at]) for at in breaks)


def _is_filled_up(packet: np.ndarray) -> bool:
    """Whether a packet's adaptation field is longer than what it holds."""
    if not packet[3] & 0x20:
        return False
    length = int(packet[4])
    if not length:
        return True
    flags, at = int(packet[5]), 6
    at += 6 * bool(flags & _PCR) + 6 * bool(flags & _OPCR) + bool(flags & _SPLICE)
    for flag in (_PRIVATE, _EXTENSION):
        if flags & flag:
            if at >= _PACKET:
                return False
            at += 1 + int(packet[at])
    return 5 + length > at
