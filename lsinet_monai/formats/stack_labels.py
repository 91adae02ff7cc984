"""Which labels of a stack of masks are polyps, by the names of 3D Slicer's segments; none that is the background."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from lsinet_monai.data.mask_files.polarity import look_at
from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import Reading
from lsinet_monai.formats.labels import LabelChoice, Labels
from lsinet_monai.formats.lesion_ids import fit_ids

__all__ = ["check_background", "choose_segments", "segment_names"]

_BINARY = {128, 255}
"""Values that stand for "polyp" in a mask, if they are alone."""
_LOOKS, _FEWEST_LOOKS = 16, 5  # frames of a stack


def segment_names(fields: str) -> dict[int, str]:
    """Read the names that 3D Slicer gives to the labels of a ``*.seg.nrrd``, from the fields of its header."""
    found: dict[str, dict[str, str]] = {"Name": {}, "LabelValue": {}}
    for number, name, value in re.findall("^Segment([0-9]+)_(Name|LabelValue):=(.*)$", fields, re.MULTILINE):
        found[name][number] = value.strip()
    values = found["LabelValue"]
    return {int(values[number]): name for number, name in found["Name"].items() if values.get(number, "").isdecimal()}


def choose_segments(
    stack: np.ndarray, names: Mapping[int, str], labels: Labels | None, reading: Reading
) -> tuple[np.ndarray, np.ndarray, set[int]]:
    """Choose the segments that are polyps.

    Args:
        stack: the labels, (W, H, T).
        names: the names of the labels, see :func:`segment_names`; empty if the file has none.
        labels: the segments that are polyps, see :class:`~lsinet_monai.formats.labels.LabelChoice`.
        reading: what is taken and left out is added to it.

    Returns:
        The values of the stack in order, from 0; for each the lesion's id, int32, 0 for other things than polyps; the
        indices of the frames that show only segments of which nobody said whether they are polyps.

    Raises:
        InputError: if labels are given for a stack without names.
        UnclearLabels: if it is unclear which segments are polyps.
    """
    values = np.unique(stack)
    values = values if values.size and values[0] == 0 else np.concatenate([[0], values])
    if not names:
        if labels is not None:
            raise InputError("names no segments to choose from; leave out 'labels'")
        found = set(map(int, values[1:]))
        if len(found) == 1 and found <= _BINARY:
            reading.notes.append(f"its only label is {max(found)}: a mask, which does not tell lesions apart")
            return values, np.array([0, 1], np.int32), set()
        fitted = fit_ids(found)
        reading.ids = set(fitted.values())
        return values, np.array([0, *(fitted[int(value)] for value in values[1:])], np.int32), set()
    shows = {value: (stack == value).any((0, 1)) for value in values[1:].tolist()}
    name_of = {value: names.get(value, f"label {value}") for value in shows}
    count = Counter(dict.fromkeys(names.values(), 0))
    for value, frames in shows.items():
        count[name_of[value]] += int(frames.sum())
    choice = LabelChoice(labels, count)
    choice.report(count, "segment", reading)
    is_polyp = {value: choice.is_polyp(name) for value, name in name_of.items()}
    chosen = {value: choice.lesion(name) for value, name in name_of.items() if is_polyp[value]}
    given = {lesion for lesion in chosen.values() if lesion is not None}
    fitted = fit_ids((int(value) for value, lesion in chosen.items() if lesion is None), given)
    ids = [(chosen[value] or fitted[int(value)]) if value in chosen else 0 for value in name_of]
    reading.ids = set(ids) - {0}
    polyp, unknown = np.zeros((2, stack.shape[2]), bool)
    for value, frames in shows.items():
        if is_polyp[value]:
            polyp |= frames
        elif not choice.is_something_else(name_of[value]):
            unknown |= frames
    return values, np.array([0, *ids], np.int32), set(np.flatnonzero(unknown & ~polyp).tolist())


def check_background(stack: np.ndarray, polyps: np.ndarray, reading: Reading) -> None:
    """Refuse a label that looks like the background: it is in all frames, and surrounds or covers most of them.

    A polyp may fill the view for a few frames. So a stack of few frames is refused only if most frames that the label
    does not cover whole show a few compact holes in it, as polyps are in a background; others get a note.

    Args:
        stack: the labels, (W, H, T).
        polyps: the labels that were taken as polyps.
        reading: the notes are added to it.

    Raises:
        InputError: if a label looks like the background.
    """
    is_short = stack.shape[2] < _FEWEST_LOOKS
    places = sorted({int(place) for place in np.linspace(0, stack.shape[2] - 1, _LOOKS)})
    for value in polyps.tolist():
        looks = [look_at("", stack[:, :, place] == value) for place in places]
        surrounds = [look.shows_polyp and look.is_inverted is not False for look in looks]
        if not all(look.shows_polyp for look in looks) or np.mean(surrounds) <= 0.5:
            continue
        found = f"label {value} covers most of the area and border of the frames, as a background does"
        shaped = [look.is_surely_inverted for look in looks if look.is_inverted is not None]
        if is_short and not (shaped and np.mean(shaped) > 0.5):
            reading.notes.append(f"{found}; it was taken as polyp: if it is none, save the background as 0")
        else:
            raise InputError(
                f"{found}; save the background as 0, or polyps as PNG masks, for which labels={value} says so"
            )
