"""What stands before every call: who may call, how much they may send, and what they may name.

MONAI Label's own calls run in its event loop, so that each holds up all others, and take what a client names for a path
where there is one. Here the same calls run in threads, behind the same checks as the app's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import ipaddress
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn
from urllib.parse import urlsplit

import jwt
import requests
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
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
from monailabel.endpoints.user.auth import from_token
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException
from starlette.types import Message, Receive

from lib.datastore import VideoDatastore
from lib.errors import Conflict, NotFound
from lsinet_monai.errors import InputError

__all__ = ["Guard", "current_owner", "current_user", "include_first"]

# Bytes that a call may send.
_SMALL = 2**20
_LARGEST_LABEL = 2**29
_LARGEST_MASK = 2**24
_MOST_DISCARDED = 2**26  # of a body that is too large
_DISCARD_SECONDS = 10
_NAMES_OF_VIDEOS = ("image", "id", "label")

_request: ContextVar[Request | None] = ContextVar("request", default=None)


def current_user() -> str:
    """The name of whoever made the call that this runs for; MONAI Label's default user where nobody signs in."""
    request = _request.get()
    token = (request.headers.get("authorization", "") if request else "").removeprefix("Bearer ")
    return from_token(token).username


def current_owner() -> str:
    """Whose turn in the queue a call takes: the user's or, where nobody signs in, that of the machine it came from."""
    request = _request.get()
    if settings.MONAI_LABEL_AUTH_ENABLE or request is None or request.client is None:
        return current_user()
    return request.client.host


class Guard:
    """Makes routers whose calls are checked.

    Args:
        videos: the datastore that a client's ids must be in.
        largest_upload: bytes that an uploaded video may have.
        allow_network: whether other machines may call though nobody signs in.
    """

    def __init__(self, videos: VideoDatastore, largest_upload: int, allow_network: bool) -> None:
        self.videos = videos
        self.allow_network = allow_network
        self.limits = {
            ("PUT", "/datastore/"): largest_upload,
            ("PUT", "/datastore/image"): largest_upload,
            ("PUT", "/datastore/label"): _LARGEST_LABEL,
        }

    def router(self, **options: Any) -> APIRouter:
        """A router whose calls are checked."""
        guard = self

        class GuardedRoute(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                return guard.wrap(super().get_route_handler())

        return APIRouter(route_class=GuardedRoute, **options)

    def protect(self, app: FastAPI) -> None:
        """Let MONAI Label's calls run in threads and behind the checks."""
        router = self.router()
        modules = [info, model, infer, wsi_infer, batch_infer, train, activelearning, scoring, datastore, logs]
        if settings.MONAI_LABEL_AUTH_ENABLE:
            modules.append(login)
            # MONAI Label 0.8.5 names no algorithm, which every PyJWT since 2.0 refuses: nobody could sign in. A realm
            # publishes an RSA key, and signs with RS256.
            auth.jwt = SimpleNamespace(decode=partial(jwt.decode, algorithms=["RS256"]))
        for path in ("/session/{rest:path}", "/proxy/{rest:path}"):
            router.add_api_route(
                path, _refuse_sessions, methods=["GET", "PUT", "POST", "DELETE"], include_in_schema=False
            )
        for module in modules:
            for route in module.router.routes:
                if isinstance(route, APIRoute):
                    router.add_api_route(
                        route.path,
                        _in_thread(route.endpoint),
                        methods=list(route.methods),
                        tags=route.tags,
                        summary=route.summary,
                        deprecated=route.deprecated,
                        include_in_schema=route.include_in_schema,
                    )
        router.add_api_route("/reload", _refuse_reload, methods=["POST"], include_in_schema=False)
        include_first(app, router, prefix=settings.MONAI_LABEL_API_STR)

    def wrap(
        self, handler: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the checks before a call, and turn what goes wrong into a status and one line."""

        async def guarded(request: Request) -> Response:
            self._check_client(request)
            request = Request(request.scope, await _bounded(request, self._limit(request)))
            _request.set(request)
            try:
                self._check_names(request)
                return await handler(request)
            except Conflict as error:
                return _answer(409, str(error), **error.details)
            except (NotFound, ImageNotFoundException, LabelNotFoundException) as error:
                return _answer(404, str(error))
            except InputError as error:
                return _answer(400, str(error))
            except MONAILabelException as error:
                return _answer(400, str(error.msg))
            except requests.RequestException:
                return _answer(503, "the server that people sign in with cannot be reached")
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                return _answer(507, "the server's disk is full: nothing was saved")

        return guarded

    def _limit(self, request: Request) -> int:
        """How many bytes a call may send."""
        path = request.url.path
        if path.startswith("/lsinet/"):
            return {"import": _LARGEST_LABEL, "mask": _LARGEST_MASK}.get(path.rpartition("/")[2], _SMALL)
        return self.limits.get((request.method, path), _SMALL)

    def _check_client(self, request: Request) -> None:
        """Other machines, and pages of other sites in the user's own browser, are strangers where nobody signs in."""
        if settings.MONAI_LABEL_AUTH_ENABLE:
            return
        if not self.allow_network and request.client is not None and not _is_this_machine(request.client.host):
            raise HTTPException(
                403,
                "only this machine may call: let people sign in (MONAI_LABEL_AUTH_ENABLE), or start the server with "
                "--conf allow_network true",
            )
        # A site that names this machine's address as its own has its own name here.
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if not self.allow_network and not _is_this_machine(host):
            raise HTTPException(403, f"this is not {host}: call http://127.0.0.1, or http://localhost")
        origin = request.headers.get("origin")
        if origin and not settings.MONAI_LABEL_CORS_ORIGINS and urlsplit(origin).netloc != request.headers.get("host"):
            raise HTTPException(403, f"pages of {origin} may not call: name it in MONAI_LABEL_CORS_ORIGINS")

    def _check_names(self, request: Request) -> None:
        """Whatever a call of MONAI Label's names must be a video's id."""
        path = request.url.path
        if path.startswith("/lsinet/") or (request.method == "PUT" and path in ("/datastore/", "/datastore/image")):
            return
        for name in _NAMES_OF_VIDEOS:
            value = request.query_params.get(name)
            if value and value not in self.videos:
                raise NotFound(f"{name}={value!r} is none of the videos; GET /lsinet/videos lists them")
        if request.query_params.get("session_id"):
            _refuse_sessions()
        tag = request.query_params.get("tag")
        if request.method == "PUT" and path == "/datastore/label" and tag and tag != DefaultLabelTag.FINAL.value:
            raise InputError(f"tag={tag!r}: the model writes its own labels; save people's with the tag final")


def _refuse_sessions() -> None:
    raise InputError("this app has no sessions and no DICOMweb; upload the video with PUT /datastore/image")


def _refuse_reload() -> None:
    raise InputError("the app cannot be made anew while it runs: restart the server; nothing is lost")


def include_first(app: FastAPI, router: APIRouter, prefix: str = "") -> None:
    """Include a router before all that is there, so that it answers first."""
    before = len(app.router.routes)
    app.include_router(router, prefix=prefix)
    routes = app.router.routes
    routes[:] = routes[before:] + routes[:before]


def _in_thread(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The same call as a function, which FastAPI runs in a thread: MONAI Label's are coroutines that never wait."""
    if not inspect.iscoroutinefunction(endpoint):
        return endpoint

    def call(**arguments: Any) -> Any:
        return asyncio.run(endpoint(**arguments))

    call.__name__ = endpoint.__name__
    call.__doc__ = endpoint.__doc__
    call.__signature__ = inspect.signature(endpoint)  # type: ignore[attr-defined]
    return call


async def _bounded(request: Request, limit: int) -> Receive:
    """What the request sends, up to a limit."""
    if int(request.headers.get("content-length") or 0) > limit:
        await _refuse_body(request, limit)
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            await _refuse_body(request, limit, bool(message.get("more_body")))
        return message

    return receive


async def _refuse_body(request: Request, limit: int, has_more: bool = True) -> NoReturn:
    """Say that a body is too large, to a client that listens: one that is cut off while it sends may never see why."""

    async def discard() -> None:
        is_coming, discarded = has_more, 0
        while is_coming and discarded < _MOST_DISCARDED:
            message = await request.receive()
            is_coming = message.get("more_body", False)
            discarded += len(message.get("body", b""))

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(discard(), _DISCARD_SECONDS)
    raise HTTPException(413, f"the body is larger than {limit} bytes")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "testclient")


def _answer(status: int, detail: str, **details: Any) -> JSONResponse:
    return JSONResponse({"detail": detail, **details}, status)
