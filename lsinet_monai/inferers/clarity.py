"""How clearly a frame shows its scene.

Blur, smoke and water, or a lens at the wall, leave the encoder's features much alike at all positions. So their
standard deviation tells a clear frame from one that shows little, without further weights. ``docs/experiments/time.md``
has the rates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lsinet_monai.networks import Features

__all__ = ["clarity", "clarity_at"]


def clarity(frame: Features, usable: Tensor | None = None) -> Tensor:
    """How clearly a frame shows its scene, to compare with frames around it.

    Args:
        frame: an encoded frame, a batch of B.
        usable: (B,), bool: whether the frame shows something; all if not given.

    Returns:
        (B,), float32: the logarithm of the features' standard deviation over positions, mean over channels, summed over
        the strides 16 and 32; -inf for a frame that is not usable or not finite.
    """
    result = torch.stack([clarity_at(x) for x in frame.features[1:]]).sum(0)
    shows = result.isfinite() if usable is None else result.isfinite() & usable
    return torch.where(shows, result, -torch.inf)


def clarity_at(features: Tensor) -> Tensor:
    """The part of one stride in :func:`clarity`: (B, C, h, w) -> (B,), float32; -inf for features of one value."""
    return features.float().flatten(2).std(2).mean(1).log()
