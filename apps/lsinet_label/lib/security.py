"""Checks before every call: who may call, how much they may send, and which videos they may name."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from monailabel.config import settings
from monailabel.endpoints.user.auth import from_token
from monailabel.interfaces.datastore import DefaultLabelTag
from starlette.types import Message, Receive

from lib.answers import answer_error
from lib.datastore import VideoDatastore
from lib.errors import NotFound
from lib.server_paths import ServerPaths
from lsinet_monai.errors import InputError

__all__ = ["Caller", "Guard", "GuardedRoute", "current_caller", "current_user", "refuse_sessions"]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

# Bytes that a call may send.
_SMALL = 2**20
_LARGEST_LABEL = 2**29
_LARGEST_MASK = 2**24
_MOST_DISCARDED = 2**26  # read, and thrown away, of a body that is too large
_DISCARD_SECONDS = 10
_NAMES_OF_VIDEOS = ("image", "id", "label")

_request: ContextVar[Request | None] = ContextVar("request", default=None)


class Caller(NamedTuple):
    """Who makes a call."""

    user: str
    """MONAI Label's default user if nobody signs in."""
    owner: str
    """Whose turn in the queue the call takes: the user's or, if nobody signs in, that of the calling machine."""


def current_user() -> str:
    """The name of the user who makes the current call."""
    request = _request.get()
    token = (request.headers.get("authorization", "") if request else "").removeprefix("Bearer ")
    return from_token(token).username


def current_caller() -> Caller:
    """Who makes the current call, and whose turn in the queue it takes."""
    request, user = _request.get(), current_user()
    if settings.MONAI_LABEL_AUTH_ENABLE or request is None or request.client is None:
        return Caller(user, user)
    return Caller(user, request.client.host)


class GuardedRoute(APIRoute):
    """A route behind the server's :class:`Guard`, which is ``app.state.lsinet_guard``."""

    def get_route_handler(self) -> Handler:
        """FastAPI's handler of this route, which the guard calls once the checks have passed."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            guard: Guard = request.app.state.lsinet_guard
            return await guard(request, handler)

        return guarded


class Guard:
    """Checks a call, lets it run, and turns an error into a status and one line. No answer names the server's folders.

    Args:
        videos: the datastore. Clients can name its videos only.
        largest_upload: bytes that an uploaded video may have.
        allow_network: whether other machines may call without sign-in.
        paths: removes the server's folders from answers.
    """

    # Why not Starlette's TrustedHostMiddleware and add_exception_handler: Starlette accepts neither once the server has
    # started, and MONAI Label makes this app only then. The middleware would also answer 400 without a reason, and its
    # list of names cannot hold every loopback address.

    def __init__(
        self, videos: VideoDatastore, largest_upload: int, allow_network: bool, paths: ServerPaths | None = None
    ) -> None:
        self.videos = videos
        self.paths = paths or ServerPaths()
        self.allow_network = allow_network
        self.limits = {
            ("PUT", "/datastore/"): largest_upload,
            ("PUT", "/datastore/image"): largest_upload,
            ("PUT", "/datastore/label"): _LARGEST_LABEL,
        }

    async def __call__(self, request: Request, handler: Handler) -> Response:
        """Answer a call.

        Args:
            request: the call.
            handler: answers it once it has passed the checks.

        Raises:
            HTTPException: the client may not call, or sends too much.
        """
        self._check_client(request)
        request = Request(request.scope, await _bounded(request, self._limit(request)))
        _request.set(request)
        try:
            self._check_names(request)
            answer = await handler(request)
        except HTTPException as error:
            error.detail = self.paths.hide(error.detail)
            raise
        except Exception as error:
            found = answer_error(error)
            if found is None:
                raise
            answer = found
        return self.paths.hide_in(answer)

    def _limit(self, request: Request) -> int:
        """How many bytes a call may send."""
        path = request.url.path
        if path.startswith("/lsinet/"):
            in_base64 = 2 * _LARGEST_MASK
            limits = {"import": _LARGEST_LABEL, "mask": _LARGEST_MASK, "prompt": in_base64, "spread": in_base64}
            return limits.get(path.rpartition("/")[2], _SMALL)
        return self.limits.get((request.method, path), _SMALL)

    def _check_client(self, request: Request) -> None:
        """Without sign-in, refuse other machines, and other sites' pages in the user's own browser."""
        if settings.MONAI_LABEL_AUTH_ENABLE:
            return
        if not self.allow_network and request.client is not None and not _is_this_machine(request.client.host):
            raise HTTPException(
                403,
                "only the server's own machine may use this app: let people sign in (MONAI_LABEL_AUTH_ENABLE), or "
                "start the server with --conf allow_network true",
            )
        # A site whose name was made to resolve to this machine still sends its own name.
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if not self.allow_network and not _is_this_machine(host):
            raise HTTPException(403, f"{host} is not this app's address: use http://127.0.0.1 or http://localhost")
        origin = request.headers.get("origin")
        if origin and not settings.MONAI_LABEL_CORS_ORIGINS and urlsplit(origin).netloc != request.headers.get("host"):
            raise HTTPException(403, f"pages of {origin} may not use this app: add it to MONAI_LABEL_CORS_ORIGINS")

    def _check_names(self, request: Request) -> None:
        """Check that one of MONAI Label's own calls names only videos of the datastore."""
        path = request.url.path
        if path.startswith("/lsinet/") or (request.method == "PUT" and path in ("/datastore/", "/datastore/image")):
            return
        for name in _NAMES_OF_VIDEOS:
            value = request.query_params.get(name)
            if value and value not in self.videos:
                raise NotFound(f"there is no video {value!r} here: choose one from the list")
        if request.query_params.get("session_id"):
            refuse_sessions()
        tag = request.query_params.get("tag")
        if request.method == "PUT" and path == "/datastore/label" and tag and tag != DefaultLabelTag.FINAL.value:
            raise InputError(f"tag={tag!r}: only the model writes its own labels; save people's with the tag final")


def refuse_sessions() -> None:  # not NoReturn, which FastAPI takes for the type of an answer
    """Refuse calls that need MONAI Label's sessions or its DICOMweb proxy.

    Raises:
        InputError: always.
    """
    raise InputError("this app has no sessions and no DICOMweb: upload the video with PUT /datastore/image")


async def _bounded(request: Request, limit: int) -> Receive:
    """Receive a request's body, and refuse it as soon as it exceeds the limit in bytes."""
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
    """Answer that a body is too large. Read more of it first: a client whose upload is cut off may miss the answer."""

    async def discard() -> None:
        is_coming, discarded = has_more, 0
        while is_coming and discarded < _MOST_DISCARDED:
            message = await request.receive()
            is_coming = message.get("more_body", False)
            discarded += len(message.get("body", b""))

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(discard(), _DISCARD_SECONDS)
    raise HTTPException(413, f"the upload is larger than {limit} bytes, the most that is allowed here")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "testclient")
