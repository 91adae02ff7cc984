"""From the time stamps of a video file's packets to the indices of its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = [
    "Pace",
    "Timeline",
    "are_times",
    "find_pace",
    "find_restarts",
    "place_in_time",
    "place_shown",
    "place_slots",
    "times_of_decoding",
]

_LARGEST_REORDERING = 64  # packets between decoding and display order; H.264 and HEVC allow 16 frames
_STEADY_SHARE = 0.9  # of the steps between packets
_LARGEST_JITTER = 0.25  # of a step
_FEWEST_PERIODIC = 5  # gaps that follow each other evenly, until they count as a pattern
_LONGEST_DELAY = 3  # pictures
_CLOCK_PERIOD = 2**33  # units of the clock in a transport stream
_MOST_REORDERED = 4  # frames that are decoded before one that is shown earlier
_LARGEST_LOSS = 10  # lost indices per packet: more mean that the time stamps are wrong


@dataclass(frozen=True)
class Timeline:
    """The packets of a video stream, and the indices of the frames that they become.

    Args:
        stamps: (N,) int64, ascending: identify a packet and its frame. A stamp is the presentation time, or the number
            in decoding order if the file has no such times.
        indices: (N,) int64: the frame's index. Missing indices belong to lost packets.
        is_key: (N,) bool: whether decoding can start at the packet.
        frame_count: the number of indices.
        in_time: whether the stamps are presentation times.
    """

    stamps: np.ndarray
    indices: np.ndarray
    is_key: np.ndarray
    frame_count: int
    in_time: bool

    def index_of(self, stamp: int | None) -> int | None:
        """Return the index of the frame with a stamp, or None if no packet has the stamp."""
        if stamp is None:
            return None
        at = int(np.searchsorted(self.stamps, stamp))
        return int(self.indices[at]) if at < len(self.stamps) and self.stamps[at] == stamp else None

    def keys_before(self, index: int) -> list[tuple[int, int]]:
        """Return the last two key frames shown up to an index, or fewer at the start, as (stamp, index)."""
        chosen = np.flatnonzero(self.is_key & (self.indices <= index))
        last = chosen[np.argsort(self.indices[chosen])][-2:]
        return [(int(self.stamps[at]), int(self.indices[at])) for at in last]

    def without_first(self, count: int) -> Timeline:
        """Return the timeline without the first ``count`` indices; later ones move up."""
        kept = self.indices >= count
        return replace(
            self,
            stamps=self.stamps[kept],
            indices=self.indices[kept] - count,
            is_key=self.is_key[kept],
            frame_count=self.frame_count - count,
        )

    def has_packets(self, start: int, end: int) -> bool:
        """Return whether any packet has an index from ``start`` to before ``end``."""
        return bool(((self.indices >= start) & (self.indices < end)).any())

    def lost(self) -> np.ndarray:
        """Return the indices without a packet, (M,) int64, ascending."""
        return np.setdiff1d(np.arange(self.frame_count), self.indices)


def are_times(stamps: np.ndarray) -> bool:
    """Return whether the stamps (N,) of packets, in decoding order, can be presentation times.

    They cannot if two are equal, or if they jump back farther than any codec reorders frames, as in joined streams.
    """
    order = np.argsort(stamps, kind="stable")
    displaced = np.abs(order - np.arange(len(stamps)))
    return bool((np.diff(stamps[order]) > 0).all() and displaced.max(initial=0) <= _LARGEST_REORDERING)


def find_restarts(decoding_times: np.ndarray) -> np.ndarray:
    """Find the packets at which a clock falls back, as where two recordings were joined.

    Args:
        decoding_times: (N,) int64, in the unit of MPEG's clock, in decoding order. FFmpeg takes a fall of more than a
            minute for the wrap of this clock, and adds its period.

    Returns:
        (M,) int64, ascending: the numbers of these packets. Two packets before and two after must agree, so that one
        damaged time does not count.
    """
    steps = np.diff(decoding_times)
    wraps = np.cumsum((steps > _CLOCK_PERIOD // 2).astype(np.int64) - (steps < -_CLOCK_PERIOD // 2))
    times = decoding_times - _CLOCK_PERIOD * np.concatenate([np.zeros(min(1, len(decoding_times)), np.int64), wraps])
    before = np.minimum(times[:-3], times[1:-2])
    after = np.maximum(times[2:-1], times[3:])
    return np.flatnonzero(after < before) + 2


def place_in_time(times: np.ndarray) -> np.ndarray:
    """Give packets indices by their presentation times, with gaps for lost packets.

    If the rate is steady except for a few gaps, packets were lost there. Otherwise the rate varies, and the indices
    have no gaps.

    Args:
        times: (N,) float64, in any unit, in display order; NaN for a packet without a time.

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
    # Many containers round times to milliseconds. A step may be off by that,
    is_steady = np.abs(steps / apart - step) <= max(1.5, _LARGEST_JITTER * step)
    if is_steady.mean() < _STEADY_SHARE:
        return ranks
    # and only the mean step is exact enough for a long gap.
    lost = np.rint(steps * apart[is_steady].sum() / steps[is_steady].sum()) - apart
    if np.abs(lost).sum() > _LARGEST_LOSS * len(times):
        return ranks
    # A loss shifts all later frames. One late time, with the right times after it, is not a loss.
    lost_before = np.minimum.accumulate(np.cumsum(lost)[::-1])[::-1]
    shifts = np.concatenate([[0], np.maximum(lost_before, 0)]).astype(np.int64)
    return ranks + shifts[np.maximum(0, np.searchsorted(known, ranks, side="right") - 1)]


def place_slots(slots: np.ndarray) -> np.ndarray:
    """Give the packets of an AVI file numbers by their places among its slots, some of which are empty.

    AVI has one chunk per tick of its rate. A camera leaves a slot empty for a frame that it drops. A program that
    copies a stream into an AVI of a higher rate leaves slots empty to keep the time, and one whose encoder delays
    pictures leaves some empty after the first picture: these are not frames.

    Args:
        slots: (N,) int64, ascending: the place of each packet among the chunks, in decoding order.

    Returns:
        (N,) int64, ascending: the slots themselves if most frames fill successive slots; numbers from 0 if the empty
        slots only make up the rate, or are a delay.
    """
    if _find_delay(slots):
        return np.arange(len(slots))
    steps = np.diff(slots)
    if not len(steps) or (steps == 1).all():
        return slots
    if np.median(steps) > 1:
        return place_in_time(slots.astype(np.float64))
    apart = np.diff(np.flatnonzero(steps > 1))
    is_periodic = len(apart) >= _FEWEST_PERIODIC and np.ptp(apart) <= 1
    return np.arange(len(slots)) if is_periodic else slots


def find_pace(slots: np.ndarray) -> Pace | None:
    """Find how the frames of an AVI file lie among its chunks; None if each chunk is a frame or a dropped one.

    Args:
        slots: see :func:`place_slots`.
    """
    numbers = place_slots(slots)
    if delay := _find_delay(slots):
        return Pace(numbers, numbers, delay)
    return None if np.array_equal(numbers, slots) else Pace(numbers, slots)


def _find_delay(slots: np.ndarray) -> int:
    """Count the slots that an encoder's delay leaves empty after the first packet; 0 if others are empty."""
    steps = np.diff(slots)
    is_delay = len(steps) > 1 and 1 < steps[0] <= 1 + _LONGEST_DELAY and bool((steps[1:] == 1).all())
    return int(steps[0]) - 1 if is_delay else 0


@dataclass(frozen=True)
class Pace:
    """How the frames of an AVI file lie among its chunks, of which some are empty.

    Args:
        numbers: (N,) int64, ascending: the frames' numbers.
        slots: (N,) int64, ascending: the chunks of these frames.
        delay: the number of empty chunks that are no frames, and take no time.
    """

    numbers: np.ndarray
    slots: np.ndarray
    delay: int = 0

    @property
    def slots_per_frame(self) -> float:
        """The mean number of chunks of a frame."""
        return float((self.slots[-1] - self.slots[0]) / (self.numbers[-1] - self.numbers[0]))

    def slots_of(self, numbers: np.ndarray) -> np.ndarray:
        """Return how many chunks lie between the first frame and others."""
        behind = np.maximum(numbers - self.numbers[-1], 0) * self.slots_per_frame
        return np.interp(numbers, self.numbers, self.slots - self.slots[0]) + behind

    def count_frames(self, slots: int) -> int:
        """Return the number of frames in a number of chunks; 0 if the rate varies."""
        slots -= self.delay
        steps = np.diff(self.slots) / np.diff(self.numbers)
        is_steady = np.abs(steps - self.slots_per_frame).max() <= max(1, self.slots_per_frame / 2)
        return round(slots / self.slots_per_frame) if is_steady else 0


def place_shown(numbers: np.ndarray, shown: list[int]) -> np.ndarray:
    """Give each packet an index by the order in which a decoder shows the frames.

    A packet without a frame is placed before the first shown frame with a later number. So a loss moves other frames by
    at most the codec's reordering, and only until the next key frame.

    Args:
        numbers: (N,) int64, ascending: the packets' numbers in decoding order. Missing numbers belong to lost packets.
        shown: the numbers of the decoded frames in display order.

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


def times_of_decoding(times: np.ndarray) -> np.ndarray:
    """Return the times of frames, from 0, by the times at which they are decoded: some frames earlier than shown.

    Encoders choose the first times of decoding as they like.

    Args:
        times: (N,) float64, ascending, N above 1.
    """
    steps = np.diff(times)
    middle = np.sort(steps)[len(steps) // 2]
    usual = steps[np.abs(steps - middle) <= 1].mean()
    first = steps[:_MOST_REORDERED]
    first[np.abs(first - usual) > 1] = usual
    return np.concatenate([[0], np.cumsum(steps)])
