from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from lsinet_monai.handlers import TrainingLosses
from lsinet_monai.losses import LSINetLoss


def test_training_losses() -> None:
    network, loss = nn.Conv2d(1, 1, 1), LSINetLoss()
    outputs: list[dict[str, Any]] = []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.ones(1, 1, 4, 4), "label": torch.zeros(1, 1, 4, 4)}] * 2,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.25),
        loss_function=lambda prediction, label: loss((prediction,) * 4, label),
        train_handlers=[TrainingLosses(loss)],
        decollate=False,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output))
    trainer.run()
    first, second = (output["curves"] for output in outputs)
    assert first["learning_rate"] == 0.25
    parts = [first[f"train_loss/{name}"] for name in ("S_g", "S_5", "S_4", "S_3")]
    assert len(set(parts)) == 1 and sum(parts) == pytest.approx(first["train_loss"])
    assert first["train_loss"] == pytest.approx(outputs[0]["loss"].item())
    assert second["train_loss"] < first["train_loss"]
    gradients = [parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None]
    assert outputs[1]["gradient_norm"] == pytest.approx(torch.cat(gradients).norm().item())
