"""Decide from the values of some masks which of them are polyp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lsinet_monai.data.mask_files.class_list_files import IGNORED
from lsinet_monai.data.mask_files.class_lists import ClassList, check_agreement
from lsinet_monai.data.mask_files.picture import BLACK, FEW_VALUES, MaskPicture, Value, as_list, as_text
from lsinet_monai.data.mask_files.rule import (
    COMMON_NOISE,
    FULL_LEVEL,
    LEAST_LEVEL,
    TOO_DARK,
    MaskRule,
    Threshold,
    Values,
)
from lsinet_monai.errors import InputError

__all__ = ["Tally", "decide"]


class Tally:
    """The values of a set's masks.

    Args:
        pictures: the first of these masks; :meth:`add` adds others.

    Attributes:
        count: the number of masks.
        kinds: what the values are, except in black masks; see :attr:`MaskPicture.kind`.
        palette: the indices in use, each with its colours.
        colours: the number of pixels of each colour; None if a mask has more than 256 colours.
        histogram: the number of pixels of each brightness, (256,).
        is_lossy: whether the compression of a mask may have changed values.
        brightest: the most common bright colour of each coloured mask.
    """

    def __init__(self, pictures: Iterable[MaskPicture] = ()) -> None:
        self.count = 0
        self.kinds: set[str] = set()
        self.palette: dict[int, set[tuple[int, int, int]]] = {}
        self.colours: Counter[tuple[int, int, int]] | None = Counter()
        self.histogram = np.zeros(256, np.int64)
        self.is_lossy = False
        self.brightest: list[tuple[int, int, int]] = []
        for picture in pictures:
            self.add(picture)

    def add(self, picture: MaskPicture) -> None:
        """Add a mask."""
        self.count += 1
        counts = picture.colour_counts
        if self.colours is not None:
            self.colours = None if counts is None else self.colours + Counter(counts)
        self.histogram += picture.histogram
        if picture.is_black:
            return
        self.kinds.add(picture.kind)
        self.is_lossy |= picture.lossy
        for index, colour in picture.palette.items():
            self.palette.setdefault(index, set()).add(colour)
        if picture.kind == "colour":
            bright = picture.colours[picture.brightness > picture.brightness.max() * 3 // 4]
            red, green, blue = (int(value) for value in np.median(bright, axis=0))
            self.brightest.append((red, green, blue))

    @property
    def numbers(self) -> set[int] | None:
        """The greys or the indices in use; None for colours, and for what a compression may have changed."""
        if self.is_lossy or self.kinds not in ({"grey"}, {"palette"}):
            return None
        return set(self.palette) if self.palette else set(np.flatnonzero(self.histogram).tolist())

    @property
    def is_black(self) -> bool:
        """Whether all masks are black."""
        return not self.kinds


def decide(tally: Tally, class_lists: Sequence[ClassList]) -> MaskRule:
    """Decide which values are polyp.

    Args:
        tally: the values; not all masks are black.
        class_lists: the labels of the set's values; empty if they are not known.

    Raises:
        InputError: the values could mean several things; the message says which values.
    """
    if "opacity" in tally.kinds and len(tally.kinds) > 1:
        raise InputError("some masks are transparent and black, others have colours or greys")
    has_greys = len(tally.kinds) == 1 and tally.kinds <= {"grey", "opacity"}
    is_white = has_greys and bool(tally.histogram[FULL_LEVEL:].any())
    if (problems := [class_list.problem for class_list in class_lists if class_list.problem]) and not is_white:
        raise InputError(problems[0])
    class_lists = [each for each in class_lists if each.labels]
    named: set[Value] = {0, BLACK, *(value for class_list in class_lists for value in class_list.labels.values())}
    has_numbers = any(class_list.has_numbers for class_list in class_lists)
    if colours := [each.path for each in class_lists if each.labels and has_numbers and not each.has_numbers]:
        numbers = next(each.path for each in class_lists if each.has_numbers)
        raise InputError(f"{colours[0]} lists colours, but {numbers} numbers: read their masks as two sets")
    held: Collection[Value] | None = tally.numbers if has_numbers else tally.colours
    # What labelme calls ignored is the white of masks of 0 and 255.
    ignored = {value for class_list in class_lists for name, value in class_list.labels.items() if name == IGNORED}
    if class_lists and held and set(held) <= named and not set(held) <= {0, *ignored}:
        return _by_label(class_lists, tally)
    if has_numbers and held and not is_white:
        raise InputError(f"they hold {as_list(set(held) - named)}, not in {_describe(class_lists)}")
    # Which labels are polyp may not be clear from their names, and does not matter for greys.
    if has_greys:
        others = [name for class_list in class_lists for name in class_list.not_called_polyp]
    else:
        others = [name for class_list in class_lists for name in class_list.others if [name] != class_list.polyps]
    if others and not has_greys:
        unnamed = as_list(tally.colours.keys() - named) if tally.colours else "more than 256 colours"
        hint = "" if has_numbers else ": take CVAT's SegmentationClass, not SegmentationObject"
        raise InputError(f"they hold {unnamed}, not in {_describe(class_lists)}{hint}")
    if tally.kinds == {"palette"} and all(len(colours) == 1 for colours in tally.palette.values()):
        return _by_index({index: next(iter(colours)) for index, colours in tally.palette.items()})
    if has_greys:
        rule = _by_brightness(tally, next(iter(tally.kinds)))
        if not others:
            return rule
        reason = "the masks have other values" if has_numbers else "the masks have no colours"
        note = f", though {class_lists[0].name} has the labels {', '.join(dict.fromkeys(others))}: {reason}"
        return replace(rule, note=note)
    return _by_colour(tally)


def _describe(class_lists: Sequence[ClassList]) -> str:
    return f"{class_lists[0].path}, which has the labels {', '.join(class_lists[0].labels)}"


def _by_label(class_lists: Sequence[ClassList], tally: Tally) -> MaskRule:
    polyps = dict.fromkeys(name for class_list in class_lists for name in class_list.polyps)
    others = dict.fromkeys(name for class_list in class_lists for name in class_list.others if name not in polyps)
    if not polyps:
        names = dict.fromkeys(name for class_list in class_lists for name in class_list.labels)
        raise InputError(f"{class_lists[0].name} has the labels {', '.join(names)}, none of them called polyp")
    check_agreement(class_lists)
    inside = {class_list.labels[name] for class_list in class_lists for name in class_list.polyps}
    black = 0 if class_lists[0].has_numbers else BLACK
    outside = {black, *(value for class_list in class_lists for value in class_list.labels.values())} - inside
    if black in inside:
        raise InputError(f"{class_lists[0].name} says that {'0' if black == 0 else 'black'} is polyp")
    values = [item for each in class_lists for item in each.labels.items()]
    if both := [name for name, value in values if value in inside and name not in polyps]:
        raise InputError(f"{class_lists[0].name} gives {', '.join(polyps)} and {both[0]} one value")
    palette = {index: min(colours) for index, colours in tally.palette.items()} if black == 0 else {}
    note = f", as {class_lists[0].name} says ({', '.join(polyps)}" + (f"; not {', '.join(others)})" if others else ")")
    return Values(tuple(sorted(inside)), tuple(sorted(outside)), palette=tuple(sorted(palette.items())), note=note)


def _by_index(palette: Mapping[int, tuple[int, int, int]]) -> MaskRule:
    """Index 0 is background, or black if no mask has index 0."""
    black = [index for index, colour in palette.items() if colour == BLACK]
    text = ", ".join(f"{index} = {as_text(colour)}" for index, colour in sorted(palette.items()))
    outside = [0] if 0 in palette else black
    if len(outside) != 1 or (black and palette[outside[0]] != BLACK):
        raise InputError(f"the indices of their palette are {text}, and none of these is background without doubt")
    inside = sorted(palette.keys() - set(outside))
    if len(inside) != 1:
        raise InputError(f"the indices of their palette are {text}")
    return Values(tuple(inside), tuple(outside), palette=tuple(sorted(palette.items())))


def _by_brightness(tally: Tally, kind: str, hue: tuple[int, int, int] | None = None) -> Values | Threshold:
    """Black is background; the most common brightness that is not dark is polyp."""
    values = set(np.flatnonzero(tally.histogram).tolist())
    inside = values - {0}
    if hue is None and 0 in values and len(inside) == 1 and (values == {0, 255} or not tally.is_lossy):
        value = inside.pop()
        return Values((value,), (0,)) if kind == "grey" and value < 255 else Threshold(value, kind)
    found = f"they hold {as_list(values)}"
    if len(values) == 1:
        raise InputError(f"every pixel is {as_list(values)}")
    level = _common_level(tally.histogram) if hue is None else max(hue)
    if level <= LEAST_LEVEL:
        raise InputError(f"{found}, {TOO_DARK}" if tally.is_lossy else found)
    faint = tally.histogram[1 : level // 8 + 1].any()
    is_dark = tally.histogram[0] or (faint and len(values) > FEW_VALUES)
    are_classes = faint and not tally.is_lossy and len(values) <= FEW_VALUES
    if not is_dark or are_classes:
        raise InputError(found)
    # Subsampled colours leave noise also far from edges.
    return Threshold(level, kind, hue, is_noisy=True, noise=0 if hue is None else COMMON_NOISE)


def _common_level(histogram: np.ndarray) -> int:
    """The most common value above the common noise, in the most common range of values; 0 if there is none."""
    above = np.where(np.arange(256) > COMMON_NOISE, histogram, 0)
    centre = int(np.convolve(above, np.ones(2 * COMMON_NOISE + 1), "same").argmax())
    first = max(0, centre - COMMON_NOISE)
    return first + int(above[first : centre + COMMON_NOISE + 1].argmax()) if above.any() else 0


def _by_colour(tally: Tally) -> MaskRule:
    """Black is background, and the one other colour polyp."""
    if tally.colours is not None and (len(tally.colours) <= FEW_VALUES or not tally.is_lossy):
        others = tally.colours.keys() - {BLACK}
        if BLACK not in tally.colours:
            raise InputError(f"they hold {as_list(tally.colours)}, and no black as background")
        if len(others) == 1:
            return Values(tuple(others), (BLACK,))
        if len(tally.colours) <= FEW_VALUES:
            raise InputError(f"they hold {as_list(tally.colours)}")
    if tally.brightest:
        red, green, blue = (int(value) for value in np.median(tally.brightest, axis=0))
    else:
        assert tally.colours is not None  # a palette has at most 256
        red, green, blue = max(tally.colours - Counter({BLACK: tally.colours[BLACK]}), key=tally.colours.__getitem__)
    return _by_brightness(tally, "colour", (red, green, blue))
