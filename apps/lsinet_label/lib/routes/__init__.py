"""The server's answers: the page, the app's own calls below ``/lsinet/``, and MONAI Label's calls behind the checks.

One module per resource, each with a router. Its functions get the app's parts from ``services``.
"""

from __future__ import annotations

from fastapi import FastAPI
from monailabel.config import settings

from lib.routes import import_export, jobs, lesions, masks, monai_label, page, status, videos
from lib.routes.services import Services, include_first
from lib.security import Guard

__all__ = ["Services", "add_routes"]


def add_routes(app: FastAPI, guard: Guard, services: Services) -> None:
    """Let a server answer the app's calls, and put the guard before MONAI Label's.

    Args:
        app: the server.
        guard: checks each call.
        services: the parts that the calls work with.
    """
    app.state.lsinet_guard = guard
    app.state.lsinet = services
    prefix = settings.MONAI_LABEL_API_STR
    include_first(app, monai_label.make_router(), prefix)
    for module in (status, videos, masks, lesions, import_export, jobs, page):
        include_first(app, module.router, prefix)
    app.mount(f"{prefix}/lsinet/static", page.PageFiles(), name="lsinet")
