"""Errors that a person can act on. :mod:`lsinet_monai.utils.error_line` shows them in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator

__all__ = ["InputError", "causes", "describe_no_room", "find_input_error"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """The input cannot be used. The message is one line that names the file, the value and the way out."""

    def __init__(self, message: str) -> None:
        # A data loader's worker process passes an error on as the text of its traceback, which ends with the message.
        super().__init__(message.rpartition(f"{type(self).__module__}.{type(self).__name__}: ")[2].strip())


def find_input_error(error: BaseException | None) -> InputError | None:
    """Find the first :class:`InputError` among an error and its causes.

    MONAI's config parser and transforms wrap a component's error in other errors.
    """
    return next((cause for cause in causes(error) if isinstance(cause, InputError)), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause's cause, and so on; nothing for None."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def describe_no_room(error: BaseException | None) -> str | None:
    """Describe an error of a full disk, a full quota or a limit on file sizes.

    Returns:
        a line that names the file and ends with "make room"; the caller adds how to continue. None for other errors.
    """
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        name = str(error.filename or "a file").removeprefix("file:")  # FFmpeg puts it before the name
        return f"cannot write {name} ({error.strerror}): make room"
    return None
