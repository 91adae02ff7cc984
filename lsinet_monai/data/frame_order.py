"""The order of frames by their names: numbers as numbers, decimals as decimals, and past the hashes that tools add."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

__all__ = ["FrameOrder", "natural_key", "order_of"]

_NUMBER = re.compile("([0-9]+)")
_DECIMAL = re.compile(r"(?<![0-9.,])([0-9]+)[.,]([0-9]+)(?![.,]?[0-9])")  # not in 1.2.3, a version or a time of day
_NEGATIVE = re.compile("(?:^|[^0-9A-Za-z])-[0-9]")
_SEPARATOR = re.compile("([^0-9A-Za-z]+)")
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHORTEST_HASH = 6
_ENOUGH = 100  # different words: more need not be counted
_FEWEST = 3  # names, to say that they have no order
_EVENNESS = 1.5  # the largest step between two times over the smallest

_Key = Callable[[str], Any]


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that compares numbers within names as numbers: ``image10`` comes after ``image9``.

    SUN-SEG's frames, ``..._a<part>_ayy_image<number>``, are so sorted by part, and by number within a part.

    Args:
        name: the name of a file or folder.

    Returns:
        a key for ``sorted``; names that differ only in leading zeros have different keys.
    """
    parts = _NUMBER.split(name)
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


class FrameOrder(NamedTuple):
    """How to sort the frames of one clip."""

    key: _Key
    """The sort key of a frame's name without suffix."""
    kind: Literal["numbers", "decimals", "hashes", "unknown"]
    """What the names tell: numbers; decimals, such as seconds; numbers next to a hash; or no order that is certain."""


def order_of(names: Sequence[str]) -> FrameOrder:
    """Find out from all names of a clip's frames how people number them.

    - ``t0.04``, ``t0.12``, ``t0.2`` are decimals. ``1.9``, ``1.10``, ``1.11`` are not.
    - ``3f2a9c1d-frame_2`` and ``c04b77aa-frame_1`` are sorted by what follows the hash.

    Args:
        names: the frames' names without suffix.

    Returns:
        the order; its kind is unknown if the names have no common pattern or negative numbers, or could be read in two
            ways.
    """
    without_hash = _without_hashes(names)
    bare = [without_hash(name) for name in names]
    has_hashes = bare != list(names)
    is_decimal = _are_decimals(bare)
    inner = _decimal_key if is_decimal else natural_key

    def key(name: str) -> Any:
        return inner(without_hash(name)), name

    patterns = {_skeleton(_DECIMAL.sub("0", name) if is_decimal else name) for name in bare}
    signs = {bool(_NEGATIVE.search(name)) for name in names}  # -2 would come after -1
    if is_decimal is None or len(signs) > 1 or (len(names) >= _FEWEST and 2 * len(patterns) > len(bare)):
        return FrameOrder(key, "unknown")
    return FrameOrder(key, "decimals" if is_decimal else "hashes" if has_hashes else "numbers")


def _skeleton(name: str) -> str:
    return _NUMBER.sub("0", name)


def _decimal_key(name: str) -> Any:
    """As :func:`natural_key`, but the number with a point, or the last one, is a decimal number."""
    match = _DECIMAL.search(name)
    if match is None:
        *_, match = _NUMBER.finditer(name)
    fraction = match[2].rstrip("0") if match.re is _DECIMAL else ""
    before, after = natural_key(name[: match.start()])[0], natural_key(name[match.end() :])[0]
    return [*before, int(match[1])], fraction, after


def _are_decimals(names: Sequence[str]) -> bool | None:
    """Return whether the one number with a point in each name is a decimal number; None if that is not certain."""
    found = [list(_DECIMAL.finditer(name)) for name in names]
    if any(len(matches) > 1 for matches in found) or not any(found):
        return False
    fractions = [matches[0][2] for matches in found if matches]
    if len(set(map(len, fractions))) == 1 and all(found):
        return False  # the order is the same
    if any(len(digits) > 1 and digits.endswith("0") for digits in fractions):
        return False  # 1.10 follows 1.9: programs that print decimals of different lengths print no zero at the end
    if len({_skeleton(_DECIMAL.sub("0", name)) for name in names}) > 1:
        return False
    if any(len(digits) > 1 and digits.startswith("0") for digits in fractions):
        return True
    texts = [
        matches[0][0] if matches else _NUMBER.findall(name)[-1] for name, matches in zip(names, found, strict=True)
    ]
    times = sorted(float(text.replace(",", ".")) for text in texts)
    steps = [after - before for before, after in pairwise(times)]
    return True if min(steps, default=0) > 0 and max(steps) <= _EVENNESS * min(steps) else None


def _without_hashes(names: Sequence[str]) -> Callable[[str], str]:
    """Return a function that removes the hash from each name, if all names have one next to a number."""
    # For the search, a UUID is one word of letters.
    split = [_SEPARATOR.split(_UUID.sub(_as_word, name)) for name in names]
    if len(names) < 2 or len({(len(parts), *parts[1::2]) for parts in split}) > 1:
        return str
    hashes = {at for at in range(0, len(split[0]), 2) if _are_hashes([parts[at] for parts in split])}

    def remove(name: str) -> str:
        parts = _SEPARATOR.split(_UUID.sub(_as_word, name))
        return "".join(part for at, part in enumerate(parts) if at not in hashes)

    bare = {remove(name) for name in names}
    is_enough = hashes and len(bare) == len(names) and 2 * len({_skeleton(name) for name in bare}) <= len(names)
    return remove if is_enough else str


def _as_word(uuid: re.Match[str]) -> str:
    return uuid[0].replace("-", "")


def _are_hashes(words: Sequence[str]) -> bool:
    """Return whether words are of one length, at least 6, and most have letters and digits in places of their own."""
    if len(set(map(len, words))) > 1 or len(words[0]) < _SHORTEST_HASH:
        return False
    mixed = {_NUMBER.sub(lambda found: "0" * len(found[0]), word) for word in words if not word.isdigit()}
    return 2 * len(mixed) > min(len(words), _ENOUGH)
