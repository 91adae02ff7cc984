"""The guard before each call, without a server. test_server.py tries the same on a real one."""

from __future__ import annotations

import io
from contextlib import nullcontext

import pytest

pytest.importorskip("monailabel")

from fastapi import APIRouter, FastAPI, HTTPException, Request, UploadFile
from fastapi.testclient import TestClient
from lib.datastore import VideoDatastore
from lib.errors import Conflict
from lib.security import Guard, GuardedRoute, current_caller, current_user
from lib.server_paths import ServerPaths
from monailabel.config import settings

VIDEO = "p1_a.frames"
HERE, THERE = "127.0.0.1:8000", "elsewhere.example:8000"


@pytest.fixture
def call(studies):
    """Calls a server with routes of all kinds, from a machine."""
    datastore = VideoDatastore(str(studies), False, nullcontext)

    def start(client="127.0.0.1", largest_upload=1000, allow_network=False):
        router = APIRouter(route_class=GuardedRoute)

        @router.get("/lsinet/who")
        def who():
            return {"user": current_user(), "caller": current_caller()}

        @router.get("/lsinet/conflict")
        def conflict():
            raise Conflict("saved meanwhile", version=2)

        @router.get("/lsinet/path")
        def path(kind: str):
            if kind == "error":
                raise HTTPException(404, f"{studies}/x.mp4 is not there")
            if kind == "conflict":
                raise Conflict(f"{studies}/x.mp4 is there")
            return {"path": [f"{studies}/x.mp4"]}

        @router.get("/lsinet/bug")
        def bug():
            raise ValueError("a bug")

        @router.put("/datastore/image")
        def upload(file: UploadFile):
            return len(file.file.read())

        @router.put("/lsinet/videos/x/frames/0/mask")
        @router.put("/lsinet/other")
        async def body(request: Request):
            return len(await request.body())

        @router.put("/datastore/label")
        @router.get("/datastore/label")
        def label():
            return "label"

        app = FastAPI()
        app.state.lsinet_guard = Guard(datastore, largest_upload, allow_network, ServerPaths([studies]))
        app.include_router(router)
        return TestClient(app, base_url=f"http://{HERE}", client=(client, 50000)).request

    return start


@pytest.mark.parametrize(
    ("client", "host", "origin", "status"),
    [
        ("127.0.0.1", HERE, None, 200),
        ("127.0.0.9", "127.0.0.9", None, 200),
        ("::1", "[::1]:8000", None, 200),
        ("127.0.0.1", "localhost:8000", "http://localhost:8000", 200),
        ("127.0.0.1", THERE, None, 403),
        ("127.0.0.1", THERE, f"http://{THERE}", 403),
        ("127.0.0.1", HERE, f"http://{THERE}", 403),
        ("127.0.0.1", "127.0.0.1.elsewhere.example", None, 403),
        ("127.0.0.1", "", None, 403),
        ("192.0.2.7", HERE, None, 403),
    ],
)
def test_only_this_machine_may_call(call, client, host, origin, status):
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    answer = call(client)("GET", "/lsinet/who", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["detail"]


def test_the_network_may_call_if_the_server_allows_it(call):
    request = call("192.0.2.7", allow_network=True)
    assert request("GET", "/lsinet/who", headers={"Host": THERE}).status_code == 200
    assert request("GET", "/lsinet/who", headers={"Host": THERE, "Origin": f"http://{HERE}"}).status_code == 403


def test_who_calls(call):
    found = call()("GET", "/lsinet/who").json()
    assert found == {"user": settings.MONAI_LABEL_AUTH_CLIENT_ID and "admin", "caller": ["admin", "127.0.0.1"]}
    assert current_caller() == ("admin", "admin")  # of no call


def test_errors_become_answers(call):
    answer = call()("GET", "/lsinet/conflict")
    assert (answer.status_code, answer.json()) == (409, {"detail": "saved meanwhile", "version": 2})
    with pytest.raises(ValueError, match="a bug"):
        call()("GET", "/lsinet/bug")


@pytest.mark.parametrize("kind", ["error", "conflict", "answer"])
def test_no_answer_names_the_servers_folders(call, studies, kind):
    answer = call()("GET", "/lsinet/path", params={"kind": kind})
    assert "x.mp4" in answer.text and str(studies) not in answer.text


@pytest.mark.parametrize(("path", "limit"), [("/lsinet/other", 2**20), ("/lsinet/videos/x/frames/0/mask", 2**24)])
def test_a_body_has_a_limit(call, path, limit):
    def chunks(size):
        yield from (bytes(2**16) for _ in range(size // 2**16))

    for content in (bytes(limit), chunks(limit)):
        assert call()("PUT", path, content=content).status_code == 200
    for content in (bytes(limit + 1), chunks(limit + 2**16)):
        answer = call()("PUT", path, content=content)
        assert answer.status_code == 413 and f"is larger than {limit} bytes" in answer.json()["detail"]


def test_an_upload_has_a_limit(call):
    assert call()("PUT", "/datastore/image", files={"file": io.BytesIO(bytes(500))}).json() == 500
    assert call()("PUT", "/datastore/image", files={"file": io.BytesIO(bytes(1000))}).status_code == 413


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("GET", {"label": VIDEO}, 200),
        ("GET", {"image": "../secret.mp4"}, 404),
        ("GET", {"id": "/etc/passwd"}, 404),
        ("GET", {"label": "nobody.mp4"}, 404),
        ("GET", {"label": VIDEO, "session_id": "x"}, 400),
        ("PUT", {"label": VIDEO, "tag": "final"}, 200),
        ("PUT", {"label": VIDEO, "tag": "original"}, 400),
        ("PUT", {"label": VIDEO, "tag": "../../x"}, 400),
    ],
)
def test_calls_of_monai_label_name_videos_only(call, method, query, status):
    assert call()(method, "/datastore/label", params=query).status_code == status


def test_without_a_guard_no_call_is_answered():
    router = APIRouter(route_class=GuardedRoute)
    router.add_api_route("/x", lambda: "answered")
    app = FastAPI()
    app.include_router(router)
    assert TestClient(app, raise_server_exceptions=False).get("/x").status_code == 500
