from __future__ import annotations

from pathlib import Path

import pytest

from lsinet_monai.data import natural_key
from lsinet_monai.data.folders import clip_id_of, frames_in, subfolders, walk
from lsinet_monai.errors import InputError

ORDERS = [
    ["image9", "image10", "image100"],
    ["case_M_1_a2_ayy_image0007", "case_M_1_a10_ayy_image0001", "case_M_1_a10_ayy_image0002"],
    ["1", "02", "3"],
    ["image1", "image1b"],
]


@pytest.mark.parametrize("ordered", ORDERS)
def test_natural_key_orders_by_number(ordered):
    assert sorted(reversed(ordered), key=natural_key) == ordered


# a path, and the name of the clip there, for the root "videos"
CLIP_IDS = [
    ("videos", "videos"),
    ("videos/a", "a"),
    ("videos/a/b", "a/b"),
    ("videos/a/Frame/b", "a/b"),
    ("videos/Frame", "videos"),
]


@pytest.mark.parametrize(("path", "clip_id"), CLIP_IDS)
def test_clip_id_of(path, clip_id):
    assert clip_id_of(Path("videos"), Path(path)) == clip_id


def test_frames_and_folders_come_in_natural_order_without_hidden_ones(tmp_path, write_image):
    for name in ("10.png", "9.JPG", "9.png", ".1.png", "b10/1.png", "b9/1.png", ".b/1.png"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in frames_in(tmp_path)] == ["9.JPG", "9.png", "10.png"]
    assert [path.name for path in subfolders(tmp_path)] == ["b9", "b10"]


def test_a_folder_that_cannot_be_listed(tmp_path):
    with pytest.raises(InputError, match="gone: cannot be listed"):
        frames_in(tmp_path / "gone")


def test_walk_finds_frames_and_videos_but_nothing_next_to_a_frame_folder(tmp_path, write_image):
    for name in ("case1/Frame/1.png", "case1/GT/1.png", "case2/1.png", "case2/more/1.png"):
        write_image(tmp_path / name)
    (tmp_path / "a.mp4").touch()
    found = [
        (str(path.relative_to(tmp_path)), len(frames)) for path, frames in walk(tmp_path, lambda x: x.suffix == ".mp4")
    ]
    assert found == [("a.mp4", 0), ("case1/Frame", 1), ("case2", 1), ("case2/more", 1)]


def test_walk_warns_of_a_folder_that_holds_nothing(tmp_path, caplog):
    assert list(walk(tmp_path)) == []
    assert f"{tmp_path} holds no frames and is skipped" in caplog.text
