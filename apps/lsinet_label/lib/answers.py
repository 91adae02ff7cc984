"""Answers for errors: an HTTP status and one line."""

from __future__ import annotations

import errno

import requests
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException

from lib.errors import Conflict, NotFound
from lsinet_monai.errors import InputError

__all__ = ["answer_error"]

# The first class that matches counts.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Conflict, 409),
    (NotFound, 404),
    (ImageNotFoundException, 404),
    (LabelNotFoundException, 404),
    (InputError, 400),
    (MONAILabelException, 400),
)


def answer_error(error: Exception) -> JSONResponse | None:
    """Make the answer for an error that a client can act on.

    Returns:
        ``detail``, one line, and the details of a :class:`Conflict`; None for any other error.
    """
    for kind, status in _STATUS:
        if isinstance(error, kind):
            detail = error.msg if isinstance(error, MONAILabelException) else error
            return JSONResponse({"detail": str(detail), **getattr(error, "details", {})}, status)
    if isinstance(error, requests.RequestException):
        return JSONResponse({"detail": "the sign-in server cannot be reached: try again later"}, 503)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return JSONResponse({"detail": "the server's disk is full: nothing was saved"}, 507)
    return None
