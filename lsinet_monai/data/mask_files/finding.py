"""Find out which pixels of a set's masks are polyp, from the masks themselves, and read them."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lsinet_monai.data.mask_files.class_lists import ClassList, agreed_labels, check_agreement, find_class_lists
from lsinet_monai.data.mask_files.deciding import Tally, decide
from lsinet_monai.data.mask_files.given import WAYS, GivenValues, given_rule
from lsinet_monai.data.mask_files.picture import MaskPicture, Value, as_list, as_text, in_order, read_mask_picture
from lsinet_monai.data.mask_files.polarity import Look, find_inverted, look_at, mostly_inverted
from lsinet_monai.data.mask_files.rule import (
    COMMON_NOISE,
    LEAST_LEVEL,
    STANDARD,
    TOO_DARK,
    MaskRule,
    Threshold,
    UnclearMasks,
    Values,
)
from lsinet_monai.errors import InputError

__all__ = ["find_map_rule", "find_mask_rule", "list_values", "read_mask"]

_SAMPLE, _CASE_SAMPLE = 64, 8
_CONSTANT = 128  # one grey everywhere is polyp from here on
_MOST_NAMED = 16  # values that a person can choose from

logger = logging.getLogger(__name__)


def read_mask(path: str | os.PathLike[str], rule: MaskRule | None = None) -> np.ndarray:
    """Read a mask.

    Args:
        path: an image file of 8 bits a channel, of any mode.
        rule: what :func:`find_mask_rule` found for the mask's set. None finds it out from this file alone.

    Returns:
        bool, (H, W), True for polyp. In a mask of 0 and 255, as SUN-SEG's, this is what is brighter than 128.

    Raises:
        InputError: as :func:`~lsinet_monai.data.read_frame`.
        UnclearMasks: the mask could mean several things, or holds values of which the rule says nothing.
    """
    picture = read_mask_picture(path)
    if rule is not None:
        return rule.polyp(picture)
    if picture.is_black:
        return np.zeros(picture.pixels.shape, bool)
    if picture.kind == "grey" and picture.pixels.min() == picture.pixels.max() >= _CONSTANT:
        return STANDARD.select(picture)
    try:
        rule = decide(Tally([picture]), find_class_lists([str(path)]))
    except InputError as error:
        raise _ambiguous(str(path), str(error), "mask_values") from None
    if found := rule.misfit(picture):
        raise _ambiguous(str(path), f"it {found}, while {rule}", "mask_values")
    return rule.select(picture)


def find_mask_rule(
    paths: Sequence[str | os.PathLike[str]],
    mask_values: Any = None,
    where: str = "",
    key: str = "mask_values",
    may_be_empty: bool = False,
) -> MaskRule:
    """Find out which pixels of a set's masks are polyp, and log it in one line.

    At most 64 masks are read, and others only until one shows a polyp. The masks may be

    - black with one other value: a grey (0/1, 0/128, 0/255), an index of a palette, or a colour;
    - black with one grey or colour, with the noise of a compression or with soft edges;
    - of several colours, greys or indices, if CVAT's ``labelmap.txt`` or another tool's class list (see
      :mod:`~lsinet_monai.data.mask_files.class_list_files`) lies next to the masks or up to three folders above, and
      has a label that is called polyp, or else labels with this word;
    - transparent everywhere except at the polyp.

    Args:
        paths: the files of all masks of the set.
        mask_values: what is polyp, see :func:`given_rule`; None finds it out.
        where: the name of the set in messages; by default the folder above all masks.
        key: the name of the setting ``mask_values`` in messages.
        may_be_empty: accept masks without a polyp.

    Returns:
        The rule by which to read every mask. This function skips masks that cannot be read. If it can read none, the
        rule is that for masks of 0 and 255.

    Raises:
        UnclearMasks: the masks could mean several things.
        InputError: none shows a polyp, or ``mask_values`` or ``labelmap.txt`` cannot be read.
    """
    files = list(dict.fromkeys(os.fspath(path) for path in paths))
    if not files:
        return STANDARD
    where = where or os.path.commonpath([os.path.dirname(file) or "." for file in files])
    class_lists = find_class_lists(files)
    rule = None if mask_values is None else _given(mask_values, class_lists, key)
    if isinstance(rule, GivenValues) and rule.has_numbers:
        rule = rule.with_palette(_readable(_spread(files)))
    if rule is None:
        tally = _tally(files)
        if tally.is_black:
            if not may_be_empty and tally.count == len(files):  # a mask that cannot be read may show a polyp
                raise _without_polyp(where, len(files), "all are black", key)
            return STANDARD
        try:
            rule = decide(tally, class_lists)
        except InputError as error:
            raise _ambiguous(where, str(error), key) from None
    looks = []
    for picture in _until_polyp(rule, files):
        if found := rule.misfit(picture):
            if mask_values is not None and picture.kind == "opacity":
                raise InputError(f"{where}: {picture.path} {found}: leave out {key}, the opacity is read without it")
            raise _ambiguous(where, f"{picture.path} {found}, while {rule}", key)
        looks.append(look_at(picture.path, rule.select(picture)))
    if not any(look.shows_polyp for look in looks):
        if not may_be_empty and len(looks) == len(files):
            raise _without_polyp(where, len(files), str(rule), key)
        return rule
    if mask_values is None:
        _check_polarity(rule, files, looks, where, key)
    if isinstance(rule, Threshold) and rule.is_noisy:
        rule = replace(rule, noise=COMMON_NOISE)  # that its noise lies along edges is seen: spare the rest the search
    logger.info("%s: %s (%d of %d masks read)", where, rule, len(looks), len(files))
    return rule


def find_map_rule(paths: Sequence[str | os.PathLike[str]], where: str) -> MaskRule | None:
    """Find out whether a method's maps are masks instead, of 0 and another value or of colours.

    All maps are read if they look like masks; the first ones are enough to see that they do not.

    Args:
        paths: the files of all maps of the method.
        where: the name of the method in messages.

    Returns:
        The rule by which to read the maps as masks; None for maps of probability, and for masks of 0 and 255, which
        mean the same as maps.

    Raises:
        InputError: the maps are coloured or transparent, and could mean several things; or they are compressed masks of
            a value too dark to be told from noise.
    """
    files = [os.fspath(path) for path in paths]
    values: set[int] = set()
    is_lossy = False
    for count, picture in enumerate(_readable(files[:1] + _spread(files)[1:] + files)):
        if picture.kind != "grey" and not picture.is_black:
            try:
                return find_mask_rule(files, where=where, may_be_empty=True)
            except InputError as error:
                raise InputError(
                    f"{where}: the maps are neither grey nor clear masks, such as {picture.path}, which holds "
                    f"{picture.content}: save them as grey, from 0 to 255"
                ) from error
        values |= set(np.flatnonzero(picture.histogram).tolist())
        is_lossy |= picture.lossy
        is_dark = is_lossy and max(values) <= LEAST_LEVEL
        if (len(values - {0}) > 1 and not is_dark) or (count >= _SAMPLE and values == {0, 255}):
            return None
    if is_lossy and 0 < max(values, default=0) <= LEAST_LEVEL:
        raise InputError(f"{where}: the maps hold {as_list(values)}, {TOO_DARK}")
    if 0 not in values or len(values) < 2 or values == {0, 255}:
        return None
    rule = Values(tuple(values - {0}), (0,))
    logger.info("%s: the maps are masks: %s", where, rule)
    return rule


def list_values(paths: Sequence[str | os.PathLike[str]]) -> dict[str, int]:
    """List what ``mask_values`` may be for masks, for a person to choose from.

    Args:
        paths: the files of all masks of the set. At most 64 are read, and the first one is among them.

    Returns:
        The number of masks that hold each value: names of CVAT's ``labelmap.txt`` or another class list, greys, or
        colours; indices of a palette if it gives two indices one colour, or the list has numbers. If there are more
        than 16, thresholds, and the number of masks with such pixels. Black masks and opacities do not count.
    """
    files = [os.fspath(path) for path in paths]
    readable = _readable(_spread(files))
    pictures = [picture for picture in readable if not picture.is_black and picture.kind != "opacity"]
    names: dict[Value, str] = {value: name for name, value in agreed_labels(find_class_lists(files)).items()}
    by_index = any(isinstance(value, int) for value in names) or any(
        len(set(picture.palette.values())) < len(picture.palette) for picture in pictures
    )
    counts: Counter[Value] = Counter()
    for picture in pictures:
        by_number = picture.kind == "grey" or (picture.kind == "palette" and by_index)
        found = picture.counts if by_number else picture.colour_counts
        counts.update(range(256) if found is None else found.keys())
    if len(counts) > _MOST_NAMED:
        bright = sum(bool(picture.histogram[_CONSTANT + 1 :].any()) for picture in pictures)
        dark = sum(bool(picture.histogram[:_CONSTANT].any()) for picture in pictures)
        return {f">{_CONSTANT}": bright, f"<{_CONSTANT}": dark}
    return {names.get(value) or as_text(value): counts[value] for value in in_order(counts)}


def _given(mask_values: Any, class_lists: Sequence[ClassList], key: str) -> MaskRule:
    names = [mask_values] if isinstance(mask_values, str) else mask_values if isinstance(mask_values, Sequence) else []
    check_agreement(class_lists, [str(name) for name in names])
    return given_rule(mask_values, agreed_labels(class_lists), key)


def _tally(files: Sequence[str]) -> Tally:
    """Count the values of masks spread over a set, and of others until one is not black."""
    tally = Tally(_readable(_spread(files)))
    others = _readable(_others(files))
    while tally.is_black and (picture := next(others, None)):
        tally.add(picture)
    return tally


def _check_polarity(rule: MaskRule, files: Sequence[str], looks: Sequence[Look], where: str, key: str) -> None:
    """Refuse masks whose polyps look like the background; warn of single ones."""
    if mostly_inverted(looks):
        raise _ambiguous(where, f"{rule}, but that covers most of their area and border, as a background does", key)
    inverted, is_grave = find_inverted(looks, files, lambda case: _looks(rule, case))
    if not inverted:
        return
    found = f"{len(inverted)} of {len(looks)} masks read, such as {inverted[0].path}, look inverted"
    if is_grave:
        raise _ambiguous(where, f"{rule}, but {found}: invert them", key)
    logger.warning("%s: %s (%s): their polyp is a frame around the rest", where, found, rule)


def _looks(rule: MaskRule, files: Sequence[str]) -> list[Look]:
    pictures = _readable(_spread(files, _CASE_SAMPLE))
    return [look_at(picture.path, rule.select(picture)) for picture in pictures if not rule.misfit(picture)]


def _until_polyp(rule: MaskRule, files: Sequence[str]) -> Iterator[MaskPicture]:
    """Read masks spread over a set, and others until one shows a polyp."""
    found = False
    for picture in _readable(_spread(files)):
        found |= bool(rule.select(picture).any())
        yield picture
    others = _readable(_others(files))
    while not found and (other := next(others, None)):
        found = bool(rule.select(other).any())
        yield other


def _spread(files: Sequence[str], most: int = _SAMPLE) -> list[str]:
    """Choose some files, evenly spread."""
    places = np.linspace(0, len(files) - 1, min(most, len(files)))
    return [files[int(place)] for place in places]


def _others(files: Sequence[str]) -> list[str]:
    """List the files that :func:`_spread` does not choose."""
    return sorted(set(files) - set(_spread(files)))


def _readable(files: Iterable[str]) -> Iterator[MaskPicture]:
    """Read the masks that can be read; those that cannot are reported by who needs them."""
    for file in files:
        try:
            yield read_mask_picture(file)
        except InputError:
            continue


def _without_polyp(where: str, count: int, found: str, key: str) -> InputError:
    return InputError(
        f"{where}: none of the {count} masks shows a polyp ({found}): give other masks, or another value of {key}; "
        "clips without a polyp belong in negative_dir"
    )


def _ambiguous(where: str, found: str, key: str) -> UnclearMasks:
    return UnclearMasks(f"{where}: what is polyp in the masks is not clear: {found}. Give {key}, such as {WAYS}")
