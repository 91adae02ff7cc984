"""The files in which tools list the classes of their masks: which value stands for which label.

========================================== =========================================================================
CVAT's ``labelmap.txt``                    lines such as ``polyp:250,50,83::``
Supervisely's                              ``{"polyp": [1, 1, 1]}``
``obj_class_to_machine_color.json``
Roboflow's ``_classes.csv``                a header, ``Pixel Value, Class``, and lines such as ``1, polyp``
labelme's ``class_names.txt``              a name a line, ``_background_`` first; a line's number from 0 is the value
========================================== =========================================================================
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lsinet_monai.data.mask_files.picture import Value
from lsinet_monai.data.mask_files.polyp_names import is_called_polyp
from lsinet_monai.errors import InputError

__all__ = ["BACKGROUNDS", "CLASS_LIST_FILES", "IGNORED", "LABELMAP", "Unclear", "read_class_list"]

LABELMAP = "labelmap.txt"

BACKGROUNDS = ("background", "_background_")
"""What tools call the background, in small letters."""

_LABEL = re.compile(r"([^:]*):\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?::.*)?")
IGNORED, _IGNORED_INDEX = "__ignore__", 255  # labelme counts it as -1, which a PNG keeps as 255
_HEADER = ["pixel value", "class"]
_HIGHEST = 255


class Unclear(ValueError):
    """A list does not say which value stands for which label. The text says why."""


def read_class_list(path: Path) -> dict[str, Value]:
    """Read a class list.

    Args:
        path: the file, named like one of :data:`CLASS_LIST_FILES`.

    Returns:
        The values by label, in the file's order: colours, or numbers, which are greys or indices of a palette.

    Raises:
        InputError: a ``labelmap.txt`` cannot be read.
        Unclear: another list cannot be read, or does not say which value stands for which label.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if path.name == LABELMAP:  # no other tool has a file of this name
            raise InputError(f"{path}: cannot be read ({error}); mend or remove it") from error
        raise Unclear(f"cannot be read ({error})") from error
    return CLASS_LIST_FILES[path.name](text)


def _read_labelmap(text: str) -> dict[str, Value]:
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    found = filter(None, map(_LABEL.fullmatch, lines))
    return {match[1]: (int(match[2]), int(match[3]), int(match[4])) for match in found}


def _read_machine_colours(text: str) -> dict[str, Value]:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unclear(f"is not JSON ({error})") from error
    if not isinstance(content, Mapping):
        raise Unclear("is not a JSON object of names and colours")
    colours = content.items()
    for name, colour in colours:
        if not (
            isinstance(colour, list) and len(colour) == 3 and all(type(c) is int and 0 <= c <= 255 for c in colour)
        ):
            raise Unclear(f"{name} must have three numbers from 0 to 255, such as [1, 1, 1], not {colour}")
    are_greys = all(len(set(colour)) == 1 for _, colour in colours)
    return {name: colour[0] if are_greys else tuple(colour) for name, colour in colours}


def _read_csv(text: str) -> dict[str, Value]:
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), skipinitialspace=True) if row]
    except csv.Error as error:
        raise Unclear(f"is not CSV ({error})") from error
    if not rows or [cell.lower() for cell in rows[0][:2]] != _HEADER:
        raise Unclear("does not begin with Pixel Value, Class")
    for row in rows[1:]:
        if len(row) < 2 or not re.fullmatch(r"[0-9]{1,3}", row[0]) or int(row[0]) > _HIGHEST:
            raise Unclear(f"has the line {', '.join(row)!r}, not a number from 0 to {_HIGHEST} and a name")
    return _unique((row[1], int(row[0])) for row in rows[1:])


def _read_names(text: str) -> dict[str, Value]:
    names = [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    if len(names) == 1 and is_called_polyp(names[0]):
        return {}  # there is nothing to tell it from
    ignored: dict[str, Value] = {IGNORED: _IGNORED_INDEX} if names[:1] == [IGNORED] else {}
    names = names[len(ignored) :]
    if not names or names[0].lower() not in BACKGROUNDS:
        raise Unclear(f"does not begin with {BACKGROUNDS[1]}, so it is not known with which number its names begin")
    if len(names) > _HIGHEST:
        raise Unclear(f"has more than {_HIGHEST} names")
    return ignored | _unique((name, index) for index, name in enumerate(names) if name)


def _unique(classes: Iterable[tuple[str, int]]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in classes:
        if name in found:
            raise Unclear(f"gives the name {name} to {found[name]} and to {value}")
        found[name] = value
    return found


CLASS_LIST_FILES: dict[str, Callable[[str], dict[str, Value]]] = {
    LABELMAP: _read_labelmap,
    "obj_class_to_machine_color.json": _read_machine_colours,
    "_classes.csv": _read_csv,
    "class_names.txt": _read_names,
}
"""The names of class lists, and what reads their text. Of several in one folder, the first one counts."""
