from __future__ import annotations

import math

import pytest
import torch

from lsinet_monai.inferers.clarity import clarity
from lsinet_monai.networks import Features


def _frame(*spreads: float) -> Features:
    """Frames whose features have a standard deviation of ``spreads`` at all strides."""
    generator = torch.Generator().manual_seed(0)
    scales = []
    for side in (16, 8, 4):
        noise = torch.randn(1, 32, side, side, generator=generator)
        noise = noise / noise.flatten(2).std(2)[..., None, None]
        scales.append(torch.cat([5 + spread * noise for spread in spreads]))
    return Features(tuple(scales), (), ())


def test_it_is_the_logarithm_of_the_spread_at_two_strides() -> None:
    torch.testing.assert_close(clarity(_frame(1.0, 0.5, 2.0)), torch.tensor([0.0, -2 * math.log(2), 2 * math.log(2)]))


def test_a_frame_that_shows_nothing_is_the_least_clear() -> None:
    assert clarity(_frame(0.0, 1.0)).tolist()[0] == -math.inf
    found = clarity(_frame(1.0, 1.0), torch.tensor([False, True]))
    assert found[0] == -math.inf and found[1] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_frame_that_is_not_finite_is_the_least_clear(value: float) -> None:
    frame = _frame(1.0, 1.0)
    frame.features[1][0, 3, 2, 1] = value
    found = clarity(frame)
    assert found[0] == -math.inf and found[1].isfinite()


def test_in_half_precision_it_is_float32() -> None:
    frame = Features(tuple(x.bfloat16() for x in _frame(1.0).features), (), ())
    assert clarity(frame).dtype == torch.float32
