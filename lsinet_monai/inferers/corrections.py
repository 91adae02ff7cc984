"""The corrected frames of a video: a person's masks, which of them are in memory, and where they are carried to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.bad_frames import are_finite
from lsinet_monai.inferers.cuts import scene_likeness
from lsinet_monai.inferers.feature_store import EncodedFrame, FeatureStore
from lsinet_monai.inferers.mask_carrying import CarriedMask, can_trust, carry_mask, nearness
from lsinet_monai.inferers.matching import Match, match_features, share_that_comes_back
from lsinet_monai.inferers.refining import redraw
from lsinet_monai.inferers.stored_cuts import StoredCuts
from lsinet_monai.networks import Features
from lsinet_monai.networks.encoder import STRIDES

__all__ = ["MOST_CORRECTED", "Corrections", "nearest_frames"]

MOST_CORRECTED = 8
"""The number of corrected frames that the memory of a propagation holds at most."""

# Frames are matched on the finest grid.
_STRIDE = STRIDES[0]
# A mask is carried to frames that show what the corrected one shows: so large a share of them comes back when they are
# matched forwards and backwards, or the two frames are so much alike, as in a blurred stretch, in which little comes
# back. Chosen on clips of stills and on CVC-ClinicDB's training sequences, see docs/experiments/cuts.md.
_COME_BACK = 0.6
_MOST_LESIONS = 6  # that are drawn again: each costs a pass of the prompt head
_MARGIN = 8  # pixels at the encoder's input, about a lesion that could not be drawn again
_ALIKE = 0.75


def nearest_frames(corrected: Collection[int], frame: int) -> list[int]:
    """The corrected frames nearest to the stretch between two of them in which a frame lies.

    They are the same for all frames of the stretch, whose ends are among them.

    Args:
        corrected: the corrected frames.
        frame: the frame.

    Returns:
        :data:`MOST_CORRECTED` frames, or all if there are fewer, in order. Of two that are as near the earlier one is
        taken.
    """
    start = max((other for other in corrected if other <= frame), default=frame)
    end = min((other for other in corrected if other >= frame), default=frame)
    by_distance = sorted(corrected, key=lambda other: (max(start - other, other - end), other))
    return sorted(by_distance[:MOST_CORRECTED])


@dataclass
class _Correction:
    """A corrected frame."""

    mask: np.ndarray
    thumbnail: np.ndarray
    is_blank: bool = False
    features: Features | None = None
    lesions: list[np.ndarray] = field(default_factory=list)
    """The connected parts of the mask, each bool, (H, W)."""
    is_finite: bool = True
    """Whether its features are finite. If not, its mask is carried nowhere."""
    values: tuple[Tensor, ...] | None = None
    """The values of the features, weighted by the mask."""
    before: list[Match] = field(default_factory=list)
    """The matches of the frames before it, the nearest first."""
    after: list[Match] = field(default_factory=list)
    """The matches of the frames after it, the nearest first."""
    seen_in: dict[int, bool] = field(default_factory=dict)
    """Whether another frame shows what this one shows, as far as that is known."""


class Corrections:
    """The corrected frames of a video, their masks, and the masks that they carry to other frames.

    A corrected frame acts on up to ``reach`` frames on either side, and not beyond the next corrected frame. Its
    features and matches are kept as long as its mask.

    Args:
        store: the video's encoded frames.
        reach: see :func:`nearness`; with 0 no mask is carried.
        cuts: the video's cuts, across which no mask is carried. If it detects cuts, an empty mask, or one that is not
            refined, is carried only to frames that look like the corrected one, or of which enough comes back, see
            :func:`share_that_comes_back`.
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

    def add(self, frame: int, mask: np.ndarray, thumbnail: np.ndarray, is_blank: bool = False) -> None:
        """Correct a frame, or replace its mask.

        Args:
            frame: its index, from 0.
            mask: bool, (H, W).
            thumbnail: see :func:`lsinet_monai.data.thumbnail`.
            is_blank: whether the frame shows nothing, see :func:`are_blank`.
        """
        correction = self._corrections.setdefault(frame, _Correction(mask, thumbnail, is_blank))
        correction.mask, correction.values = mask, None
        parts, count = ndimage.label(mask, np.ones((3, 3), bool))
        largest = 1 + np.argsort(-np.bincount(parts.ravel(), minlength=count + 1)[1:], kind="stable")
        correction.lesions = [parts == part for part in largest[:_MOST_LESIONS]]

    def remove(self, frame: int) -> None:
        """Make a corrected frame uncorrected again."""
        del self._corrections[frame]

    def mask(self, frame: int) -> Tensor:
        """A corrected frame's mask, bool, (1, 1, H, W), on the network's device."""
        return torch.from_numpy(self._corrections[frame].mask)[None, None].to(self.store.device)

    def is_blank(self, frame: int) -> bool:
        """Whether a corrected frame shows nothing, and so is not written to memory."""
        return self._corrections[frame].is_blank

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

    def carried_to(
        self, frame: int, without: int | None = None, known: Mapping[int, CarriedMask | None] | None = None
    ) -> dict[int, CarriedMask | None]:
        """The masks that are carried to a frame.

        Args:
            frame: its index, from 0.
            without: a corrected frame to leave out, as if it had no mask.
            known: an earlier result for this frame, whose masks are not carried again.

        Returns:
            for up to two corrected frames within reach the mask, at the frame's own size, or None if the frame does not
            show what that one shows; nothing for a corrected, damaged or blank frame.
        """
        encoded = None if frame in self else self.store.get(frame)
        if encoded is None or not encoded.is_finite or encoded.is_blank:
            return {}
        known = known or {}
        sources = [x for x in self._neighbours(frame, without) if x is not None and abs(frame - x) <= self.reach]
        return {x: known[x] if x in known else self._carry(x, frame, encoded) for x in sources}

    def _carry(self, corrected: int, frame: int, encoded: EncodedFrame) -> CarriedMask | None:
        """Carry a mask to a frame; None if the frame does not show what the corrected one shows."""
        match = self._match(corrected, frame)
        if match is None:
            return None
        near = nearness(abs(frame - corrected), self.reach)
        # An empty mask has no outline to draw.
        if encoded.detail is None or not self._corrections[corrected].mask.any():
            if self.cuts.detect and not self._shows(corrected, frame, encoded):
                return None
            carried, likeness = carry_mask(self.mask(corrected).float(), match, self.store.image_size, encoded.size)
            return CarriedMask(carried, likeness * near)
        found = self._redraw(corrected, match, encoded.features, encoded.detail)
        if found is None:
            return None
        mask, trust = (F.interpolate(x, encoded.size, mode="bilinear", align_corners=False) for x in found)
        return CarriedMask(mask, trust, near)

    def _redraw(self, corrected: int, match: Match, current: Features, detail: Tensor) -> tuple[Tensor, Tensor] | None:
        """Carry each lesion of a mask to a frame and draw it again there.

        Returns:
            those that can be trusted together, and the trust in them, none near the others: both (1, 1, H, W) in
            [0, 1], at the encoder's input. None if no lesion can be trusted.
        """
        size, (features,) = self.store.image_size, self.features([corrected])
        drawn, doubted = [], []
        for lesion in self._corrections[corrected].lesions:
            mask = torch.from_numpy(lesion)[None, None].to(self.store.device, torch.float32)
            carried, likeness = carry_mask(mask, match, size, size)
            again = redraw(self.store.network, current, detail, carried)
            if can_trust(carried, again, features, current):
                drawn.append(again)
            else:
                doubted.append((carried > 0.5).float())
        if not drawn:
            return None
        if doubted:
            near = F.max_pool2d(torch.stack(doubted).amax(0), 2 * _MARGIN + 1, 1, _MARGIN)
            likeness = likeness * (1 - near)
        return torch.stack(drawn).amax(0), likeness

    def _neighbours(self, frame: int, without: int | None = None) -> tuple[int | None, int | None]:
        """The nearest corrected frames before and after a frame, apart from ``without``."""
        corrected = self._corrections.keys() - {without}
        earlier = max((other for other in corrected if other < frame), default=None)
        return earlier, min((other for other in corrected if other > frame), default=None)

    def _match(self, corrected: int, frame: int) -> Match | None:
        """Match a frame with a corrected one, after the frames between them that are not matched yet.

        None if there is a cut between them, or if the corrected frame's features are not finite. Other frames with such
        features, and blank ones, are passed over.
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
            if encoded is not None and encoded.is_finite and not encoded.is_blank:
                match = match_features(features, encoded.features.features[0], match)
            matches.append(match)
        return matches[abs(frame - corrected) - 1]

    def _shows(self, corrected: int, frame: int, encoded: EncodedFrame) -> bool:
        """Whether a frame that was matched with a corrected one shows what that shows."""
        correction = self._corrections[corrected]
        if frame not in correction.seen_in:
            (features,) = self.features([corrected])
            matches = correction.after if frame > corrected else correction.before
            place = abs(frame - corrected) - 1
            before = matches[place - 1] if place else Match.identity(features.features[0])
            correction.seen_in[frame] = _show_the_same(features, encoded.features, before)
        return correction.seen_in[frame]


def _show_the_same(corrected: Features, current: Features, before: Match) -> bool:
    """Whether a frame shows what a corrected frame shows."""
    is_alike = scene_likeness(corrected.features[1], current.features[1]).item() >= _ALIKE
    return is_alike or share_that_comes_back(corrected.features[0], current.features[0], before).item() >= _COME_BACK
