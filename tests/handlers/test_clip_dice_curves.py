from __future__ import annotations

from pathlib import Path

import torch
from ignite.engine import Engine
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lsinet_monai.handlers import ClipDiceCurves
from lsinet_monai.metrics import ClipDice


def test_clip_dice_curves(tmp_path: Path) -> None:
    metric = ClipDice()
    engine = Engine(lambda engine, batch: {"pred": (20 * batch["label"] - 10), "label": batch["label"]})
    metric.attach(engine, "val_mean_dice")
    ClipDiceCurves(metric, tmp_path).attach(engine)
    label = torch.ones(1, 1, 2, 8, 8)
    engine.run([{"label": label, "clip_id": ["a/case1"]}, {"label": label, "clip_id": ["case2"]}], max_epochs=2)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["val_dice/a/case1", "val_dice/case2"]
    assert [(event.step, event.value) for event in events.Scalars("val_dice/case2")] == [(1, 1), (2, 1)]
