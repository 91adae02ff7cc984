"""Options as they come from a config or the command line: switches and ranges."""

from __future__ import annotations

import re
from typing import Any

from lsinet_monai.errors import InputError

__all__ = ["as_bool", "as_slice"]


def as_bool(value: Any, name: str) -> bool:
    """Read a switch. The command line passes ``--pretrained false`` as the text "false".

    Args:
        value: true or false, or their text in any case.
        name: the option's name, for the error.

    Raises:
        InputError: the value is neither true nor false.
    """
    text = str(value).lower()
    if text not in ("true", "false"):
        raise InputError(f"{name}={value!r} is neither true nor false")
    return text == "true"


def as_slice(value: Any, name: str) -> slice:
    """Read a range of frames, ``A:B``, from A up to but without B.

    Args:
        value: the text; A or B may be missing. None selects everything.
        name: the option's name, for the error.

    Raises:
        InputError: the value is not a range, or an empty one.
    """
    found = re.fullmatch(r"(\d*):(\d*)", ":" if value is None else str(value))
    if found is None:
        raise InputError(f"{name}={value!r} is not A:B, two whole numbers")
    first, end = (int(text) if text else None for text in found.groups())
    if end is not None and end <= (first or 0):
        raise InputError(f"{name}={value!r} is empty: A must be below B")
    return slice(first, end)
