from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import read_mask, read_split
from lsinet_monai.metrics import best_fixed_mask, fixed_mask_dice, frame_dice


def _write_clip(folder: Path, *masks: np.ndarray) -> dict[str, object]:
    folder.mkdir()
    paths = [folder / f"{index}.png" for index in range(len(masks))]
    for path, mask in zip(paths, masks, strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return {"clip_id": folder.name, "label": [str(path) for path in paths]}


def _columns(count: int, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    return np.broadcast_to(np.arange(size[1]) < count, size)


def test_mean_and_threshold(tmp_path: Path) -> None:
    # The mean is 1 in columns 0-1 and 1/3 in columns 2-3. Clip a wants the first alone (two frames, one clip), clip b
    # both; {0-1} scores (1 + 2/3) / 2 = 5/6, {0-3} (2/3 + 1) / 2 too, and all eight columns less: a tie, lowest first.
    clips = [_write_clip(tmp_path / "a", _columns(2), _columns(2)), _write_clip(tmp_path / "b", _columns(4))]
    mean_mask, threshold = best_fixed_mask(clips, size=(8, 8))
    np.testing.assert_allclose(mean_mask, np.where(_columns(2), 1, np.where(_columns(4), 1 / 3, 0)), atol=1e-6)
    assert threshold == 0
    assert fixed_mask_dice(clips, clips) == pytest.approx(5 / 6, abs=0.02)


def test_threshold_leaves_out_rare_pixels(tmp_path: Path) -> None:
    # {0-1} scores (1 + 1 + 2/5) / 3, all eight columns (2/5 + 2/5 + 1) / 3: the rare wide mask, a mean of 1/3, goes.
    clips = [_write_clip(tmp_path / name, _columns(count)) for name, count in (("a", 2), ("b", 2), ("c", 8))]
    _, threshold = best_fixed_mask(clips, size=(8, 8))
    assert 1 / 3 <= threshold < 1


def test_frames_of_any_size(tmp_path: Path) -> None:
    train = [_write_clip(tmp_path / "a", _columns(8, (16, 16)))]
    test = [_write_clip(tmp_path / "b", _columns(20, (30, 40)), _columns(50, (10, 100)))]
    assert fixed_mask_dice(train, test) == pytest.approx(1, abs=0.03)


def test_empty_masks_score_one(tmp_path: Path) -> None:
    clip = _write_clip(tmp_path / "a", _columns(0))
    assert fixed_mask_dice([clip], [clip]) == 1


@pytest.mark.slow
def test_real_frames(real_data: Path) -> None:
    train, test = read_split(real_data), read_split(real_data, "TestEasyDataset/Unseen")
    assert fixed_mask_dice(train, test) == pytest.approx(0.25, abs=0.01)
    masks = [[read_mask(path) for path in clip["label"]] for clip in test]
    all_polyp = np.mean([np.mean([frame_dice(np.ones_like(mask), mask) for mask in clip]) for clip in masks])
    assert all_polyp == pytest.approx(0.12, abs=0.005)
