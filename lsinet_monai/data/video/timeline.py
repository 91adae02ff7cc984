"""Where the frames of a video file belong in time: from the time stamps of its packets to indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Timeline", "are_times", "place_in_time", "place_shown"]

_LARGEST_REORDERING = 64  # packets between decoding and showing; H.264 and HEVC allow 16 frames
_STEADY_SHARE = 0.9
_LARGEST_JITTER = 0.25  # of a step
_LARGEST_LOSS = 10  # indices per packet: beyond it the time stamps are to blame, not losses


@dataclass(frozen=True)
class Timeline:
    """The packets of a video stream, each of which becomes a frame, and where they belong.

    Args:
        stamps: (N,) int64, ascending: what a packet, and the frame that comes of it, is known by. That is its
            presentation time stamp, or its number in decoding order where the file has no such times.
        indices: (N,) int64: the frame's index. Indices that are not here are of packets that were lost.
        is_key: (N,) bool: whether decoding can start here.
        frame_count: the number of indices.
        in_time: whether stamps are presentation times.
    """

    stamps: np.ndarray
    indices: np.ndarray
    is_key: np.ndarray
    frame_count: int
    in_time: bool

    def index_of(self, stamp: int | None) -> int | None:
        """The index of a frame by its stamp, or None if no packet had it."""
        if stamp is None:
            return None
        at = int(np.searchsorted(self.stamps, stamp))
        return int(self.indices[at]) if at < len(self.stamps) and self.stamps[at] == stamp else None

    def keys_before(self, index: int) -> list[tuple[int, int]]:
        """The last two key frames shown up to an index, as far as there are, as (stamp, index)."""
        chosen = np.flatnonzero(self.is_key & (self.indices <= index))
        last = chosen[np.argsort(self.indices[chosen])][-2:]
        return [(int(self.stamps[at]), int(self.indices[at])) for at in last]

    def has_packets(self, start: int, end: int) -> bool:
        """Whether any packet's frame has an index from ``start`` up to, without, ``end``."""
        return bool(((self.indices >= start) & (self.indices < end)).any())

    def lost(self) -> np.ndarray:
        """The indices that have no packet."""
        return np.setdiff1d(np.arange(self.frame_count), self.indices)


def are_times(stamps: np.ndarray) -> bool:
    """Whether the presentation time stamps of packets, in decoding order, can be what they should be.

    They are not if two are the same, or if they jump back farther than any codec reorders its frames, as in streams
    that were joined.
    """
    order = np.argsort(stamps, kind="stable")
    displaced = np.abs(order - np.arange(len(stamps)))
    return bool((np.diff(stamps[order]) > 0).all() and displaced.max(initial=0) <= _LARGEST_REORDERING)


def place_in_time(times: np.ndarray) -> np.ndarray:
    """Give the packets of a stream indices by their presentation times, so that lost ones leave theirs out.

    Where the rate is steady but for a few gaps, packets were lost there. Otherwise the rate varies, and an index is a
    rank.

    Args:
        times: (N,) float64, in any unit, in the order of showing; NaN where a packet has none.

    Returns:
        (N,) int64, ascending, from 0.
    """
    ranks = np.arange(len(times))
    known = np.flatnonzero(np.isfinite(times))
    if len(known) < 3:
        return ranks
    apart, steps = np.diff(known), np.diff(times[known])
    step = np.median(steps / apart)
    if step <= 0:
        return ranks
    # Half the containers round their times to milliseconds,
    is_steady = np.abs(steps / apart - step) <= max(1.5, _LARGEST_JITTER * step)
    if is_steady.mean() < _STEADY_SHARE:
        return ranks
    # so over a long gap only the mean step is exact enough.
    lost = np.rint(steps * apart[is_steady].sum() / steps[is_steady].sum()) - apart
    if np.abs(lost).sum() > _LARGEST_LOSS * len(times):
        return ranks
    # What is lost stays lost: a single time that is too late, with the right ones after it, says nothing.
    lost_before = np.minimum.accumulate(np.cumsum(lost)[::-1])[::-1]
    shifts = np.concatenate([[0], np.maximum(lost_before, 0)]).astype(np.int64)
    return ranks + shifts[np.maximum(0, np.searchsorted(known, ranks, side="right") - 1)]


def place_shown(numbers: np.ndarray, shown: list[int]) -> np.ndarray:
    """Give each packet an index by the order in which a decoder showed the frames.

    A packet of which no frame came takes its place before the first frame that was shown and decoded after it: so
    that a loss moves other frames by no more than the codec's reordering, and only until the next key frame.

    Args:
        numbers: (N,) int64, ascending: the packets' numbers in decoding order; numbers left out are of lost packets.
        shown: the numbers of the decoded frames in the order of showing.

    Returns:
        (N,) int64: the index of each packet.
    """
    was_shown = set(shown)
    lost = [number for number in range(int(numbers[-1]) + 1) if number not in was_shown]
    order: list[int] = []
    next_lost = 0
    for number in shown:
        while next_lost < len(lost) and lost[next_lost] < number:
            order.append(lost[next_lost])
            next_lost += 1
        order.append(number)
    order += lost[next_lost:]
    index_of = {number: index for index, number in enumerate(order)}
    return np.array([index_of[number] for number in numbers.tolist()], np.int64)
