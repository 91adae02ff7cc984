from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsinet_monai.data.frame_order import natural_key, order_of

ORDERS = [
    ["image9", "image10", "image100"],
    ["case_M_1_a2_ayy_image0007", "case_M_1_a10_ayy_image0001", "case_M_1_a10_ayy_image0002"],
    ["1", "02", "3"],
    ["image1", "image1b"],
]

# names in order, and what they are understood as
NAMES = [
    *((names, "numbers") for names in ORDERS),
    (["t0.04", "t0.08", "t0.12", "t0.2", "t1.0"], "decimals"),
    (["0.04s_left", "0.2s_left", "0.12e"], "unknown"),
    (["0,04", "0,12", "0,2"], "decimals"),
    (["0.25", "0.5", "0.75", "1.0"], "decimals"),
    (["0.5", "1", "1.5", "2", "10"], "unknown"),
    (["0.5", "1", "1.5", "2"], "decimals"),
    (["f1.25", "f1.50", "f10.00"], "numbers"),
    (["1.8", "1.9", "1.10", "1.11"], "numbers"),
    (["1.9", "1.12", "1.15", "2.3"], "unknown"),  # chapters, or times?
    (["v1.2_f9", "v1.2_f10"], "numbers"),
    (["2024.01.15_9", "2024.01.15_10"], "numbers"),
    (["00.59.59.png", "01.00.00.png"], "numbers"),
    (["c04b77aa-frame_1", "3f2a9c1d-frame_2", "00112233-frame_10"], "hashes"),
    (["f_1_jpg.rf.9a8b7c6d5e4f", "f_2_jpg.rf.0f8d7e6d5a4b", "f_10_jpg.rf.1cad7f6d5e4e"], "hashes"),
    (["frame001", "frame002", "frame010"], "numbers"),
    (["a1c2d3e4", "b0b0b0b0", "ffee0011"], "unknown"),
    (["first", "second", "third"], "unknown"),
    (["-2", "-1", "0", "1"], "unknown"),
    (["t_-2", "t_-1", "t_0", "t_1"], "unknown"),
    (["cam--009", "cam--010"], "numbers"),
    (["left", "right"], "numbers"),  # two names are no pattern
    ([], "numbers"),
]


@pytest.mark.parametrize(("names", "kind"), NAMES)
def test_names_are_sorted_as_people_number_them(names, kind):
    shuffled = random.Random(0).sample(names, len(names))
    order = order_of(shuffled)
    assert order.kind == kind
    if kind != "unknown":
        assert sorted(shuffled, key=order.key) == names


@pytest.mark.parametrize("ordered", ORDERS)
def test_natural_key_orders_by_number(ordered):
    assert sorted(reversed(ordered), key=natural_key) == ordered


prefixes = st.sampled_from(["", "frame_", "case7_a2_image", "t=", "2024-01-15 "])


@given(numbers=st.sets(st.integers(0, 10**6), min_size=1, max_size=30), prefix=prefixes, padded=st.booleans())
def test_any_numbers(numbers, prefix, padded):
    names = [f"{prefix}{number:07d}" if padded else f"{prefix}{number}" for number in sorted(numbers)]
    order = order_of(names[::-1])
    assert order.kind == "numbers" and sorted(names[::-1], key=order.key) == names


@given(
    count=st.integers(2, 400), step=st.sampled_from([0.04, 1 / 30, 0.5, 0.25, 1 / 60]), start=st.integers(0, 50),
    write=st.sampled_from(["{:g}", "{}", "{:.3f}", "{:08.3f}"]), prefix=prefixes,
)  # fmt: skip
def test_times_of_a_steady_rate(count, step, start, write, prefix):
    times = [round(start + step * index, 4) for index in range(count)]
    names = [prefix + write.format(time) for time in times]
    order = order_of(names[::-1])
    assert order.kind in ("decimals", "numbers") and sorted(names[::-1], key=order.key) == names


@given(
    hashes=st.lists(st.uuids(version=4), min_size=8, max_size=200, unique=True),
    form=st.sampled_from(["{hash}_{number}", "{short}-frame_{number}", "clip_{number}.rf.{short}"]),
)
def test_any_hashes(hashes, form):
    names = [form.format(hash=one, short=one.hex[:12], number=number) for number, one in enumerate(hashes)]
    assert sorted(names[::-1], key=order_of(names).key) == names
