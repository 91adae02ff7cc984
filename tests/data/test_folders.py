from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lsinet_monai.data.folders import (
    check_no_masks,
    clip_id_of,
    composed,
    find_folder,
    frames_in,
    say_how_read,
    subfolders,
    walk,
)
from lsinet_monai.errors import InputError

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


def test_a_folder_is_found_however_its_letters_are_written(tmp_path):
    assert composed("a\u0308") == composed("\u00e4") == "\u00e4"
    (tmp_path / "fa\u0308lle").mkdir()
    assert find_folder(tmp_path, "f\u00e4lle") == find_folder(tmp_path, "fa\u0308lle") == tmp_path / "fa\u0308lle"
    (tmp_path / "f\u00e4lle").mkdir()
    assert find_folder(tmp_path, "f\u00e4lle") == tmp_path / "f\u00e4lle"
    for parent in (tmp_path, tmp_path / "none"):
        assert find_folder(parent, "other") == parent / "other"


def test_a_nested_folder_is_found_however_its_letters_are_written(tmp_path):
    inner = tmp_path / "ka\u0308se/fall/fa\u0308lle"
    inner.mkdir(parents=True)
    assert find_folder(tmp_path, "k\u00e4se/fall/f\u00e4lle") == inner
    assert find_folder(tmp_path, "k\u00e4se/fall/other") == tmp_path / "k\u00e4se/fall/other"
    assert find_folder(tmp_path, "") == tmp_path


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


def test_frames_of_all_kinds_of_images_are_found(tmp_path, write_image):
    names = ["f0.jpg", "f1.jfif", "f2.webp", "f3.JPEG", "f4.tiff", "f5.ppm"]
    for name in names:
        write_image(tmp_path / name)
    assert [path.name for path in frames_in(tmp_path)] == names


# names of frames and of other files, parts of what is said
SAID = [
    (["t0.04.png", "t0.12.png", "t0.2.png"], [], "are decimals, so the order is t0.04.png, t0.12.png, t0.2.png"),
    (["c04b77aa-1.png", "3f2a9c1d-2.png", "9d8e7f6a-10.png"], [], "next to a hash, so the order is c04b77aa-1.png"),
    (["one.png", "three.png", "two.png"], [], "do not tell the frames' order for certain; it is taken as one.png, thr"),
    (["0.png", "2.png"], ["1.heic"], "1 pictures are left out, because only .jpg"),
    (["0.png", "2.png"], ["1"], "are read: 1; convert them to PNG"),
    (["0.png", "2.png"], ["notes.txt", "Thumbs.db"], ""),
]


@pytest.mark.parametrize(("frames", "others", "said"), SAID)
def test_what_a_person_may_not_expect_is_said(tmp_path, write_image, caplog, frames, others, said):
    for name in [*frames, "model.png"]:
        write_image(tmp_path / name)
    content = (tmp_path / "model.png").read_bytes()
    (tmp_path / "model.png").unlink()
    for name in others:
        (tmp_path / name).write_bytes(b"text" if name[0] in "nT" else content)
    with caplog.at_level(logging.INFO):
        say_how_read(tmp_path, frames_in(tmp_path))
    assert said in caplog.text and bool(caplog.records) == bool(said)


def test_masks_among_frames_are_refused():
    frames = [Path(name) for name in ("1.jpg", "1_mask.png", "2.jpg", "2_mask.png")]
    with pytest.raises(
        InputError, match=r"1_mask\.png: looks like the mask of a frame next to it \(2 such files\): move"
    ):
        check_no_masks(frames)
    check_no_masks([Path("2.jpg"), Path("3_mask.png")])  # a frame of that name


def test_a_long_order_is_cut(tmp_path, caplog):
    say_how_read(tmp_path, [tmp_path / f"{word}.png" for word in "abcdefg"])
    assert "taken as a.png, b.png, c.png, d.png, ..., g.png" in caplog.text
