from __future__ import annotations

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo
from lsinet_monai.formats.clip_labels import Reading
from lsinet_monai.formats.video_choice import choose_video, video_name

CLIP = ClipInfo("x/clip_2.mp4", (60, 80), 9)
FOLDER = ClipInfo("case1", (60, 80), 2, files={0: "image9.jpg", 1: "image10.jpg"})


@pytest.mark.parametrize(("clip", "file", "name"), [
    (CLIP, "a\\clip_2_3.png", "a/clip_2"),
    (CLIP, "train/3.png", ""),
    (FOLDER, "case1/other_9.png", "case1"),
    (FOLDER, "other_9.png", ""),
    (FOLDER, "case_1/other_9.png", "case_1"),
])  # fmt: skip
def test_video_name(clip: ClipInfo, file: str, name: str) -> None:
    assert video_name(file, clip) == name


# what it is, the names of the pictures, those that are taken, what is left out, the notes
CHOSEN = [
    ("nothing", [], set(), {}, []),
    ("no name", ["", ""], {""}, {}, []),
    ("its own", ["clip_2_mp4", "clip_2_mp4"], {"clip_2_mp4"}, {}, []),
    ("its own or no name", ["clip_2", ""], {"clip_2", ""}, {}, []),
    ("another", ["a", "a"], {"a"}, {}, ["its masks are named after 'a', not after 'x/clip_2.mp4'"]),
    ("its own and another", ["clip_2", "a", "a"], {"clip_2"}, {"masks of the video 'a'": 2}, []),
    ("no name, next to another", ["clip_2", "a", ""], {"clip_2"},
     {"masks of the video 'a'": 1, "masks without a video name, which may be of any of these videos": 1}, []),
    ("its own, and one with the digits apart", ["clip_2", "clip2"], {"clip_2"}, {"masks of the video 'clip2'": 1}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "chosen", "left_out", "notes"), [case[1:] for case in CHOSEN], ids=[case[0] for case in CHOSEN]
)
def test_a_video_is_chosen(names: list[str], chosen: set[str], left_out: dict[str, int], notes: list[str]) -> None:
    reading = Reading()
    assert choose_video(names, CLIP, "masks", reading) == chosen
    assert reading == Reading(left_out=left_out, notes=notes)


@pytest.mark.parametrize(("names", "listed"), [
    (["a", "b"], "'a', 'b'"),
    (["", "a"], "no video name, 'a'"),
    (["a/clip_2", "b/clip_2"], "'a/clip_2', 'b/clip_2'"),
])  # fmt: skip
def test_an_unclear_video_is_refused(names: list[str], listed: str) -> None:
    with pytest.raises(
        InputError, match=rf"^holds masks of several videos \({listed}\), and not exactly .* 'x/clip_2.mp4'; exp"
    ):
        choose_video(names, CLIP, "masks", Reading())
