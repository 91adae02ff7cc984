"""The labels of a set's values, from a class list such as CVAT's ``labelmap.txt``."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsinet_monai.data.mask_files.class_list_files import BACKGROUNDS, CLASS_LIST_FILES, Unclear, read_class_list
from lsinet_monai.data.mask_files.picture import Value, as_text
from lsinet_monai.data.mask_files.polyp_names import is_called_polyp, plain_name, polyp_names
from lsinet_monai.errors import InputError

__all__ = ["ClassList", "agreed_labels", "check_agreement", "find_class_lists"]

_FOLDERS_ABOVE = 3


@dataclass(frozen=True)
class ClassList:
    """A class list of some masks.

    Args:
        path: the file.
        labels: the values by name, in the file's order: all colours, or all numbers (greys or indices).
        problem: why the file does not say which value is which; then there are no labels.
    """

    path: str
    labels: Mapping[str, Value]
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return os.path.basename(self.path)

    @property
    def has_numbers(self) -> bool:
        """Whether the labels stand for numbers."""
        return any(isinstance(value, int) for value in self.labels.values())

    @property
    def others(self) -> list[str]:
        """The names of all labels but the background."""
        return [name for name in self.labels if plain_name(name) not in BACKGROUNDS]

    @property
    def not_called_polyp(self) -> list[str]:
        """The names of all labels but the background and those that are called polyp."""
        return [name for name in self.others if not is_called_polyp(name)]

    @property
    def polyps(self) -> list[str]:
        """The names of the labels that are polyp, see :func:`polyp_names`."""
        return polyp_names(self.others, self.name)


def find_class_lists(masks: Iterable[str]) -> list[ClassList]:
    """Find the class lists of some masks: of each the nearest, in its folder or up to three folders above.

    Returns:
        The class lists that differ; those without a label are left out, unless they have a problem.

    Raises:
        InputError: a file cannot be read.
    """
    folders = dict.fromkeys(os.path.dirname(os.path.abspath(mask)) for mask in masks)
    paths = dict.fromkeys(filter(None, map(_nearest, folders)))
    found: list[ClassList] = []
    for class_list in map(_read, paths):
        has_content = class_list.labels or class_list.problem
        if has_content and all((class_list.labels, class_list.problem) != (o.labels, o.problem) for o in found):
            found.append(class_list)
    return found


def check_agreement(class_lists: Sequence[ClassList], names: Collection[str] | None = None) -> None:
    """Check that all class lists of a set give polyp the same colour.

    Args:
        class_lists: the class lists of the set.
        names: the labels that are polyp; None takes those that each class list calls so.

    Raises:
        InputError: they give it different colours, or one of them gives its colour to another label.
    """
    polyps = [each.polyps for each in class_lists]
    if names is not None:
        given = {plain_name(name) for name in names}
        polyps = [[name for name in each.labels if plain_name(name) in given] for each in class_lists]
    for (one, here), (other, there) in itertools.permutations(zip(class_lists, polyps, strict=True), 2):
        colours = {plain_name(name): colour for name, colour in other.labels.items()}
        for name in here:
            colour = one.labels[name]
            theirs = colours.get(plain_name(name), colour)
            if theirs != colour:
                raise InputError(
                    f"{name} is {as_text(colour)} in {one.path}, but {as_text(theirs)} in {other.path}: "
                    "mend one of the two, or read their masks as two sets"
                )
            if others := [label for label in other.labels if other.labels[label] == colour and label not in there]:
                raise InputError(
                    f"{as_text(colour)} is {name} in {one.path}, but {others[0]} in {other.path}: "
                    "mend one of the two, or read their masks as two sets"
                )


def agreed_labels(class_lists: Sequence[ClassList]) -> dict[str, Value]:
    """Return the values by name, without names or values on which class lists disagree."""
    agreed: dict[str, Value] = {}
    for class_list in class_lists:
        for name, colour in class_list.labels.items():
            try:
                check_agreement(class_lists, [name])
            except InputError:
                continue
            agreed[name] = colour
    return agreed


def _nearest(folder: str) -> Path | None:
    folders = [Path(folder), *Path(folder).parents][: _FOLDERS_ABOVE + 1]
    return next((each / name for each in folders for name in CLASS_LIST_FILES if (each / name).is_file()), None)


def _read(path: Path) -> ClassList:
    try:
        return ClassList(str(path), read_class_list(path))
    except Unclear as error:
        return ClassList(str(path), {}, problem=f"{path} {error}: mend or remove it")
