"""Matches between frames: where each position of a frame lies in another one, found by the encoder's features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.window_search import search_windows

__all__ = ["Match", "match_features", "share_that_comes_back"]

# A difference of this much between two cosines changes the weight of a match by a factor of e.
_TEMPERATURE = 0.1
# The standard deviation of a place's motion from one frame to the next, in cells of the grid.
_MOTION = 1.0
# Places more than this many cells from the expected one, in x or in y, need not be compared: whatever the features are,
# their share of the softmax is below 1e-7. One that is left out is at least 9 cells away, so its score is at most
# 1 / _TEMPERATURE - 0.5 * 9 ** 2 = -30.5. The nearest cell is within 0.71 cells, so its score is at least -10.25. If
# the expected place is outside the frame, both distances count from the nearest place inside it.
_RADIUS = 8
# Two positions with this cosine or a higher one are taken for the same place.
_SAME_PLACE = 0.5
_SAME_POSITION = 1.5  # cells: a position that comes back so close is the same
_AT_ONCE = 2**22  # pairs of positions, so that memory does not grow with the square of a frame's area


class Match(NamedTuple):
    """Where each position of a frame lies in a corrected frame, on the grid of stride 8."""

    displacement: Tensor
    """(1, 2, h, w): x and y in the corrected frame minus x and y in this frame, in cells of the grid."""
    likeness: Tensor
    """(1, 1, h, w) in [0, 1]: how similar the features at the two places are."""

    @classmethod
    def identity(cls, features: Tensor) -> Match:
        """Match a corrected frame with itself: every position stays, with likeness 1.

        Args:
            features: (1, C, h, w), the frame's features.
        """
        batch, _, height, width = features.shape
        float32 = torch.float32  # every match is, whatever the network's type
        return cls(
            features.new_zeros(batch, 2, height, width, dtype=float32),
            features.new_ones(batch, 1, height, width, dtype=float32),
        )


def match_features(corrected: Tensor, current: Tensor, before: Match) -> Match:
    """Match a frame with a corrected frame, starting from the match of the frame between them.

    Each position of the current frame is compared with positions of the corrected frame around the place from the
    previous match. The nearest ones get the highest score, so a place is followed over many frames. Errors do not add
    up, because every frame is matched with the corrected frame itself. Displacements are averaged over 3 x 3 positions,
    because neighbouring positions move together.

    Args:
        corrected: (1, C, h, w), the corrected frame's features at stride 8.
        current: (1, C, h, w), the features of the frame to match.
        before: the match of the frame next to the current one, on the side of the corrected frame. If that is the
            corrected frame itself, its :meth:`Match.identity`.

    Returns:
        the current frame's match.

    Source: label propagation by space-time correspondence (Jabri et al., NeurIPS 2020), with the encoder's features,
        and with displacements instead of labels so that the mask keeps its outline.
    """
    height, width = current.shape[-2:]
    keys, queries = (_directions(x) for x in (corrected, current))
    places, expected = _expect(queries, before)
    grid = (height, width)
    found, found_keys = search_windows(queries, keys, expected, grid, _TEMPERATURE, _MOTION, _RADIUS)
    displacement = (found - places).T.view(1, 2, height, width)
    cosine = (F.normalize(found_keys, dim=1) * queries).sum(1)
    return Match(
        F.avg_pool2d(displacement, 3, stride=1, padding=1, count_include_pad=False),
        (cosine / _SAME_PLACE).clamp(0, 1).view(1, 1, height, width),
    )


def share_that_comes_back(corrected: Tensor, current: Tensor, before: Match, search: float = 6.0) -> Tensor:
    """Match a frame forwards and backwards, and measure how much of it comes back to where it started.

    Each position of the current frame goes to the most similar position of the corrected frame near its expected place,
    and from there to the most similar position of the current frame. Where frames do not follow one another, only about
    half of the positions come back, however similar their features are.

    Args:
        corrected: (1, C, h, w), the corrected frame's features at stride 8.
        current: (1, C, h, w), the features of the frame to match.
        before: as in :func:`match_features`.
        search: how far a position of the corrected frame may be from the expected place, in cells.

    Returns:
        the share of positions that come back to within 1.5 cells, in [0, 1]: a tensor without dimensions.
    """
    keys, queries = (_directions(x) for x in (corrected, current))
    places, expected = _expect(queries, before)
    there = torch.empty(len(queries), dtype=torch.long, device=queries.device)
    best, back = queries.new_full((len(keys),), -3), torch.zeros_like(there)
    for some in torch.arange(len(queries), device=queries.device).split(max(1, _AT_ONCE // len(keys))):
        distances = torch.cdist(expected[some], places, compute_mode="donot_use_mm_for_euclid_dist")
        cosines = (queries[some] @ keys.T).masked_fill(distances > search, -2)
        there[some] = cosines.argmax(1)
        highest, which = cosines.max(0)
        back = torch.where(highest > best, some[which], back)
        best = torch.maximum(best, highest)
    back = back[there]
    return ((places[back] - places).norm(dim=1) <= _SAME_POSITION).float().mean()


def _expect(like: Tensor, before: Match) -> tuple[Tensor, Tensor]:
    """The grid's places, and where each of its positions is expected: both (h * w, 2), x and y."""
    height, width = before.displacement.shape[-2:]
    # Made where they are used, because a copy from the CPU would wait for a GPU.
    y, x = torch.meshgrid(*(torch.arange(n, device=like.device) for n in (height, width)), indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1).to(like)
    return places, places + before.displacement.flatten(2)[0].T


def _directions(features: Tensor) -> Tensor:
    """(1, C, h, w) -> (h * w, C): the features minus their mean over the frame, as unit vectors."""
    features = features.float().flatten(2)[0].T
    return F.normalize(features - features.mean(0), dim=1)
