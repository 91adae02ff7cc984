"""The statistics with which a backbone's frames are normalised."""

from __future__ import annotations

import math
from collections.abc import Sequence

import timm
import torch
from torch import Tensor, nn

from lsinet_monai.errors import InputError

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Renormalisation",
    "choose_statistics",
    "create_renormalisation",
    "is_imagenet",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""The mean of red, green and blue in [0, 1] that callers normalise frames with."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""The standard deviations that belong to it."""


class Renormalisation(nn.Module):
    """Change the normalisation of frames from ImageNet's statistics to others.

    Its two numbers for each colour follow from the network's arguments, so the state dict does not contain them.

    Args:
        mean: the mean of each colour, in [0, 1], to normalise with.
        std: the standard deviations.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        was_mean, was_std = _column(IMAGENET_MEAN), _column(IMAGENET_STD)
        self.scale: Tensor
        self.offset: Tensor
        self.register_buffer("scale", (was_std / _column(std)).float(), persistent=False)
        self.register_buffer("offset", ((was_mean - _column(mean)) / _column(std)).float(), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, 3, H, W), normalised with ImageNet's statistics -> (B, 3, H, W), normalised with ``mean`` and ``std``."""
        return frames * self.scale + self.offset


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None, None]


def create_renormalisation(mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """Create a :class:`Renormalisation`, or a module that does nothing if the statistics are ImageNet's.

    Args:
        mean: three numbers in [0, 1].
        std: three positive numbers.
    """
    return nn.Identity() if is_imagenet(mean, std) else Renormalisation(mean, std)


def is_imagenet(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether a mean and a standard deviation are ImageNet's, with which callers normalise frames."""
    return tuple(mean) == IMAGENET_MEAN and tuple(std) == IMAGENET_STD


def choose_statistics(
    mean: Sequence[float] | None, std: Sequence[float] | None, pretrained: str | None
) -> tuple[Sequence[float], Sequence[float]]:
    """Choose the statistics to normalise a backbone's frames with.

    Args:
        mean: three numbers in [0, 1]; None to choose.
        std: three positive numbers; None to choose.
        pretrained: the timm name of a backbone with pretrained weights; None for one with random weights.

    Returns:
        ``mean`` and ``std`` if they are given. Else those of the pretraining, as timm states them, or ImageNet's.

    Raises:
        InputError: only one of the two is given, or they are not such numbers.
    """
    if mean is None and std is None:
        config = None if pretrained is None else timm.get_pretrained_cfg(pretrained)
        return (IMAGENET_MEAN, IMAGENET_STD) if config is None else (config.mean, config.std)
    if mean is None or std is None or not _is_triple(mean) or not _is_triple(std) or min(std) <= 0:
        raise InputError(
            f"mean={mean!r} and std={std!r} must be three numbers each, for red, green and blue, std above 0"
        )
    return mean, std


def _is_triple(values: Sequence[float]) -> bool:
    is_sequence = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 3
    return is_sequence and all(isinstance(x, int | float) and math.isfinite(x) for x in values)
