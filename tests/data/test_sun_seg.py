from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lsinet_monai.data import check_clips, find_test_splits, read_split
from lsinet_monai.errors import InputError


def ids(clips):
    return [clip["clip_id"] for clip in clips]


def names(clip):
    return [Path(path).name for path in clip["image"]]


def test_read_split_lists_clips_and_frames_in_natural_order(tmp_path, write_split, write_image):
    write_split(tmp_path, cases=("case10", "case9_2", "case9_1"), frames=11)
    write_image(tmp_path / "TrainDataset/Frame/case10/.hidden.png")
    write_image(tmp_path / "TrainDataset/Edge/case10/image1.png")
    (tmp_path / "TrainDataset/Frame/case10/notes.txt").write_text("not a frame")
    clips = read_split(tmp_path)
    assert ids(clips) == ["TrainDataset/case9_1", "TrainDataset/case9_2", "TrainDataset/case10"]
    assert names(clips[2]) == [f"image{frame}.jpg" for frame in range(1, 12)]
    assert clips[0]["label"][10] == str(tmp_path / "TrainDataset/GT/case9_1/image11.png")
    check_clips(clips, progress=False)


def test_masks_are_found_in_a_folder_with_decomposed_letters(tmp_path, write_split):
    write_split(tmp_path, cases=("f\u00e4lle",))
    (tmp_path / "TrainDataset/GT/f\u00e4lle").rename(tmp_path / "TrainDataset/GT/fa\u0308lle")
    (clip,) = read_split(tmp_path)
    assert Path(clip["label"][0]).parent.name == "fa\u0308lle"
    check_clips([clip], progress=False)


def test_only_negative_clips_may_lack_masks(tmp_path, write_split, write_image):
    write_split(tmp_path / "data")
    write_image(tmp_path / "mucosa/case5/frame.png")
    clips = read_split(tmp_path / "data", negative_dir=tmp_path / "mucosa")
    assert ids(clips)[2:] == ["negative/case5"]
    assert clips[2]["label"] is None and clips[2]["negative"]
    check_clips(clips, progress=False)


@pytest.mark.parametrize("negative_dir", ["TrainDataset", ".", "TestEasyDataset/Seen"])
def test_polyp_clips_and_test_splits_are_never_negative(tmp_path, negative_dir, write_split):
    write_split(tmp_path)
    write_split(tmp_path, "TestEasyDataset/Seen", cases=("case3",))
    with pytest.raises(InputError, match="belongs to the dataset itself"):
        read_split(tmp_path, negative_dir=tmp_path / negative_dir)


def test_a_missing_dataset_gives_both_ways_on(tmp_path):
    with pytest.raises(InputError, match=r"on request.*TrainDataset/\{Frame,GT\}.*python -m lsinet_monai phantom"):
        read_split(tmp_path / "nowhere")


def test_an_empty_root_and_an_empty_case_are_errors(tmp_path):
    (tmp_path / "TrainDataset/Frame").mkdir(parents=True)
    with pytest.raises(InputError, match="no case folders"):
        read_split(tmp_path)
    (tmp_path / "TrainDataset/Frame/case1").mkdir()
    with pytest.raises(InputError, match="case1: holds no frames"):
        read_split(tmp_path)
    with pytest.raises(InputError, match="'Test' is not one of TrainDataset, "):
        read_split(tmp_path, "Test")


def test_test_splits_are_those_present(tmp_path, write_split):
    write_split(tmp_path)
    write_split(tmp_path, "TestHardDataset/Seen")
    write_split(tmp_path, "TestEasyDataset/Unseen")
    assert find_test_splits(tmp_path) == ["TestEasyDataset/Unseen", "TestHardDataset/Seen"]


@pytest.mark.parametrize("dataset_dir", [None, ""])
def test_test_splits_need_a_dataset(tmp_path, monkeypatch, write_split, dataset_dir):
    write_split(tmp_path, "TestHardDataset/Seen")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"dataset_dir={dataset_dir!r}: give a dataset with a test split, TestEasy"):
        find_test_splits(dataset_dir)


def test_masks_without_a_frame_are_told(tmp_path, caplog, write_split):
    write_split(tmp_path)
    read_split(tmp_path)
    assert not caplog.text
    masks = tmp_path / "TrainDataset/GT/case2"
    for name in ("image10.png", "image9.png", ".hidden.png"):
        (masks / name).touch()
    assert names(read_split(tmp_path)[1]) == ["image1.jpg", "image2.jpg", "image3.jpg"]
    assert f"{masks}: masks without a frame: 2, such as image9.png" in caplog.text


def test_masks_are_found_under_any_suffix_and_mark(tmp_path, write_split, write_image):
    write_split(tmp_path, cases=("case1",), frames=1)
    for frame, mask in (("2.JPG", "2.PNG"), ("3.png", "3_mask.png"), ("4.jpg", "4.jpg")):
        write_image(tmp_path / "TrainDataset/Frame/case1" / frame)
        write_image(tmp_path / "TrainDataset/GT/case1" / mask)
    (clip,) = read_split(tmp_path)
    found = [Path(mask).name for mask in clip["label"]]
    assert sorted(found) == ["2.PNG", "3_mask.png", "4.jpg", "image1.png"]
    check_clips([clip], progress=False)


def test_a_case_whose_folder_of_masks_has_no_pictures(tmp_path, write_split):
    write_split(tmp_path, cases=("case1",), frames=1)
    mask = tmp_path / "TrainDataset/GT/case1/image1.png"
    mask.unlink()
    for name in (".DS_Store", "Thumbs.db", "._image1.gif"):
        (mask.parent / name).touch()
    assert read_split(tmp_path)[0].label == [str(mask)]


@pytest.mark.parametrize("other", ["image1.gif", "polyp1.png"])
def test_a_case_none_of_whose_masks_is_named_like_a_frame(tmp_path, write_split, other):
    write_split(tmp_path, cases=("case1",), frames=1)
    mask = tmp_path / "TrainDataset/GT/case1/image1.png"
    mask.rename(mask.with_name(other))
    said = (
        rf"GT/case1: no mask in it is named like a frame; it has {re.escape(other)}: name each .* such as image1\.png"
    )
    with pytest.raises(InputError, match=said):
        read_split(tmp_path)


@pytest.mark.parametrize(("split", "clips", "frames"), [("TrainDataset", 22, 472), ("TestEasyDataset/Unseen", 7, 140)])
def test_real_frames(real_data, split, clips, frames):
    found = read_split(real_data, split)
    assert (len(found), sum(len(clip["image"]) for clip in found)) == (clips, frames)
    numbers = [[int(Path(path).stem.rsplit("image", 1)[1]) for path in clip["image"]] for clip in found]
    assert all((np.diff(clip) > 0).all() for clip in numbers)
    check_clips(found, progress=False)
