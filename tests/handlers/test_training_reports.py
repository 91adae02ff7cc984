from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lsinet_monai.handlers import TrainingReports
from lsinet_monai.metrics import ClipDice


def _train(folder: Path) -> None:
    """Two epochs of two steps, each with a validation of one clip without frames to show."""

    def step(engine: Engine, batch: int) -> dict[str, object]:
        return {"curves": {"train_loss": 1.0 / engine.state.iteration}, "loss": 0.0}

    metric = ClipDice()
    evaluator = Engine(lambda engine, batch: None)

    @evaluator.on(Events.EPOCH_COMPLETED)
    def _score(engine: Engine) -> None:
        metric.per_clip = {"case1": 0.5}
        engine.state.metrics["val_mean_dice"] = 0.5

    trainer = Engine(step)
    TrainingReports(folder, evaluator, metric).attach(trainer)
    batch = {"frame_index": torch.tensor([1])}
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: evaluator.run([batch], engine.state.epoch))
    trainer.run([0, 1], max_epochs=2)


def _scalars(folder: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for path in folder.glob("events.*"):
        events = EventAccumulator(str(path)).Reload()
        found |= {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found


def test_curves_of_the_training_and_its_validations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _train(tmp_path)
    scalars = _scalars(tmp_path)
    assert scalars["train_loss"] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert scalars["val_mean_dice"] == scalars["val_dice/case1"] == [0.5, 0.5]
    assert "4/4" in capsys.readouterr().err


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    _train(tmp_path)
    assert not list(tmp_path.iterdir())
