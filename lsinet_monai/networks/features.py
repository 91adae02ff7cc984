"""Features of an encoded frame, and how several frames' features are joined and split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lsinet_monai.networks.memory import read_from, to_elements

__all__ = ["Features", "join_features", "join_scales", "memory_elements"]


class Features(NamedTuple):
    """An encoded frame: per entry a tuple of three tensors, at strides 8, 16 and 32."""

    features: tuple[Tensor, ...]
    """(B, 32, h, w): the encoder's features."""
    keys: tuple[Tensor, ...]
    """(B, 4, h, w)."""
    values: tuple[Tensor, ...]
    """(B, 16, h, w), not weighted by a mask."""

    def read_own(self) -> tuple[Tensor, ...]:
        """Let the frame read itself, as the first frame of a clip does: three of (B, 16, h, w)."""
        return read_from(self.keys, *memory_elements(self.keys, self.values))

    def split(self, count: int) -> list[Features]:
        """Split a batch of ``count`` * B frames into ``count`` batches of B."""
        kinds = [[x.chunk(count) for x in scales] for scales in self]
        return [Features(*(tuple(x[i] for x in scales) for scales in kinds)) for i in range(count)]


def memory_elements(keys: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Turn keys and values of all scales, each (B, C, h, w), into elements of a memory, each (B, h * w, C)."""
    return [to_elements(k) for k in keys], [to_elements(v) for v in values]


def join_scales(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Concatenate several batches, scale by scale."""
    return tuple(torch.cat(scale) for scale in zip(*parts, strict=True))


def join_features(parts: Sequence[Features]) -> Features:
    """Concatenate several batches of features."""
    return Features(*(join_scales(kind) for kind in zip(*parts, strict=True)))
