"""Corrections that act: a person's mask is carried to the frames around it by matching the encoder's features.

In the memory a mask is all but inert: it scales a value by less than 2% (see :func:`weight_values`). So each position
of a neighbouring frame looks up where in the corrected frame it shows the same place, takes the mask from there, and
trusts it less the farther the frame is in time and the less the features are alike. ``docs/experiments.md`` has this
measured beside other ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.networks.blocks import upsample

__all__ = ["Match", "blend", "carry_mask", "match_features"]

STRIDE = 8
# How alike two features must be, as a cosine, to count for more: a difference of this much is a factor of e.
TEMPERATURE = 0.1
# How far a place is expected to move from one frame to the next, in cells of the stride: one standard deviation.
MOTION = 1.0
# From this cosine on two places are taken for the same.
ALIKE = 0.5


class Match(NamedTuple):
    """Where a frame's positions are found in a corrected frame, on the grid of stride 8."""

    displacement: Tensor
    """(1, 2, h, w): x and y in the corrected frame, less those in this frame, in cells."""
    likeness: Tensor
    """(1, 1, h, w) in [0, 1]: how far what is found there looks the same."""

    @classmethod
    def identity(cls, features: Tensor) -> Match:
        """A corrected frame's match with itself; features (1, C, h, w)."""
        batch, _, height, width = features.shape
        return cls(features.new_zeros(batch, 2, height, width), features.new_ones(batch, 1, height, width))


def match_features(corrected: Tensor, current: Tensor, before: Match) -> Match:
    """Find a frame's positions in a corrected frame, near where the frame before it found them.

    Each position of the current frame is compared with all of the corrected frame. What it expects is what the frame
    before found at the same position, so a place is followed over many frames, and matched with the corrected frame
    itself each time: errors do not add up. Displacements are averaged over neighbours (3 x 3), since what is seen
    moves together.

    Args:
        corrected: (1, C, h, w), the encoder's features of stride 8 of the corrected frame.
        current: (1, C, h, w), those of the frame to match.
        before: the match of its neighbour in time on the corrected frame's side; for the first, the identity.

    Source: the label propagation of space-time correspondence (Jabri et al., NeurIPS 2020), on features that are there
        already, with displacements in the labels' place so that the mask keeps its outline.
    """
    height, width = current.shape[-2:]
    keys, queries = (_directions(x) for x in (corrected, current))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1).to(queries)
    expected = places + before.displacement.flatten(2)[0].T
    distances = torch.cdist(expected, places, compute_mode="donot_use_mm_for_euclid_dist")
    scores = queries @ keys.T / TEMPERATURE - 0.5 * (distances / MOTION).square()
    weights = scores.softmax(1)
    displacement = (weights @ places - places).T.view(1, 2, height, width)
    cosine = (F.normalize(weights @ keys, dim=1) * queries).sum(1)
    return Match(
        F.avg_pool2d(displacement, 3, stride=1, padding=1, count_include_pad=False),
        (cosine / ALIKE).clamp(0, 1).view(1, 1, height, width),
    )


def _directions(features: Tensor) -> Tensor:
    """(1, C, h, w) -> (h * w, C): unit vectors, once what all positions of the frame share is taken away."""
    features = features.float().flatten(2)[0].T
    return F.normalize(features - features.mean(0), dim=1)


def carry_mask(
    mask: Tensor, match: Match, distance: int, reach: int, image_size: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Carry a corrected frame's mask to a frame that was matched with it.

    Args:
        mask: (1, 1, H', W') in [0, 1], of the corrected frame, at any size.
        match: of the frame that takes the mask.
        distance: how many frames the two are apart.
        reach: at this distance next to no trust (1%) is left: it falls like a Gaussian of a third of that width.
        image_size: height and width that the frames had for the encoder, without its padding.
        size: height and width of the frame that takes the mask.

    Returns:
        the mask as it is carried, and the trust in it, both (1, 1, H, W) in [0, 1].
    """
    displacement, likeness = (_to_frame(x, image_size, size) for x in match)
    cells = displacement.new_tensor([side / STRIDE for side in reversed(image_size)])
    # In the coordinates of grid_sample a frame is 2 wide.
    moved = displacement.movedim(1, 3) * (2 / cells)
    places = F.affine_grid(torch.eye(2, 3, device=moved.device)[None], [1, 1, *size], align_corners=False) + moved
    carried = F.grid_sample(mask.to(moved), places, padding_mode="border", align_corners=False)
    return carried, likeness * math.exp(-0.5 * (3 * distance / reach) ** 2)


def _to_frame(x: Tensor, image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """From the grid of stride 8, which may have padding, to a frame's pixels."""
    height, width = image_size
    return F.interpolate(upsample(x, STRIDE)[..., :height, :width], size, mode="bilinear", align_corners=False)


def blend(probability: Tensor, carried: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Blend the network's own probability with the masks that corrections carry to a frame.

    Several masks are averaged by their trust; together they are trusted as much as the most trusted of them.

    Args:
        probability: (1, 1, H, W) in [0, 1].
        carried: masks and trusts, as :func:`carry_mask` gives them; may be empty.

    Returns:
        (1, 1, H, W) in [0, 1].
    """
    if not carried:
        return probability
    masks, trusts = (torch.cat(x) for x in zip(*carried, strict=True))
    mask = (masks * trusts).sum(0, keepdim=True) / trusts.sum(0, keepdim=True).clamp(min=1e-6)
    return torch.lerp(probability, mask, trusts.amax(0, keepdim=True))
