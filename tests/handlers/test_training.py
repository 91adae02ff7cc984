from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import ClipGradients, SamplerEpoch, SaveModel, TrainingProgress

# The metric of each validation, and the epochs at which the network is saved.
METRICS = [([0.1, 0.5, 0.3, 0.6], [1, 2, 4]), ([0.5, 0.5, 0.4], [1]), ([0.0], [1])]


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths to which networks were saved, in place of networks."""
    paths: list[Path] = []

    def save(path: Path, network: nn.Module, image_size: int) -> None:
        paths.append(path)
        path.write_text(f"save {len(paths)}")

    monkeypatch.setattr("lsinet_monai.handlers.training.save_checkpoint", save)
    return paths


def _evaluator(metrics: list[float]) -> Engine:
    """An engine whose epochs give these metrics."""
    values = iter(metrics)
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(val_mean_dice=next(values))
    )
    return engine


def test_sampler_epoch() -> None:
    epochs: list[int] = []
    engine = Engine(lambda engine, batch: None)
    SamplerEpoch(SimpleNamespace(set_epoch=epochs.append)).attach(engine)
    engine.run([0, 1], max_epochs=3)
    assert epochs == [1, 2, 3]


def test_clip_gradients() -> None:
    network = nn.Linear(1, 1, bias=False)
    before = network.weight.item()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.full((1, 1), 10.0), "label": torch.zeros(1, 1)}],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda prediction, label: prediction.sum(),
        train_handlers=[ClipGradients(0.5)],
    )
    trainer.run()
    assert network.weight.item() == pytest.approx(before - 0.5)  # the gradient is 10


@pytest.mark.parametrize(("metrics", "saved"), METRICS)
def test_save_model_keeps_the_best(tmp_path: Path, saves: list[Path], metrics: list[float], saved: list[int]) -> None:
    evaluator = _evaluator(metrics)
    SaveModel(nn.Linear(1, 1), tmp_path / "model.pt", 64, "val_mean_dice").attach(evaluator)
    epochs = []
    for epoch in range(1, len(metrics) + 1):
        count = len(saves)
        evaluator.run([0], max_epochs=epoch)
        epochs += [epoch] * (len(saves) - count)
    assert epochs == saved
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_save_model_without_a_metric_saves_at_the_end(tmp_path: Path, saves: list[Path]) -> None:
    trainer = Engine(lambda engine, batch: None)
    SaveModel(nn.Linear(1, 1), tmp_path / "model.pt", 64).attach(trainer)
    trainer.run([0, 1], max_epochs=3)
    assert saves == [tmp_path / "model.pt"]


def test_save_model_keeps_every_earlier_file(tmp_path: Path, saves: list[Path]) -> None:
    path = tmp_path / "model.pt"
    for run in range(3):
        if run:
            os.utime(path, (1e9, 1e9))  # all of one second
        trainer = Engine(lambda engine, batch: None)
        SaveModel(nn.Linear(1, 1), path, 64).attach(trainer)
        trainer.run([0])
    assert path.read_text() == "save 3"
    kept = sorted(other.name for other in tmp_path.iterdir() if other != path)
    assert all(re.fullmatch(r"model_2001-09-0\d_\d{6}(_2)?\.pt", name) for name in kept)
    assert sorted((tmp_path / name).read_text() for name in kept) == ["save 1", "save 2"]


def test_save_model_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"model_file '{tmp_path}' is a folder"):
        SaveModel(nn.Linear(1, 1), tmp_path, 64)


@pytest.mark.parametrize("metric", [None, 0.7512])
def test_training_progress(capsys: pytest.CaptureFixture[str], metric: float | None) -> None:
    evaluator = None if metric is None else _evaluator([metric])
    if evaluator is not None:
        evaluator.run([0])

    def step(engine: Engine, batch: float) -> dict[str, Any]:
        return {"loss": torch.tensor(batch)}

    trainer = Engine(step)
    TrainingProgress(evaluator).attach(trainer)
    trainer.run([0.5, 0.25], max_epochs=2)
    last = capsys.readouterr().err.rstrip().rpartition("\r")[2]
    assert all(text in last for text in ("training: 100%", "4/4", "epoch=2", "loss=0.250"))
    assert ("dice=0.751" in last) == (metric is not None)
