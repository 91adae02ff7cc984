from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ignite.distributed as idist
import pytest
from ignite.engine import Engine
from monai.engines import IterationEvents

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import FiniteLosses

NAN, INF = float("nan"), float("inf")

# The loss and the gradients' norm of a step, whether it has a gradient scaler, and what the error says.
STEPS = [
    (1.0, 2.0, False, None),
    (INF, 2.0, False, "the loss is inf"),
    (NAN, NAN, True, "the loss is nan"),
    (1.0, NAN, False, "the norm of the gradients is nan"),
    (1.0, NAN, True, None),  # the scaler skips the step
    (1.0, INF, False, None),  # it is clipped
]


def _run(loss: float, norm: float, has_scaler: bool) -> Engine:
    """Run an engine whose second step has these numbers."""

    def step(engine: Any, batch: int) -> dict[str, Any]:
        numbers = (loss, norm) if batch else (1.0, 1.0)
        engine.state.output = {"curves": {"train_loss": numbers[0]}, "gradient_norm": numbers[1]}
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        return engine.state.output

    engine: Any = Engine(step)
    engine.register_events(*IterationEvents)
    engine.scaler = SimpleNamespace() if has_scaler else None
    FiniteLosses().attach(engine)
    engine.run([0, 1, 0])
    return engine


@pytest.mark.parametrize(("loss", "norm", "has_scaler", "said"), STEPS)
def test_finite_losses(loss: float, norm: float, has_scaler: bool, said: str | None) -> None:
    if said is None:
        assert _run(loss, norm, has_scaler).state.iteration == 3
        return
    with pytest.raises(InputError, match=f"^{said} in epoch 1, step 2: the training has diverged.*learning_rate"):
        _run(loss, norm, has_scaler)


def test_another_rank_exits_after_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[None] = []
    monkeypatch.setattr(idist, "get_rank", lambda: 1)

    def exit_after_first_rank() -> None:
        waits.append(None)
        raise SystemExit(1)

    monkeypatch.setattr("lsinet_monai.handlers.finite_losses.exit_after_first_rank", exit_after_first_rank)
    with pytest.raises(SystemExit):
        _run(NAN, 1.0, False)
    assert len(waits) == 1
