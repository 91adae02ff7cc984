from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import Clip, ClipPieces, FrameCache, TrainingDataset, TrainingSampler, with_mask_rule
from lsinet_monai.data.mask_files import STANDARD
from lsinet_monai.errors import InputError
from lsinet_monai.metrics import fixed_mask_dice
from lsinet_monai.transforms import training_transforms

SIZE = (32, 32)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Two clips with polyps of value 1 in their upper half, and a clip without masks."""
    paths = []
    for name in ("a", "b", "c", "d"):
        Image.new("RGB", SIZE, (90, 60, 50)).save(tmp_path / f"{name}.jpg")
        mask = np.zeros(SIZE, np.uint8)
        mask[:16] = 1
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
        paths.append(str(tmp_path / name))
    a, b, c, d = paths
    return [
        Clip("case1", [f"{a}.jpg", f"{b}.jpg"], [f"{a}.png", f"{b}.png"]),
        Clip("case2", [f"{c}.jpg"], [f"{c}.png"]),
        Clip("negative/case3", [f"{d}.jpg"], negative=True),
    ]


def test_training_and_validation_see_the_same_mask(clips: list[Clip]) -> None:
    found = with_mask_rule(clips)
    assert [str(clip.mask_rule) for clip in found[:2]] == ["1 is polyp, 0 is background"] * 2
    assert found[2] == clips[2]
    validation = [piece["label"].float().mean().item() for piece in ClipPieces(found, 32)]
    for cache in (None, FrameCache(found, max_gb=1).fill(progress=False)):
        dataset = TrainingDataset(found, training_transforms(32, augment=False, cache=cache))
        training = [dataset[sample]["label"].mean().item() for sample in TrainingSampler(found, shuffle=False)]
        assert training == [0.5, 0.5, 0.5, 0.0]
    assert validation == [0.5, 0.5, 0.0]
    assert fixed_mask_dice(found[:1], found[1:2]) == 1


def test_a_person_decides(clips: list[Clip]) -> None:
    (piece, *_) = ClipPieces(with_mask_rule(clips, 0), 32)
    assert not piece["label"][..., :16, :].any() and piece["label"][..., 16:, :].all()
    with pytest.raises(InputError, match="none of the 3 masks shows a polyp"):
        with_mask_rule(clips, 7)


def test_clips_without_masks_stay(clips: list[Clip]) -> None:
    without = [replace(clip, label=None) for clip in clips]
    assert with_mask_rule(without) == without


def test_a_training_records_how_it_reads_unusual_masks(clips: list[Clip]) -> None:
    def settings(clips: list[Clip]) -> object:
        return TrainingDataset(clips, training_transforms(32)).settings.get("masks")

    assert settings(clips) is None
    assert settings(with_mask_rule(clips)) == "1 is polyp, 0 is background"
    with_white = [replace(clip, mask_rule=STANDARD) for clip in clips]
    assert settings(with_white) is None
