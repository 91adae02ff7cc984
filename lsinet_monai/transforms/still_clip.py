"""Make the three frames of a training sample out of one still."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple_rep

from lsinet_monai.data.phantom import phantom_mucosa
from lsinet_monai.data.stills import EFFECTS, StillClip, check_effects
from lsinet_monai.errors import InputError

__all__ = ["RandStillClipd"]

_FRAMES = 60
_PHANTOM_SIDE = 288  # pixels


class RandStillClipd(Randomizable, MapTransform):
    """Draw a clip from a still, and take a current, an adjacent and a memory frame from it.

    The camera moves, the light and the recording change, and obstacles come and go: see
    :class:`~lsinet_monai.data.StillClip`. Samples of real clips pass unchanged.

    Args:
        keys: of the current, the adjacent and the memory frame; each the still, uint8, (H, W, 3), RGB.
        mask_keys: of masks of the same frames, uint8, (H, W), 0 to 255. The adjacent frame's may be missing.
        image_size: side, or height and width, of the frames in pixels.
        max_skip: how far the memory frame lies before the current one at most, in frames, 1 to 58.
        empty_share: the share of the clips that look away from the polyp, from 0 to 1.
        phantom_share: the share of the clips that show the phantom's mucosa instead of the still, from 0 to 1.
        phantoms: the number of different pictures of the phantom's mucosa; the constructor draws them.
        effects: shares of frames with absences, obstacles and blurs, by name, where they differ from
            :data:`~lsinet_monai.data.stills.EFFECTS`.
        look: how much light, colour and sharpness vary: 0 for not at all, 1 for the range of real endoscopes.

    Raises:
        InputError: a share or ``max_skip`` is out of its range, or an effect is not known.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_keys: Sequence[str],
        image_size: int | Sequence[int],
        max_skip: int = 25,
        empty_share: float = 0.125,
        phantom_share: float = 0.0,
        phantoms: int = 48,
        effects: Mapping[str, float] | None = None,
        look: float = 1.0,
    ) -> None:
        MapTransform.__init__(self, keys)
        self.mask_keys = tuple(mask_keys)
        self.size: tuple[int, int] = ensure_tuple_rep(image_size, 2)
        if not (type(max_skip) is int and 1 <= max_skip <= _FRAMES - 2):
            raise InputError(f"max_skip={max_skip!r} must be a whole number from 1 to {_FRAMES - 2}")
        for name, share in (("empty_share", empty_share), ("phantom_share", phantom_share)):
            if not (type(share) in (int, float) and 0 <= share <= 1):
                raise InputError(f"{name}={share!r} must be a number from 0 to 1")
        if phantom_share + empty_share > 1:
            raise InputError(
                f"empty_share={empty_share!r} and phantom_share={phantom_share!r} must not exceed 1 in all"
            )
        self.max_skip = max_skip
        self.empty_share = empty_share
        self.phantom_share = phantom_share
        self.effects = EFFECTS | dict(effects or {})
        check_effects(self.effects)
        self.look = look
        self._mucosa = phantom_mucosa(phantoms, (_PHANTOM_SIDE, _PHANTOM_SIDE), 0) if phantom_share > 0 else []
        self._kind, self._seed, self._at, self._skip = 0.0, 0, 0, 0

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of this transform, by config key."""
        names = ("max_skip", "empty_share", "phantom_share", "look", "effects")
        return {f"still_clips#{name}": getattr(self, name) for name in names}

    def randomize(self, data: Any | None = None) -> None:
        """Draw the clip, and which of its frames to take."""
        self._kind = self.R.random_sample()
        self._seed = int(self.R.randint(2**32, dtype=np.uint64))
        self._skip = int(self.R.randint(1, self.max_skip + 1))
        self._at = int(self.R.randint(self._skip, _FRAMES - 1))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with three frames and their masks in place of a still; real frames stay as they are."""
        d = dict(data)
        if not d.pop("still", False):
            return d
        self.randomize()
        clip = self._draw(d[self.keys[0]], d[self.mask_keys[0]] > 127)
        times = (self._at, self._at + 1, self._at - self._skip)
        pictures = [clip.frame(time) for time in times]
        for key, (frame, _) in zip(self.keys, pictures, strict=True):
            d[key] = frame
        with_mask = pictures if len(self.mask_keys) == len(pictures) else [pictures[0], pictures[2]]
        for key, (_, mask) in zip(self.mask_keys, with_mask, strict=True):
            d[key] = mask.view(np.uint8) * 255
        return d

    def _draw(self, still: np.ndarray, mask: np.ndarray) -> StillClip:
        empty = self._kind < self.empty_share
        if not empty and self._kind < self.empty_share + self.phantom_share:
            still = self._mucosa[self._seed % len(self._mucosa)]
            mask = np.zeros(still.shape[:2], bool)
        return StillClip(still, mask, self.size, self._seed, _FRAMES, self.effects, empty, self.look)
