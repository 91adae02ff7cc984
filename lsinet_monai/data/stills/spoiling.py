"""Spoil stretches of a clip, while the truth stays known.

A network that uses time should bridge a stretch in which single frames show little. All frames of a stretch are spoiled
in full and in one way; the frames around them stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from lsinet_monai.data.stills.camera_path import clearest_window
from lsinet_monai.data.stills.effects import (
    Picture,
    add_glare,
    add_instrument,
    add_smoke,
    add_water,
    defocus,
    shake,
)
from lsinet_monai.data.stills.still_clip import StillClip
from lsinet_monai.data.stills.warp import blur
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import check_choice

__all__ = ["SPOILINGS", "SpoiledClip", "Stretch", "draw_stretches"]

SPOILINGS = ("blur", "glare", "water", "smoke", "instrument", "out of view")
"""The ways to spoil a stretch. Out of view, the camera looks away from the polyp or touches the wall."""

_Effect = Callable[[np.ndarray, np.ndarray, float, np.random.Generator, float], Picture]

_EFFECTS: dict[str, tuple[float, tuple[_Effect, ...]]] = {
    "blur": (2.5, (defocus, shake)),
    "glare": (3.5, (add_glare,)),
    "water": (2.5, (add_water,)),
    "smoke": (1.2, (add_smoke,)),
    "instrument": (2.0, (add_instrument,)),
}
"""The effect's strength at a strength of 1, and the effects, of which a stretch draws one.

Chosen on Kvasir-SEG's validation stills: each way costs the shipped model Dice, each frame alone, and leaves it some.
"""

_AWAY_WINDOWS = (0.5, 0.4, 0.3)  # of the frame's sides: how much the camera shows when it looks away
_AWAY_MARGIN = 0.05  # of the frame's sides: how far it then looks past the polyp's rim
_AWAY_STEP = 5  # frames: how often the polyp's place is looked up for that


@dataclass(frozen=True)
class Stretch:
    """Spoiled frames of a clip, one after another."""

    start: int
    """The first of them."""
    length: int
    """Their number, at least 1."""
    kind: str
    """One of :data:`SPOILINGS`."""
    seed: int
    """Draws what it looks like."""

    @property
    def frames(self) -> range:
        """The spoiled frames."""
        return range(self.start, self.start + self.length)


def draw_stretches(
    seed: int,
    frames: int,
    lengths: Sequence[int] = (1, 5, 20),
    kinds: Sequence[str] = SPOILINGS,
    gap: int = 6,
    clean: float = 0.5,
) -> list[Stretch]:
    """Choose which frames of a clip are spoiled, and how.

    All lengths occur equally often, in random order, and each with all kinds before one comes again. A clip that is too
    short for all lengths has the shorter ones.

    Args:
        seed: draws places, kinds and looks.
        frames: the length of the clip, at least 1.
        lengths: of the stretches, in frames, each at least 1.
        kinds: of :data:`SPOILINGS`.
        gap: at least so many frames are clean before the first stretch, between two, and after the last.
        clean: the share of the frames that stay clean, at least, from 0 to below 1.

    Returns:
        the stretches in order; none if the clip is too short for any.

    Raises:
        InputError: a kind is not known.
    """
    for kind in kinds:
        check_choice(SPOILINGS, kinds=kind)
    lengths = sorted(lengths)
    rounds = _count_rounds(frames, lengths, gap, clean)
    while lengths and not rounds:
        lengths = lengths[:-1]
        rounds = _count_rounds(frames, lengths, gap, clean)
    rng = np.random.default_rng(seed)
    order = [int(length) for _ in range(rounds) for length in rng.permutation(lengths)]
    spare = frames - sum(order) - gap * (len(order) + 1)
    shifts = np.sort(rng.integers(0, spare + 1, len(order))) if order else np.empty(0, int)
    decks: dict[int, list[str]] = {}
    stretches, end = [], 0
    for length, shift in zip(order, np.diff(shifts, prepend=0).tolist(), strict=True):
        deck = decks.get(length) or rng.permutation(list(kinds)).tolist()
        decks[length] = deck[1:]
        start = end + gap + shift
        stretches.append(Stretch(start, length, deck[0], int(rng.integers(2**32))))
        end = start + length
    return stretches


def _count_rounds(frames: int, lengths: Sequence[int], gap: int, clean: float) -> int:
    """Count how often a clip has room for all lengths."""
    if not lengths:
        return 0
    total = sum(lengths)
    return max(0, min(int((1 - clean) * frames) // total, (frames - gap) // (total + gap * len(lengths))))


class SpoiledClip:
    """A clip with spoiled stretches, drawn on demand, in any order.

    The truth is what is visible. The polyp's mask stays under blur, glare, water and smoke, and bends with water. An
    instrument cuts off what it hides. Out of view, the mask is empty.

    Args:
        clip: frames, uint8, (H, W, 3), RGB, and masks, (H, W), 0 for no polyp: a still's clip, or a list.
        stretches: the spoiled frames, which do not overlap.
        strength: how much they are spoiled. At 1 the shipped model, each frame alone, loses about 0.27 Dice;
            2 gives blurs of twice the radius. It does not change what is out of view.

    Raises:
        InputError: a stretch has an unknown kind, lies outside of the clip, or overlaps with another.
    """

    def __init__(
        self,
        clip: StillClip | Sequence[tuple[np.ndarray, np.ndarray]],
        stretches: Sequence[Stretch],
        strength: float = 1.0,
    ) -> None:
        self._clip, self._strength = clip, strength
        self._spoiled: dict[int, Stretch] = {}
        for stretch in stretches:
            check_choice(SPOILINGS, kind=stretch.kind)
            for index in stretch.frames:
                if not 0 <= index < len(clip) or index in self._spoiled:
                    raise InputError(
                        f"the stretch of {stretch.length} frames from {stretch.start} on must lie within the clip's "
                        f"{len(clip)} frames and apart from the others"
                    )
                self._spoiled[index] = stretch
        self._windows: dict[Stretch, np.ndarray | None] = {}

    def __len__(self) -> int:
        return len(self._clip)

    def spoiled_at(self, index: int) -> Stretch | None:
        """Return the stretch that a frame belongs to, or None for a clean frame."""
        return self._spoiled.get(index)

    def clean_frame(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw one frame as it would be without spoiling, see :meth:`frame`."""
        frame, mask = self._clip.frame(index) if isinstance(self._clip, StillClip) else self._clip[index]
        return frame, mask > 0

    def frame(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw one frame.

        Args:
            index: its place in the clip, from 0 to ``len(clip) - 1``.

        Returns:
            the frame, uint8, (H, W, 3), RGB, and the mask of the polyp as far as it is visible, bool, (H, W).
        """
        frame, mask = self.clean_frame(index)
        stretch = self.spoiled_at(index)
        if stretch is None:
            return frame, mask
        rng = np.random.default_rng(stretch.seed)
        if stretch.kind == "out of view":
            return self._look_away(frame, mask, stretch)
        factor, effects = _EFFECTS[stretch.kind]
        effect = effects[rng.integers(len(effects))]
        # The middle half of an episode: effects set in before it, and fade after it.
        progress = 0.25 + 0.5 * (index - stretch.start + 0.5) / stretch.length
        return effect(frame, mask, progress, rng, self._strength * factor)

    def _look_away(self, frame: np.ndarray, mask: np.ndarray, stretch: Stretch) -> Picture:
        if stretch not in self._windows:
            self._windows[stretch] = self._find_window(stretch)
        window = self._windows[stretch]
        if window is not None:
            (left, top), (width, height) = window[:2] - window[2:] / 2, window[2:]
            box = (left, top, left + width, top + height)
            inside = mask[int(top) : int(np.ceil(top + height)), int(left) : int(np.ceil(left + width))]
            if not inside.any():
                size = mask.shape[1], mask.shape[0]
                seen = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC, box)
                return np.asarray(seen), np.zeros_like(mask)
        return _touch_wall(frame, np.random.default_rng(stretch.seed)), np.zeros_like(mask)

    def _find_window(self, stretch: Stretch) -> np.ndarray | None:
        """Find a part of the frames that shows no polyp during a stretch, see :func:`clearest_window`."""
        frames = {*stretch.frames[::_AWAY_STEP], stretch.frames[-1]}
        polyp = np.logical_or.reduce([self.clean_frame(index)[1] for index in frames])
        margin = [2 * round(_AWAY_MARGIN * side) + 1 for side in polyp.shape]
        polyp = ndimage.maximum_filter(polyp, margin)
        rng = np.random.default_rng(stretch.seed)
        windows = (clearest_window(rng, polyp, share) for share in _AWAY_WINDOWS)
        return next((window for window in windows if window is not None), None)


def _touch_wall(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Show what a lens shows that touches the wall: red light, without any form."""
    height, width = frame.shape[:2]
    colour = np.median(frame.reshape(-1, 3), axis=0).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = rng.uniform(0.3, 0.7, 2)
    distance = np.hypot(x / width - centre[0], y / height - centre[1])[..., None]
    light = colour * (1.3 - rng.uniform(0.5, 1) * distance)
    # A hint of the scene, so that the frames of a stretch are not all the same.
    return np.clip(0.8 * light + 0.2 * blur(frame, 0.15 * min(height, width)), 0, 255).astype(np.uint8)
