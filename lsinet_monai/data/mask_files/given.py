"""The rule of ``mask_values``: a person says which pixels are polyp."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lsinet_monai.data.mask_files.picture import BLACK, MaskPicture, Value, as_list, as_text
from lsinet_monai.data.mask_files.rule import MaskRule, select
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
    """

    inside: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{', '.join(map(as_text, self.inside))} is polyp, all else is background, as given"

    def misfit(self, picture: MaskPicture) -> str:
        """Describe colours where numbers are given, and values that a compression has changed."""
        has_numbers = any(isinstance(value, int) for value in self.inside)
        if has_numbers and picture.kind == "colour":
            return "holds colours"
        found = picture.counts if has_numbers else picture.colour_counts
        others = None if found is None else found.keys() - {*self.inside, 0, BLACK}
        if picture.lossy and not picture.is_black and others != set():
            listed = f", such as {as_list(others)}" if others else ""
            return f"is compressed, so that pixels of a value also hold others{listed} (give >128 or <128)"
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
        """Accept every picture, as :meth:`MaskRule.misfit`."""
        return ""

    def select(self, picture: MaskPicture) -> np.ndarray:
        """Compare greys with the threshold, as :meth:`MaskRule.select`."""
        grey = picture.pixels
        if picture.kind in ("palette", "colour"):
            grey = np.asarray(Image.fromarray(picture.colours).convert("L"))
        return grey > self.grey if self.is_brighter else grey < self.grey


def given_rule(mask_values: Any, labels: Mapping[str, Value]) -> MaskRule:
    """Read the rule that ``mask_values`` gives.

    Args:
        mask_values: which pixels are polyp: a number from 0 to 255, a grey or an index of a palette; a colour,
            ``rgb(250,50,83)``; the name of a label; a list of these; or a threshold, ``>128`` or ``<128``.
        labels: the colours of the set's labels by name.

    Raises:
        InputError: it is none of these.
    """
    found = _THRESHOLD.fullmatch(str(mask_values).replace(" ", ""))
    if found and int(found[2]) <= 255:
        return GivenThreshold(int(found[2]), found[1] == ">")
    if isinstance(mask_values, str) and re.fullmatch(r"\[?[\s\d,]+\]?", mask_values):
        mask_values = [value for value in re.split(r"[\s,\[\]]+", mask_values) if value]
    is_list = isinstance(mask_values, Sequence) and not isinstance(mask_values, str)
    values = [_value(each, labels) for each in (mask_values if is_list else [mask_values])]
    if not values:
        raise InputError(f"mask_values={mask_values!r} is empty: give what is polyp, such as {WAYS}")
    return GivenValues(tuple(values))


def _value(value: Any, labels: Mapping[str, Value]) -> Value:
    text = str(value).strip()
    if str(value) in labels:
        return labels[str(value)]
    if isinstance(value, int | str) and not isinstance(value, bool) and text.isdecimal() and int(text) <= 255:
        return int(text)
    if found := _COLOUR.fullmatch(text):
        red, green, blue = (int(channel) for channel in found.groups())
        if max(red, green, blue) <= 255:
            return red, green, blue
    known = f"; labelmap.txt has {', '.join(labels)}" if labels else ""
    raise InputError(f"mask_values={value!r} is not a value of a mask: give {WAYS}{known}")
