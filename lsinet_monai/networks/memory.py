"""Keys and values: how a frame is written to memory, weighted by its mask, and how a frame reads from memory.

The memory bank is in ``lsinet_monai.inferers``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.networks.encoder import CHANNELS, STRIDES
from lsinet_monai.ops import read_memory

__all__ = [
    "KEY_CHANNELS",
    "VALUE_CHANNELS",
    "KeysAndValues",
    "MaskEmbedding",
    "read_from",
    "to_elements",
    "weight_by_mask",
    "weight_one_scale",
]

KEY_CHANNELS = 4
VALUE_CHANNELS = 16


class KeysAndValues(nn.Module):
    """Compute keys (4 channels) and values (16 channels) from a frame's features, scale by scale.

    Source: LSI-Net (SALI), MICCAI 2024, Long-term Interaction Module.
    """

    def __init__(self) -> None:
        super().__init__()
        self.key = nn.ModuleList([nn.Conv2d(CHANNELS, KEY_CHANNELS, 3, padding=1) for _ in STRIDES])
        self.value = nn.ModuleList([nn.Conv2d(CHANNELS, VALUE_CHANNELS, 3, padding=1) for _ in STRIDES])

    def forward(self, features: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Three features (B, 32, h, w) -> three keys (B, 4, h, w) and three values (B, 16, h, w)."""
        keys = tuple(conv(x) for conv, x in zip(self.key, features, strict=True))
        values = tuple(conv(x) for conv, x in zip(self.value, features, strict=True))
        return keys, values


class MaskEmbedding(nn.Module):
    """Embed a frame's mask, scale by scale, to be added to the values that are written to memory.

    A weight from a mask changes a value by 2% at most, see :func:`weight_one_scale`; what is added here can say of each
    position whether it shows a polyp. It starts at zero, so that a trained network's masks stay the same until it
    learns.

    Source: masks in memory values as in STM (Oh et al., ICCV 2019), as an addition to the published values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList([_embed_one_scale() for _ in STRIDES])

    def forward(self, masks: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Three masks (B, 1, h, w) in [0, 1], at strides 8, 16 and 32 -> three of (B, 16, h, w)."""
        return tuple(embed(mask) for embed, mask in zip(self.scales, masks, strict=True))


def _embed_one_scale() -> nn.Sequential:
    last = nn.Conv2d(VALUE_CHANNELS, VALUE_CHANNELS, 1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(nn.Conv2d(1, VALUE_CHANNELS, 3, padding=1), nn.ReLU(), last)


def weight_one_scale(values: Tensor, mask: Tensor) -> Tensor:
    """Multiply one scale's values by 1 + the softmax of a mask over all positions.

    The softmax sums to 1 over all positions, so the weights differ little from 1.

    Args:
        values: (B, C, h, w).
        mask: (B, 1, H, W), of any type, resized bilinearly to (h, w) if it has another size. At inference it is the
            logit of this scale, in training the true mask in [0, 1].

    Returns:
        (B, C, h, w).
    """
    if not mask.is_floating_point():
        mask = mask.to(values.dtype)
    if mask.shape[-2:] != values.shape[-2:]:
        mask = F.interpolate(mask, size=values.shape[-2:], mode="bilinear", align_corners=False)
    weights = torch.softmax(mask.flatten(2), dim=2).view_as(mask)
    return values * (1 + weights)


def weight_by_mask(
    values: Sequence[Tensor], mask: Tensor, embedding: MaskEmbedding | None = None
) -> tuple[Tensor, ...]:
    """Weight the values of all scales by one mask of the frame, as :func:`weight_one_scale` does for one.

    Args:
        values: per scale (B, C, h, w).
        mask: (B, 1, H, W) in [0, 1], of the frame's size at the encoder's input. It is padded as the frame is.
        embedding: the network's mask embedding, which gets the mean of the mask at each position; None if it has none.

    Returns:
        per scale (B, C, h, w).
    """
    stride = STRIDES[-1]
    mask = F.pad(mask, (0, -mask.shape[-1] % stride, 0, -mask.shape[-2] % stride))
    weighted = tuple(weight_one_scale(v, mask) for v in values)
    if embedding is None:
        return weighted
    means = [F.avg_pool2d(mask.to(v.dtype), mask.shape[-1] // v.shape[-1]) for v in values]
    return tuple(v + e for v, e in zip(weighted, embedding(means), strict=True))


def to_elements(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C): every position becomes an element."""
    return x.flatten(2).transpose(1, 2)


def read_from(queries: Sequence[Tensor], keys: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Read memory elements for every position of a frame, scale by scale.

    Args:
        queries: per scale (B, 4, h, w), the keys of the frame that reads.
        keys: per scale (B, N, 4), the elements' keys.
        values: per scale (B, N, 16), the elements' values.

    Returns:
        per scale (B, 16, h, w).
    """
    reads = [read_memory(to_elements(q), k, v).values for q, k, v in zip(queries, keys, values, strict=True)]
    return tuple(r.transpose(1, 2).unflatten(2, q.shape[-2:]) for r, q in zip(reads, queries, strict=True))
