from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, UnclearLabels, parse_labels, read_png_folder, write_png


def test_there_and_back(tmp_path: Path, clip: ClipInfo, labels: dict[int, np.ndarray]) -> None:
    for index, frame in labels.items():
        write_png(tmp_path / f"{clip.file(index)}.png", (frame > 0).astype(np.uint8) * 255)
    (tmp_path / "notes.txt").touch()
    masks = read_png_folder(tmp_path, clip)
    assert list(masks) == list(labels)
    for index, frame in labels.items():
        np.testing.assert_array_equal(masks[index], frame > 0)


def test_written_as_sun_seg_has_it(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_png(tmp_path / "a" / "b.png", values)
    with Image.open(tmp_path / "a" / "b.png") as image:
        assert (image.format, image.mode) == ("PNG", "L")
        np.testing.assert_array_equal(np.asarray(image), values)
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.png"]


FOLDERS = [
    ("nothing", [], "holds no PNG files$"),
    ("no mask", ["3.gif", "notes.txt", "a.json"], r"holds no PNG files, but \*.gif files, \*.json files: save"),
    ("a stranger", ["9.png"], "9.png: is not a frame of 'case1/part2'; name it like the frame: by its .* or remove it"),
    ("two lesions", ["000002_1.png", "000002_2.png"], "000002_1.png: has several numbers that may be the frame; name"),
    ("two other videos", ["a_2.png", "b_3.png"], r"holds masks of several videos \('a', 'b'\).* like 'case1/part2'"),
    ("two of one frame", ["2.png", "frame2.png"], "frame2.png: 2.png is a mask of the same frame"),
]


@pytest.mark.parametrize(("_", "names", "message"), FOLDERS, ids=[case[0] for case in FOLDERS])
def test_refused(tmp_path: Path, clip: ClipInfo, _: str, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=message):
        read_png_folder(tmp_path, clip)


# the files, their frames, what is left out, the notes before that on values
OF_VIDEOS = [
    ("of two videos", ["part2_3.png", "other_4.png", "other_5.png"], [3], {"masks of the video 'other'": 2}, []),
    ("of another one", ["other_3.png"], [3], {}, ["its masks are named after 'other', not after 'case1/part2'"]),
    ("uploads of Label Studio", ["3f25a7c1-frame_3.png", "12345678-frame_4.png"], [3, 4], {}, []),
    ("marks before the names", ["mask_part2_3.png", "gt_4.png"], [3, 4], {}, []),
    ("of the clip", ["part2_3.png", "4.png", "frame_5.png"], [3, 4, 5], {}, []),
    ("other files", ["3.png", "4.gif", "5.gif", ".hidden", "notes.txt"], [3], {"*.gif files": 2}, []),
]


@pytest.mark.parametrize(
    ("names", "frames", "left_out", "notes"), [case[1:] for case in OF_VIDEOS], ids=[case[0] for case in OF_VIDEOS]
)
def test_what_is_taken_is_said(
    tmp_path: Path, clip: ClipInfo, names: list[str], frames: list[int], left_out: dict[str, int], notes: list[str]
) -> None:
    for name in names:
        write_png(tmp_path / name, np.eye(*clip.size, dtype=np.uint8) * 255)
    masks = read_png_folder(tmp_path, clip)
    assert list(masks) == frames and masks.reading.left_out == left_out and masks.reading.notes[:-1] == notes


# the mask of the frame C1_1.jpg
OF_FILES = ["C1_1.png", "C1_1_mask.png", "C1_1_mask.jpg.png", "mask_C1_1.png", "c1_1.png", "C1_1_jpg.rf.0a1b2c.png"]
FILES = ClipInfo("case1", (60, 80), frame_count=3, files={0: "C1_0.jpg", 1: "C1_1.jpg", 2: "C1_1_gt.jpg"})


@pytest.mark.parametrize("name", OF_FILES)
def test_masks_of_frames_that_are_files_are_found_as_in_training(tmp_path: Path, name: str) -> None:
    for file in (name, "C1_1_gt.png"):
        Image.fromarray(np.eye(60, 80, dtype=np.uint8) * 255).save(tmp_path / file)
    assert list(read_png_folder(tmp_path, FILES)) == [1, 2]


@pytest.mark.parametrize(("names", "message"), [
    (["C1_1.png", "C1_1_mask.png"], "C1_1.png: C1_1_mask.png is a mask of the same frame, C1_1.jpg; remove one"),
    (["C1_1.png", "C1_1_jpg.rf.0a.png"], "C1_1_jpg.rf.0a.png: C1_1.png is a mask of the same frame; remove one"),
    (["C1_2.png"], "C1_2.png: is not a frame of 'case1'; name it like the frame, or remove it"),
    (["1.png"], "1.png: is not a frame of 'case1'"),
])  # fmt: skip
def test_masks_that_fit_no_frame_or_one_twice_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for file in names:
        (tmp_path / file).touch()
    with pytest.raises(InputError, match=message):
        read_png_folder(tmp_path, FILES)


def test_refused_on_access(tmp_path: Path, clip: ClipInfo) -> None:
    write_png(tmp_path / "1.png", np.zeros((80, 60), np.uint8))
    (tmp_path / "2.png").write_bytes(b"no image")
    masks = read_png_folder(tmp_path, clip)
    with pytest.raises(InputError, match=r"1.png: is 60x80 \(width x height\), the frames of 'case1/part2' are 80x60"):
        masks[1]
    with pytest.raises(InputError, match=r"2.png: cannot be read"):
        masks[2]
    with pytest.raises(InputError, match="no such folder"):
        read_png_folder(tmp_path / "none", clip)


# how the masks of 1 and 2 in a square are drawn, what a person chooses, which value is polyp
CHOICES = [
    ("0 and 1", lambda labels: Image.fromarray(labels // 2), None, 2),
    ("a palette", lambda labels: _with_palette(labels // 2), None, 2),
    ("classes", Image.fromarray, "2", 2),
    ("a mapping", Image.fromarray, {"2": "polyp", "1": None}, 2),
    ("a threshold", Image.fromarray, {">1": "polyp", "<1": None}, 2),
    ("a label of labelmap.txt", lambda labels: _with_palette(labels), {"polyp": "polyp"}, 1),
    ("its polyp", lambda labels: _with_palette(labels), None, 1),
]


def _with_palette(labels: np.ndarray) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 250, 50, 83, 0, 255, 0])
    return image


@pytest.mark.parametrize(("draw", "choice", "polyp"), [case[1:] for case in CHOICES], ids=[case[0] for case in CHOICES])
def test_what_is_polyp_is_found_or_chosen(tmp_path: Path, clip: ClipInfo, draw: Any, choice: Any, polyp: int) -> None:
    labels = np.zeros(clip.size, np.uint8)
    labels[10:20, 10:20], labels[30:40, 30:40] = 1, 2
    for number in (1, 2):
        draw(labels).save(tmp_path / f"{number}.png")
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\npolyp:250,50,83::\ninstrument:0,255,0::\n")
    masks = read_png_folder(tmp_path, clip, choice)
    for index in masks:
        np.testing.assert_array_equal(masks[index], labels == polyp)
    (note,) = masks.reading.notes
    assert note.startswith("in the masks, ")


def test_unclear_masks_are_refused_and_black_ones_are_empty(tmp_path: Path, clip: ClipInfo) -> None:
    write_png(tmp_path / "1.png", np.zeros(clip.size, np.uint8))
    assert not read_png_folder(tmp_path, clip)[1].any()
    labels = np.zeros(clip.size, np.uint8)
    labels[10:20, 10:20], labels[30:40, 30:40] = 1, 2
    write_png(tmp_path / "2.png", labels)
    with pytest.raises(UnclearLabels, match=r"they hold 0, 1, 2\. Give labels, such as 1") as caught:
        read_png_folder(tmp_path, clip)
    assert caught.value.details == {"labels": {"0": 1, "1": 1, "2": 1}}


def test_uploads_of_frames_are_found(tmp_path: Path) -> None:
    """Label Studio's code is taken off, unless a frame has this very name."""
    clip = ClipInfo("case1", (4, 4), frame_count=2, files={0: "img1.jpg", 1: "3f25a7c1-img1.jpg"})
    for name in ("3f25a7c1-img1.png", "ab12cd33-img1.png"):
        write_png(tmp_path / name, np.diag([255] * 4).astype(np.uint8))
    assert list(read_png_folder(tmp_path, clip)) == [0, 1]


@pytest.mark.parametrize("labels", ["1,2", "[1,2]", "rgb(250,50,83), rgb(61, 61, 245)"])
def test_labels_are_given_as_the_refusal_says(tmp_path: Path, clip: ClipInfo, labels: str) -> None:
    values = np.zeros(clip.size, np.uint8)
    values[10:20, 10:20], values[30:40, 30:40], values[30:40, 60:70] = 1, 2, 3
    mask = Image.fromarray(values, "P")
    mask.putpalette([0, 0, 0, 250, 50, 83, 61, 61, 245, 90, 90, 90])
    mask.save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"Give labels, such as 1 .*\[1,2\], rgb\(250,50,83\)"):
        read_png_folder(tmp_path, clip)
    np.testing.assert_array_equal(read_png_folder(tmp_path, clip, parse_labels(labels))[1], (values > 0) & (values < 3))


def test_a_refused_label_is_called_so(tmp_path: Path, clip: ClipInfo) -> None:
    write_png(tmp_path / "1.png", np.eye(*clip.size, dtype=np.uint8))
    with pytest.raises(InputError, match=r"labels='polip' is not a value of a mask"):
        read_png_folder(tmp_path, clip, parse_labels("polip"))
