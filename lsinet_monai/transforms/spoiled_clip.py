"""Draw short clips from stills in which single frames show little, so that a training needs time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple_rep
from scipy import ndimage

from lsinet_monai.data.cache import FrameCache
from lsinet_monai.data.clips import Clip
from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.data.stills import EFFECTS, SpoiledClip, StillClip, Stretch, check_effects
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import check_numbers

__all__ = ["RandSpoiledClipd"]

KINDS = ("blur", "glare", "water", "out of view")
"""Smoke and instruments are left for tests of what a training has not seen."""

_MAX_STEP = 25  # frames, a second
_CLOSE_SHARE = 0.5  # of the clips end with frames that follow one another, as frames of a video do
_STRENGTH = (0.6, 1.4)  # of the spoiling, around that of the benchmark of time


class RandSpoiledClipd(Randomizable, MapTransform):
    """Draw a short clip from a still, with spoiled frames among clean ones.

    A clip's frames lie 1 to 25 frames of a video apart: each clip has a pace of its own, and half of the clips end
    with frames that follow one another. Some of the last ``loss_frames`` frames are spoiled, and frames before them are
    clean; or the reverse; or all are clean. Now and then the first frames show another still, as before a cut.

    In some clips one of the frames before the last ones has a given mask, as if a person had drawn it: ``given_mask``,
    float32, (1, height, width), and ``given_frame``, its index, or -1. Half of these masks are true, half are moved,
    and grown or shrunk.

    Args:
        keys: of the still, uint8, (H, W, 3), RGB, which becomes a clip, float32, (3, T, height, width), normalised as
            in :func:`~lsinet_monai.data.frames_to_tensor`.
        mask_key: of its mask, uint8, (H, W), 0 to 255, which becomes the masks of the last ``loss_frames`` frames,
            float32, (``loss_frames``, height, width), 0 or 1.
        image_size: side, or height and width, of the frames in pixels.
        clip_frames: T, the frames of a clip.
        loss_frames: the frames whose masks are given, at the clip's end.
        others: the stills that a clip may show before a cut, and what reads them; None for no cuts.
        cache: reads them.
        spoiled_share: the share of the clips in which frames with a mask are spoiled, from 0 to 1.
        spoiled_memory_share: the share of the clips in which frames before those are spoiled.
        cut_share: the share of the clips with a cut.
        given_share: the share of the clips with a given mask.
        empty_share: the share of the clips that look away from the polyp.
        effects: see :class:`~lsinet_monai.data.StillClip`, for all frames.
        look: see :class:`~lsinet_monai.data.StillClip`.

    Raises:
        InputError: a share is not in [0, 1], an effect is not known, or ``loss_frames`` is not below ``clip_frames``;
            on a call, the mask has values of 0 and 1, which would all count as background.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str,
        image_size: int | Sequence[int],
        clip_frames: int = 7,
        loss_frames: int = 3,
        others: Sequence[Clip] | None = None,
        cache: FrameCache | None = None,
        spoiled_share: float = 0.6,
        spoiled_memory_share: float = 0.3,
        cut_share: float = 0.15,
        given_share: float = 0.2,
        empty_share: float = 0.12,
        effects: Mapping[str, float] | None = None,
        look: float = 1.0,
    ) -> None:
        MapTransform.__init__(self, keys)
        check_numbers(image_size=image_size, clip_frames=clip_frames, loss_frames=loss_frames)
        if loss_frames >= clip_frames:
            raise InputError(f"loss_frames={loss_frames} must be below clip_frames={clip_frames}")
        self.shares = {
            "spoiled_share": spoiled_share,
            "spoiled_memory_share": spoiled_memory_share,
            "cut_share": cut_share,
            "given_share": given_share,
            "empty_share": empty_share,
        }
        for name, share in self.shares.items():
            if not (type(share) in (int, float) and 0 <= share <= 1):
                raise InputError(f"{name}={share!r} must be a number from 0 to 1")
        self.effects = EFFECTS | dict(effects or {})
        check_effects(self.effects)
        self.mask_key = mask_key
        self.size: tuple[int, int] = ensure_tuple_rep(image_size, 2)
        self.clip_frames = clip_frames
        self.loss_frames = loss_frames
        self.others = [clip for clip in others or () if clip.label]
        self.cache = cache or FrameCache([])
        self.look = look
        self._cut, self._strength = 0, 1.0
        self._is_empty = False
        self._times = np.empty(0, int)
        self._stretches: list[Stretch] = []
        self._given, self._is_true = -1, True

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of this transform, by config key."""
        clips: dict[str, Any] = {f"spoiled_clips#{name}": share for name, share in self.shares.items()}
        clips |= {"spoiled_clips#effects": self.effects, "spoiled_clips#look": self.look}
        clips |= {"clip_frames": self.clip_frames, "loss_frames": self.loss_frames}
        return {"clip_size": list(self.size), **clips}

    def randomize(self, data: Any | None = None) -> None:
        """Draw the clip's frames, which of them are spoiled and how, and whether there is a cut."""
        self._is_empty = self.R.random_sample() < self.shares["empty_share"]
        self._times = self._draw_times()
        self._strength = self.R.uniform(*_STRENGTH)
        first = self.clip_frames - self.loss_frames
        self._cut = 0
        if self.others and self.R.random_sample() < self.shares["cut_share"]:
            self._cut = int(self.R.randint(1, first + 1))
        self._stretches = []
        clean = first
        if self.R.random_sample() < self.shares["spoiled_share"]:
            # It covers a frame with a mask at least, and leaves a frame before it clean at least.
            last = int(self.R.randint(first, self.clip_frames))
            clean = max(1, last + 1 - int(self.R.randint(1, self.clip_frames // 2 + 1)))
            self._stretches.append(self._draw_stretch(clean, last))
        if clean > 1 and self.R.random_sample() < self.shares["spoiled_memory_share"]:
            start = int(self.R.randint(0, min(clean, first) - 1)) if min(clean, first) > 1 else 0
            self._stretches.append(self._draw_stretch(start, start))
        self._given = int(self.R.randint(first)) if self.R.random_sample() < self.shares["given_share"] else -1
        self._is_true = self.R.random_sample() < 0.5

    def _draw_seed(self) -> int:
        return int(self.R.randint(2**32, dtype=np.uint64))

    def _draw_times(self) -> np.ndarray:
        """Draw when the frames are taken, from 0 on."""
        longest = round(float(np.exp(self.R.uniform(0, np.log(_MAX_STEP)))))
        steps = self.R.randint(1, longest + 1, self.clip_frames - 1)
        if self.R.random_sample() < _CLOSE_SHARE:
            steps[-self.loss_frames :] = 1
        return np.concatenate([[0], steps.cumsum()])

    def _draw_stretch(self, first: int, last: int) -> Stretch:
        return Stretch(first, last - first + 1, KINDS[self.R.randint(len(KINDS))], self._draw_seed())

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with a clip in place of the still, and its masks in place of the mask."""
        d = dict(data)
        if d[self.mask_key].max() == 1:
            raise InputError(
                f"'{self.mask_key}' is a mask of 0 and 1: give one of 0 to 255, as FrameCache.read_mask reads"
            )
        self.randomize()
        key = self.keys[0]
        pictures = self._draw(d[key], d[self.mask_key], self._times[self._cut :], self._is_empty)
        if self._cut:
            other = self.others[self.R.randint(len(self.others))]
            still = self.cache.read_frame(other.image[0])
            mask = self.cache.read_mask(other.label[0], other.mask_rule)
            pictures = self._draw(still, mask, self._times[: self._cut]) + pictures
        clip = SpoiledClip(pictures, self._stretches, self._strength)
        frames, masks = zip(*(clip.frame(index) for index in range(self.clip_frames)), strict=True)
        d[key] = frames_to_tensor(list(frames), self.size)
        d[self.mask_key] = torch.from_numpy(np.stack(masks[-self.loss_frames :])).float()
        given = masks[self._given] if self._is_true else self._spoil_mask(masks[self._given])
        d["given_mask"] = torch.from_numpy(given)[None].float() * (self._given >= 0)
        d["given_frame"] = torch.tensor(self._given)
        return d

    def _spoil_mask(self, mask: np.ndarray) -> np.ndarray:
        """Move a mask, and grow or shrink it, each by up to a twentieth of the frame's side."""
        most = max(2, min(self.size) // 20)
        moved = ndimage.shift(mask.astype(np.uint8), self.R.randint(-most, most + 1, 2), order=0)
        change = ndimage.maximum_filter if self.R.random_sample() < 0.5 else ndimage.minimum_filter
        return change(moved, 2 * int(self.R.randint(most + 1)) + 1) > 0

    def _draw(
        self, still: np.ndarray, mask: np.ndarray, times: np.ndarray, empty: bool = False
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Draw frames and masks of a still at some times."""
        clip = StillClip(
            still, mask > 127, self.size, self._draw_seed(), int(times[-1]) + 1, self.effects, empty, self.look
        )
        return [clip.frame(int(time)) for time in times]
