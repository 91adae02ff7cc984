"""MONAI Label's own calls, in threads and behind the checks.

MONAI Label itself runs them in its event loop, where each call blocks all others. It uses ids as paths, leaves files in
the temporary folder, and starts a task's process before it looks at the task's name.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
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
from starlette.background import BackgroundTask

from lib.call_files import TemporaryNames, call_folder
from lib.routes.services import Services
from lib.security import GuardedRoute, refuse_sessions
from lib.trainers import check_training_options
from lsinet_monai.errors import InputError

__all__ = ["make_router"]

_STARTS = {
    train.api_run: ("train", "model"),
    train.api_run_model: ("train", "model"),
    batch_infer.api_run: ("batch_infer", "model"),
    scoring.api_run: ("scoring", "method"),
    scoring.api_run_method: ("scoring", "method"),
}
"""Calls that start a task in its own process: the task's kind, and what its name is called."""
_WHOLE_LOG = 2**31 - 1


def make_router() -> APIRouter:
    """A router with MONAI Label's calls. Include it before MONAI Label's own."""
    router = APIRouter(route_class=GuardedRoute)
    modules = [info, model, infer, wsi_infer, batch_infer, train, activelearning, scoring, datastore, logs]
    if settings.MONAI_LABEL_AUTH_ENABLE:
        modules.append(login)
        # MONAI Label 0.8.5 names no algorithm. PyJWT 2.0 and later refuse that, so nobody could sign in. A realm
        # publishes an RSA key and signs with RS256.
        auth.jwt = SimpleNamespace(decode=partial(jwt.decode, algorithms=["RS256"]))
    for module in (datastore, infer, wsi_infer, model):
        module.tempfile = TemporaryNames
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
    """Wrap a coroutine as a plain function, which FastAPI runs in a thread. MONAI Label's coroutines never await.

    The function checks what is asked for, and keeps the call's files until the call is answered.
    """
    if not inspect.iscoroutinefunction(endpoint):
        return endpoint

    def call(lsinet_request: Request, **arguments: Any) -> Any:
        services: Services = lsinet_request.app.state.lsinet
        _check_query(endpoint, lsinet_request)
        _check(endpoint, arguments, services)
        with ExitStack() as until_sent:
            folder = until_sent.enter_context(services.videos.scratch())
            with call_folder(folder):
                try:
                    answer = asyncio.run(endpoint(**arguments))
                except json.JSONDecodeError as error:
                    raise InputError(f"the call's JSON cannot be read ({error})") from error
            if isinstance(answer, FileResponse) and folder in Path(answer.path).parents:
                answer.background = BackgroundTask(until_sent.pop_all().close)
            return answer

    signature = inspect.signature(endpoint)
    request = inspect.Parameter("lsinet_request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    call.__name__ = endpoint.__name__
    call.__doc__ = endpoint.__doc__
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), request]
    )
    return call


def _check_query(endpoint: Callable[..., Any], request: Request) -> None:
    """Refuse options in the address of a task's call that would be dropped in silence, such as ``?max_epochs=0``."""
    if endpoint not in _STARTS and endpoint.__module__ != infer.__name__:
        return
    names = set(inspect.signature(endpoint).parameters) - {"user", "background_tasks", *request.path_params}
    for name in request.query_params:
        if name not in names and request.query_params[name] != request.path_params.get(name):
            raise InputError(
                f"there is no option {name!r} in the address of this call: there are {', '.join(sorted(names))}; a "
                "task's name stands in the path, such as /train/lsinet, and its options in the body"
            )


def _check(endpoint: Callable[..., Any], arguments: dict[str, Any], services: Services) -> None:
    """Refuse at once what MONAI Label would refuse late or not at all, and answer a log as text, not as a file."""
    given = arguments.get
    if endpoint in _STARTS:
        kind, key = _STARTS[endpoint]
        known = list(services.tasks.get(kind, ()))
        for name in (given(key), (given("params") or {}).get(key)):
            if name is not None and name not in known:
                raise InputError(f"{key}={name!r} is not known: choose from {', '.join(known) or 'none'}")
        if kind == "train":
            options = dict(given("params") or {})
            # A call to train all models may have options of each.
            of_models = [options.pop(name) for name in known if isinstance(options.get(name), dict)]
            for each in (options, *of_models):
                check_training_options(each)
    if endpoint.__module__ in (infer.__name__, wsi_infer.__name__) and (given("file") or given("label")):
        raise InputError("inference takes no files: upload the video with PUT /datastore/image, then give image=ID")
    if endpoint is logs.api_get_logs and (arguments["lines"] or 0) <= 0:
        arguments["lines"] = _WHOLE_LOG
