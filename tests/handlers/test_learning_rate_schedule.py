from __future__ import annotations

import warnings

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from lsinet_monai.handlers import GradientAccumulation, LearningRateSchedule


@pytest.mark.parametrize(
    ("accumulation", "rates"),
    [(1, [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]), (2, [1, 1, 0.5, 0.25, 0.25, 0.125])],
)
def test_the_rate_changes_with_the_optimizers_steps(accumulation: int, rates: list[float]) -> None:
    network = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    batch = {"image": torch.zeros(1, 1), "label": torch.zeros(1, 1)}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=[batch] * 3,
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        train_handlers=[GradientAccumulation(network, accumulation), LearningRateSchedule(schedule)],
        decollate=False,
    )
    seen: list[float] = []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: seen.append(optimizer.param_groups[0]["lr"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.run()
    assert seen == rates
