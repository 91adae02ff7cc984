"""Smoothing over time: a frame that shows little keeps more of the masks before it.

A frame's logit is averaged with those before it, which lose weight from frame to frame. Clear frames weigh more than
others, see :func:`~lsinet_monai.inferers.clarity.clarity`. Clips whose frames do not follow one another as those of a
video do are not smoothed. No later frame is needed.

At a cut the caller starts again, as the inferer does with ``detect_cuts``. Otherwise the first frames after it keep a
share of the scene before.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.bad_frames import are_left_empty
from lsinet_monai.inferers.clarity import clarity
from lsinet_monai.networks import Features

__all__ = ["SmoothedLogit", "smooth"]

# A frame's weight is exp(3 * clarity): with half the standard deviation at both strides it is 1/64. This and the
# numbers below were chosen on Kvasir-SEG's validation stills and ClinicDB's training sequences.
_BY_CLARITY = 3.0

# How alike one frame and the next are on average decides how much is smoothed: not at all up to the first number, fully
# from the second on. Neighbours are alike by about 0.8 at frame rate, and by 0.45 if they lie seconds apart.
_APART, _FOLLOWING = 0.45, 0.65
_PACE_STEP = 0.2  # the weight of the newest pair in this average


class SmoothedLogit(NamedTuple):
    """The smoothed logits of a clip up to a frame."""

    logit: Tensor
    """(B, 1, H, W): the weighted mean."""
    weight: Tensor
    """(B,): the sum of the weights."""
    alike: Tensor
    """(B,): how alike neighbours are on average, from -1 to 1; NaN before there are two."""
    features: Tensor
    """(B, N): those of the last frame that counts, at stride 16, without their mean, and of norm 1."""


def smooth(
    before: SmoothedLogit | None, logit: Tensor, frame: Features, share: float, usable: Tensor | None = None
) -> tuple[Tensor, SmoothedLogit]:
    """Smooth the logit of a frame.

    Args:
        before: the second result for the frame before; None at the start of a scene.
        logit: (B, 1, H, W).
        frame: its features.
        share: what is left per frame of the weight of the frames before, in [0, 1).
        usable: (B,), bool: whether the frame shows something; all if not given.

    Returns:
        the smoothed logit, (B, 1, H, W), and the state for the next one. A frame that shows nothing or was left empty
        keeps its logit and leaves the state as it was.
    """
    features = frame.features[1].float()
    features = F.normalize((features - features.mean((2, 3), keepdim=True)).flatten(1), dim=1)
    weight = torch.where(are_left_empty(logit[:, 0]), 0, (_BY_CLARITY * clarity(frame, usable)).exp())
    if before is None:
        return logit, SmoothedLogit(logit.clone(), weight, torch.full_like(weight, torch.nan), features)
    counts, is_first = weight > 0, before.weight == 0
    alike = (before.features * features).sum(1)
    alike = torch.where(before.alike.isnan(), alike, torch.lerp(before.alike, alike, _PACE_STEP))
    kept = share * before.weight * ((alike - _APART) / (_FOLLOWING - _APART)).clamp(0, 1)
    kept = torch.where(is_first, 0, kept)
    mean = torch.lerp(logit, before.logit, (kept / (kept + weight)).to(logit.dtype)[:, None, None, None])
    found = SmoothedLogit(mean, kept + weight, torch.where(is_first, torch.nan, alike), features)
    result = SmoothedLogit(*(_where(counts, x, y) for x, y in zip(found, before, strict=True)))
    return _where(counts, mean, logit), result


def _where(rows: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (first.ndim - 1)), first, second)
