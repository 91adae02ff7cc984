"""How a run ends: an error that a person can act on takes one line, and the exit code is not 0."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

from tqdm import tqdm

from lsinet_monai.errors import causes, describe_no_room, find_input_error

__all__ = ["report_input_errors_in_one_line"]


def report_input_errors_in_one_line() -> None:
    """Let an uncaught :class:`~lsinet_monai.errors.InputError` end the process with its message and exit code 1.

    The message is the last line on standard error. Neither its traceback nor Ignite's records of the run's end are
    logged before it. An interruption (Ctrl-C) and a full disk end the process with one line too, and a thread that
    finds the disk full, such as TensorBoard's, prints one. Every other error keeps its traceback. A second call
    changes nothing.
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


def _one_line(error: BaseException | None) -> str | None:
    """The line that ends the process; None if the error keeps its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; --resume true continues a training or an inference"
    found = find_input_error(error) or next(filter(None, map(describe_no_room, causes(error))), None)
    return f"error: {found}" if found else None


def _drop_repetition(record: logging.LogRecord) -> bool:
    """Keep the log from repeating an error that ends the process in one line.

    MONAI's handlers log its traceback in mid-run, and Ignite logs twice that the run is terminating.
    """
    if record.exc_info and _one_line(record.exc_info[1]):
        record.exc_info = None
    return not (record.name.startswith("ignite.engine.") and _one_line(sys.exc_info()[1]))
