"""Harmonisation of memory and adjacent frame (SAM)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.networks.blocks import ConvNorm
from lsinet_monai.networks.encoder import CHANNELS, STRIDES

__all__ = ["Harmonisation", "PooledAttention"]


class PooledAttention(nn.Module):
    """Let each position attend to the max-pooled positions of the same features.

    Args:
        channels: the channels of the features.
        pool: side of the pooling window, in positions.
    """

    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.value = nn.Conv2d(channels, channels // 2, 1)
        self.expand = nn.Conv2d(channels // 2, channels, 1)
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)
        self.residual = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        height, width = x.shape[-2:]
        # Limited to the features' size: without this the released program fails on frames smaller than 256 x 256.
        pool = (min(self.pool, height), min(self.pool, width))
        value = F.max_pool2d(self.value(x), pool).flatten(2)
        key = F.max_pool2d(x, pool).flatten(2)
        weights = torch.softmax(x.flatten(2).transpose(1, 2) @ key, dim=2)
        read = (weights @ value.transpose(1, 2)).transpose(1, 2).reshape(x.shape[0], -1, height, width)
        return self.residual(torch.cat([x, x + self.expand(read)], 1))


class Harmonisation(nn.Module):
    """Fuse the aligned features of memory and adjacent frame, scale by scale.

    Source: LSI-Net (SALI), MICCAI 2024, Short-term Alignment Module, with the attention of a non-local block (Wang et
    al., 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        pools = [2 ** (i + 1) for i in range(len(STRIDES))]
        self.attention = nn.ModuleList([PooledAttention(2 * CHANNELS, pool) for pool in pools])
        self.fuse = nn.ModuleList([ConvNorm(2 * CHANNELS, CHANNELS, 3) for _ in STRIDES])

    def forward(self, memory: tuple[Tensor, ...], adjacent: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Memory and adjacent frame, each three of (B, 32, h, w) -> three of (B, 32, h, w)."""
        return tuple(
            fuse(attend(torch.cat(pair, 1)))
            for attend, fuse, *pair in zip(self.attention, self.fuse, memory, adjacent, strict=True)
        )
