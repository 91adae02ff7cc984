from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsinet_monai.data.video.timeline import (
    Timeline,
    are_times,
    find_pace,
    find_restarts,
    place_in_time,
    place_shown,
    place_slots,
    times_of_decoding,
)

STEADY = np.arange(40) * 3000.0
MILLISECONDS = np.rint(np.arange(3000) * 1000 / 30)
NAN = float("nan")

# times, the indices expected
TIMES = [
    (STEADY, range(40)),
    (np.delete(STEADY, [20, 21]), [*range(20), *range(22, 40)]),
    (np.delete(STEADY, [5, 6, 30]), [*range(5), *range(7, 30), *range(31, 40)]),
    (np.delete(MILLISECONDS, range(1000, 1200)), [*range(1000), *range(1200, 3000)]),
    (np.cumsum([0, 40, 33, 100, 20, 40, 33, 70, 100, 33, 20]), range(11)),  # varies
    (
        np.concatenate([np.arange(20) * 33.0, 20 * 33 + np.arange(20) * 66]),
        range(40),
    ),  # half as fast from the middle on
    (STEADY + np.where(np.arange(40) % 2, 500, 0), range(40)),  # jitters
    (np.where(np.arange(40) == 9, STEADY + 3000, STEADY), range(40)),  # one stamp as large as the next one
    (np.where(np.arange(40) % 3, NAN, STEADY), range(40)),  # most are unknown
    (np.delete(np.where(np.arange(40) % 3, NAN, STEADY), [10, 11, 12, 13]), None),
    (np.append(STEADY, 1e15), range(41)),  # nonsense
    (np.concatenate([STEADY, STEADY + 7]), range(80)),  # two recordings joined
    (np.full(10, NAN), range(10)),
    (np.array([0.0]), [0]),
    (np.array([0.0, 5.0]), [0, 1]),
    (np.zeros(10), range(10)),
]


@pytest.mark.parametrize(("times", "expected"), TIMES)
def test_place_in_time(times, expected):
    indices = place_in_time(times)
    if expected is None:  # only the frames with a time are certain
        known = np.isfinite(times)
        assert indices[known].tolist() == (times[known] / 3000).tolist()
    else:
        assert indices.tolist() == list(expected)
    assert indices.dtype == np.int64 and (np.diff(indices) > 0).all()


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 3, 1, 2, 6, 4, 5], True),
        ([5], True),
        ([0, 1, 1, 2], False),
        ([*range(0, 300, 3), *range(1, 300, 3)], False),  # starts again in the middle
    ],
)
def test_are_times(stamps, expected):
    assert are_times(np.array(stamps)) is expected


# times of decoding, and where the clock falls back
CLOCKS = [
    ([*range(10)], []),
    ([*range(10), *range(10)], [10]),
    ([*range(50, 60), *range(20, 30), *range(9)], [10, 20]),
    ([0, 1, 2, 90, 4, 5, 6], []),  # one damaged time
    ([0, 1, 2, -90, 4, 5, 6], []),
    ([0, 1, 2, 500, 501, 502], []),
    ([8000, 8001, 8002, 2**33, 2**33 + 1, 2**33 + 2], [3]),  # as FFmpeg counts a fall of more than a minute
    ([2**33 - 2, 2**33 - 1, 2**33, 2**33 + 1], []),  # a wrap of the clock
    ([0, 1, 2, 3 + 2**33, 4, 5, 6], []),
    ([5, 1], []),
    ([], []),
]


@pytest.mark.parametrize(("times", "expected"), CLOCKS)
def test_find_restarts(times, expected):
    assert find_restarts(np.array(times, np.int64)).tolist() == expected


def test_the_first_times_of_decoding_are_any():
    times = np.array([0, 1, 2, 80, *range(120, 400, 40)], float)
    assert times_of_decoding(times).tolist() == [40 * number for number in range(len(times))]


# the packets' numbers in decoding order, the frames' numbers in display order, the packets' expected indices
SHOWN = [
    ([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]),
    ([0, 1, 2, 3, 4, 5, 6], [0, 2, 3, 1, 5, 6, 4], [0, 3, 1, 2, 6, 4, 5]),  # I P B B P B B
    ([0, 1, 2, 3, 4, 5, 6], [0, 3, 1, 5, 6, 4], [0, 3, 1, 2, 6, 4, 5]),  # the first B-frame is damaged
    ([0, 1, 3, 4, 5, 6], [0, 3, 1, 5, 6, 4], [0, 3, 2, 6, 4, 5]),  # its packet is lost: no packet has index 1
    ([0, 1, 2, 3], [0, 1], [0, 1, 2, 3]),
]


@pytest.mark.parametrize(("numbers", "shown", "expected"), SHOWN)
def test_place_shown(numbers, shown, expected):
    assert place_shown(np.array(numbers), shown).tolist() == expected


def test_timeline():
    line = Timeline(
        stamps=np.array([10, 20, 30, 50]),
        indices=np.array([0, 1, 2, 4]),
        is_key=np.array([True, False, True, True]),
        frame_count=6,
        in_time=True,
    )
    assert [line.index_of(stamp) for stamp in (10, 50, 40, 60, None)] == [0, 4, None, None, None]
    assert line.keys_before(1) == [(10, 0)]
    assert line.keys_before(4) == [(30, 2), (50, 4)]
    assert line.lost().tolist() == [3, 5]
    assert line.has_packets(2, 5) and not line.has_packets(3, 4) and not line.has_packets(5, 6)


EVERY_5TH = np.delete(np.arange(60), np.arange(4, 60, 5))
# the slots of an AVI's packets, their numbers
SLOTS = [
    (np.arange(40), range(40)),
    (np.delete(np.arange(40), [3, 4, 17, 30]), np.delete(np.arange(40), [3, 4, 17, 30])),  # dropped by the camera
    (np.arange(40) * 2, range(40)),
    (np.arange(40) * 24, range(40)),
    (np.delete(np.arange(40) * 24, [5, 6, 30]), np.delete(np.arange(40), [5, 6, 30])),  # both
    (np.arange(40) * 5 // 2, range(40)),  # 24 frames/s at 60
    (np.concatenate([np.arange(7) * 75, 525 + np.arange(42) * 25]), range(49)),  # varies
    (EVERY_5TH, range(48)),  # 24 frames/s at 30
    (np.delete(np.arange(40), [1, 2]), range(38)),  # an encoder's delay
    (np.delete(np.arange(40), [1, 2, 20]), np.delete(np.arange(40), [1, 2, 20])),
    (np.array([7]), [7]),
    (np.array([], np.int64), []),
]


@pytest.mark.parametrize(("slots", "expected"), SLOTS)
def test_place_slots(slots, expected):
    assert place_slots(slots).tolist() == list(expected)


@given(
    first=st.integers(0, 5), count=st.integers(1, 200), step=st.integers(1, 600), dropped=st.sets(st.integers(1, 199))
)
def test_slots_become_ascending_numbers_and_a_steady_rate_has_no_gaps(first, count, step, dropped):
    slots = np.array([first + step * at for at in range(count) if at not in dropped])
    numbers = place_slots(slots)
    assert len(numbers) == len(slots) and (np.diff(numbers) > 0).all() and numbers.dtype == np.int64
    if not dropped & set(range(count)):
        assert (np.diff(numbers) == 1).all()


def test_the_pace_of_an_avi():
    assert find_pace(np.arange(40)) is None and find_pace(np.delete(np.arange(40), [17])) is None
    half = find_pace(np.arange(40) * 2)
    assert half.slots_per_frame == 2 and half.count_frames(80) == 40 and half.slots_of(np.array([3])).tolist() == [6]
    delayed = find_pace(np.delete(np.arange(40), [1, 2]))
    assert delayed.slots_per_frame == 1 and delayed.count_frames(40) == 38
    assert delayed.slots_of(np.array([3, 37])).tolist() == [3, 37]


def test_a_timeline_without_its_first_indices():
    timeline = Timeline(np.array([10, 20, 30, 40]), np.array([0, 2, 1, 3]), np.array([0, 0, 1, 0], bool), 4, True)
    shorter = timeline.without_first(2)
    assert (shorter.stamps.tolist(), shorter.indices.tolist(), shorter.frame_count) == ([20, 40], [0, 1], 2)
    assert shorter.index_of(30) is None and shorter.index_of(40) == 1
