from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lsinet_monai.data import Clip, check_all_read, find_clips, find_inputs
from lsinet_monai.errors import InputError

# the content of a folder (names ending in a slash are folders of one frame), and the ids of the clips found there
LAYOUTS = [
    (["b10.mp4", "b9.MKV", "notes.txt", "a/"], ["a", "b9", "b10"]),
    (["deep/x/1.avi", "deep/x/2/"], ["deep/x/1", "deep/x/2"]),
    (["x.mp4", "x.avi", "y.mov"], ["x.avi", "x.mp4", "y"]),
    (["x.mp4", "x/"], ["x", "x.mp4"]),
    (["Frame/case1/", "GT/case1/", "extra.mp4"], ["case1"]),
    ([".hidden.mp4", "1.mp4"], ["1"]),
    (["v.2020.mp4"], ["v.2020"]),
    (["a.GIF", "b.apng"], ["a", "b"]),
]


Writer = Callable[..., None]


def _ids(clips: list[Clip]) -> list[str]:
    return [clip.clip_id for clip in clips]


def _put(root: Path, name: str) -> None:
    path = root / name
    if name.endswith("/"):
        path.mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(path / "0.png")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"never opened")


@pytest.mark.parametrize(("given", "expected"), LAYOUTS)
def test_find_inputs(tmp_path: Path, given: list[str], expected: list[str]) -> None:
    for name in given:
        _put(tmp_path, name)
    clips = find_inputs(tmp_path)
    assert [clip.clip_id for clip in clips] == expected
    for clip in clips:
        assert ("video" in clip) != ("image" in clip) and clip.label is None
        assert Path(clip.video or clip.image[0]).is_file()


def test_one_file_whatever_its_name(tmp_path: Path) -> None:
    _put(tmp_path, "recording.bin")
    (clip,) = find_inputs(tmp_path / "recording.bin")
    assert (clip.clip_id, clip.video) == ("recording", str(tmp_path / "recording.bin"))


def test_a_dicom_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_bytes(b"no video")
    assert [clip.clip_id for clip in find_inputs(tmp_path)] == ["IM0001"]


@pytest.mark.parametrize(
    ("given", "problem"), [(["notes.txt"], "holds no frames .* and no videos"), ([], "holds no frames")]
)
def test_nothing_to_segment(tmp_path: Path, given: list[str], problem: str) -> None:
    for name in given:
        _put(tmp_path, name)
    with pytest.raises(InputError, match=problem):
        find_inputs(tmp_path)
    with pytest.raises(InputError, match="no such folder or file"):
        find_inputs(tmp_path / "gone")


def test_check_all_read() -> None:
    check_all_read({})
    with pytest.raises(InputError, match=r"^a\.mp4: is empty$"):
        check_all_read({"a": "a.mp4: is empty"})
    with pytest.raises(InputError, match=r"^2 videos could not be read; all others are done: a: 1; b: 2$"):
        check_all_read({"a": "a: 1", "b": "b: 2"})


@pytest.mark.parametrize(("path", "words"), [(20240115, "reads as a number"), ("a::1.mp4", "a::1.mp4: no such")])
def test_what_a_command_line_cannot_pass_is_told(path: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_inputs(path)


# the input, below the root of a layout, and the ids of the clips found there
GIVEN = [
    (".", ["TestEasyDataset/Seen/case3", "TrainDataset/case1", "TrainDataset/case2"]),
    ("TrainDataset", ["case1", "case2"]),
    ("TrainDataset/Frame", ["case1", "case2"]),
    ("TrainDataset/Frame/case2", ["case2"]),
    ("TestEasyDataset", ["Seen/case3"]),
]


@pytest.mark.parametrize(("given", "expected"), GIVEN)
def test_find_clips_takes_frames_and_nothing_next_to_them(
    tmp_path: Path, given: str, expected: list[str], write_split: Writer, write_image: Writer
) -> None:
    write_split(tmp_path)
    write_split(tmp_path, "TestEasyDataset/Seen", cases=("case3",))
    write_image(tmp_path / "TrainDataset/Edge/case1/image1.png")
    clips = find_clips(tmp_path / given)
    assert _ids(clips) == expected
    assert all(clip.label is None and len(clip.image) == 3 for clip in clips)


def test_find_clips_below_a_plain_folder(tmp_path: Path, write_image: Writer) -> None:
    for name in ("b/deep/1.PNG", "b/deep/2.Tiff", "a2/1.bmp", "a10/1.jpeg", ".cache/1.png", "a2/.1.png"):
        write_image(tmp_path / name)
    (tmp_path / "b/deep/again").symlink_to(tmp_path)
    clips = find_clips(tmp_path)
    assert _ids(clips) == ["a2", "a10", "b/deep"]
    assert [Path(path).name for path in clips[2].image] == ["1.PNG", "2.Tiff"]


def test_find_clips_calls_no_two_clips_the_same(tmp_path: Path, write_image: Writer) -> None:
    write_image(tmp_path / "scope/1.png")
    write_image(tmp_path / "scope/scope/1.png")
    with pytest.raises(InputError, match="two clips that would be called 'scope'"):
        find_clips(tmp_path / "scope")


def test_a_frame_folder_of_frames_is_called_after_its_parent(tmp_path: Path, write_image: Writer) -> None:
    write_image(tmp_path / "case4/Frame/1.png")
    write_image(tmp_path / "case4/GT/1.png")
    assert _ids(find_clips(tmp_path / "case4")) == _ids(find_clips(tmp_path / "case4/Frame")) == ["case4"]


def test_find_clips_wants_frames(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no frames"):
        find_clips(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_clips(tmp_path / "gone")


@pytest.mark.parametrize("suffix", ["tif", "png", "webp"])
def test_a_file_of_several_pictures_is_a_video(tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str) -> None:
    pictures = [Image.new("RGB", (8, 6), (60 * at, 0, 0)) for at in range(3)]
    pictures[0].save(tmp_path / f"stack.{suffix}", save_all=True, append_images=pictures[1:])
    (clip,) = find_inputs(tmp_path)
    assert (clip.clip_id, clip.video) == ("stack", str(tmp_path / f"stack.{suffix}")) and not caplog.records
    for name in ("0.png", "1.png"):
        pictures[0].save(tmp_path / name)
    still, video = find_inputs(tmp_path)
    assert [Path(path).name for path in still.image] == ["0.png", "1.png"] and video.clip_id == "stack"
    assert f"stack.{suffix}: is read as a video of its own, not as a frame of its folder" in caplog.text


def test_the_order_and_what_is_left_out_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one", "two", "three"):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{name}.png")
    (tmp_path / "four.heic").write_bytes(b"picture")
    (tmp_path / "five.gif").write_bytes(b"never opened")
    assert _ids(find_inputs(tmp_path)) == [tmp_path.name, "five"]
    assert "it is taken as one.png, three.png, two.png" in caplog.text
    assert "four.heic; convert them to PNG" in caplog.text
    assert "five.gif: is read as a video of its own" in caplog.text


def test_videos_that_are_left_out_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.ivf", "trail.mp4 ", "notes.txt", "labels.json", "deep/b.gxf", "photo.heic"):
        _put(tmp_path, name)
    (tmp_path / "none").write_bytes(b"\0\0\0\x18ftypisom")
    with pytest.raises(InputError, match=r"only 'a\.ivf', 'deep/b\.gxf', 'none', 'photo\.heic', 'trail\.mp4 ': conv"):
        find_inputs(tmp_path)
    _put(tmp_path, "b.VOB")
    assert _ids(find_inputs(tmp_path)) == ["b"]
    assert "'a.ivf', 'deep/b.gxf', 'none', 'photo.heic', 'trail.mp4 '; convert them" in caplog.text
    assert "notes" not in caplog.text and "labels" not in caplog.text


@pytest.mark.parametrize("name", ["c1/1.png", "a.mp4", "IM0001"])
def test_links_without_content_are_refused(tmp_path: Path, write_image: Writer, name: str) -> None:
    for number in (0, 2):
        write_image(tmp_path / f"c1/{number}.png")
    (tmp_path / "notes.txt").symlink_to("gone")
    assert _ids(find_inputs(tmp_path)) == ["c1"]
    (tmp_path / name).symlink_to(".git/annex/objects/x")
    for given in (tmp_path, tmp_path / name):
        with pytest.raises(InputError, match=rf"{name}: is a link to \.git/annex/objects/x, which is not there: fetch"):
            find_inputs(given)
