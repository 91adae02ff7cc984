from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsinet_monai.formats.frame_names import find_video, picture_stem, split_name

NAMES = [
    ("000042.png", "", 42),
    ("frame_000042.PNG", "", 42),
    ("frame2.png", "", 2),
    ("42_mask.png", "", 42),
    ("case1_frame_7_mask.png", "case1", 7),
    ("p01_0042.jpg", "p01", 42),
    ("clip.mp4_000123.png", "clip.mp4", 123),
    ("clip_mp4-3_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg", "clip_mp4", 3),
    ("3f25a7c1-clip_42.jpg", "clip", 42),
    ("train/clip/frame_3.jpg", "clip", 3),
    ("a\\b\\3.png", "a/b", 3),
    ("frame_000003-abcdef12.png", "", 3),
    ("frame_000003_task_2.png", "", None),
    ("frame_3.5.png", "", None),
    ("0a1b2c9.png", "", None),
    ("3f2504e0-4f89-11d3-9a0c-0305e82c3301.png", "", None),
    ("polyp12.png", "", None),
    ("mask.png", "", None),
]


@pytest.mark.parametrize(("file", "video", "number"), NAMES)
def test_split_name(file: str, video: str, number: int | None) -> None:
    assert split_name(file) == (video, number)


@given(st.text("0123456789abcdef", min_size=6).filter(lambda text: not text.isdigit()), st.integers(0, 10**6))
def test_no_digit_of_a_hash_is_a_frame(code: str, frame: int) -> None:
    assert split_name(f"{code}.png").number is None
    assert split_name(f"clip_mp4-{frame}_jpg.rf.{code}.jpg").number == frame
    assert split_name(f"frame_{frame}-{code}.png").number == frame


STEMS = [
    ("a/b.c/image9.jpg", "image9"),
    ("image9.jpg.png", "image9"),
    ("image9_png.rf.0a.jpg", "image9"),
    ("12.5", "12.5"),
]


@pytest.mark.parametrize(("file", "stem"), STEMS)
def test_picture_stem(file: str, stem: str) -> None:
    assert picture_stem(file) == stem


VIDEOS = [
    (["clip_mp4", "other_mp4"], "clip.mp4", ["clip_mp4"]),
    (["/data/Clip.mp4", "b"], "clip", ["/data/Clip.mp4"]),
    (["case1/part2", "case2/part2"], "case1/part2", ["case1/part2"]),
    (["case3/part2", "case2/part2"], "case1/part2", ["case3/part2", "case2/part2"]),
    (["", "other"], "clip.mp4", []),
]


@pytest.mark.parametrize(("names", "clip", "found"), VIDEOS)
def test_find_video(names: list[str], clip: str, found: list[str]) -> None:
    assert find_video(names, clip) == found
