"""Masks of several lesions go to other tools; ``test_imports.py`` reads them back."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from lib.import_export import write_masks

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
