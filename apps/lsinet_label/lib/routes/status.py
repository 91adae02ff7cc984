"""The server's state, and the frame to look at next."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from monailabel.config import settings
from monailabel.endpoints.user.auth import from_token

from lib.routes.services import READER, AppServices, lsinet_router
from lib.strategies import STRATEGIES, next_frame
from lsinet_monai.version import __version__

__all__ = ["router"]

router = lsinet_router()


@router.get("/status", summary="The server's model, device and user")
def status(request: Request, app: AppServices) -> dict[str, Any]:
    """Which model, device and version the server has, whether people sign in, and who calls. Needs no sign-in."""
    return {
        "model": app.model.state(),
        "device": app.model.device,
        "version": __version__,
        "auth": settings.MONAI_LABEL_AUTH_ENABLE,
        "user": _user_or_none(request),
    }


@router.get("/next", summary="The frame to look at next", dependencies=[READER])
def get_next(
    app: AppServices, strategy: Annotated[str, Query(description=", ".join(STRATEGIES))] = "doubt"
) -> dict[str, Any]:
    """The frame that a person should look at next, see :func:`lib.strategies.next_frame`.

    Raises:
        NotFound: all videos are final or damaged, or there are none.
        InputError: there is no such strategy.
    """
    return next_frame(app.all_videos(), strategy)


def _user_or_none(request: Request) -> str | None:
    try:
        return from_token(request.headers.get("authorization", "").removeprefix("Bearer ")).username
    except Exception:  # not signed in, or no longer: the token's library has many errors for that
        return None
