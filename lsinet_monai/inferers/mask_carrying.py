"""How a corrected mask is carried to the frames around its own, and blended with the network's masks there.

Through the memory a mask has little effect: at 352 x 352 it scales a value by about 2% at most (see
:func:`lsinet_monai.networks.memory.weight_one_scale`). Therefore each corrected mask is also carried to its neighbours,
by matching the encoder's features: each position of a neighbour finds its place in the corrected frame and takes the
mask from there. Trust in the mask falls with distance in time and with difference in features. ``docs/experiments.md``
compares this with other ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.matching import Match
from lsinet_monai.networks.blocks import upsample
from lsinet_monai.networks.encoder import STRIDES

__all__ = ["blend", "carry_mask"]

# Frames are matched on the finest grid.
_STRIDE = STRIDES[0]


def carry_mask(
    mask: Tensor, match: Match, distance: int, reach: int, image_size: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Carry a corrected frame's mask to a frame that was matched with it.

    Args:
        mask: (1, 1, H', W') in [0, 1], of the corrected frame, at any size.
        match: the match of the frame that receives the mask.
        distance: the number of frames between the two.
        reach: the distance at which 1% of the trust is left. Trust falls like a Gaussian with a standard deviation of a
            third of the reach.
        image_size: height and width of the frames at the encoder's input, without its padding.
        size: height and width of the frame that receives the mask.

    Returns:
        the carried mask, and the trust in it, both (1, 1, H, W) in [0, 1].
    """
    displacement, likeness = (_to_frame(x, image_size, size) for x in match)
    cells = displacement.new_tensor([side / _STRIDE for side in reversed(image_size)])
    # In grid_sample's coordinates a frame is 2 wide and 2 high.
    moved = displacement.movedim(1, 3) * (2 / cells)
    places = F.affine_grid(torch.eye(2, 3, device=moved.device)[None], [1, 1, *size], align_corners=False) + moved
    carried = F.grid_sample(mask.to(moved), places, padding_mode="border", align_corners=False)
    return carried, likeness * math.exp(-0.5 * (3 * distance / reach) ** 2)


def _to_frame(x: Tensor, image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Resize from the grid of stride 8, which may have padding, to a frame's size."""
    height, width = image_size
    return F.interpolate(upsample(x, _STRIDE)[..., :height, :width], size, mode="bilinear", align_corners=False)


def blend(probability: Tensor, carried: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Blend the network's probability with the masks that are carried to a frame.

    Several masks are averaged, weighted by their trust. Their average has the trust of the most trusted of them.

    Args:
        probability: (1, 1, H, W) in [0, 1].
        carried: pairs of mask and trust from :func:`carry_mask`; may be empty.

    Returns:
        (1, 1, H, W) in [0, 1].
    """
    if not carried:
        return probability
    masks, trusts = (torch.cat(x) for x in zip(*carried, strict=True))
    mask = (masks * trusts).sum(0, keepdim=True) / trusts.sum(0, keepdim=True).clamp(min=1e-6)
    return torch.lerp(probability, mask, trusts.amax(0, keepdim=True))
