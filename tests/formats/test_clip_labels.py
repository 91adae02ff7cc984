from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, ClipLabels, Reading, check_file, frame_file, list_frames, paint

VIDEO = ClipInfo("video", (4, 4), frame_count=100)
FRAMES = ClipInfo("case1", (4, 4), frame_count=2, files={0: "image9.jpg", 1: "image10.jpg"})

NAMES = [
    (VIDEO, "000042.png", 42),
    (VIDEO, "frame_000042.PNG", 42),
    (VIDEO, "a7/b8_99", 99),
    (VIDEO, "a\\b_3.png", 3),
    (VIDEO, "100.png", None),
    (VIDEO, "mask.png", None),
    (VIDEO, "9" * 5000, None),
    (VIDEO, "clip_mp4-3_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg", 3),
    (VIDEO, "0a1b2c3d4e5f6.png", None),
    (FRAMES, "image9_jpg.rf.0a1b2c.jpg", 0),
    (FRAMES, "image10.png", 1),
    (FRAMES, "masks/image9", 0),
    (ClipInfo("clip", (4, 6), 1, files={0: "\u00e4.jpg"}), "a\u0308.png", 0),
    (ClipInfo("clip", (4, 6), 1, files={0: "a\u0308.jpg"}), "\u00e4.png", 0),
    (ClipInfo("f\u00e4lle.mp4", (4, 6), 9), "fa\u0308lle_3.png", 3),
    (FRAMES, "image1.png", None),
    (FRAMES, "000001.png", None),
]


@pytest.mark.parametrize(("clip", "file", "index"), NAMES)
def test_index_of(clip: ClipInfo, file: str, index: int | None) -> None:
    assert clip.index_of(file) == index


UNKNOWN = [
    (VIDEO, "12_1.png", "has several numbers that may be the frame; name it by the frame alone, such as 000012.png"),
    (VIDEO, "100.png", "is not a frame of 'video'; name it like the frame: by its number, 0 to 99"),
    (VIDEO, "video_100.png", "is not a frame of 'video'; name it like the frame: by its number, 0 to 99"),
    (FRAMES, "image9_1.png", "is not a frame of 'case1'; name it like the frame"),
]


@pytest.mark.parametrize(("clip", "file", "reason"), UNKNOWN)
def test_why_a_frame_is_unknown(clip: ClipInfo, file: str, reason: str) -> None:
    assert clip.index_of(file) is None and clip.why_unknown(file) == reason


@pytest.mark.parametrize("index", [0, 42, 1234567])
def test_frame_files_are_found_again(index: int) -> None:
    assert ClipInfo("video", (4, 4), frame_count=10**7).index_of(frame_file(index)) == index


@given(st.text())
def test_no_name_breaks_index_of(file: str) -> None:
    assert VIDEO.index_of(file) in {None, *range(100)}


def test_labels_are_a_mapping_in_order_of_frames() -> None:
    labels = ClipLabels({3: 7, 1: 0}, lambda value: np.full((2, 2), value, np.int32), {3: {7: {"score": 0.5}}})
    assert list(labels) == [1, 3] and len(labels) == 2 and 2 not in labels
    assert labels.mask(3).all() and not labels.mask(1).any()
    assert labels.attributes(3) == {7: {"score": 0.5}} and labels.attributes(1) == {}


def test_two_files_of_one_stem_are_no_frame() -> None:
    clip = ClipInfo("case1", (4, 4), frame_count=2, files={0: "image9.jpg", 1: "image9.png"})
    assert clip.index_of("image9.png") is None


FRAME_LISTS = [
    ([3], "frame 3"),
    ([1, 0, 2], "frames 0 to 2"),
    ([4, 5], "frames 4, 5"),
    ([*range(0, 20, 2)], "frames 0, 2, 4, 6, 8, 10 and 4 more"),
]


@pytest.mark.parametrize(("frames", "text"), FRAME_LISTS)
def test_list_frames(frames: list[int], text: str) -> None:
    assert list_frames(frames) == text


def test_what_a_reader_took() -> None:
    reading = Reading({"polyp": 2}, {"label 'tool'": 1}, [4, 5], ["a note"])
    alone = "left alone, since the file shows only what was left out: frames 4, 5"
    assert reading.lines() == ["taken as polyps: polyp (2)", "left out: label 'tool' (1)", alone, "a note"]
    assert Reading().lines() == []


def test_the_last_lesion_holds() -> None:
    left, low = np.array([[1, 0], [1, 0]], bool), np.array([[0, 0], [1, 1]], bool)
    np.testing.assert_array_equal(paint((2, 2), [(5, left), (2, low)]), [[5, 0], [2, 2]])


def test_check_file(tmp_path: Path) -> None:
    file = tmp_path / "A.XML"
    for make, message in ((lambda: None, "no such file"), (file.touch, "has 0 bytes")):
        make()
        with pytest.raises(InputError, match=message):
            check_file(file, [".xml"])
    file.write_text("x")
    assert check_file(str(file), [".xml"]) == file
    with pytest.raises(InputError, match=r"must end with .json or .js"):
        check_file(file, [".json", ".js"])


def test_case_matters_only_where_it_tells_frames_apart() -> None:
    clip = ClipInfo("case1", (4, 4), frame_count=3, files={0: "a1.jpg", 1: "A1.jpg", 2: "b2.jpg"})
    assert [clip.index_of(name) for name in ("a1.png", "A1.png", "B2.PNG", "c.png")] == [0, 1, 2, None]
    twice = ClipInfo("case1", (4, 4), frame_count=2, files={0: "a1.jpg", 1: "A1.jpg", 2: "A1.png"})
    assert twice.index_of("A1.png") is None


def test_a_packed_file_needs_a_suffix_that_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.nii"
    file.write_bytes(gzip.compress(b"x"))
    assert check_file(file, [".nii.gz", ".nii"]) == file
    with pytest.raises(InputError, match=r"a.nii: is packed with gzip; unpack it, and give the .xml or .nii in it"):
        check_file(file, [".xml", ".nii"])
