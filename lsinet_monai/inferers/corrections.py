"""Corrections: a person's masks, and how they act on the frames around theirs.

Through the memory a mask has little effect: at 352 x 352 it scales a value by about 2% at most (see
:func:`lsinet_monai.networks.memory.weight_one_scale`). Therefore each corrected mask is also carried to its neighbours,
by matching the encoder's features: each position of a neighbour finds its place in the corrected frame and takes the
mask from there. Trust in the mask falls with distance in time and with difference in features. ``docs/experiments.md``
compares this with other ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.bad_frames import are_finite
from lsinet_monai.inferers.feature_store import FeatureStore, is_one_colour
from lsinet_monai.inferers.stored_cuts import StoredCuts
from lsinet_monai.inferers.window_search import search_windows
from lsinet_monai.networks import Features
from lsinet_monai.networks.blocks import upsample
from lsinet_monai.networks.encoder import STRIDES

__all__ = ["Corrections", "Match", "blend", "carry_mask", "match_features", "share_that_comes_back"]

# Frames are matched on the finest grid.
_STRIDE = STRIDES[0]
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
# For the check of a match forwards and backwards: a place lies at most so many cells from where it is expected, a
# position that comes back to within so many cells is the same, and so large a share of a frame must come back.
_SEARCH = 6.0
_SAME_POSITION = 1.5
_COME_BACK = 0.6
_AT_ONCE = 2048  # positions, so that memory does not grow with the square of a frame's area


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
        return cls(features.new_zeros(batch, 2, height, width), features.new_ones(batch, 1, height, width))


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


def share_that_comes_back(corrected: Tensor, current: Tensor, before: Match) -> float:
    """Match a frame forwards and backwards, and measure how much of it comes back to where it started.

    Each position of the current frame goes to the most similar position of the corrected frame near its expected place,
    and from there to the most similar position of the current frame. Where frames do not follow one another, only about
    half of the positions come back, however similar their features are.

    Args:
        corrected: (1, C, h, w), the corrected frame's features at stride 8.
        current: (1, C, h, w), the features of the frame to match.
        before: as in :func:`match_features`.

    Returns:
        the share of positions that come back to within 1.5 cells, in [0, 1].
    """
    keys, queries = (_directions(x) for x in (corrected, current))
    places, expected = _expect(queries, before)
    there = torch.empty(len(queries), dtype=torch.long, device=queries.device)
    best, back = queries.new_full((len(keys),), -3), torch.zeros_like(there)
    for some in torch.arange(len(queries), device=queries.device).split(_AT_ONCE):
        distances = torch.cdist(expected[some], places, compute_mode="donot_use_mm_for_euclid_dist")
        cosines = (queries[some] @ keys.T).masked_fill(distances > _SEARCH, -2)
        there[some] = cosines.argmax(1)
        highest, which = cosines.max(0)
        back = torch.where(highest > best, some[which], back)
        best = torch.maximum(best, highest)
    back = back[there]
    return float(((places[back] - places).norm(dim=1) <= _SAME_POSITION).float().mean())


def _expect(like: Tensor, before: Match) -> tuple[Tensor, Tensor]:
    """The grid's places, and where each of its positions is expected: both (h * w, 2), x and y."""
    height, width = before.displacement.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1).to(like)
    return places, places + before.displacement.flatten(2)[0].T


def _directions(features: Tensor) -> Tensor:
    """(1, C, h, w) -> (h * w, C): the features minus their mean over the frame, as unit vectors."""
    features = features.float().flatten(2)[0].T
    return F.normalize(features - features.mean(0), dim=1)


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


@dataclass
class _Correction:
    """A corrected frame."""

    mask: np.ndarray
    thumbnail: np.ndarray
    features: Features | None = None
    is_finite: bool = True
    """Whether its features are finite. If not, its mask is carried nowhere."""
    values: tuple[Tensor, ...] | None = None
    """The values of the features, weighted by the mask."""
    before: list[Match] = field(default_factory=list)
    """The matches of the frames before it, the nearest first."""
    distrusted: set[int] = field(default_factory=set)
    """Frames whose match does not come back: see :func:`share_that_comes_back`."""
    after: list[Match] = field(default_factory=list)
    """The matches of the frames after it, the nearest first."""


class Corrections:
    """The corrected frames of a video, their masks, and the masks that they carry to other frames.

    A corrected frame acts on up to ``reach`` frames on either side, and not beyond the next corrected frame. Its
    features and matches are kept as long as its mask.

    Args:
        store: the video's encoded frames.
        reach: see :func:`carry_mask`; with 0 no mask is carried.
        cuts: the video's cuts, across which no mask is carried. If it detects cuts, frames of which too little comes
            back get no mask either, see :func:`share_that_comes_back`.
    """

    def __init__(self, store: FeatureStore, reach: int, cuts: StoredCuts | None = None) -> None:
        self.store = store
        self.reach = reach
        self.cuts = StoredCuts(store, detect=False) if cuts is None else cuts
        self._corrections: dict[int, _Correction] = {}

    def __contains__(self, frame: int) -> bool:
        """Whether a frame is corrected."""
        return frame in self._corrections

    @property
    def masks(self) -> dict[int, np.ndarray]:
        """The corrected frames, in order, and their masks, bool, (H, W)."""
        return {frame: self._corrections[frame].mask for frame in sorted(self._corrections)}

    @property
    def thumbnails(self) -> dict[int, np.ndarray]:
        """The corrected frames and their thumbnails, uint8, (16, 16, 3), see :func:`lsinet_monai.data.thumbnail`."""
        return {frame: correction.thumbnail for frame, correction in self._corrections.items()}

    def add(self, frame: int, mask: np.ndarray, thumbnail: np.ndarray) -> None:
        """Correct a frame, or replace its mask.

        Args:
            frame: its index, from 0.
            mask: bool, (H, W).
            thumbnail: see :func:`lsinet_monai.data.thumbnail`.
        """
        correction = self._corrections.setdefault(frame, _Correction(mask, thumbnail))
        correction.mask, correction.values = mask, None

    def remove(self, frame: int) -> None:
        """Make a corrected frame uncorrected again."""
        del self._corrections[frame]

    def mask(self, frame: int) -> Tensor:
        """A corrected frame's mask, bool, (1, 1, H, W), on the network's device."""
        return torch.from_numpy(self._corrections[frame].mask)[None, None].to(self.store.device)

    def is_blank(self, frame: int) -> bool:
        """Whether a corrected frame is of one colour, and so is not written to memory."""
        return is_one_colour(self._corrections[frame].thumbnail)

    def features(self, frames: Sequence[int]) -> list[Features]:
        """The features of corrected frames, encoded in batches at the first call and then kept.

        Raises:
            InputError: a frame is damaged.
        """
        missing = [frame for frame in frames if self._corrections[frame].features is None]
        for frame, features in zip(missing, self.store.get_features(missing), strict=True):
            correction = self._corrections[frame]
            correction.features, correction.is_finite = features, bool(are_finite(features.features))
        return [found for frame in frames if (found := self._corrections[frame].features) is not None]

    def keys_and_values(self, frames: Sequence[int]) -> list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
        """What the memory holds of corrected frames: per frame three keys, and three values, weighted by its mask.

        Raises:
            InputError: a frame is damaged.
        """
        found = []
        for frame, features in zip(frames, self.features(frames), strict=True):
            correction = self._corrections[frame]
            if correction.values is None:
                mask = F.interpolate(
                    self.mask(frame).float(),
                    self.store.image_size,
                    mode="bilinear",
                    align_corners=False,
                    antialias=True,
                )
                correction.values = self.store.network.values_by_mask(features, mask)
            found.append((features.keys, correction.values))
        return found

    def reached_from(self, frame: int) -> range:
        """The frames on which a correction of a frame acts, including this frame, which need not be corrected yet.

        To find cuts, all these frames are encoded.
        """
        frames = self.within_reach(frame)
        first = next((at for at in range(frame, frames.start, -1) if self.cuts.between(at, at - 1)), frames.start)
        return range(
            first, next((at for at in frames[frame - frames.start + 1 :] if self.cuts.between(at - 1, at)), frames.stop)
        )

    def within_reach(self, frame: int) -> range:
        """The frames on which a correction of a frame would act without any cuts."""
        count = len(self.store.source)
        earlier, later = self._neighbours(frame)
        first = max(0, frame - self.reach, -1 if earlier is None else earlier + 1)
        end = min(count, frame + self.reach + 1, count if later is None else later)
        return range(first, end)

    def carried_to(self, frame: int, without: int | None = None) -> list[tuple[Tensor, Tensor]]:
        """The masks that are carried to a frame, each with the trust in it.

        Args:
            frame: its index, from 0.
            without: a corrected frame to leave out, as if it had no mask.

        Returns:
            up to two pairs of mask and trust, both (1, 1, H, W) in [0, 1], at the frame's own size; an empty list for
            a corrected or damaged frame, and for one out of reach.
        """
        encoded = None if frame in self else self.store.get(frame)
        if encoded is None or not encoded.is_finite:
            return []
        carried = []
        for corrected in self._neighbours(frame, without):
            if corrected is not None and abs(frame - corrected) <= self.reach:
                match = self._match(corrected, frame)
                if match is None:
                    continue
                distance = abs(frame - corrected)
                mask = self.mask(corrected).float()
                carried.append(carry_mask(mask, match, distance, self.reach, self.store.image_size, encoded.size))
        return carried

    def _neighbours(self, frame: int, without: int | None = None) -> tuple[int | None, int | None]:
        """The nearest corrected frames before and after a frame, apart from ``without``."""
        corrected = self._corrections.keys() - {without}
        earlier = max((other for other in corrected if other < frame), default=None)
        return earlier, min((other for other in corrected if other > frame), default=None)

    def _match(self, corrected: int, frame: int) -> Match | None:
        """Match a frame with a corrected one, after the frames between them that are not matched yet.

        None if there is a cut between them, if too little of the frame comes back, or if the corrected frame's features
        are not finite. Other frames with such features are passed over.
        """
        correction = self._corrections[corrected]
        features = self.features([corrected])[0].features[0]
        if not correction.is_finite or self.cuts.between(corrected, frame):
            return None
        step = 1 if frame > corrected else -1
        matches = correction.after if step > 0 else correction.before
        for other in range(corrected + step * (len(matches) + 1), frame + step, step):
            match = matches[-1] if matches else Match.identity(features)
            encoded = self.store.get(other, step)
            if encoded is not None and encoded.is_finite:
                current = encoded.features.features[0]
                if self.cuts.detect and share_that_comes_back(features, current, match) < _COME_BACK:
                    correction.distrusted.add(other)
                match = match_features(features, current, match)
            matches.append(match)
        return None if frame in correction.distrusted else matches[abs(frame - corrected) - 1]
