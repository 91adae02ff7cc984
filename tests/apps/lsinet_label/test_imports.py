"""Masks come back from other tools. What an import changes is said before, and nothing else changes."""

from __future__ import annotations

import io
import json
import logging
import zipfile

import numpy as np
import pytest
from lib.errors import Conflict
from lib.exports import FORMATS, write_masks
from lib.imports import import_masks
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.formats import UnclearLabels, parse_labels
from tests.apps.lsinet_label.two_lesions import two

SIZE = (64, 80)
VIDEO = "p1_a.frames"

pytestmark = pytest.mark.usefixtures("two_lesions")


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_masks_that_come_back_unchanged_correct_nothing(video, open_store, tmp_path, name):
    path = tmp_path / f"masks{FORMATS[name].suffix}"
    write_masks(video, name, path)
    assert import_masks(video, path, "eve", open_store()).changed == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_masks_that_were_drawn_elsewhere_become_corrections(video, open_store, tmp_path, name):
    path = tmp_path / f"masks{FORMATS[name].suffix}"
    video.save_correction(1, two(6), "ann")
    write_masks(video, name, path)
    video.take_back(1, "ann")
    assert import_masks(video, path, "eve", open_store()).changed == [1]
    labels = video.mask(1).labels
    for lesion in (2, 5):
        both = (labels == lesion) & (two(6) == lesion)
        assert both.sum() > 0.95 * ((labels == lesion) | (two(6) == lesion)).sum()
    assert video.corrections[1].user == "eve"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../../003.png": b"x", "003.png": b"x"}, "two files named 003.png"),
        ({f"{i}.png": b"x" for i in range(13)}, "more or larger masks"),
        ({"nobody.png": b"x"}, "nobody.png: is not a frame of 'p1_a.frames'; name it like the frame, or remove it"),
        ({"003.png": b"x"}, "cannot be read as an image"),
        ({"readme.txt": b"x"}, "holds no PNG files"),
        ({"masks/003.gif": b"x"}, r"the archive holds no PNG files, but \*.gif files"),
    ],
)
def test_bad_archives(video, open_store, tmp_path, entries, message):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    before = video.corrections
    with pytest.raises(InputError, match=message):
        import_masks(video, tmp_path / "bad.zip", "eve", open_store())
    assert video.corrections == before


@pytest.mark.parametrize("kind", FORMATS.values())
def test_files_of_another_kind(video, open_store, tmp_path, kind):
    path = tmp_path / f"bad{kind.suffix}"
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="file"):
        import_masks(video, path, "eve", open_store())


def test_a_final_video_imports_nothing(video, open_store, tmp_path):
    path = tmp_path / "masks.json"
    video.save_correction(1, two(6), "ann")
    write_masks(video, "coco", path)
    video.take_back(1, "ann")
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="final"):
        import_masks(video, path, "eve", open_store())


def coco(tmp_path, *annotations, categories=("polyp", "tool"), images=range(12)):
    """A COCO file of somebody else's; an annotation is (frame, category) and covers a square."""
    content = {
        "images": [
            {"id": index, "file_name": f"{index:03d}.png", "height": SIZE[0], "width": SIZE[1]} for index in images
        ],
        "categories": [{"id": id, "name": name} for id, name in enumerate(categories)],
        "annotations": [
            {"id": id, "image_id": frame, "category_id": categories.index(category), "segmentation": [SQUARE]}
            for id, (frame, category) in enumerate(annotations)
        ],
    }
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(content))
    return path


SQUARE = [40, 10, 60, 10, 60, 30, 40, 30]


def test_an_import_says_what_it_does(video, open_store, tmp_path, caplog):
    path = coco(tmp_path, (0, "polyp"), (3, "polyp"), (4, "tool"), images=[0, 3, 4, 5, 8])
    before = video.corrections
    would = import_masks(video, path, "eve", open_store(), dry_run=True)
    assert video.corrections == before
    with caplog.at_level(logging.INFO):
        report = import_masks(video, path, "eve", open_store())
    assert report == would and set(video.corrections) == {0, 3, 5, 6}
    assert (report.drawn, report.emptied, report.replaced, report.unchanged, report.unspoken) == (
        [0, 3],
        [5],
        [3],
        1,
        7,
    )
    answer = report.as_answer()
    assert answer["frames"] == 3 and answer["corrected"] == [0, 3, 5] and answer["left_alone"] == [4]
    assert answer["labels"] == {"polyp": 2} and answer["all_labels"] == {"polyp": 2, "tool": 1}
    assert answer["summary"] == [
        "masks set: frames 0, 3",
        'marked as "no polyp": frame 5, which have a mask now',
        "corrections of people replaced: frame 3",
        "agree with the file: 1 frame",
        "not in the file, and left as they are: 7 frames",
        "taken as polyps: polyp (2)",
        "left out: category 'tool' (1)",
        "left alone, since the file shows only what was left out: frame 4",
    ]
    assert "eve imports masks: masks set: frames 0, 3; marked as" in caplog.text


def test_lesions_without_ids_take_those_that_they_overlap(video, open_store, tmp_path):
    import_masks(video, coco(tmp_path, (0, "polyp"), images=[0]), "eve", open_store())
    assert np.unique(video.mask(0).labels).tolist() == [0, 6]
    other = coco(tmp_path, (1, "polyp"), images=[1])
    other.write_text(other.read_text().replace(str(SQUARE), str([12, 10, 30, 10, 30, 26, 12, 26])))
    import_masks(video, other, "eve", open_store())
    assert np.unique(video.mask(1).labels).tolist() == [0, 2]


def test_a_file_without_a_polyp_needs_a_word(video, open_store, tmp_path):
    path = coco(tmp_path)
    before = video.corrections
    with pytest.raises(InputError, match=r"no polyp in any frame, so frames 0 to 5 would lose .* empty=true"):
        import_masks(video, path, "eve", open_store())
    assert video.corrections == before
    report = import_masks(video, path, "eve", open_store(), dry_run=True)
    assert "the file shows no polyp in any frame" in report.lines() and report.as_answer()["needs_empty"]
    assert import_masks(video, path, "eve", open_store(), empty=True).emptied == [0, 1, 2, 3, 4, 5]


def test_unclear_labels_are_a_question(video, open_store, tmp_path):
    path = coco(tmp_path, (0, "adenoma"), (1, "tool"), categories=("adenoma", "tool"), images=[0, 1])
    with pytest.raises(UnclearLabels, match=f"^{VIDEO}: the file: does not say which labels are polyps") as caught:
        import_masks(video, path, "eve", open_store())
    assert caught.value.details == {"labels": {"adenoma": 1, "tool": 1}}
    assert import_masks(video, path, "eve", open_store(), labels="adenoma").changed == [0]
    known = {"adenoma": "polyp", "tool": None}
    assert import_masks(video, path, "eve", open_store(), labels=known).emptied == [1]


def test_a_mask_that_does_not_fit_changes_nothing(video, open_store, tmp_path):
    path = coco(tmp_path, (0, "polyp"), (1, "polyp"))
    content = json.loads(path.read_text())
    content["annotations"][1]["segmentation"] = [[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]]
    path.write_text(json.dumps(content))
    before = video.corrections
    with pytest.raises(InputError, match=f"^{VIDEO}: the file: annotation 1: .*export them in pixels"):
        import_masks(video, path, "eve", open_store())
    content["annotations"][1] |= {"segmentation": [SQUARE]}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="lesions have ids up to 255, and this file needs 1, up to 300; with labels=N"):
        import_masks(video, path, "eve", open_store(), labels={"polyp": 300})
    assert video.corrections == before


def png(value=255):
    file = io.BytesIO()
    Image.fromarray((two() > 0).astype(np.uint8) * value).save(file, "PNG")
    return file.getvalue()


ARCHIVES = [
    ("a folder of masks next to one of frames", {"images/008.jpg": b"x", "masks/008.png": png()}, [8], 1),
    ("CVAT's folders", {"SegmentationClass/008.png": png(), "SegmentationObject/008.png": png(1)}, [8], 1),
    ("two videos", {"p1_a/008.png": png(), "p2/009.png": png()}, [8], 1),
    ("a split", {"train/008.png": png(), "val/009.png": png()}, [8, 9], 0),
    ("another name", {"other/008.png": png()}, [8], 0),
    ("a picture of another kind", {"008.png": png(), "009.gif": b"x"}, [8], 1),
    ("a folder that begins like the video", {"p1_a_2/008.png": png()}, [8], 0),
    ("its folder and a similar one", {"p1_a/008.png": png(), "p1_a_2/009.png": png()}, [8], 1),
    ("marks of masks", {"mask_008.png": png(), "009_mask.png": png()}, [8, 9], 0),
    ("our own list of corrections", {"008.png": png(), "corrections.json": b"[]"}, [8], 0),
    (
        "two similar folders",
        {"masks/p1_a_2/008.png": png(), "masks/p1_a_3/009.png": png()},
        "masks in several folders ('masks/p1_a_2', 'masks/p1_a_3')",
        0,
    ),
    ("no folder and another", {"008.png": png(), "b/009.png": png()}, "several folders (no folder, 'b')", 0),
    ("two videos of other names", {"a/008.png": png(), "b/009.png": png()}, "masks in several folders ('a', 'b')", 0),
    ("two videos with equal names", {"a/008.png": png(), "b/008.png": png()}, "two files named 008.png ('a', 'b')", 0),
]


NOTES = {
    "a split": ["masks of several folders are taken together: 'train', 'val'"],
    "another name": ["its masks are in the folder 'other', which is not named like 'p1_a.frames'"],
    "a folder that begins like the video": [
        "its masks are in the folder 'p1_a_2', which is not named like 'p1_a.frames'"
    ],
}


@pytest.mark.parametrize(("_", "entries", "expected", "left_out"), ARCHIVES, ids=[case[0] for case in ARCHIVES])
def test_folders_of_archives(video, open_store, tmp_path, _, entries, expected, left_out):
    path = tmp_path / "masks.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    if isinstance(expected, str):
        with pytest.raises(InputError) as caught:
            import_masks(video, path, "eve", open_store())
        assert expected in str(caught.value)
        return
    report = import_masks(video, path, "eve", open_store())
    assert report.changed == expected and sum(report.reading.left_out.values()) == left_out
    assert report.reading.notes[:-1] == NOTES.get(_, [])
    assert all(((video.mask(frame).labels > 0) == (two() > 0)).all() for frame in expected)


# names of masks in the archive of a video of two frames, the frames that are taken or the refusal, what is left out
FLAT_ARCHIVES = [
    ("two videos", ["clip_0", "clip_1", "other_0", "other_1"], [0, 1], {"masks of the video 'other'": 2}),
    ("in a folder", ["masks/clip_1", "masks/other_0"], [1], {"masks of the video 'other'": 1}),
    (
        "uploads of Label Studio",
        ["3f25a7c1-clip_0", "12345678-1", "8765432a-other_0"],
        [0],
        {"masks of the video 'other'": 1, "masks without a video name, which may be of any of these videos": 1},
    ),
    ("two other videos", ["a_0", "b_1"], "the archive holds masks of several videos ('a', 'b')", {}),
    ("two lesions", ["000001_1", "000001_2"], "000001_1.png: has several numbers that may be the frame; name", {}),
]


@pytest.mark.parametrize(
    ("names", "expected", "left_out"), [case[1:] for case in FLAT_ARCHIVES], ids=[case[0] for case in FLAT_ARCHIVES]
)
def test_names_of_the_masks_of_a_video(studies, open_store, tmp_path, names, expected, left_out):
    images = [Image.fromarray(np.full(SIZE, value, np.uint8)) for value in (50, 90)]
    images[0].save(studies / "clip.gif", save_all=True, append_images=images[1:])
    video = open_store()["clip.gif"]
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for name in names:
            archive.writestr(f"{name}.png", png())
    if isinstance(expected, str):
        with pytest.raises(InputError) as caught:
            import_masks(video, tmp_path / "masks.zip", "eve", open_store())
        assert expected in str(caught.value)
        return
    report = import_masks(video, tmp_path / "masks.zip", "eve", open_store())
    assert report.drawn == expected and report.reading.left_out == left_out and len(report.reading.notes) == 1


def png_of(draw):
    file = io.BytesIO()
    draw((two() > 0).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def with_palette(indices):
    image = Image.fromarray(indices)
    image.putpalette([0, 0, 0, 250, 50, 83, 0, 255, 0])
    return image


def with_instrument(mask):
    mask[:5, :5] = 2
    return with_palette(mask)


# how masks are drawn, what else lies in the archive, what a person chooses
VALUES = [
    ("0 and 1", Image.fromarray, {}, None),
    ("0 and 128", lambda mask: Image.fromarray(mask * 128), {}, None),
    ("a palette", with_palette, {}, None),
    ("CVAT's labelmap", with_instrument, {"labelmap.txt": b"polyp:250,50,83::\ninstrument:0,255,0::\n"}, None),
    ("Roboflow's classes", with_instrument, {"_classes.csv": b"Pixel Value, Class\n1, polyp\n2, instrument\n"}, None),
    ("labelme's classes", with_instrument, {"class_names.txt": b"_background_\npolyp\ninstrument\n"}, None),
    ("a class", with_instrument, {"class_names.txt": b"_background_\nadenoma\ntool\n"}, "adenoma"),
    (
        "Supervisely's classes",
        lambda mask: Image.fromarray(mask + (mask > 0)),
        {"obj_class_to_machine_color.json": b'{"tool": [1, 1, 1], "polyp": [2, 2, 2]}'},
        None,
    ),
    ("a choice", with_instrument, {}, "1"),
    ("a chosen colour", lambda mask: with_instrument(mask).convert("RGB"), {}, "rgb(250 50 83)"),
]


@pytest.mark.parametrize(("draw", "others", "labels"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES])
def test_masks_of_any_values_are_what_people_drew(video, open_store, tmp_path, draw, others, labels):
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for name, content in {**others, "003.png": png_of(draw), "008.png": png_of(draw)}.items():
            archive.writestr(name, content)
    chosen = None if labels is None else parse_labels(labels)
    report = import_masks(video, tmp_path / "masks.zip", "eve", open_store(), chosen)
    assert report.drawn == [3, 8] and not report.emptied
    assert all(((video.mask(frame).labels > 0) == (two() > 0)).all() for frame in (3, 8))
    assert any(line.startswith("in the masks, ") for line in report.lines()) and not report.reading.left_out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("_classes.csv", b"Pixel Value, Class\n0, background\n1, instrument\n"),
        ("class_names.txt", b"_background_\ninstrument\n"),
        ("class_names.txt", b"instrument\npolyp\n"),
        ("obj_class_to_machine_color.json", b'{"instrument": [1, 1, 1]}'),
    ],
)
def test_an_instrument_is_no_polyp(video, open_store, tmp_path, name, content):
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.writestr(f"train/{name}", content)
        archive.writestr("train/masks/003.png", png_of(Image.fromarray))
    with pytest.raises(InputError, match=rf"what is polyp in the masks is not clear: .*{name} .*Give labels"):
        import_masks(video, tmp_path / "masks.zip", "eve", open_store())


def test_the_nearest_class_list_of_an_archive_counts(video, open_store, tmp_path):
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.writestr("a/labelmap.txt", b"polyp:0,255,0::\ntool:250,50,83::\n")
        archive.writestr(f"{video.info.clip.name}/labelmap.txt", b"polyp:250,50,83::\ntool:0,255,0::\n")
        archive.writestr(f"{video.info.clip.name}/SegmentationClass/003.png", png_of(with_instrument))
    import_masks(video, tmp_path / "masks.zip", "eve", open_store())
    assert ((video.mask(3).labels > 0) == (two() > 0)).all()


def test_masks_whose_values_are_not_clear_change_nothing(video, open_store, tmp_path):
    before = dict(video.corrections)
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.writestr("008.png", png_of(with_instrument))
    with pytest.raises(InputError, match=r"what is polyp in the masks is not clear.*2 = rgb\(0,255,0\)\. Give labels"):
        import_masks(video, tmp_path / "masks.zip", "eve", open_store())
    assert dict(video.corrections) == before
