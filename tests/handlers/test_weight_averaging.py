from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import GradientAccumulation, WeightAveraging
from lsinet_monai.networks import LSINet

BATCH = {"image": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), "label": torch.ones(4, 1)}


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))


def _train(network: nn.Module, *handlers: Any, steps: int) -> list[dict[str, torch.Tensor]]:
    """Train a network, and return its states after the steps."""
    states: list[dict[str, torch.Tensor]] = []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[BATCH] * steps,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=nn.MSELoss(),
        train_handlers=list(handlers),
        decollate=False,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: states.append(copy.deepcopy(network.state_dict())))
    trainer.run()
    return states


def _average(states: list[dict[str, torch.Tensor]], decay: float) -> dict[str, torch.Tensor]:
    average = dict(states[0])
    for step, state in enumerate(states[1:], 1):
        kept = min(decay, (1 + step) / (10 + step))
        for name, value in state.items():
            is_count = not value.is_floating_point()
            average[name] = value if is_count else kept * average[name] + (1 - kept) * value
    return average


@pytest.mark.parametrize(("decay", "steps"), [(0.3, 6), (0.999, 6), (0.0, 3), (0.5, 1)])
def test_weights_and_statistics_are_averaged(decay: float, steps: int) -> None:
    network = _network()
    averaging = WeightAveraging(network, decay)  # type: ignore[arg-type]
    expected = _average(_train(network, averaging, steps=steps), decay)
    for name, value in averaging.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    assert averaging.network.state_dict()["1.num_batches_tracked"] == steps
    assert not any(parameter.requires_grad for parameter in averaging.network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_average_follows_the_optimizers_steps() -> None:
    network = _network()
    averaging = WeightAveraging(network, 0.9)  # type: ignore[arg-type]
    states = _train(network, GradientAccumulation(network, 2), averaging, steps=5)
    expected = _average([states[1], states[3], states[4]], 0.9)
    for name, value in averaging.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_a_resumed_average_is_that_of_an_uninterrupted_training() -> None:
    network = _network()
    averaging = WeightAveraging(network, 0.9)  # type: ignore[arg-type]
    _train(network, averaging, steps=6)
    first = _network()
    before = WeightAveraging(first, 0.9)  # type: ignore[arg-type]
    _train(first, before, steps=4)
    resumed = _network()
    after = WeightAveraging(resumed, 0.9)  # type: ignore[arg-type]
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    resumed.load_state_dict(first.state_dict())
    _train(resumed, after, steps=2)
    for name, value in after.network.state_dict().items():
        torch.testing.assert_close(value, averaging.network.state_dict()[name], rtol=0, atol=0)


def test_the_averaged_network_is_a_model_like_the_trained_one() -> None:
    network = LSINet("mobilenetv3_small_100", mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
    averaged = WeightAveraging(network).network
    assert isinstance(averaged, LSINet) and averaged.config == network.config
    assert averaged.state_dict().keys() == network.state_dict().keys()
    frame = torch.randn(1, 3, 64, 64)
    assert torch.equal(averaged.encoder.renormalise(frame), network.encoder.renormalise(frame))


@pytest.mark.parametrize("decay", [1, 1.5, -0.1])
def test_what_is_no_decay(decay: float) -> None:
    with pytest.raises(InputError, match=r"\[0, 1\)"):
        WeightAveraging(_network(), decay)  # type: ignore[arg-type]
