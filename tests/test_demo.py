"""The demo's network on the phantom's held-out clips, after the first of its three epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsinet_monai.data import ClipPieces, read_split
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.metrics import ClipDice, fixed_mask_dice
from lsinet_monai.networks import load_checkpoint


@pytest.mark.slow
def test_it_beats_the_best_fixed_mask(demo_model: Path) -> None:
    network, image_size = load_checkpoint(demo_model)
    phantom = demo_model.parent / "phantom"
    held_out = read_split(phantom, "TestEasyDataset/Unseen")
    inferer, metric = SequentialVideoInferer(), ClipDice()
    for piece in ClipPieces(held_out, image_size):
        logits = inferer(piece["image"], network, piece["clip_id"], piece["frame_index"], piece["is_last"])
        metric.update((logits, piece["label"], piece["clip_id"]))
    fixed = fixed_mask_dice(read_split(phantom, "TrainDataset"), held_out)
    assert metric.compute() >= fixed + 0.25, (
        "if an earlier version made demo/tests/, remove that folder and run this test again"
    )
