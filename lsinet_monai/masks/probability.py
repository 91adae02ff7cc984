"""From the network's logits to probabilities: one function for results, scores, sessions and the label app."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

__all__ = ["logit_to_probability"]


def logit_to_probability(logit: Tensor, size: Sequence[int]) -> Tensor:
    """Resize logits to the frame's own size, then apply the sigmoid.

    Resizing is bilinear, with ``align_corners=False`` and without antialiasing, as in the released program.

    Args:
        logit: (B, C, h, w) or (h, w), of any floating-point type; computed in float32.
        size: the frame's height and width, (H, W), in pixels.

    Returns:
        The probability, float32, (B, C, H, W) or (H, W), in [0, 1].

    Source: LSI-Net (SALI), MICCAI 2024, released inference program.
    """
    batch = logit.float() if logit.ndim == 4 else logit.float()[None, None]
    probability = F.interpolate(batch, size=tuple(size), mode="bilinear", align_corners=False).sigmoid()
    return probability if logit.ndim == 4 else probability[0, 0]
