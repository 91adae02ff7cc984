"""Client errors with their own HTTP status. All other client errors are :class:`InputError`, status 400."""

from __future__ import annotations

from typing import Any

from lsinet_monai.errors import InputError

__all__ = ["Conflict", "NotFound"]


class NotFound(InputError):
    """There is no such video, frame, mask or job: 404."""


class Conflict(InputError):
    """Somebody else changed something first, or the video is final: 409.

    Args:
        message: one line.
        details: further fields of the answer, such as the current ``version``.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details
