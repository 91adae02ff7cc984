"""Refining: the prompt head draws a mask again, at stride 4, without any click of a person.

The network's masks are drawn at stride 8. The head was trained on what people correct, and its outlines lie closer to
the polyp's (``docs/experiments/refining.md``). It draws one lesion: in a frame with
several, the one with the deepest place is drawn again, and the others stay as they are.

All of this is decided by operators on the device, so that a frame does not wait for a GPU. On a CPU,
work that changes nothing is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.bad_frames import are_finite
from lsinet_monai.networks import Features, LSINet, reduce_mask
from lsinet_monai.networks.prompt_head import NO_POINT, POSITIVE, PROMPT_STRIDE

__all__ = ["find_deepest", "redraw", "refine"]

_SMALLEST = 1e-6  # probability, so that logits are finite
_SMOOTH = 5  # cells, an odd number: where many are as deep, the one in their middle is taken
_SPECK = 0.001  # of the frame: the head makes a large mask of such a small one, or none
_STEPS = 3  # cells by which a part grows at once when its cells are collected


def refine(network: LSINet, frame: Features, detail: Tensor, logit: Tensor) -> Tensor:
    """Refine the mask that the network has found in a frame.

    The head gets the mask, and one point in the depth of its deepest part. The result has the mean of both
    probabilities, so that it says where they disagree. What the head leaves out of the mask's other parts stays.

    Args:
        network: with a prompt head.
        frame: the encoded frame.
        detail: what ``network.prompt_head.see_frame`` computed of it.
        logit: (B, 1, H, W), the network's, of the frame's size at the encoder's input.

    Returns:
        the logit, (B, 1, H, W). A frame keeps its own if the deepest part covers less than a thousandth of it, or if
        the head gives no finite numbers.
    """
    probability = logit.float().sigmoid()
    cells = reduce_mask(probability, (logit.shape[-2], logit.shape[-1]))[:, 0] > 0.5
    if _is_at_hand(cells) and not cells.any():
        return logit
    place = find_deepest(cells)
    part = _part_at(cells, place)
    drawn = redraw(network, frame, detail, probability, place)
    mean = torch.lerp(probability, drawn, 0.5)
    others = _enlarge((cells & ~part)[:, None].float(), logit) > 0
    mean = torch.where(others, torch.maximum(mean, probability), mean)
    is_large = part.flatten(1).float().mean(1) >= _SPECK
    is_drawn = (is_large & are_finite([drawn]))[:, None, None, None]
    return torch.where(is_drawn, mean.clamp(_SMALLEST, 1 - _SMALLEST).logit().to(logit.dtype), logit)


def redraw(network: LSINet, frame: Features, detail: Tensor, mask: Tensor, place: Tensor | None = None) -> Tensor:
    """Draw the mask of a lesion again.

    Args:
        network: with a prompt head.
        frame: the encoded frame.
        detail: what ``network.prompt_head.see_frame`` computed of it.
        mask: (B, 1, H, W) in [0, 1], of the frame's size at the encoder's input.
        place: (B, 1, 2), from :func:`find_deepest`: a point in the lesion, at stride 4. With it the head completes a
            polyp of which the mask shows a part; without it, it keeps closer to the mask.

    Returns:
        the probability, (B, 1, H, W).
    """
    small = reduce_mask(mask, (mask.shape[-2], mask.shape[-1]))
    batch = mask.shape[0]
    points = mask.new_zeros((batch, 1, 2)) if place is None else ((place + 0.5) * PROMPT_STRIDE).to(mask.dtype)
    labels = torch.full((batch, 1), NO_POINT if place is None else POSITIVE, device=mask.device)
    return _enlarge(network.refine(frame, detail, points, labels, None, small), mask).sigmoid()


def _is_at_hand(values: Tensor) -> bool:
    """Whether a look at values, to save work, does not wait for a GPU."""
    return values.device.type == "cpu"


def _enlarge(cells: Tensor, like: Tensor) -> Tensor:
    """Resize from stride 4 of the padded frame to the frame: (B, 1, h, w) -> (B, 1, H, W)."""
    enlarged = F.interpolate(cells, scale_factor=PROMPT_STRIDE, mode="bilinear", align_corners=False)
    return enlarged[..., : like.shape[-2], : like.shape[-1]]


def _part_at(mask: Tensor, place: Tensor) -> Tensor:
    """The connected part of a mask, bool, (B, h, w), that has a place, (B, 1, 2): bool, (B, h, w)."""
    height, width = mask.shape[-2:]
    cells = torch.arange(height * width, device=mask.device).view(height, width)
    allowed = mask.float()[:, None]
    part = (cells == (place[..., 1:] * width + place[..., :1])).float()[:, None] * allowed
    for _ in range((height + width) // _STEPS):
        grown = F.max_pool2d(part, 2 * _STEPS + 1, 1, _STEPS) * allowed
        if _is_at_hand(part) and torch.equal(grown, part):
            break
        part = grown
    return part[:, 0] > 0


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
        if _is_at_hand(left) and not left.any():
            break
        depth += left
    place = F.avg_pool2d(depth, _SMOOTH, 1, _SMOOTH // 2).masked_fill(~mask[:, None], -1).flatten(1).argmax(1)
    return torch.stack([place % width, place // width], 1)[:, None]
