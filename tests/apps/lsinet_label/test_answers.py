from __future__ import annotations

import errno
import json

import pytest

pytest.importorskip("monailabel")

import requests
from lib.answers import answer_error
from lib.errors import Conflict, NotFound
from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)

from lsinet_monai.errors import InputError


@pytest.mark.parametrize(
    ("error", "status", "content"),
    [
        (Conflict("saved", version=2), 409, {"detail": "saved", "version": 2}),
        (NotFound("no video"), 404, {"detail": "no video"}),
        (ImageNotFoundException("no image"), 404, {"detail": "no image"}),
        (LabelNotFoundException("no label"), 404, {"detail": "no label"}),
        (InputError("bad"), 400, {"detail": "bad"}),
        (MONAILabelException(MONAILabelError.APP_ERROR, "theirs"), 400, {"detail": "theirs"}),
        (
            requests.ConnectionError("http://secret"),
            503,
            {"detail": "the sign-in server cannot be reached: try again later"},
        ),
        (OSError(errno.ENOSPC, "full", "/x"), 507, {"detail": "the server's disk is full: nothing was saved"}),
        (OSError(errno.EDQUOT, "full", "/x"), 507, {"detail": "the server's disk is full: nothing was saved"}),
    ],
)
def test_a_client_can_act_on_it(error, status, content):
    answer = answer_error(error)
    assert (answer.status_code, json.loads(answer.body)) == (status, content)


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), ValueError("bug"), KeyError("bug")])
def test_other_errors_have_no_answer(error):
    assert answer_error(error) is None
