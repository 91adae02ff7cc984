"""How a corrected mask is carried to the frames around its own, and blended with the network's masks there.

Through the memory a mask has little effect: at 352 x 352 it scales a value by about 2% at most (see
:func:`lsinet_monai.networks.memory.weight_one_scale`). Therefore each corrected mask is also carried to its neighbours,
by matching the encoder's features: each position of a neighbour finds its place in the corrected frame and takes the
mask from there. Trust in the mask falls with difference in features, and with distance in time. The page
``docs/experiments/corrections.md`` compares this with other ways.

Where masks are refined (:mod:`lsinet_monai.inferers.refining`), the prompt head draws each carried lesion again in its
new frame. It is trusted if both agree, and if the places that it covers look like the same places of the corrected
frame; how far away that is no longer matters. Otherwise it is not used at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.cuts import likeness_of_places
from lsinet_monai.inferers.matching import Match
from lsinet_monai.networks import Features
from lsinet_monai.networks.blocks import pad_frames, upsample
from lsinet_monai.networks.encoder import STRIDES

__all__ = ["CarriedMask", "blend", "can_trust", "carry_mask", "nearness"]

# Frames are matched on the finest grid.
_STRIDE = STRIDES[0]
# When a mask that was drawn again is trusted: the IoU with the carried one, and the mean likeness of the places that it
# covers. Chosen on clips of validation stills and on CVC-ClinicDB's training sequences, see docs/experiments/cuts.md.
_AGREE = 0.6
_ALIKE = 0.7


class CarriedMask(NamedTuple):
    """A mask that was carried to a frame."""

    mask: Tensor
    """(1, 1, H, W) in [0, 1]."""
    trust: Tensor
    """(1, 1, H, W) in [0, 1]: its weight next to the network's own mask."""
    nearness: float = 1.0
    """Its further weight next to other carried masks, if the trust does not fall with distance."""


def nearness(distance: int, reach: int) -> float:
    """How near a frame is: a Gaussian with a standard deviation of a third of the reach, so 1% at the reach.

    Args:
        distance: the number of frames between the two.
        reach: the number of frames on either side on which a mask acts.
    """
    return math.exp(-0.5 * (3 * distance / reach) ** 2)


def carry_mask(mask: Tensor, match: Match, image_size: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Carry a corrected frame's mask to a frame that was matched with it.

    Args:
        mask: (1, 1, H', W') in [0, 1], of the corrected frame, at any size.
        match: the match of the frame that receives the mask.
        image_size: height and width of the frames at the encoder's input, without its padding.
        size: height and width of the frame that receives the mask.

    Returns:
        the carried mask, and how similar the features at the two places are, both (1, 1, H, W) in [0, 1].
    """
    displacement, likeness = (_to_frame(x, image_size, size) for x in match)
    cells = displacement.new_tensor([side / _STRIDE for side in reversed(image_size)])
    # In grid_sample's coordinates a frame is 2 wide and 2 high.
    moved = displacement.movedim(1, 3) * (2 / cells)
    places = F.affine_grid(torch.eye(2, 3, device=moved.device)[None], [1, 1, *size], align_corners=False) + moved
    carried = F.grid_sample(mask.to(moved), places, padding_mode="border", align_corners=False)
    return carried, likeness


def can_trust(carried: Tensor, drawn: Tensor, corrected: Features, current: Features) -> bool:
    """Whether a carried mask that was drawn again belongs to its new frame.

    Args:
        carried: (1, 1, H, W) in [0, 1], at the encoder's input: the mask as it was carried.
        drawn: (1, 1, H, W) in [0, 1]: as it was drawn again.
        corrected: the frame from which it comes.
        current: the frame that receives it.
    """
    masks = carried > 0.5, drawn > 0.5
    agreement = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum().clamp(min=1)
    # The cells that the mask covers, and those next to them.
    cells = F.max_pool2d(pad_frames(carried, STRIDES[-1]), STRIDES[1])
    near = F.max_pool2d((cells > 0.5).float(), 3, 1, 1)[:, 0]
    likeness = likeness_of_places(corrected.features[1], current.features[1])
    alike = (likeness * near).sum() / near.sum().clamp(min=1)
    return bool((agreement >= _AGREE) & (alike >= _ALIKE))


def _to_frame(x: Tensor, image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Resize from the grid of stride 8, which may have padding, to a frame's size."""
    height, width = image_size
    return F.interpolate(upsample(x, _STRIDE)[..., :height, :width], size, mode="bilinear", align_corners=False)


def blend(probability: Tensor, carried: Sequence[CarriedMask]) -> Tensor:
    """Blend the network's probability with the masks that are carried to a frame.

    Several masks are averaged, weighted by trust and nearness. Their average has the trust of the most trusted of them.

    Args:
        probability: (1, 1, H, W) in [0, 1].
        carried: the masks; may be empty.

    Returns:
        (1, 1, H, W) in [0, 1].
    """
    if not carried:
        return probability
    masks, trusts = torch.cat([one.mask for one in carried]), torch.cat([one.trust for one in carried])
    weights = torch.cat([one.trust * one.nearness for one in carried])
    mask = (masks * weights).sum(0, keepdim=True) / weights.sum(0, keepdim=True).clamp(min=1e-6)
    return torch.lerp(probability, mask, trusts.amax(0, keepdim=True))
