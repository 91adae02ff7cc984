"""What all routes share."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from lib.routes.services import ANNOTATOR, READER, AppServices, include_first, lsinet_router
from lib.security import Guard, GuardedRoute
from monailabel.config import settings
from monailabel.endpoints.user.auth import User, get_current_user


def test_all_videos_come_in_the_order_of_their_ids(services, studies):
    (studies / "a.mp4").write_bytes(b"no video")
    services.datastore.refresh()
    assert [video.id for video in services.all_videos()] == ["a.mp4", "damaged.mp4", "p1_a.frames"]


def test_a_route_gets_the_parts_of_its_app(services):
    router = lsinet_router()

    @router.get("/count")
    def count(app: AppServices) -> int:
        return len(app.all_videos())

    app = FastAPI()
    app.include_router(router)
    app.state.lsinet, app.state.lsinet_guard = services, Guard(services.datastore, 2**20, False)
    client = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))
    assert client.get("/lsinet/count").json() == 2
    (route,) = router.routes
    assert isinstance(route, GuardedRoute) and route.tags == ["LSI-Net"]


def test_a_router_that_is_included_first_answers_first():
    app = FastAPI()
    app.add_api_route("/who", lambda: "the app")
    app.add_api_route("/other", lambda: "the app")
    router = APIRouter()
    router.add_api_route("/who", lambda: "the router")
    include_first(app, router, "/api")
    include_first(app, router)
    client = TestClient(app)
    assert [client.get(path).json() for path in ("/who", "/api/who", "/other")] == [
        "the router", "the router", "the app"
    ]  # fmt: skip


USER, CORRECTOR = settings.MONAI_LABEL_AUTH_ROLE_USER, settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR
# a person's roles, and the status of a look and of a correction
ROLES = [([], 403, 403), ([USER], 200, 403), ([USER, CORRECTOR], 200, 200)]


@pytest.mark.parametrize(("roles", "look", "correction"), ROLES)
def test_people_look_and_correct_by_their_roles(monkeypatch, roles, look, correction):
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
    app = FastAPI()
    app.add_api_route("/look", lambda: None, dependencies=[READER])
    app.add_api_route("/correct", lambda: None, dependencies=[ANNOTATOR])
    app.dependency_overrides[get_current_user] = lambda: User(username="ann", roles=roles)
    client = TestClient(app)
    assert [client.get(path).status_code for path in ("/look", "/correct")] == [look, correction]
