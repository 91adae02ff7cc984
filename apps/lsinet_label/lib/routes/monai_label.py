"""MONAI Label's own calls, in threads and behind the checks.

MONAI Label itself runs them in its event loop, where each call blocks all others, and uses ids as paths.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import jwt
from fastapi import APIRouter
from fastapi.routing import APIRoute
from monailabel.config import settings
from monailabel.endpoints import (
    activelearning,
    batch_infer,
    datastore,
    infer,
    info,
    login,
    logs,
    model,
    scoring,
    train,
    wsi_infer,
)
from monailabel.endpoints.user import auth

from lib.security import GuardedRoute, refuse_sessions
from lsinet_monai.errors import InputError

__all__ = ["make_router"]


def make_router() -> APIRouter:
    """A router with MONAI Label's calls. Include it before MONAI Label's own."""
    router = APIRouter(route_class=GuardedRoute)
    modules = [info, model, infer, wsi_infer, batch_infer, train, activelearning, scoring, datastore, logs]
    if settings.MONAI_LABEL_AUTH_ENABLE:
        modules.append(login)
        # MONAI Label 0.8.5 names no algorithm. PyJWT 2.0 and later refuse that, so nobody could sign in. A realm
        # publishes an RSA key and signs with RS256.
        auth.jwt = SimpleNamespace(decode=partial(jwt.decode, algorithms=["RS256"]))
    for path in ("/session/{rest:path}", "/proxy/{rest:path}"):
        router.add_api_route(path, refuse_sessions, methods=["GET", "PUT", "POST", "DELETE"], include_in_schema=False)
    for module in modules:
        for route in module.router.routes:
            if isinstance(route, APIRoute):
                router.add_api_route(
                    route.path,
                    _in_thread(route.endpoint),
                    methods=list(route.methods or ()),
                    tags=route.tags,
                    summary=route.summary,
                    deprecated=route.deprecated,
                    include_in_schema=route.include_in_schema,
                )
    router.add_api_route("/reload", _refuse_reload, methods=["POST"], include_in_schema=False)
    return router


def _refuse_reload() -> None:
    raise InputError("the app cannot be reloaded while it runs: restart the server; nothing is lost")


def _in_thread(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a coroutine as a plain function, which FastAPI runs in a thread. MONAI Label's coroutines never await."""
    if not inspect.iscoroutinefunction(endpoint):
        return endpoint

    def call(**arguments: Any) -> Any:
        return asyncio.run(endpoint(**arguments))

    call.__name__ = endpoint.__name__
    call.__doc__ = endpoint.__doc__
    call.__signature__ = inspect.signature(endpoint)  # type: ignore[attr-defined]
    return call
