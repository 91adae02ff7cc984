from __future__ import annotations

import pytest
import torch
from torch import nn

from lsinet_monai.optimizers import WarmupCosine, count_steps


def _schedule(total_steps: int, **options: float) -> WarmupCosine:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1.0, 0.1)]
    return WarmupCosine(torch.optim.SGD(groups), total_steps=total_steps, **{"warmup_steps": 3, **options})


def _rates(schedule: WarmupCosine, steps: int) -> list[float]:
    """The first group's rate in each of the next steps."""
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        assert schedule.get_last_lr()[1] == pytest.approx(rates[-1] / 10)
        schedule.optimizer.step()
        schedule.step()
    return rates


# Worked out by hand: quarters of the way up, then the cosine of 0, 60, 120 and 180 degrees.
@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, [0.25, 0.5, 0.75, 1.0, 0.75, 0.25, 0.0, 0.0]),
        ({"end_factor": 0.2}, [0.25, 0.5, 0.75, 1.0, 0.8, 0.4, 0.2, 0.2]),
        ({"warmup_steps": 0, "total_steps": 3}, [1.0, 0.75, 0.25, 0.0]),
        ({"warmup_steps": 1, "total_steps": 1}, [0.5, 1.0, 0.0]),
    ],
)
def test_rates(options: dict[str, float], rates: list[float]) -> None:
    schedule = _schedule(**{"total_steps": 6, **options})
    assert _rates(schedule, len(rates)) == pytest.approx(rates, abs=1e-12)


def test_a_resumed_schedule_goes_on_along_a_longer_cosine() -> None:
    first, longer = _schedule(6), _schedule(12)
    _rates(first, 5)
    expected = _rates(_schedule(12), 12)
    longer.load_state_dict(first.state_dict())
    longer.optimizer.load_state_dict(first.optimizer.state_dict())
    assert _rates(longer, 7)[1:] == pytest.approx(expected[6:])


@pytest.mark.parametrize(
    ("batches", "epochs", "accumulation", "steps"), [(7, 3, 1, 21), (7, 3, 2, 12), (8, 3, 4, 6), (3, 2, 9, 2)]
)
def test_count_steps(batches: int, epochs: int, accumulation: int, steps: int) -> None:
    assert count_steps(batches, epochs, accumulation) == steps
