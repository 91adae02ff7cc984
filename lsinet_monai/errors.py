"""Errors that a person can act on, and how commands show them: one line, and a non-zero exit."""

from __future__ import annotations

import sys
from types import TracebackType

__all__ = ["InputError", "report_input_errors_in_one_line"]


class InputError(ValueError):
    """What was given cannot be used; the message is one line that names the file, the value and the way out."""


def _find_input_error(error: BaseException | None) -> InputError | None:
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def report_input_errors_in_one_line() -> None:
    """Let an uncaught :class:`InputError` end the process with its message alone, and exit code 1.

    MONAI's config parser wraps what goes wrong inside a component in errors of its own, so the whole chain of causes
    is searched. Every other error keeps its traceback. Calling this twice does no harm.
    """
    if getattr(sys.excepthook, "reports_input_errors", False):
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        found = _find_input_error(error)
        if found is None:
            previous(kind, error, trace)
        else:
            print(f"error: {found}", file=sys.stderr)

    hook.reports_input_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook
