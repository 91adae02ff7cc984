"""Which names of labels mean polyp: one rule for the class lists of masks and for the files of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lsinet_monai.errors import InputError

__all__ = ["is_called_polyp", "plain_name", "polyp_names"]

_POLYP = {"polyp", "polyps"}
_WORD = re.compile(r"polyps?\d*")
_NOT = {"not", "non", "no", "without"}
_ARTICLES = {"a", "an", "any", "the"}


def plain_name(name: str) -> str:
    """Write a label's name as names are compared: in small letters, without spaces around it."""
    return name.strip().lower()


def is_called_polyp(name: str) -> bool:
    """Whether a label's whole name is polyp, or polyps."""
    return plain_name(name) in _POLYP


def polyp_names(names: Iterable[str], where: str = "") -> list[str]:
    """Choose the labels that are polyp: those called so, or else those with this word, such as "flat polyp".

    A label with "not", "non", "no" or "without" right before the word is something else, such as "non-polyp".

    Args:
        names: the labels.
        where: the name of their file, for the message.

    Raises:
        InputError: such a word stands further before, as in "non-pedunculated polyp", and no label is called polyp.
    """
    names = list(names)
    return [name for name in names if is_called_polyp(name)] or [name for name in names if _has_word(name, where)]


def _has_word(name: str, where: str) -> bool:
    words = [word for word in re.findall(r"[^\W_]+", name.lower()) if word not in _ARTICLES]
    place = next((place for place, word in enumerate(words) if _WORD.fullmatch(word)), None)
    if place is None or (place and words[place - 1] in _NOT):
        return False
    if _NOT & set(words[:place]):
        raise InputError(f"the label {name!r}{where and f' of {where}'} may be polyp or not")
    return True
