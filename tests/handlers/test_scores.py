from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lsinet_monai.handlers import ClipDiceCurves, WriteReleasedMaps, WriteScores
from lsinet_monai.metrics import ClipDice, ClipScores


def _piece(clip_id: str, label: torch.Tensor, frame_index: int = 0, is_last: bool = True) -> dict[str, Any]:
    return {
        "label": label[None, None],
        "clip_id": [clip_id],
        "frame_index": torch.tensor([frame_index]),
        "is_last": torch.tensor([is_last]),
    }


def _half(frames: int, size: int = 8) -> torch.Tensor:
    """Masks whose left half is polyp, (T, size, size)."""
    label = torch.zeros(frames, size, size)
    label[..., : size // 2] = 1
    return label


def test_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = ClipScores(threshold=0.3)
    for clip_id, sign in (("TestEasyDataset/Unseen/case1", 1), ("TestEasyDataset/Unseen/case2", -1), ("mine/case3", 1)):
        label = _half(3)
        pred = sign * (20 * label - 10)[None, None]
        metric.update((pred, label[None, None], [clip_id], [0], [True]))
    metric.compute()
    engine = Engine(lambda engine, batch: None)
    WriteScores(metric, tmp_path / "new" / "scores.json").attach(engine)
    engine.run([0])
    scores = json.loads((tmp_path / "new" / "scores.json").read_text())["lsinet"]
    unseen = scores["TestEasyDataset/Unseen"]
    assert unseen["dataset"]["dice_at_0.3"] == 0.5
    assert {case: values["dice_at_0.3"] for case, values in unseen["cases"].items()} == {"case1": 1, "case2": 0}
    assert list(scores["all"]["cases"]) == ["mine/case3"]
    assert unseen["dataset"]["false_positives_per_minute"] is None  # there is no frame without a polyp
    out = capsys.readouterr().out
    assert "TestEasyDataset/Unseen (2 clips)" in out and "Dice max" in out and "Dice at 0.3" in out


@pytest.mark.parametrize(("split", "says"), [("TestHardDataset/Seen", True), ("negative", False)])
def test_clips_too_short_for_the_benchmark_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, says: bool
) -> None:
    metric = ClipScores()
    for case, frames in (("short", 2), ("long", 3)):
        label = _half(frames)[None, None]
        metric.update((20 * label - 10, label, [f"{split}/{case}"], [0], [True]))
    metric.compute()
    engine = Engine(lambda engine, batch: None)
    WriteScores(metric, tmp_path / "scores.json").attach(engine)
    engine.run([0])
    out = capsys.readouterr().out
    assert (f"note: too short for the benchmark, which leaves out two frames: {split}/short\n" in out) == says
    assert f"{split}/long" not in out


def test_released_maps_are_stretched_per_frame(tmp_path: Path) -> None:
    clips = [{"clip_id": "a/case1", "image": ["x/frame7.jpg", "x/frame8.jpg", "x/frame9.jpg"]}]
    engine = Engine(lambda engine, batch: {"pred": torch.stack([_half(1)[0] - 9, _half(1)[0] * 0])[None, None]})
    WriteReleasedMaps(clips, tmp_path).attach(engine)
    engine.run([_piece("a/case1", _half(2, size=16), frame_index=1)])
    assert {path.name for path in (tmp_path / "a" / "case1").iterdir()} == {"frame8.png", "frame9.png"}
    with Image.open(tmp_path / "a/case1/frame8.png") as image:
        values = np.array(image)
    assert values.shape == (16, 16)  # the masks' size
    assert values.min() == 0 and values.max() == 255  # of logits from -9 to -8
    with Image.open(tmp_path / "a/case1/frame9.png") as image:
        assert not np.array(image).any()


def test_clip_dice_curves(tmp_path: Path) -> None:
    metric = ClipDice()
    engine = Engine(lambda engine, batch: {"pred": (20 * batch["label"] - 10), "label": batch["label"]})
    metric.attach(engine, "val_mean_dice")
    ClipDiceCurves(metric, tmp_path).attach(engine)
    label = _half(2)[None, None]
    engine.run([{"label": label, "clip_id": ["a/case1"]}, {"label": label, "clip_id": ["case2"]}], max_epochs=2)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["val_dice/a/case1", "val_dice/case2"]
    assert [(event.step, event.value) for event in events.Scalars("val_dice/case2")] == [(1, 1), (2, 1)]
