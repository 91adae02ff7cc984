"""Keys and values: what a frame leaves in memory, and how a mask weights it. The bank itself is in ``inferers``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .encoder import CHANNELS, STRIDES

__all__ = ["KEY_CHANNELS", "VALUE_CHANNELS", "KeysAndValues", "to_elements", "weight_values"]

KEY_CHANNELS = 4
VALUE_CHANNELS = 16


class KeysAndValues(nn.Module):
    """Keys (4 channels) and values (16 channels) of a frame's features, per scale.

    Source: LSI-Net (SALI), MICCAI 2024, Long-term Interaction Module.
    """

    def __init__(self) -> None:
        super().__init__()
        self.key = nn.ModuleList([nn.Conv2d(CHANNELS, KEY_CHANNELS, 3, padding=1) for _ in STRIDES])
        self.value = nn.ModuleList([nn.Conv2d(CHANNELS, VALUE_CHANNELS, 3, padding=1) for _ in STRIDES])

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Three maps (B, 32, h, w) -> three keys (B, 4, h, w) and three values (B, 16, h, w)."""
        keys = tuple(conv(x) for conv, x in zip(self.key, maps, strict=True))
        values = tuple(conv(x) for conv, x in zip(self.value, maps, strict=True))
        return keys, values


def weight_values(values: Tensor, mask: Tensor) -> Tensor:
    """Multiply a scale's values by 1 + the softmax of its mask over all positions.

    The softmax sums to 1 over the H * W positions, so the weighting is slight by construction.

    Args:
        values: (B, C, H, W).
        mask: (B, 1, h, w); resized bilinearly to (H, W) where it differs. At inference the logit of this scale, in
            training the ground truth in [0, 1].
    """
    if mask.shape[-2:] != values.shape[-2:]:
        mask = F.interpolate(mask, size=values.shape[-2:], mode="bilinear", align_corners=False)
    weights = torch.softmax(mask.flatten(2), dim=2).view_as(mask)
    return values * (1 + weights)


def to_elements(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C): every position becomes an element."""
    return x.flatten(2).transpose(1, 2)
