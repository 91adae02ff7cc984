from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("monailabel")

from fastapi import Response
from fastapi.responses import JSONResponse
from lib.server_paths import ServerPaths


@pytest.fixture
def paths():
    return ServerPaths([Path("/srv/videos"), Path('/srv/ä "x"')])


TEXTS = [
    ("/srv/videos/p1.mp4", "p1.mp4"),
    ("'/srv/videos' is full", "'videos' is full"),
    ("file:///srv/videos/labels/final", "file://labels/final"),
    ("/srv/videos-of-others/p1.mp4", "/srv/videos-of-others/p1.mp4"),
    (f"{tempfile.gettempdir()}/abc.mp4: damaged", "abc.mp4: damaged"),
    (f"{Path.home()}/secret", "secret"),
    ("POST /infer/lsinet?image=ID", "POST /infer/lsinet?image=ID"),
    (3, 3),
    (None, None),
    ({"/srv/videos/a": ["/srv/videos/b", ("/srv/videos/c",)]}, {"a": ["b", ["c"]]}),
]


@pytest.mark.parametrize(("value", "hidden"), TEXTS)
def test_values(paths, value, hidden):
    assert paths.hide(value) == hidden


def test_answers(paths):
    answer = paths.hide_in(JSONResponse({"path": '/srv/ä "x"/1.mp4', "ü": "\n/srv/videos/2.mp4"}, 404))
    assert (answer.status_code, json.loads(answer.body)) == (404, {"path": "1.mp4", "ü": "\n2.mp4"})
    assert answer.headers["content-length"] == str(len(answer.body))
    assert paths.hide_in(Response("at /srv/videos/x", media_type="text/plain")).body == b"at x"
    picture = Response(b"/srv/videos/x", media_type="image/png")
    assert paths.hide_in(picture).body == b"/srv/videos/x"
