"""The rule of ``mask_values``: a person says which pixels are polyp."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from lsinet_monai.data.mask_files.picture import BLACK, MaskPicture, Value, as_list, as_text
from lsinet_monai.data.mask_files.rule import LEAST_LEVEL, TOO_DARK, MaskRule, select
from lsinet_monai.errors import InputError

__all__ = ["WAYS", "GivenThreshold", "GivenValues", "given_rule"]

WAYS = "1 (a grey or an index of the palette), [1,2], rgb(250,50,83), >128 or <128 (greys), or a name of labelmap.txt"
"""What ``mask_values`` takes, for messages."""

_COLOUR = re.compile(r"rgb\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*\)")
_THRESHOLD = re.compile(r"([<>])(\d{1,3})")


@dataclass(frozen=True)
class GivenValues(MaskRule):
    """Pixels with the given values are polyp, all others background.

    Args:
        inside: the values that are polyp: greys or indices of a palette, or colours.
        palette: the colours of the set's indices, as far as they are known.
    """

    inside: tuple[Value, ...]
    palette: tuple[tuple[int, tuple[int, int, int]], ...] = ()

    def __str__(self) -> str:
        colours = dict(self.palette)
        inside = [
            f"index {v} = {as_text(colours[v])}" if isinstance(v, int) and v in colours else as_text(v)
            for v in self.inside
        ]
        return f"{', '.join(inside)} is polyp, all else is background, as given"

    @property
    def has_numbers(self) -> bool:
        """Whether greys or indices are given."""
        return any(isinstance(value, int) for value in self.inside)

    def with_palette(self, pictures: Iterable[MaskPicture]) -> GivenValues:
        """Return the rule with the colours of a set's indices: of each index the first."""
        palette: dict[int, tuple[int, int, int]] = {}
        for picture in pictures:
            palette = {**picture.palette, **palette}
        return replace(self, palette=tuple(sorted(palette.items())))

    def misfit(self, picture: MaskPicture) -> str:
        """Describe colours where numbers are given, another palette, opacities, and what a compression has changed."""
        if picture.kind == "opacity":
            return _opacity_misfit(picture, 0 in self.inside or BLACK in self.inside)
        if self.has_numbers and picture.kind == "colour":
            return "holds colours"
        if self.has_numbers and picture.lossy and not picture.is_black and picture.brightness.max() <= LEAST_LEVEL:
            return f"holds {picture.content}, {TOO_DARK}"
        if self.has_numbers and self.palette and (other := self._other_palette(picture)):
            return other
        found = picture.counts if self.has_numbers else picture.colour_counts
        others = None if found is None else found.keys() - {*self.inside, 0, BLACK}
        if picture.lossy and not picture.is_black and others != set():
            listed = f", such as {as_list(others)}" if others else ""
            return f"is compressed, so that pixels of a value may also hold others{listed} (give >128 or <128)"
        return ""

    def _other_palette(self, picture: MaskPicture) -> str:
        """Describe indices of other colours than in the set's palette, and greys that are no indices."""
        if picture.kind == "grey":
            strange = not picture.is_black and picture.counts and picture.counts.keys() - {*self.inside, 0}
            return f"holds {picture.content}, no indices of the palette" if strange else ""
        known = dict(self.palette)
        polyp = {known[value] for value in self.inside if isinstance(value, int) and value in known}
        for index, colour in picture.palette.items():
            is_other = index in known and colour != known[index] and index in self.inside
            if is_other or (colour in polyp and known.get(index) != colour and index not in self.inside):
                return f"has another palette, with the colour {as_text(colour)} for index {index}"
        return ""

    def select(self, picture: MaskPicture) -> np.ndarray:
        """Select the given values, as :meth:`MaskRule.select`."""
        return select(picture, self.inside)


@dataclass(frozen=True)
class GivenThreshold(MaskRule):
    """Pixels brighter, or darker, than a given grey are polyp; colours become grey.

    Args:
        grey: the threshold, in [0, 255].
        is_brighter: whether polyps are brighter.
    """

    grey: int
    is_brighter: bool = True

    def __str__(self) -> str:
        return f"grey {'above' if self.is_brighter else 'below'} {self.grey} is polyp, as given"

    def misfit(self, picture: MaskPicture) -> str:
        """Describe opacities, as :meth:`MaskRule.misfit`: they are no greys."""
        return _opacity_misfit(picture, not self.is_brighter) if picture.kind == "opacity" else ""

    def select(self, picture: MaskPicture) -> np.ndarray:
        """Compare greys with the threshold, as :meth:`MaskRule.select`."""
        grey = picture.pixels
        if picture.kind in ("palette", "colour"):
            grey = np.asarray(Image.fromarray(picture.colours).convert("L"))
        return grey > self.grey if self.is_brighter else grey < self.grey


def _opacity_misfit(picture: MaskPicture, takes_black: bool) -> str:
    if picture.is_black and not takes_black:
        return ""
    return f"holds {picture.content}, and no greys or colours"


def given_rule(mask_values: Any, labels: Mapping[str, Value], key: str = "mask_values") -> MaskRule:
    """Read the rule that ``mask_values`` gives.

    Args:
        mask_values: which pixels are polyp: a number from 0 to 255, a grey or an index of a palette; a colour,
            ``rgb(250,50,83)``; the name of a label; a list of these; or a threshold, ``>128`` or ``<128``.
        labels: the colours of the set's labels by name.
        key: what a person knows the values as, for errors.

    Raises:
        InputError: it is none of these.
    """
    found = _THRESHOLD.fullmatch(str(mask_values).replace(" ", ""))
    if found and int(found[2]) <= 255:
        return GivenThreshold(int(found[2]), found[1] == ">")
    if isinstance(mask_values, str) and re.fullmatch(r"\[?[\s\d,]+\]?", mask_values):
        mask_values = [value for value in re.split(r"[\s,\[\]]+", mask_values) if value]
    is_list = isinstance(mask_values, Sequence) and not isinstance(mask_values, str)
    values = [_value(each, labels, key) for each in (mask_values if is_list else [mask_values])]
    if not values:
        raise InputError(f"{key}={mask_values!r} is empty: give what is polyp, such as {WAYS}")
    return GivenValues(tuple(values))


def _value(value: Any, labels: Mapping[str, Value], key: str) -> Value:
    text = str(value).strip()
    if str(value) in labels:
        return labels[str(value)]
    if isinstance(value, int | str) and not isinstance(value, bool) and text.isdecimal() and int(text) <= 255:
        return int(text)
    if found := _COLOUR.fullmatch(text):
        red, green, blue = (int(channel) for channel in found.groups())
        if max(red, green, blue) <= 255:
            return red, green, blue
    known = f"; its labels are {', '.join(labels)}" if labels else ""
    raise InputError(f"{key}={value!r} is not a value of a mask: give {WAYS}{known}")
