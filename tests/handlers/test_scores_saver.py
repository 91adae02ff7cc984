from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from lsinet_monai.handlers import ScoresSaver
from lsinet_monai.metrics import ClipScores


def _half(frames: int) -> torch.Tensor:
    """Masks whose left half is polyp, (T, 8, 8)."""
    label = torch.zeros(frames, 8, 8)
    label[..., :4] = 1
    return label


def test_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = ClipScores(threshold=0.3)
    for clip_id, sign in (("TestEasyDataset/Unseen/case1", 1), ("TestEasyDataset/Unseen/case2", -1), ("mine/case3", 1)):
        label = _half(3)
        pred = sign * (20 * label - 10)[None, None]
        metric.update((pred, label[None, None], [clip_id], [0], [True]))
    metric.compute()
    engine = Engine(lambda engine, batch: None)
    ScoresSaver(metric, tmp_path / "new" / "scores.json", settings={"model_sha256": "0a1b"}).attach(engine)
    engine.run([0])
    scores = json.loads((tmp_path / "new" / "scores.json").read_text())["lsinet"]
    summary = json.loads((tmp_path / "new" / "summary.json").read_text())
    assert summary == {"settings": {"model_sha256": "0a1b"}}
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
    ScoresSaver(metric, tmp_path / "scores.json").attach(engine)
    engine.run([0])
    out = capsys.readouterr().out
    assert (f"note: too short for the benchmark, which leaves out two frames: {split}/short\n" in out) == says
    assert f"{split}/long" not in out
