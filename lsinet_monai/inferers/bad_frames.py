"""Frames that must not harm others: those that are not finite, and those that show nothing.

A damaged frame, or an overflow in half precision, gives NaN or infinite features or logits. All of this is decided by
operators on the device, per clip of a batch, so that a frame's step neither waits for a GPU nor depends on values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.networks import Features

__all__ = ["EMPTY_LOGIT", "are_blank", "are_finite", "are_left_empty", "finite_or_own", "leave_empty"]

EMPTY_LOGIT = -1000.0
"""The logit of a frame that is left empty. Its probability is exactly 0 in float32."""

_CELL = 4  # pixels: the mean over a cell has less noise
_NEAR, _FAR = 0.14, 0.7  # 8 and 40 of 255 grey values, normalised
_BLANK_SHARE = 0.9  # of a frame's cells: the rest may be text


def are_finite(tensors: Sequence[Tensor]) -> Tensor:
    """Whether all values of a clip are finite.

    Args:
        tensors: each (B, ...).

    Returns:
        (B,), bool.
    """
    return torch.stack([x.isfinite().flatten(1).all(1) for x in tensors]).all(0)


def are_blank(frames: Tensor) -> Tensor:
    """Whether nearly all of a frame has one colour, as in a black frame: noise and a line of text do not count.

    Args:
        frames: (B, 3, H, W), normalised as for the network.

    Returns:
        (B,), bool.
    """
    cells = F.avg_pool2d(frames.float(), _CELL, ceil_mode=True, count_include_pad=False).flatten(2)
    mean = cells.mean(2, keepdim=True)
    # Without text, and whatever else is far from the mean. Operators that ONNX has, so no median.
    kept = ((cells - mean).abs() <= _FAR).float()
    colour = (cells * kept).sum(2, keepdim=True) / kept.sum(2, keepdim=True).clamp(min=1)
    is_near = ((cells - colour).abs() <= _NEAR).all(1)
    return is_near.float().mean(1) >= _BLANK_SHARE


def finite_or_own(adjacent: Features, current: Features) -> Features:
    """The features of the adjacent frame; where they are not finite, those of the current frame.

    Args:
        adjacent: the adjacent frame; only its features are used.
        current: the frame to segment.

    Returns:
        features without keys and values.
    """
    finite = are_finite(adjacent.features)[:, None, None, None]
    pairs = zip(adjacent.features, current.features, strict=True)
    return Features(tuple(torch.where(finite, x, y) for x, y in pairs), (), ())


def leave_empty(logit: Tensor) -> Tensor:
    """Replace the logits of frames that are not finite by :data:`EMPTY_LOGIT`; others stay as they are.

    Args:
        logit: (B, 1, H, W).
    """
    return torch.where(are_finite([logit])[:, None, None, None], logit, EMPTY_LOGIT)


def are_left_empty(logits: Tensor) -> Tensor:
    """Whether :func:`leave_empty` replaced a frame's logits.

    Args:
        logits: (..., H, W).

    Returns:
        (...), bool.
    """
    return (logits == EMPTY_LOGIT).flatten(-2).all(-1)
