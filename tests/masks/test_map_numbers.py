from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lsinet_monai.masks import frame_score, uncertainty
from lsinet_monai.masks.map_numbers import MapNumbers, map_numbers, map_numbers_on_device


def _random_map(seed: int) -> np.ndarray:
    """A map of a polyp with an uneven edge."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 3 * torch.randn(1, 1, 6, 8, generator=generator)
    smooth: np.ndarray = F.interpolate(coarse, size=(61, 83), mode="bicubic").sigmoid()[0, 0].numpy()
    return smooth


MAPS = [
    *map(_random_map, range(4)),
    np.zeros((7, 9), np.float32),
    np.ones((7, 9), np.float32),
    np.full((4, 3), 0.5, np.float32),
    np.float32([[0.05, 0.95, 0.04]]),
    np.float32([[0.2, 0.4]]),
]


@pytest.mark.parametrize("map_", MAPS, ids=range(len(MAPS)))
def test_a_device_finds_the_numbers_of_the_cpu(map_: np.ndarray) -> None:
    expected = map_numbers(map_, map_ > 0.4)
    assert expected == (map_.min(), map_.max(), (map_ > 0.4).mean(), frame_score(map_), uncertainty(map_))
    probability = torch.from_numpy(map_)
    found = MapNumbers(*map_numbers_on_device(probability, probability > 0.4).tolist())
    assert found[:3] == expected[:3] and found[3:] == pytest.approx(expected[3:], abs=1e-6)


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf])
def test_what_is_no_probability_is_noticed(value: float) -> None:
    map_ = np.array([[0.5, value], [0.5, 0.5]], np.float32)
    numbers = map_numbers(map_, map_ > 0.5)
    assert not numbers.are_probabilities and math.isnan(numbers.score)
    probability = torch.from_numpy(map_)
    assert not MapNumbers(*map_numbers_on_device(probability, probability > 0.5).tolist()).are_probabilities
