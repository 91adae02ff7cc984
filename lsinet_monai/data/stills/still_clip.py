"""A clip of frames and masks from one still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from lsinet_monai.data.stills.camera_path import CameraPath, Episodes, clearest_window
from lsinet_monai.data.stills.effects import OBSTACLES, FieldRim
from lsinet_monai.data.stills.look import Look
from lsinet_monai.data.stills.warp import displace, smooth_noise
from lsinet_monai.errors import InputError

__all__ = ["EFFECTS", "StillClip", "check_effects"]

EFFECTS: dict[str, float] = {
    "absence": 0.08,
    "instrument": 0.04,
    "rim": 0.05,
    "smoke": 0.04,
    "water": 0.06,
    "glare": 0.15,
    "defocus": 0.1,
    "shake": 0.1,
}
"""The share of the frames with each effect: the polyp out of view, an obstacle in front, or a blur."""

_WINDOW = (0.35, 1.05)  # of the still's sides: what a frame shows
_OVERHANG = 0.1  # of the window's side: so far it may reach over the still's rim
_AWAY_WINDOW = 0.35  # of the still's sides: where the camera looks in an absence
_AWAY_POLYP = 0.002  # of the window's pixels may be polyp then
_EMPTY_WINDOWS = (0.7, 0.55, 0.42, 0.32, 0.24)  # of the still's sides: where a clip without a polyp is cut out
_TEXTURE = 0.3  # of the clips without a polyp show bent mucosa
_BEND = 0.8  # where a still's side is 2
_DARK = 32  # of 255: the border of a still is at most as bright
_SPEED = 0.5  # of the natural logarithm


class StillClip:
    """A camera moves over a still: frames and masks like those of a video, drawn on demand.

    The same arguments always give the same clip. Frames may be drawn in any order, and any may be left out.

    Args:
        still: uint8, (H, W, 3), RGB.
        mask: bool, (H, W), True for polyp.
        size: height and width of the frames in pixels.
        seed: draws the clip.
        frames: its length, at least 1; 25 frames are a second.
        effects: shares that differ from :data:`EFFECTS`, by name, each from 0 to 1.
        empty: look away from the polyp, as far as the still has such a place.
        look: how much light, colour and sharpness vary; 1 is the range of real endoscopes, 0 changes nothing.

    Raises:
        InputError: an effect is not known, or its share is outside [0, 1].
    """

    def __init__(
        self,
        still: np.ndarray,
        mask: np.ndarray,
        size: tuple[int, int],
        seed: int = 0,
        frames: int = 60,
        effects: Mapping[str, float] | None = None,
        empty: bool = False,
        look: float = 1.0,
    ) -> None:
        shares = EFFECTS | dict(effects or {})
        check_effects(shares)
        rng = np.random.default_rng(seed)
        self._seed, self._frames, self._size = seed, frames, size
        still, mask = _cut_border(still, mask)
        if empty and rng.random() < _TEXTURE:
            bend = [_BEND * (smooth_noise(rng, 6, (mask.shape[0], mask.shape[1])) - 0.5) for _ in range(2)]
            still, mask = displace(still, mask, np.stack(bend))
        window = _choose_window(rng, mask, empty)
        still, mask, window = _shrink(still, mask, window, size)
        absences = Episodes(rng, 0.0 if empty else shares["absence"], frames, (5, 40))
        away = clearest_window(rng, mask, _AWAY_WINDOW, _AWAY_POLYP)
        speed = float(np.exp(rng.normal(0, _SPEED)))
        self._path = CameraPath(rng, window, speed, away, absences)
        self._margin = np.array([mask.shape[1] // 2, mask.shape[0] // 2])
        margins = ((self._margin[1],) * 2, (self._margin[0],) * 2)
        self._still = Image.fromarray(np.pad(still, (*margins, (0, 0)), "reflect"))
        self._mask = Image.fromarray(np.pad(mask.astype(np.uint8) * 255, margins, "reflect"))
        self._look = Look(rng, size, look)
        self._rim = FieldRim(rng, size) if rng.random() < 0.5 else None
        self._episodes = {name: Episodes(rng, shares[name], frames) for name in OBSTACLES}

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.frame(index) for index in range(len(self)))

    def frame(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw one frame.

        Args:
            index: its place in the clip, from 0 to ``len(clip) - 1``.

        Returns:
            the frame, uint8, (H, W, 3), RGB, and the mask of the polyp as far as it is in view, bool, (H, W).
        """
        rng = np.random.default_rng((self._seed, index))
        height, width = self._size
        shift = np.array([[1, 0, self._margin[0]], [0, 1, self._margin[1]], [0, 0, 1]])
        matrix = shift @ self._path.matrix(index, self._size)
        projection = tuple((matrix / matrix[2, 2]).ravel()[:8])
        project, method = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
        frame, mask = (
            np.asarray(picture.transform((width, height), project, projection, method))
            for picture in (self._still, self._mask)
        )
        mask = mask > 127
        for name, episodes in self._episodes.items():
            for seed, progress in episodes.at(index):
                frame, mask = OBSTACLES[name](frame, mask, progress, np.random.default_rng(seed))
        frame = self._look(frame, index, rng)
        return (frame, mask) if self._rim is None else self._rim(frame, mask)

    def effects_at(self, index: int) -> list[str]:
        """Name the effects that a frame shows, of :data:`EFFECTS`; an absence counts while the camera looks away."""
        names = [name for name, episodes in self._episodes.items() if episodes.at(index)]
        return (["absence"] if self._path.absence(index) > 0 else []) + names


def check_effects(shares: Mapping[str, float]) -> None:
    """Check shares of effects.

    Args:
        shares: from 0 to 1, by the names of :data:`EFFECTS`.

    Raises:
        InputError: an effect is not known, or its share is outside [0, 1].
    """
    for name, share in shares.items():
        if name not in EFFECTS:
            raise InputError(f"effects={name!r} is not one of {', '.join(EFFECTS)}")
        if not (type(share) in (int, float) and 0 <= share <= 1):
            raise InputError(f"effects={name!r}: {share!r} must be a number from 0 to 1")


def _cut_border(still: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut off rows and columns at the rim that are nearly all dark."""
    # find_field_of_view is exact, and takes ten times as long.
    bright = np.maximum.reduce([still[..., c] for c in range(3)]) > _DARK  # faster than max(axis=2)
    rows, columns = (np.flatnonzero(bright.mean(axis=axis) > 0.2) for axis in (1, 0))
    if not rows.size or not columns.size:
        return still, mask
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return still[inside], mask[inside]


def _choose_window(rng: np.random.Generator, mask: np.ndarray, empty: bool) -> np.ndarray:
    """Choose what the camera shows: centre x, y, width and height in the still's pixels."""
    size = np.array(mask.shape[::-1])
    if empty and mask.any():
        for share in _EMPTY_WINDOWS:
            window = clearest_window(rng, mask, share * rng.uniform(0.8, 1.0))
            if window is not None:
                return window
    side = size * np.exp(rng.uniform(*np.log(_WINDOW)) + rng.normal(0, 0.1) * np.array([0.5, -0.5]))
    centre = rng.random(2) * size
    if mask.any() and rng.random() < 0.95:
        polyp = np.argwhere(mask)
        centre = polyp[rng.integers(len(polyp))][::-1] + rng.uniform(-0.3, 0.3, 2) * side
    reach = (0.5 - _OVERHANG) * side
    return np.concatenate([np.clip(centre, np.minimum(reach, size / 2), np.maximum(size - reach, size / 2)), side])


def _shrink(
    still: np.ndarray, mask: np.ndarray, window: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shrink a still that has many more pixels than the frames show, since the projection takes single pixels."""
    scale = min(1.0, 1.2 * max(size[0] / window[3], size[1] / window[2]))
    if scale > 0.85:
        return still, mask, window
    shape = [max(2, round(side * scale)) for side in mask.shape[::-1]]
    smaller = Image.fromarray(still).resize(shape, Image.Resampling.BILINEAR)
    smaller_mask = Image.fromarray(mask.astype(np.uint8) * 255).resize(shape, Image.Resampling.BILINEAR)
    return np.asarray(smaller), np.asarray(smaller_mask) > 127, window * scale
