from __future__ import annotations

import re
from typing import Any

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo
from lsinet_monai.formats.clip_labels import Reading
from lsinet_monai.formats.coco_images import frames_of_images

CLIP = ClipInfo("clip.mp4", (60, 80), 9)
FOLDER = ClipInfo("case1", (60, 80), 2, files={0: "image9.jpg", 1: "image10.jpg"})
SIZE = {"width": 80, "height": 60}


def _images(*names: str) -> list[dict[str, Any]]:
    return [{"id": id, "file_name": name, **SIZE} for id, name in enumerate(names)]


# what the names are like, the clip, the names, the frame of each (None: an image of another video)
NAMES = [
    ("CVAT", CLIP, ["frame_000003.PNG"], [3]),
    ("Roboflow's hash", CLIP, ["clip_mp4-3_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg"], [3]),
    ("the split's folder", CLIP, ["train/clip_mp4-3_jpg.rf.0a1.jpg", "valid/clip_mp4-5_jpg.rf.0a7.jpg"], [3, 5]),
    ("Label Studio", CLIP, ["3f25a7c1-clip_4.jpg", "00c5a7c1-clip_6.jpg"], [4, 6]),
    ("Label Studio, a code of digits", CLIP, ["3f25a7c1-frame_1.png", "12345678-frame_2.png"], [1, 2]),
    ("two signs", CLIP, ["clip--003.jpg"], [3]),
    (
        "a video whose digits are apart",
        ClipInfo("case1_2.mp4", (60, 80), 9),
        ["case1_2_1.png", "case12_1.png"],
        [1, None],
    ),
    ("two videos", CLIP, ["clip_mp4-3.jpg", "other_mp4-3.jpg"], [3, None]),
    ("a video with numbers in its name", ClipInfo("case3_1.mp4", (60, 80), 9), ["case3_1_00004.jpg"], [4]),
    ("with and without the video", CLIP, ["clip_mp4-3.jpg", "4.jpg"], [3, 4]),
    ("two folders", CLIP, ["clip/3.png", "other/3.png", "other/4.png"], [3, None, None]),
    ("uploads of a folder of frames", FOLDER, ["3f25a7c1-image10.png", "12345678-image9.png"], [1, 0]),
    ("frames in capitals", FOLDER, ["IMAGE10.JPG", "Image9.png"], [1, 0]),
    ("a folder of frames", FOLDER, ["image10.png", "image9.png"], [1, 0]),
    (
        "a folder of frames named by codes",
        ClipInfo("a", (60, 80), 2, files={0: "3f25a7c1-1.jpg", 1: "12a45678-1.jpg"}),
        ["12a45678-1.png", "3f25a7c1-1.png"],
        [1, 0],
    ),
    ("frames of two folders", FOLDER, ["case1/image9.png", "case2\\image9.png"], [0, None]),
]


@pytest.mark.parametrize(("clip", "names", "frames"), [case[1:] for case in NAMES], ids=[case[0] for case in NAMES])
def test_images_are_frames_by_their_names(clip: ClipInfo, names: list[str], frames: list[int | None]) -> None:
    reading = Reading()
    assert frames_of_images({"images": _images(*names)}, clip, reading) == dict(enumerate(frames))
    assert sum(reading.left_out.values()) == frames.count(None) and not reading.notes


def test_images_are_frames_by_their_numbers() -> None:
    images = [{"id": 7, "frame_id": 4, **SIZE}, {"id": 9, "frame": 0, "frame_id": None, **SIZE}]
    assert frames_of_images({"images": images}, CLIP, Reading()) == {7: 4, 9: 0}
    images = [{"id": 7, "file_name": "4.png", "frame_id": 4, **SIZE}]
    assert frames_of_images({"images": images}, CLIP, Reading()) == {7: 4}


VIDEOS = [{"id": 1, "name": "other.mp4"}, {"id": 2, "name": "clip.mp4"}, {"id": 3}]


def test_sizes_may_be_texts() -> None:
    reading, image = Reading(), {"id": 7, "file_name": "4.png", "width": "80", "height": "60"}
    assert frames_of_images({"images": [image]}, CLIP, reading) == {7: 4} and not reading.notes
    with pytest.raises(InputError, match="is 60x80"):
        frames_of_images({"images": [image | {"width": "60", "height": "80"}]}, CLIP, Reading())


def test_images_of_several_videos() -> None:
    images = [{"id": id, "video_id": id, "frame_id": 3, **SIZE} for id in (1, 2)]
    reading = Reading()
    assert frames_of_images({"videos": VIDEOS, "images": images}, CLIP, reading) == {1: None, 2: 3}
    assert reading.left_out == {"images of the video 'other.mp4'": 1}


# what it is, the images, how the message goes
UNCLEAR = [
    ("two folders, none of them ours", _images("a/3.png", "b/4.png"), "holds images of several videos ('a', 'b')"),
    ("twice the same frame", _images("frame_3.png", "frame_3.jpg"),
     "images 'frame_3.png' and 'frame_3.jpg' are both frame 3 of 'clip.mp4'; export the masks of this video alone"),
    ("a hash alone", _images("0a1b2c3d4e5f6.jpg"),
     "is not a frame of 'clip.mp4'; name it like the frame: by its number, 0 to 8"),
    ("a negative number", _images("-1.png"),
     "image '-1.png' is not a frame of 'clip.mp4'; name it like the frame: by its number, 0 to 8"),
    ("two numbers", _images("frame_3_task_4.jpg"),
     "image 'frame_3_task_4.jpg' has several numbers that may be the frame; name it by the frame alone, such as"),
    ("two lesions of one frame", _images("000003_1.png", "000004_1.png"), "image '000003_1.png' has several numbers"),
    ("times", _images("clip_00-00-05.png", "clip_00-01-05.png"), "image 'clip_00-00-05.png' has several numbers"),
    ("two images of one id", 2 * _images("3.png"), "two images have the id 0; number the images"),
    ("another size", [{"id": 5, "file_name": "3.png", "width": 60, "height": 80}], "is 60x80 (width x height)"),
    ("a frame too far", [{"id": 5, "file_name": "a", "frame": 9}], "has the frame 9; 'clip.mp4' has the frames 0 to 8"),
    ("a negative frame", [{"id": 5, "file_name": "a", "frame_id": -1}], "has the frame_id -1"),
    ("a frame that is true", [{"id": 5, "file_name": "a", "frame": True}], "has the frame True"),
    ("a frame that is a text", [{"id": 5, "file_name": "a", "frame": "3"}], "has the frame '3'"),
    ("two frames of one image", [{"id": 5, "file_name": "frame_000003.PNG", "frame_id": 4}],
     "has the frame_id 4, but is named like frame 3 of 'clip.mp4'; count both from 0"),
]  # fmt: skip


@pytest.mark.parametrize(("images", "message"), [case[1:] for case in UNCLEAR], ids=[case[0] for case in UNCLEAR])
def test_an_unclear_frame_is_refused(images: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        frames_of_images({"images": images}, CLIP, Reading())


NOTES = [
    ([{"id": 1, "file_name": "3.png"}], "does not give the size of its images: check that the masks fit"),
    (_images("clip_2/3.png"), "its images are named after 'clip_2', not after 'clip.mp4'"),
    (_images("other_mp4-3.jpg"), "its images are named after 'other_mp4', not after 'clip.mp4'"),
]


@pytest.mark.parametrize(("images", "note"), NOTES)
def test_notes(images: list[dict[str, Any]], note: str) -> None:
    reading = Reading()
    assert list(frames_of_images({"images": images}, CLIP, reading).values()) == [3]
    assert len(reading.notes) == 1 and note in reading.notes[0]
