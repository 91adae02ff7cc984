from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import check_all_read, clip_extent, find_inputs, phantom_clip, share_clips
from lsinet_monai.errors import InputError

# what lies in a folder (files ending in a slash are folders of one frame), and the ids of the clips found there
LAYOUTS = [
    (["b10.mp4", "b9.MKV", "notes.txt", "a/"], ["a", "b9", "b10"]),
    (["deep/x/1.avi", "deep/x/2/"], ["deep/x/1", "deep/x/2"]),
    (["x.mp4", "x.avi", "y.mov"], ["x.avi", "x.mp4", "y"]),
    (["x.mp4", "x/"], ["x", "x.mp4"]),
    (["Frame/case1/", "GT/case1/", "extra.mp4"], ["case1"]),
    ([".hidden.mp4", "1.mp4"], ["1"]),
    (["v.2020.mp4"], ["v.2020"]),
]


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
    assert [clip["clip_id"] for clip in clips] == expected
    for clip in clips:
        assert ("video" in clip) != ("image" in clip) and clip["label"] is None
        assert Path(clip.get("video") or clip["image"][0]).is_file()


def test_one_file_whatever_its_name(tmp_path: Path) -> None:
    _put(tmp_path, "recording.bin")
    (clip,) = find_inputs(tmp_path / "recording.bin")
    assert (clip["clip_id"], clip["video"]) == ("recording", str(tmp_path / "recording.bin"))


def test_a_dicom_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_bytes(b"no video")
    assert [clip["clip_id"] for clip in find_inputs(tmp_path)] == ["IM0001"]


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


def _clip(name: str, frames: int, **others: object) -> dict[str, object]:
    return {"clip_id": name, "image": [f"{name}/{index}.png" for index in range(frames)], "label": None, **others}


@pytest.fixture
def sizes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsinet_monai.data.inputs.frame_size", lambda path: (6, 8))


# numbers of frames, of which so many are done, and who gets which clip, of two
SHARES = [
    ([10, 10], {}, [[0], [1]]),
    ([3, 9, 3, 3], {}, [[1], [0, 2, 3]]),
    ([100, 30, 40], {0: 95}, [[2], [0, 1]]),
    ([5], {}, [[0], []]),
]


@pytest.mark.usefixtures("sizes_are_known")
@pytest.mark.parametrize(("lengths", "done", "expected"), SHARES)
def test_clips_are_shared_by_what_is_left_to_do(
    lengths: list[int], done: dict[int, int], expected: list[list[int]]
) -> None:
    clips = [_clip(str(at), length) for at, length in enumerate(lengths)]
    for at, frames in done.items():
        clips[at]["start"] = (frames, frames)
    assert [[int(clip["clip_id"]) for clip in share_clips(clips, rank, 2)] for rank in range(2)] == expected


@pytest.mark.usefixtures("sizes_are_known")
@pytest.mark.parametrize("ranks", [1, 3, 8])
def test_every_clip_belongs_to_one_rank(ranks: int) -> None:
    clips = [_clip(str(at), length) for at, length in enumerate([7, 1, 4, 4, 9])]
    shares = [share_clips(clips, rank, ranks) for rank in range(ranks)]
    assert sorted(clip["clip_id"] for share in shares for clip in share) == ["0", "1", "2", "3", "4"]
    assert all(share == sorted(share, key=clips.index) for share in shares)


def test_clip_extent(tmp_path: Path, recipe: ModuleType) -> None:
    frames: list[np.ndarray] = [frame for frame, _ in phantom_clip(5, (64, 80), seed=1)]
    recipe.write_video(tmp_path / "a.mp4", frames)
    for index, frame in enumerate(frames[:3]):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    (tmp_path / "empty.avi").touch()
    found = {clip["clip_id"]: clip_extent(clip) for clip in find_inputs(tmp_path)}
    assert found == {tmp_path.name: (64, 80, 3), "a": (64, 80, 5), "empty": None}


def test_check_all_read() -> None:
    check_all_read({})
    with pytest.raises(InputError, match=r"^a\.mp4: is empty$"):
        check_all_read({"a": "a.mp4: is empty"})
    with pytest.raises(InputError, match=r"^2 videos could not be read; all others are done: a: 1; b: 2$"):
        check_all_read({"a": "a: 1", "b": "b: 2"})


@pytest.mark.parametrize(("path", "words"), [(20240115, "reads as a number"), ("a::1.mp4", "'#'")])
def test_what_a_command_line_cannot_pass_is_told(path: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_inputs(path)
