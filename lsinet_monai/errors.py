"""Errors that a person can act on, and how commands show them: one line, and a non-zero exit."""

from __future__ import annotations

import errno
import logging
import sys
import threading
from collections.abc import Iterator
from types import TracebackType

from tqdm import tqdm

__all__ = ["InputError", "describe_no_room", "find_input_error", "report_input_errors_in_one_line"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """What was given cannot be used; the message is one line that names the file, the value and the way out."""

    def __init__(self, message: str) -> None:
        # A data loader's worker process hands an error on as the text of its traceback, which ends with the message.
        super().__init__(message.rpartition(f"{__name__}.{type(self).__name__}: ")[2].strip())


def find_input_error(error: BaseException | None) -> InputError | None:
    """Find the :class:`InputError` that an error is, or that led to it.

    MONAI's config parser and transforms wrap what goes wrong inside a component in errors of their own, so the whole
    chain of causes is searched.
    """
    return next((link for link in _chain(error) if isinstance(link, InputError)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what led to it, what led to that, ..."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def describe_no_room(error: BaseException | None) -> str | None:
    """Say which file there is no room for, where an error says so: a disk or a quota that is full, a file too large.

    Returns:
        a line that ends with "make room", to which the caller adds how to go on; None for any other error.
    """
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        name = str(error.filename or "a file").removeprefix("file:")  # as FFmpeg has it
        return f"cannot write {name} ({error.strerror}): make room"
    return None


def _drop_repetition(record: logging.LogRecord) -> bool:
    """Drop what the log would say of what ends in one line besides that line, which is shown once, at the end.

    That is the traceback that MONAI's handlers log in mid-run, and Ignite's two records that the run is terminating.
    """
    if record.exc_info and _one_line(record.exc_info[1]):
        record.exc_info = None
    return not (record.name.startswith("ignite.engine.") and _one_line(sys.exc_info()[1]))


def _one_line(error: BaseException | None) -> str | None:
    """What the process ends with where that is said in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; a training or an inference goes on with --resume true"
    found = find_input_error(error) or next(filter(None, map(describe_no_room, _chain(error))), None)
    return f"error: {found}" if found else None


def report_input_errors_in_one_line() -> None:
    """Let an uncaught :class:`InputError` end the process with its message alone, and exit code 1.

    It is the last line on standard error; no traceback of it is logged before, nor what Ignite says of the end of the
    run. An interruption (Ctrl-C) and a full disk end it with one line too, and a thread that finds the disk full, such
    as TensorBoard's, says it in one. Every other error keeps its traceback. Calling this twice does no harm.
    """
    for handler in logging.getLogger().handlers:
        handler.addFilter(_drop_repetition)
    if getattr(sys.excepthook, "reports_input_errors", False):
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        line = _one_line(error)
        if line is None:
            previous(kind, error, trace)
            return
        # A progress bar that the error cut short would share the message's line, or follow it.
        for bar in list(getattr(tqdm, "_instances", ())):
            bar.close()
        print(line, file=sys.stderr)

    previous_of_threads = threading.excepthook

    def hook_of_threads(raised: threading.ExceptHookArgs) -> None:
        if message := describe_no_room(raised.exc_value):
            print(f"error: {message}", file=sys.stderr)
        else:
            previous_of_threads(raised)

    hook.reports_input_errors = True  # type: ignore[attr-defined]
    sys.excepthook, threading.excepthook = hook, hook_of_threads
