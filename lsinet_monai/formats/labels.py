"""Which labels of another tool's file are polyps.

Files of other tools label instruments, bleeding, and much more. Only polyps become masks, so a label is taken if it is
chosen, or else if its name means polyp. What is neither is a question for a person, never a mask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lsinet_monai.data.mask_files.polyp_names import polyp_names
from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import Reading

__all__ = ["POLYP", "LabelChoice", "Labels", "UnclearLabels", "parse_labels"]

POLYP = "polyp"
_LARGEST_ID = 2**31 - 1
_COMMA = re.compile(r",(?![^(]*\))")  # not in rgb(250,50,83)

Labels = str | Sequence[str] | Mapping[str, str | int | None]
"""The labels that are polyps: a name, several names, or a mapping from a name to ``"polyp"``, to the id of the lesion
that it stands for, or to None for what is not a polyp."""


class UnclearLabels(InputError):
    """A file's labels do not say which of them are polyps.

    Args:
        message: one line.
        labels: the file's labels, and how many shapes each has.
    """

    def __init__(self, message: str, labels: Mapping[str, int]) -> None:
        super().__init__(message)
        self.details = {"labels": dict(labels)}


class LabelChoice:
    """A person's choice of labels, applied to the labels of a file.

    Args:
        labels: the chosen labels; None takes those whose names mean polyp, see
            :func:`~lsinet_monai.data.mask_files.polyp_names.polyp_names`.
        found: the labels of the file, and how many shapes each has. Labels that it only declares have 0.

    Raises:
        UnclearLabels: if a chosen label is not in the file; or none is chosen, and the names do not say which is polyp.
        InputError: if a mapping has another value.
    """

    def __init__(self, labels: Labels | None, found: Mapping[str, int]) -> None:
        names = ", ".join(f"{name!r} ({count})" for name, count in found.items()) or "none"
        if labels is None:
            self._roles: dict[str, str | int | None] = dict.fromkeys(_polyp_names(found, names), POLYP)
            return
        if isinstance(labels, str):
            labels = [labels]
        self._roles = dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels, POLYP)
        for name, role in self._roles.items():
            if role not in (None, POLYP) and not (type(role) is int and 0 < role <= _LARGEST_ID):
                raise InputError(f"labels: {name!r} must be {POLYP!r}, a lesion's id or null, not {role!r}")
            if name not in found:
                raise UnclearLabels(f"has no label {name!r}: choose from its labels, {names}", found)

    def report(self, found: Mapping[str, int], kind: str, reading: Reading) -> None:
        """Note which labels were taken, and which were left out.

        Args:
            found: the labels of the clip's shapes, and their numbers.
            kind: what the file's format calls a label.
            reading: gets the notes.
        """
        reading.all_labels = dict(found)
        for name, count in found.items():
            if count and self.is_polyp(name):
                reading.labels[name] = count
            elif count:
                reading.left_out[f"{kind} {name!r}"] = count

    def is_polyp(self, label: str) -> bool:
        """Whether shapes of this label are polyps."""
        return self._roles.get(label) is not None

    def is_something_else(self, label: str) -> bool:
        """Whether the person said that this label is not a polyp. Labels that were not chosen are unknown."""
        return label in self._roles and self._roles[label] is None

    def lesion(self, label: str) -> int | None:
        """Return the id of the lesion that a label stands for, if the person gave one."""
        role = self._roles.get(label)
        return role if isinstance(role, int) else None


def _polyp_names(found: Mapping[str, int], names: str) -> list[str]:
    unclear = ""
    try:
        polyps = polyp_names(found)
    except InputError as error:
        polyps, unclear = [], f" ({error})"
    if not polyps and any(found.values()):
        raise UnclearLabels(f"does not say which labels are polyps{unclear}: choose labels=NAME, from {names}", found)
    return polyps


def parse_labels(text: str) -> Labels:
    """Read a choice of labels from a text: ``polyp``, ``adenoma,serrated``, ``p1:1,p2:2``, or a JSON mapping.

    Args:
        text: names with commas in between, each with ``:polyp`` or ``:ID`` if it stands for one lesion; or a JSON
            object such as ``{"adenoma": "polyp", "instrument": null}``, for names with commas and for what is not a
            polyp. For masks the names are values: ``1,2``, ``[1,2]`` or ``rgb(250,50,83)``.

    Raises:
        InputError: if it is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            content: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"labels={text!r} is not JSON ({error}): give labels=NAME,NAME") from error
        return content
    roles: dict[str, str | int | None] = {}
    inner = text.strip().removeprefix("[").removesuffix("]") if text.strip().startswith("[") else text
    for part in filter(None, map(str.strip, _COMMA.split(inner))):
        name, colon, role = part.rpartition(":")
        if colon and role == POLYP:
            roles[name] = POLYP
        elif colon and role.isascii() and role.isdigit() and len(role) < 10:
            roles[name] = int(role)
        else:
            roles[part] = POLYP
    if not roles:
        raise InputError("labels= is empty: give labels=NAME,NAME, or leave it out")
    return roles
