"""Masks of several lesions go to other tools; ``test_imports.py`` reads them back."""

from __future__ import annotations

import json
import zipfile

import pytest
from lib.exports import write_masks

pytestmark = pytest.mark.usefixtures("two_lesions")


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
