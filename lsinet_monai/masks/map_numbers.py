"""The numbers of a map, computed where the map is: on a GPU without waiting for it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.masks.scores import UNCERTAIN, frame_score, uncertainty

__all__ = ["MapNumbers", "map_numbers", "map_numbers_on_device"]


class MapNumbers(NamedTuple):
    """A frame's map in numbers. Score and uncertainty are NaN if a value is outside [0, 1], or NaN."""

    lowest: float
    highest: float
    area: float
    """The fraction of the frame that the mask covers."""
    score: float
    """See :func:`frame_score`."""
    uncertainty: float
    """See :func:`uncertainty`."""

    @property
    def are_probabilities(self) -> bool:
        """Whether all values of the map are in [0, 1]."""
        return self.lowest >= 0 and self.highest <= 1


def map_numbers(probability: np.ndarray, mask: np.ndarray) -> MapNumbers:
    """Measure a map on the CPU.

    Args:
        probability: one frame's map, float32, (H, W).
        mask: bool, (H, W).
    """
    numbers = MapNumbers(float(probability.min()), float(probability.max()), float(mask.mean()), math.nan, math.nan)
    if numbers.are_probabilities:
        numbers = numbers._replace(score=frame_score(probability), uncertainty=uncertainty(probability))
    return numbers


def map_numbers_on_device(probability: Tensor, mask: Tensor) -> Tensor:
    """Measure a map on its device. Apart from rounding, the numbers of a map of probabilities are :func:`map_numbers`'.

    Args:
        probability: one frame's map, float32, (H, W).
        mask: bool, (H, W).

    Returns:
        :class:`MapNumbers`, as a tensor: float64, (5,).
    """
    lowest, highest = torch.aminmax(probability)
    means = F.avg_pool2d(probability[None], 5, stride=1, padding=2, count_include_pad=False)
    unsure = (probability >= UNCERTAIN[0]) & (probability <= UNCERTAIN[1])
    p = torch.where(unsure, probability, 0.5)  # where it is not used, a value with a logarithm
    bits = torch.where(unsure, -(p * p.log2() + (1 - p) * (1 - p).log2()), 0)
    numbers = (
        lowest,
        highest,
        mask.sum().double() / mask.numel(),
        means.amax(),
        bits.sum(dtype=torch.float64) / unsure.sum().clamp(min=1),
    )
    return torch.stack([number.double() for number in numbers])
