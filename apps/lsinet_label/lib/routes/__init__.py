"""The server's routes: the page, the app's own calls below ``/lsinet/``, and MONAI Label's calls behind the checks.

Each resource has a module with a router. Its functions get the app's parts from :mod:`lib.routes.services`.
"""

from __future__ import annotations

from fastapi import FastAPI
from monailabel.config import settings

from lib.routes import import_export, jobs, lesions, masks, monai_label, page, prompts, status, stretches, videos
from lib.routes.services import Services, include_first
from lib.security import Guard

__all__ = ["Services", "add_routes"]


def add_routes(app: FastAPI, guard: Guard, services: Services) -> None:
    """Add the app's routes to a server, and put the guard before MONAI Label's.

    Args:
        app: the server.
        guard: checks each call.
        services: the app's parts, which the routes use.
    """
    app.state.lsinet_guard = guard
    app.state.lsinet = services
    prefix = settings.MONAI_LABEL_API_STR
    include_first(app, monai_label.make_router(), prefix)
    for module in (status, videos, masks, prompts, lesions, stretches, import_export, jobs, page):
        include_first(app, module.router, prefix)
    app.mount(f"{prefix}/lsinet/static", page.PageFiles(), name="lsinet")
