"""What a client did wrong, as HTTP tells it."""

from __future__ import annotations

from typing import Any

from lsinet_monai.errors import InputError

__all__ = ["Conflict", "NotFound"]


class NotFound(InputError):
    """There is nothing of this name: 404."""


class Conflict(InputError):
    """Something else happened first: 409.

    Args:
        message: one line.
        details: what the client needs to know beside it.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details
