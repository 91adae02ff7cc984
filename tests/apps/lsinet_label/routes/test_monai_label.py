from __future__ import annotations

import asyncio

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from lib.routes.monai_label import make_router
from lib.routes.services import include_first
from monailabel.endpoints import datastore, infer


def test_calls_run_in_threads_with_the_same_parameters():
    router = make_router()
    paths = {(route.path, *sorted(route.methods)) for route in router.routes}
    for module in (datastore, infer):
        assert {(route.path, *sorted(route.methods)) for route in module.router.routes} <= paths
    assert not any(asyncio.iscoroutinefunction(route.endpoint) for route in router.routes)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/reload"), ("GET", "/session/x"), ("PUT", "/session/"), ("GET", "/proxy/dicom/x")]
)
def test_calls_that_the_app_does_not_have_are_refused(client, method, path):
    answer = client.request(method, f"http://127.0.0.1{path}")
    assert answer.status_code == 400 and answer.json()["detail"]


@pytest.mark.parametrize("path", ["/datastore/image", "/datastore/image/info", "/datastore/label"])
def test_calls_are_guarded(client, path):
    answer = client.get(f"http://127.0.0.1{path}", params={"image": "/etc/passwd", "tag": "final"})
    assert answer.status_code == 404 and "there is no video" in answer.json()["detail"]


def test_a_router_that_is_included_first_answers_first():
    app = FastAPI()
    app.add_api_route("/x", lambda: "before")
    router = APIRouter()
    router.add_api_route("/x", lambda: "after")
    include_first(app, router)
    assert TestClient(app).get("/x").json() == "after"
