"""The page for people, and its files."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

__all__ = ["PageFiles", "router"]

_FOLDER = Path(__file__).parents[2] / "page"
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

router = APIRouter()


@router.get("/lsinet", include_in_schema=False)
def to_page() -> RedirectResponse:
    """Redirect to the page: the addresses in it are relative to ``/lsinet/``."""
    return RedirectResponse("lsinet/")


@router.get("/lsinet/", include_in_schema=False)
def get_page() -> FileResponse:
    """Send the page."""
    return FileResponse(_FOLDER / "index.html", headers=_HEADERS)


class PageFiles(StaticFiles):
    """The page's files. They change with the app's version, so browsers ask for them each time."""

    def __init__(self) -> None:
        super().__init__(directory=_FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Send a file with the page's headers, such as its Content Security Policy."""
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response
