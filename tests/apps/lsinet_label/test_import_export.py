"""Masks of several lesions go to other tools and come back."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from lib.errors import Conflict
from lib.import_export import FORMATS, read_masks, write_masks

from lsinet_monai.errors import InputError

SIZE = (64, 80)
VIDEO = "p1_a.frames"


def two(shift=0, ids=(2, 5)):
    labels = np.zeros(SIZE, np.uint8)
    labels[8 + shift : 28 + shift, 10:30] = ids[0]
    labels[30:60, 50:75] = ids[1]
    return labels


@pytest.fixture
def video(open_store):
    """Two lesions in frames 0 to 5, one of them corrected; frame 6 says no polyp."""
    stored = open_store()[VIDEO]
    stored.begin_annotation()
    for frame in range(6):
        stored.write_prediction("predicted", frame, two(), scores=0.9, uncertainty=0.1)
    stored.end_annotation("model")
    stored.save_correction(3, two(4), "ann")
    stored.save_correction(6, np.zeros(SIZE, np.uint8), "bob")
    return stored


@pytest.mark.parametrize("name", FORMATS)
def test_masks_that_come_back_unchanged_correct_nothing(video, open_store, tmp_path, name):
    path = tmp_path / f"masks{FORMATS[name].suffix}"
    write_masks(video, name, path)
    assert read_masks(video, path, "eve", open_store()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_masks_that_were_drawn_elsewhere_become_corrections(video, open_store, tmp_path, name):
    path = tmp_path / f"masks{FORMATS[name].suffix}"
    video.save_correction(1, two(6), "ann")
    write_masks(video, name, path)
    video.take_back(1, "ann")
    assert read_masks(video, path, "eve", open_store()) == [1]
    labels = video.mask(1).labels
    for lesion in (2, 5):
        both = (labels == lesion) & (two(6) == lesion)
        assert both.sum() > 0.95 * ((labels == lesion) | (two(6) == lesion)).sum()
    assert video.corrections[1].user == "eve"


def test_the_models_own_masks(video, tmp_path):
    write_masks(video, "coco", tmp_path / "masks.json", original=True)
    content = json.loads((tmp_path / "masks.json").read_text())
    assert {entry["attributes"]["source"] for entry in content["annotations"]} == {"model"}
    first, fourth = (
        next(e["segmentation"] for e in content["annotations"] if e["image_id"] == image) for image in (1, 4)
    )
    assert first == fourth


def test_files_say_who_corrected(video, tmp_path):
    write_masks(video, "coco", tmp_path / "masks.json")
    annotations = json.loads((tmp_path / "masks.json").read_text())["annotations"]
    corrected = [entry["attributes"] for entry in annotations if entry["attributes"]["source"] == "person"]
    assert {entry["corrected_by"] for entry in corrected} == {"ann"} and corrected[0]["corrected_at"].endswith("Z")
    write_masks(video, "png", tmp_path / "masks.zip")
    corrections = json.loads(zipfile.ZipFile(tmp_path / "masks.zip").read("corrections.json"))
    assert [(entry["file"], entry["user"], entry["lesions"]) for entry in corrections] == [
        ("003.png", "ann", [2, 5]),
        ("006.png", "bob", []),
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../../003.png": b"x", "003.png": b"x"}, "two files named 003.png"),
        ({f"{i}.png": b"x" for i in range(13)}, "more or larger masks"),
        ({"nobody.png": b"x"}, "no frame of this name"),
        ({"003.png": b"x"}, "cannot be read as an image"),
        ({"readme.txt": b"x"}, "holds no PNG files"),
    ],
)
def test_bad_archives(video, open_store, tmp_path, entries, message):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    before = video.corrections
    with pytest.raises(InputError, match=message):
        read_masks(video, tmp_path / "bad.zip", "eve", open_store())
    assert video.corrections == before


@pytest.mark.parametrize("kind", FORMATS.values())
def test_files_of_another_kind(video, open_store, tmp_path, kind):
    path = tmp_path / f"bad{kind.suffix}"
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="file"):
        read_masks(video, path, "eve", open_store())


def test_a_final_video_imports_nothing(video, open_store, tmp_path):
    path = tmp_path / "masks.json"
    video.save_correction(1, two(6), "ann")
    write_masks(video, "coco", path)
    video.take_back(1, "ann")
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="final"):
        read_masks(video, path, "eve", open_store())
