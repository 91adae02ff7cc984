"""Rules that say which pixels of a set's masks are polyp."""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from lsinet_monai.data.mask_files.picture import FEW_VALUES, MaskPicture, Value, as_list, as_text, read_mask_picture
from lsinet_monai.errors import InputError

__all__ = [
    "COMMON_NOISE",
    "FULL_LEVEL",
    "LEAST_LEVEL",
    "STANDARD",
    "TOO_DARK",
    "MaskRule",
    "Threshold",
    "UnclearMasks",
    "Values",
    "select",
]

_STANDARD_THRESHOLD = 128
_OVERSHOOT = 32  # of a compressed value
_BLOCK, _EDGE = 8, 2  # pixels: the noise of JPEG reaches no further than a block, nor an edge of few values than two
_COLOUR_BLOCK = 2 * _BLOCK  # JPEG often keeps colours at half the size
_FEW, _MANY = 0.01, 0.05  # of the pixels that are polyp
_SPECK = 0.001  # of a frame
_OTHER_HUE = 0.25  # of a channel's range


class UnclearMasks(InputError):
    """Masks could mean several things: a person has to say which of their values are polyp."""


class MaskRule(ABC):
    """Says which pixels of a mask are polyp. Its text says so to people."""

    @abstractmethod
    def misfit(self, picture: MaskPicture) -> str:
        """Describe values of which the rule says nothing, such as "also holds 3"; empty if there are none."""

    @abstractmethod
    def select(self, picture: MaskPicture) -> np.ndarray:
        """Return the mask of a picture without a misfit: bool, (H, W), True for polyp."""

    def polyp(self, picture: MaskPicture, key: str = "mask_values") -> np.ndarray:
        """Return a picture's mask: bool, (H, W), True for polyp.

        Args:
            picture: the picture.
            key: the name, in the error, of the setting that says what is polyp.

        Raises:
            UnclearMasks: the picture holds values of which the rule says nothing.
        """
        if found := self.misfit(picture):
            raise UnclearMasks(
                f"{picture.path}: {found}, but in its set {self}: mend the mask, or say with {key} what is polyp"
            )
        return self.select(picture)

    def read(self, path: str | os.PathLike[str], key: str = "mask_values") -> np.ndarray:
        """Read a mask by this rule.

        Args:
            path: an image file of 8 bits a channel, of any mode.
            key: as in :meth:`polyp`.

        Returns:
            bool, (H, W), True for polyp.

        Raises:
            InputError: the file cannot be read.
            UnclearMasks: it holds values of which the rule says nothing.
        """
        return self.polyp(read_mask_picture(path), key)


@dataclass(frozen=True)
class Values(MaskRule):
    """Pixels with certain values are polyp, with certain others background; a mask has no others.

    Args:
        inside: the values that are polyp: greys, indices of a palette, or colours.
        outside: the values that are background.
        palette: the colours of the indices, if the values are indices.
        note: what else people should know.
    """

    inside: tuple[Value, ...]
    outside: tuple[Value, ...]
    palette: tuple[tuple[Value, Value], ...] = ()
    note: str = ""

    def __str__(self) -> str:
        colours = dict(self.palette)
        inside = [f"index {as_text(v)} = {as_text(colours[v])}" if v in colours else as_text(v) for v in self.inside]
        return f"{', '.join(inside)} is polyp, {as_list(self.outside) or 'nothing'} is background{self.note}"

    def misfit(self, picture: MaskPicture) -> str:
        """Describe other values than those inside and outside, as :meth:`MaskRule.misfit`."""
        if picture.is_black:
            return ""
        if not isinstance(self.inside[0], int):
            counts: Mapping[Any, int] | None = None if picture.kind == "opacity" else picture.colour_counts
        else:
            counts = picture.counts if picture.kind == ("palette" if self.palette else "grey") else None
        if counts is None:
            return f"holds {picture.content}"
        if others := counts.keys() - {*self.inside, *self.outside}:
            return f"also holds {as_list(others)}"
        colours = dict(self.palette)
        if recoloured := [(i, colour) for i, colour in picture.palette.items() if colours.get(i, colour) != colour]:
            index, colour = min(recoloured)
            return f"has the colour {as_text(colour)} for index {index}"
        return ""

    def select(self, picture: MaskPicture) -> np.ndarray:
        """Select the values that are inside, as :meth:`MaskRule.select`."""
        return select(picture, () if picture.is_black else self.inside)


@dataclass(frozen=True)
class Threshold(MaskRule):
    """Pixels above a value are polyp; values in between are the noise of a compression or soft edges.

    Args:
        level: the value of a polyp, in [1, 255].
        kind: what a value is, as in :attr:`MaskPicture.kind`: "grey" or "opacity"; "colour" for the brightest channel.
        hue: the colour of a polyp, if the kind is colour.
        is_noisy: whether other masks of the set have values in between.
        noise: values up to this are noise wherever they lie; higher ones may lie along edges only.
        note: what else people should know.
    """

    level: int = 255
    kind: str = "grey"
    hue: tuple[int, int, int] | None = None
    is_noisy: bool = False
    noise: int = 0
    note: str = ""

    def __str__(self) -> str:
        if self.hue is not None:
            hue = as_text(self.hue)
            return f"{hue} with a brightness above {self.above} is polyp, all that is darker is background{self.note}"
        return f"{self.kind} above {self.above} is polyp, the rest is background{self.note}"

    @property
    def above(self) -> int:
        """The threshold: half the level; 128 for masks that reach from 0 to 255, as in SUN-SEG."""
        return _STANDARD_THRESHOLD if self.level >= FULL_LEVEL else self.level // 2

    @property
    def _faint(self) -> int:
        """A pixel is background up to this value: what is above 0 is noise."""
        return self.level // 8

    @property
    def _bright(self) -> int:
        """A pixel is polyp from this value on: what is below the level is noise."""
        return self.level * 7 // 8

    def misfit(self, picture: MaskPicture) -> str:
        """Describe values that are neither noise nor an edge's, and other hues, as :meth:`MaskRule.misfit`."""
        kinds = {"colour": ("colour", "palette", "grey")}.get(self.kind, (self.kind,))
        if picture.kind not in kinds and not (picture.is_black and self.kind != "opacity"):
            return f"holds {picture.content}"
        return self._other_level(picture) or self._other_hue(picture)

    def select(self, picture: MaskPicture) -> np.ndarray:
        """Select what is brighter than the threshold, as :meth:`MaskRule.select`."""
        return picture.brightness > self.above

    def _other_level(self, picture: MaskPicture) -> str:
        """Describe values that are neither noise nor an edge's; empty if there are none."""
        histogram = picture.histogram
        found = set(np.flatnonzero(histogram).tolist())
        if found <= {0, self.level}:
            return ""
        starts = (1 + min(self.noise, self._faint), self._faint + 1, self._bright, self.level + _OVERSHOOT, 256)
        faint, between, bright, over = (int(histogram[start:end].sum()) for start, end in itertools.pairwise(starts))
        may_have_noise = self.is_noisy or picture.lossy
        if not bright + over:
            is_noise = may_have_noise and not between
            is_speck = self.is_noisy and between < _SPECK * picture.brightness.size
            is_empty = (is_noise or is_speck) and not _has_area(picture.brightness)
            return "" if is_empty else f"holds {as_list(found)}, none of them near {self.level}"
        if over > _FEW * bright:
            return f"also holds brighter values, up to {max(found)}"
        if faint and not may_have_noise and len(found) <= FEW_VALUES:
            return f"also holds {as_list(found - {0, self.level})}"
        values = picture.brightness
        if not picture.lossy and len(found) <= FEW_VALUES:
            stray = _far(values, (values > 0) & (values != self.level), values == self.level, _EDGE)
        elif faint + between > (_FEW * bright if may_have_noise else 0):
            block = _COLOUR_BLOCK if self.hue is not None and picture.lossy else _BLOCK
            stray = _far(values, (values > self.noise) & (values < self._bright), values >= self._bright, block)
        else:
            return ""
        if stray.size > (max(_FEW * bright, _SPECK * values.size) if may_have_noise else 0):
            return f"also holds areas of {as_list(set(stray.tolist()))}"
        return ""

    def _other_hue(self, picture: MaskPicture) -> str:
        """Describe another colour than the polyp's; empty if there is none."""
        if self.hue is None:
            return ""
        polyp = picture.brightness > self.above
        inner = minimum_filter(polyp, 2 * _EDGE + 1) if picture.lossy else polyp  # without the mixed colours of edges
        has_inner = inner.any()
        colours = picture.colours[inner if has_inner else polyp].astype(np.float32)
        tints = colours / np.maximum(colours.max(axis=1, keepdims=True), 1)
        differs = np.abs(tints - np.array(self.hue) / max(self.hue)).max(axis=1) > _OTHER_HUE
        if np.count_nonzero(differs) <= (_FEW if has_inner else _MANY) * np.count_nonzero(polyp):
            return ""
        red, green, blue = (int(value) for value in np.median(colours[differs], axis=0))
        return f"also holds other colours, such as {as_text((red, green, blue))}"


COMMON_NOISE = 8
"""The compression of JPEG leaves values up to this in black."""

FULL_LEVEL = 192
"""Masks as bright as this reach to 255, but for noise."""

LEAST_LEVEL = 32
"""A polyp that is no brighter than this cannot be told from the noise of a compression."""

TOO_DARK = "too dark to tell from the noise of their compression (save them as PNG)"
"""The reason to refuse compressed masks up to this level, for messages."""

STANDARD = Threshold()
"""The rule of SUN-SEG's masks, and of all that are white on black: brighter than 128 of 255 is polyp."""


def select(picture: MaskPicture, values: Collection[Value]) -> np.ndarray:
    """Select pixels with certain values: greys, opacities or indices if they are numbers, else colours."""
    numbers = [value for value in values if isinstance(value, int)]
    colours = [value for value in values if not isinstance(value, int)]
    selected = np.isin(picture.pixels, numbers) if numbers else np.zeros(picture.brightness.shape, bool)
    for colour in colours:
        selected |= (picture.colours == np.array(colour, np.uint8)).all(axis=2)
    return selected


def _has_area(values: np.ndarray) -> bool:
    """Tell whether values, (H, W), show an area in black: 0 and 1 in place of 0 and 255 do, noise does not."""
    found = values > 0
    return not found.all() and bool(minimum_filter(found, 2 * _EDGE + 1).mean() > _SPECK)


def _far(values: np.ndarray, chosen: np.ndarray, polyp: np.ndarray, side: int) -> np.ndarray:
    """Return chosen values without a polyp in their block of pixels, or in one next to it.

    Args:
        values: uint8, (H, W).
        chosen: the pixels to look at: bool, (H, W).
        polyp: the pixels that are polyp: bool, (H, W).
        side: the side of a block in pixels.
    """
    margins = [(0, -length % side) for length in values.shape]
    height, width = (length + margin for length, (_, margin) in zip(values.shape, margins, strict=True))
    blocks = np.pad(polyp, margins).reshape(height // side, side, width // side, side)
    near = maximum_filter(blocks.any(axis=(1, 3)), 3, mode="constant")
    near = near.repeat(side, axis=0).repeat(side, axis=1)[: values.shape[0], : values.shape[1]]
    return values[chosen & ~near]
