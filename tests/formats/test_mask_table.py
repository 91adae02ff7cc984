"""Masks in a Parquet table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, read_mask_table, write_mask_table

coco_masks = pytest.importorskip("pycocotools.mask", reason='pycocotools is missing: pip install ".[archive]"')
parquet = pytest.importorskip("pyarrow.parquet", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci

CLIP = ClipInfo("a", (6, 8), frame_count=5, seconds={0: 0.0, 2: 0.08, 4: 0.16})


def _labels(*boxes: tuple[int, slice, slice]) -> np.ndarray:
    labels = np.zeros(CLIP.size, np.int32)
    for lesion, rows, columns in boxes:
        labels[rows, columns] = lesion
    return labels


FRAMES = {
    0: _labels((7, slice(1, 3), slice(0, 4))),
    2: _labels(),
    4: _labels((7, slice(0, 2), slice(0, 3)), (9, slice(4, 6), slice(5, 8))),
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with write_mask_table(tmp_path / "masks.parquet", CLIP) as add:
        for index, labels in FRAMES.items():
            add(index, labels, {7: {"score": 0.75}})
    return tmp_path / "masks.parquet"


def test_a_row_per_frame_and_lesion(table: Path) -> None:
    rows = parquet.read_table(table).to_pylist()
    assert [(row["frame"], row["lesion"], row["area"]) for row in rows] == [(0, 7, 8), (4, 7, 6), (4, 9, 6)]
    assert [(row["seconds"], row["score"]) for row in rows] == [(0.0, 0.75), (0.16, 0.75), (0.16, None)]
    for row in rows:
        mask = coco_masks.decode({"size": [row["height"], row["width"]], "counts": row["counts"].encode()})
        assert np.array_equal(mask, FRAMES[row["frame"]] == row["lesion"])


def test_the_masks_of_frames_are_read_back(table: Path) -> None:
    found = {index: coco_masks.decode(code) for index, code in read_mask_table(table)}
    assert list(found) == [0, 4]
    for index, mask in found.items():
        assert np.array_equal(mask, FRAMES[index] > 0)


def test_a_clip_without_lesions_has_an_empty_table(tmp_path: Path) -> None:
    with write_mask_table(tmp_path / "masks.parquet", CLIP) as add:
        add(0, FRAMES[2], {})
    assert list(read_mask_table(tmp_path / "masks.parquet")) == []


def test_nothing_is_left_of_an_interrupted_table(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), write_mask_table(tmp_path / "masks.parquet", CLIP) as add:
        add(0, FRAMES[0], {})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "masks.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"masks\.parquet: cannot be read as a table of masks"):
        list(read_mask_table(tmp_path / "masks.parquet"))
