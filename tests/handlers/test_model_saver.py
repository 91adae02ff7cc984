from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import ModelSaver
from lsinet_monai.networks import LSINet, save_model
from lsinet_monai.utils.files import atomic_write

# The metric of each validation, and the epochs at which the network is saved.
METRICS = [([0.1, 0.5, 0.3, 0.6], [1, 2, 4]), ([0.5, 0.5, 0.4], [1]), ([0.0], [1])]


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record the paths to which networks are saved, instead of saving them."""
    paths: list[Path] = []

    def save(network: nn.Module, path: Path, image_size: int) -> None:
        paths.append(path)
        with atomic_write(path) as temporary:
            temporary.write_text(f"save {len(paths)}")

    monkeypatch.setattr("lsinet_monai.handlers.model_saver.save_model", save)
    return paths


def _evaluator(metrics: list[float]) -> Engine:
    """An engine whose epochs give these metrics."""
    values = iter(metrics)
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(val_mean_dice=next(values))
    )
    return engine


@pytest.mark.parametrize(("metrics", "saved"), METRICS)
def test_save_model_keeps_the_best(tmp_path: Path, saves: list[Path], metrics: list[float], saved: list[int]) -> None:
    evaluator = _evaluator(metrics)
    ModelSaver(nn.Linear(1, 1), tmp_path / "model.pt", 64, "val_mean_dice").attach(evaluator)
    epochs = []
    for epoch in range(1, len(metrics) + 1):
        count = len(saves)
        evaluator.run([0], max_epochs=epoch)
        epochs += [epoch] * (len(saves) - count)
    assert epochs == saved
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_save_model_without_a_metric_saves_at_the_end(tmp_path: Path, saves: list[Path]) -> None:
    trainer = Engine(lambda engine, batch: None)
    ModelSaver(nn.Linear(1, 1), tmp_path / "model.pt", 64).attach(trainer)
    trainer.run([0, 1], max_epochs=3)
    assert saves == [tmp_path / "model.pt"]


def test_save_model_keeps_every_earlier_file(tmp_path: Path, saves: list[Path]) -> None:
    path = tmp_path / "model.pt"
    for run in range(3):
        if run:
            os.utime(path, (1e9, 1e9))  # all of one second
        trainer = Engine(lambda engine, batch: None)
        ModelSaver(nn.Linear(1, 1), path, 64).attach(trainer)
        trainer.run([0])
    assert path.read_text() == "save 3"
    kept = sorted(other.name for other in tmp_path.iterdir() if other != path)
    assert all(re.fullmatch(r"model_2001-09-0\d_\d{6}(_2)?\.pt", name) for name in kept)
    assert sorted((tmp_path / name).read_text() for name in kept) == ["save 1", "save 2"]


@pytest.mark.parametrize("is_resumed", [False, True])
def test_save_model_keeps_what_another_training_puts_in_its_place_meanwhile(
    tmp_path: Path, saves: list[Path], caplog, is_resumed: bool
) -> None:
    path = tmp_path / "model.pt"
    evaluator = _evaluator([0.1, 0.5])
    model = ModelSaver(nn.Linear(1, 1), path, 64, "val_mean_dice")
    model.attach(evaluator)
    evaluator.run([0])
    with atomic_write(path) as temporary:
        temporary.write_text("another training's")
    if is_resumed:
        evaluator, state = _evaluator([0.5]), model.state_dict()
        model = ModelSaver(nn.Linear(1, 1), path, 64, "val_mean_dice")
        model.attach(evaluator)
        model.load_state_dict(state)
        evaluator.run([0])
    else:
        evaluator.run([0], max_epochs=2)
    (kept,) = tmp_path.glob("model_*.pt")
    assert path.read_text() == "save 2" and kept.read_text() == "another training's"
    assert "give each a model_file of its own" in caplog.text


def test_save_model_knows_its_file_again_after_a_copy(tmp_path: Path) -> None:
    """With real networks: two model files may differ only near their ends."""
    path, network = tmp_path / "model.pt", LSINet("mobilenetv3_small_100")
    evaluator = _evaluator([0.1, 0.5, 0.6])
    ModelSaver(network, path, 64, "val_mean_dice").attach(evaluator)
    evaluator.run([0])
    path.rename(tmp_path / "moved")
    path.write_bytes((tmp_path / "moved").read_bytes())
    evaluator.run([0], max_epochs=2)
    assert not [*tmp_path.glob("model_*.pt")]
    torch.nn.init.normal_(network.encoder.receptive_field[0].parameters().__next__())
    save_model(network, path, 64)
    evaluator.run([0], max_epochs=3)
    assert len([*tmp_path.glob("model_*.pt")]) == 1


def test_save_model_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"model_file '{tmp_path}' is a folder"):
        ModelSaver(nn.Linear(1, 1), tmp_path, 64)


def test_save_model_replaces_the_best_of_a_resumed_run_only_by_a_better_one(tmp_path: Path, saves: list[Path]) -> None:
    before = ModelSaver(nn.Linear(1, 1), tmp_path / "model.pt", 64, "val_mean_dice")
    evaluator = _evaluator([0.5])
    before.attach(evaluator)
    evaluator.run([0])
    resumed = ModelSaver(nn.Linear(1, 1), tmp_path / "model.pt", 64, "val_mean_dice")
    evaluator = _evaluator([0.4, 0.6])
    resumed.attach(evaluator)
    resumed.load_state_dict(before.state_dict())
    evaluator.run([0])
    assert len(saves) == 1
    evaluator.run([0], max_epochs=2)
    assert len(saves) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
