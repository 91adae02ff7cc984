"""Refining: the prompt head draws a mask again, at stride 4, without any click of a person.

The network's masks are drawn at stride 8. The head was trained on what people correct, and its outlines lie closer to
the polyp's (``docs/experiments.md``, "Masks that the prompt head refines"). It finds no polyp that the network has not
found: a frame without a mask stays as it is.

All of this is decided by operators on the device, so that a frame does not wait for a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.networks import Features, LSINet, reduce_mask
from lsinet_monai.networks.prompt_head import NO_POINT, POSITIVE, PROMPT_STRIDE

__all__ = ["find_deepest", "redraw", "refine"]

_SMALLEST = 1e-6  # probability, so that logits are finite
_SMOOTH = 5  # cells, an odd number: where many are as deep, the one in their middle is taken


def refine(network: LSINet, frame: Features, detail: Tensor, logit: Tensor) -> Tensor:
    """Refine the mask that the network has found in a frame.

    The head gets the mask, and one point in its depth. The result has the mean of both probabilities, so that it says
    where they disagree.

    Args:
        network: with a prompt head.
        frame: the encoded frame.
        detail: what ``network.prompt_head.see_frame`` computed of it.
        logit: (B, 1, H, W), the network's, of the frame's size at the encoder's input.

    Returns:
        the logit, (B, 1, H, W). A frame in which no pixel is above 0 keeps its own.
    """
    probability = logit.float().sigmoid()
    drawn = redraw(network, frame, detail, probability, with_point=True)
    mean = torch.lerp(probability, drawn, 0.5).clamp(_SMALLEST, 1 - _SMALLEST).logit().to(logit.dtype)
    return torch.where((logit > 0).flatten(1).any(1)[:, None, None, None], mean, logit)


def redraw(network: LSINet, frame: Features, detail: Tensor, mask: Tensor, with_point: bool = False) -> Tensor:
    """Draw a mask again.

    Args:
        network: with a prompt head.
        frame: the encoded frame.
        detail: what ``network.prompt_head.see_frame`` computed of it.
        mask: (B, 1, H, W) in [0, 1], of the frame's size at the encoder's input.
        with_point: whether the head also gets a point in the mask's depth. It then completes a polyp of which the mask
            shows a part; without a point it keeps closer to the mask.

    Returns:
        the probability, (B, 1, H, W).
    """
    height, width = size = mask.shape[-2:]
    small = reduce_mask(mask, (height, width))
    batch = mask.shape[0]
    points = mask.new_zeros((batch, 1, 2))
    labels = torch.full((batch, 1), NO_POINT, device=mask.device)
    if with_point:
        cells = small[:, 0] > 0.5
        points = (find_deepest(cells) + 0.5) * PROMPT_STRIDE
        labels = torch.where(cells.flatten(1).any(1, keepdim=True), POSITIVE, NO_POINT)
    logit = network.refine(frame, detail, points.to(mask.dtype), labels, None, small)
    enlarged = F.interpolate(logit, scale_factor=PROMPT_STRIDE, mode="bilinear", align_corners=False)
    return enlarged[..., : size[0], : size[1]].sigmoid()


def find_deepest(mask: Tensor) -> Tensor:
    """Find the place in a mask that is farthest from its outline.

    Args:
        mask: bool, (B, h, w).

    Returns:
        int64, (B, 1, 2): its column and row; the first ones if the mask is empty.
    """
    left = mask[:, None].float()
    depth = left.clone()
    height, width = mask.shape[-2:]
    for step in range((min(height, width) + 1) // 2):
        outside = F.pad(1 - left, (1, 1, 1, 1), value=1.0)
        if step % 2:  # squares and crosses by turns come near to circles
            outside = F.max_pool2d(outside, 3, 1)
        else:
            across = F.max_pool2d(outside[:, :, 1:-1], (1, 3), 1)
            outside = torch.maximum(across, F.max_pool2d(outside[..., 1:-1], (3, 1), 1))
        left = 1 - outside
        depth += left
    place = F.avg_pool2d(depth, _SMOOTH, 1, _SMOOTH // 2).masked_fill(~mask[:, None], -1).flatten(1).argmax(1)
    return torch.stack([place % width, place // width], 1)[:, None]
