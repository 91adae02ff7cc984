from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsinet_monai.formats.frame_names import (
    find_video,
    has_several_numbers,
    picture_stem,
    split_name,
    without_uploads,
)

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
    ("000012_1.png", "", None),
    ("000012_mask_1.png", "", None),
    ("frame12_0.png", "", None),
    ("image12_1.png", "", None),
    ("clip_00-00-05.png", "clip", None),
    ("clip_00003_00012.jpg", "clip", None),
    ("2023-05-06.png", "", None),
    ("12_of_29.png", "", None),
    ("frame_12_of_29.png", "", None),
    ("task-43-annotation-7-by-1-tag-polyp-0.png", "task", None),
    ("frame_3_frame_7.png", "", None),
    ("2023-05-06_frame_12.png", "2023-05-06", 12),
    ("2023-05-06/12.png", "2023-05-06", 12),
    ("VID_20230506_mp4-0012_jpg.rf.0a1b2c.jpg", "VID_20230506_mp4", 12),
    ("case 7.AVI_000123.png", "case 7.AVI", 123),
    ("clip_25fps_12.png", "clip_25fps", 12),
    ("0a1b2c9.png", "", None),
    ("3f2504e0-4f89-11d3-9a0c-0305e82c3301.png", "", None),
    ("polyp12.png", "", None),
    ("mask_clip_000007.png", "clip", 7),
    ("3f25a7c1-gt_0007.png", "", 7),
    ("mask_000012_1.png", "", None),
    ("-1.png", "", None),
    ("3f25a7c1--1.png", "", None),
    ("mask--001.png", "", 1),
    ("a/\u22121.png", "a", None),
    ("cam--000.jpg", "cam", 0),
    ("clip_2/", "clip_2", None),
    ("train/clip 3/masks/", "clip 3/masks", None),
    ("mask.png", "", None),
    ("polypmask_0012.png", "polypmask", 12),
    ("pseudolabel_12.png", "pseudolabel", 12),
    ("0012mask_1.png", "0012mask", 1),
]


@pytest.mark.parametrize(("file", "video", "number"), NAMES)
def test_split_name(file: str, video: str, number: int | None) -> None:
    assert split_name(file) == (video, number)


# the picture, the clip, what the name says of the video, and the frame
OWN_NAMES = [
    ("case3_1_00012.jpg", "case3_1.mp4", "case3_1", 12),
    ("Case3-1_mp4-12_jpg.rf.0a1b2c.jpg", "x/case3_1.mp4", "Case3-1_mp4", 12),
    ("video 2_frame_12.png", "video 2.mp4", "video 2", 12),
    ("case3_1_00012.jpg", "case3.mp4", "case3", None),
    ("case3_1_5_00012.jpg", "case3_1.mp4", "case3", None),
    ("clip_12.png", "clip_12.mp4", "clip_12", None),
    ("Clip-12.png", "clip_12.mp4", "Clip-12", None),
    ("case11_2_0001.png", "case1_12.mp4", "case11", None),
    ("mask_case1_12_000001.png", "case1_12.mp4", "case1_12", 1),
    ("gt_case1_12_0001.png", "case1_12.mp4", "case1_12", 1),
    ("case1_12_000001_mask.png", "case1_12.mp4", "case1_12", 1),
    ("mask_7_0012.png", "mask_7.mp4", "mask_7", 12),
    ("frame_3_0012.png", "frame_3.mp4", "frame_3", 12),
    ("20230506_101530_0001.png", "VID_20230506_101530.mp4", "20230506_101530", 1),
    ("VID_20230506_101530_0001.png", "20230506_101530.mp4", "VID_20230506_101530", 1),
    ("20230506_101530.png", "VID_20230506_101530.mp4", "20230506_101530", None),
    ("12_1.png", "case_12.mp4", "", None),
    ("20230506-101530_4.png", "20230506-101530.mp4", "20230506-101530", 4),
    ("clip_13.png", "clip_12.mp4", "clip", 13),
    ("12.png", "12.mp4", "", 12),
    ("12345678-clip_4.png", "clip.mp4", "clip", 4),
    ("20230506-12.png", "clip.mp4", "", None),
]


@pytest.mark.parametrize(("file", "clip", "video", "number"), OWN_NAMES)
def test_the_numbers_of_the_clip_s_own_name_are_no_frame(file: str, clip: str, video: str, number: int | None) -> None:
    assert split_name(file, clip) == (video, number)


@pytest.mark.parametrize(("file", "several"), [("000012_1.png", True), ("a/1/p01_12.png", False), ("mask.png", False)])
def test_has_several_numbers(file: str, several: bool) -> None:
    assert has_several_numbers(file) == several


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
    ("a\u0308.png", "\u00e4"),
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
    (["case11_2", "case112"], "case1_12.mp4", []),
    (["case11_2", "Case 1-12", "case_1_12_mp4"], "case1_12.mp4", ["Case 1-12", "case_1_12_mp4"]),
    (["clip_01"], "clip_1.mp4", []),
    (["CLIP.mp4", "clip", "clip.mp4"], "clip.mp4", ["clip.mp4"]),
    (["clip.avi", "clip"], "clip.mp4", ["clip"]),
    (["clip.avi"], "clip.mp4", ["clip.avi"]),
    (["a/clip", "b/Clip"], "clip.mp4", ["a/clip"]),
    (["case.a"], "case.b", []),
    (["p1_a"], "p1_a.frames", ["p1_a"]),
    (["\u606f\u8089_1"], "\u817a\u7624_1.mp4", []),
    (["Gr\u00f6\u00dfe1"], "GRO\u0308SSE1.mp4", ["Gr\u00f6\u00dfe1"]),
]


@pytest.mark.parametrize(("names", "clip", "found"), VIDEOS)
def test_find_video(names: list[str], clip: str, found: list[str]) -> None:
    assert find_video(names, clip) == found


# names of a set, and what remains of them
UPLOADS = [
    (["3f25a7c1-frame_1.png", "a/12345678-frame_2.png"], ["frame_1.png", "a/frame_2.png"]),
    (["20230506-frame_1.png", "20230506-frame_2.png"], ["20230506-frame_1.png", "20230506-frame_2.png"]),
    (["20230506-1.png", "20230507-1.png", "3f25a7c1-1.png"], ["20230506-1.png", "20230507-1.png", "3f25a7c1-1.png"]),
    (["12345678-1.png", "frame_2.png"], ["12345678-1.png", "frame_2.png"]),
    ([], []),
]


@pytest.mark.parametrize(("files", "names"), UPLOADS)
def test_codes_of_uploads_are_removed_where_most_of_a_set_have_one(files: list[str], names: list[str]) -> None:
    assert without_uploads(files) == names
