from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import GradientAccumulation


def _batches(count: int, size: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(12, 3, generator=generator)
    return [{"image": x, "label": x.sum(1, keepdim=True)} for x in frames.split(size)[:count]]


def _trainer(
    batches: list[dict[str, torch.Tensor]], *handlers: Any, network: nn.Module, epochs: int = 2, **options: Any
) -> SupervisedTrainer:
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
        loss_function=nn.MSELoss(),
        train_handlers=list(handlers),
        decollate=False,
        **options,
    )


def _network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("optim_set_to_none", [True, False])
def test_several_batches_count_as_one(clip: float | None, optim_set_to_none: bool) -> None:
    many, few = _network(), _network()
    options = {"optim_set_to_none": optim_set_to_none}
    _trainer(_batches(6, 2), GradientAccumulation(many, 3, clip), network=many, **options).run()
    _trainer(_batches(2, 6), GradientAccumulation(few, 1, clip), network=few, **options).run()
    torch.testing.assert_close(many.weight, few.weight)
    unclipped = _network()
    _trainer(_batches(2, 6), network=unclipped).run()
    assert torch.allclose(unclipped.weight, few.weight) == (clip is None)


def test_the_last_batches_of_an_epoch_make_a_step_too() -> None:
    network, steps = _network(), []
    trainer = _trainer(_batches(5, 2), GradientAccumulation(network, 2), network=network)
    trainer.optimizer.register_step_post_hook(lambda *_: steps.append(trainer.state.iteration))
    trainer.run()
    assert steps == [2, 4, 5, 7, 9, 10]


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_an_interrupted_average_goes_on(stop: int) -> None:
    expected, network = _network(), _network()
    _trainer(_batches(4, 2), GradientAccumulation(expected, 3), network=expected).run()
    accumulation = GradientAccumulation(network, 3)

    def lose_and_restore(engine: Engine) -> None:
        file = BytesIO()
        torch.save(accumulation.state_dict(), file)
        network.zero_grad()
        file.seek(0)
        state = torch.load(file, weights_only=True)
        assert bool(state["gradients"]) == (stop in (1, 6))
        accumulation.load_state_dict(state)

    trainer = _trainer(_batches(4, 2), accumulation, network=network)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=stop), lose_and_restore)
    trainer.run()
    torch.testing.assert_close(network.weight, expected.weight, rtol=0, atol=0)


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2", None])
def test_what_is_no_number_of_batches(steps: Any) -> None:
    with pytest.raises(InputError, match="over 1, 2, 3"):
        GradientAccumulation(_network(), steps)
