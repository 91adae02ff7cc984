"""The lesions of a video: names, colours, merges."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from lib.routes.services import ANNOTATOR, AppServices, lsinet_router
from lib.security import current_user

__all__ = ["router"]

router = lsinet_router()


class Lesion(BaseModel):
    """How a lesion is shown."""

    id: int = Field(ge=1, le=255)
    name: str = Field(min_length=1, max_length=100)
    colour: str = Field(pattern="^#[0-9a-fA-F]{6}$")


class Merge(BaseModel):
    """Two lesions to merge: ``from`` becomes part of ``into``."""

    into: int = Field(ge=1, le=255)
    other: int = Field(ge=1, le=255, alias="from")


@router.put("/videos/{image_id}/lesions", summary="Name and colour lesions", dependencies=[ANNOTATOR])
def put_lesions(image_id: str, lesions: list[Lesion], app: AppServices) -> list[dict[str, Any]]:
    """Give lesions names and colours, and answer all lesions of the video.

    Raises:
        NotFound: there is no such video.
    """
    video = app.videos[image_id]
    video.lesions.rename([lesion.model_dump() for lesion in lesions])
    return video.lesions.entries()


@router.post("/videos/{image_id}/lesions/merge", summary="Make two lesions one", dependencies=[ANNOTATOR])
def merge_lesions(image_id: str, merge: Merge, app: AppServices) -> list[dict[str, Any]]:
    """Merge a lesion into another in every mask, and answer all lesions of the video.

    Raises:
        NotFound: there is no such video.
        Conflict: the video is final.
        InputError: the video does not have both lesions, or they are the same.
    """
    video = app.videos[image_id]
    video.lesions.merge(merge.into, merge.other, current_user())
    return video.lesions.entries()
