from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import FiniteLogits


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_logit_that_is_not_finite_ends_the_run(value: float) -> None:
    kept: list[int] = []
    engine = Engine(lambda engine, batch: {"pred": torch.tensor([0.0, batch["value"]])})
    FiniteLogits().attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: kept.append(engine.state.iteration))
    with pytest.raises(InputError, match=r"^a: the network's masks are not numbers.* lower learning_rate"):
        engine.run([{"value": 5.0, "clip_id": ["a", "b"]}, {"value": value, "clip_id": ["a", "b"]}])
    assert kept == [1]
