from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from lsinet_monai.handlers import GradientClipping


def test_gradient_clipping() -> None:
    network = nn.Linear(1, 1, bias=False)
    before = network.weight.item()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.full((1, 1), 10.0), "label": torch.zeros(1, 1)}],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda prediction, label: prediction.sum(),
        train_handlers=[GradientClipping(0.5)],
    )
    trainer.run()
    assert network.weight.item() == pytest.approx(before - 0.5)  # the gradient is 10
