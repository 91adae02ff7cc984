"""What the bundle's configs need of Python."""

from __future__ import annotations

from typing import Any

from lsinet_monai.errors import InputError

__all__ = ["as_bool"]


def as_bool(value: Any, name: str) -> bool:
    """Read a switch: the command line hands ``--pretrained false`` on as the text "false".

    Raises:
        InputError: the value is neither true nor false.
    """
    text = str(value).lower()
    if text not in ("true", "false"):
        raise InputError(f"{name}={value!r} is neither true nor false")
    return text == "true"
