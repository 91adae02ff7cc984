from __future__ import annotations

from typing import Any

import pytest
from ignite.engine import Engine, Events

from lsinet_monai.handlers import TrainingProgress


@pytest.mark.parametrize("metrics", [None, [0.5, 0.7512]])
def test_training_progress(capsys: pytest.CaptureFixture[str], metrics: list[float] | None) -> None:
    def step(engine: Engine, batch: float) -> dict[str, Any]:
        return {"curves": {"train_loss": batch}}

    def validate(engine: Engine) -> None:
        evaluator.state.metrics["val_mean_dice"] = (metrics or [])[engine.state.epoch - 1]

    trainer, evaluator = Engine(step), Engine(lambda engine, batch: None)
    if metrics is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    TrainingProgress(evaluator).attach(trainer)
    trainer.run([0.5, 0.25], max_epochs=2)
    last = capsys.readouterr().err.rstrip().rpartition("\r")[2]
    assert all(text in last for text in ("training: 100%", "4/4", "epoch=2", "loss=0.250"))
    assert ("dice=0.751" in last) == (metrics is not None)
