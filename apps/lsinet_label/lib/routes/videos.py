"""Videos: the list of all, and for each its details, pictures and history, and marking it as final."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query, Response
from pydantic import BaseModel

from lib.errors import Conflict
from lib.routes.services import ANNOTATOR, READER, AppServices, Services, lsinet_router
from lib.security import current_user
from lib.store import StoredVideo, describe_video, summarise_video
from lsinet_monai.errors import InputError

__all__ = ["router"]

router = lsinet_router()


class Final(BaseModel):
    """Whether a video is final: then its masks do not change any more."""

    final: bool
    partial: bool = False
    """Also if frames have no mask yet: they count as frames without a polyp."""


def _job_fields(video: StoredVideo, app: Services) -> dict[str, Any]:
    """The fields of the active job of a video. They are added to the video's summary."""
    job = app.jobs.of_image(video.id)
    if job is None:
        return {"progress": None, "job": None}
    return {"state": "annotating", "progress": job.progress, "job": job.job}


@router.get("/videos", summary="All videos", dependencies=[READER])
def list_videos(app: AppServices) -> list[dict[str, Any]]:
    """The summary of each video, see :func:`lib.store.summarise_video`, with the progress of its job."""
    return [summarise_video(video) | _job_fields(video, app) for video in app.all_videos()]


@router.get("/videos/{image_id}", summary="A video, frame by frame", dependencies=[READER])
def get_video(image_id: str, app: AppServices) -> dict[str, Any]:
    """A video's frames, corrections and lesions, see :func:`lib.store.describe_video`.

    Raises:
        NotFound: there is no such video.
        InputError: the video cannot be read.
    """
    video = app.videos[image_id]
    return describe_video(video) | _job_fields(video, app)


@router.get("/videos/{image_id}/frames/{frame}", summary="A frame as JPEG", dependencies=[READER])
def get_frame(
    image_id: str,
    frame: int,
    app: AppServices,
    width: Annotated[int | None, Query(ge=16, le=8192)] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Send a frame as a JPEG image.

    Args:
        image_id: the video.
        frame: its index.
        app: the app's parts.
        width: of the image in pixels; by default, and at most, the frame's own.
        if_none_match: the ``ETag`` of the image that the browser has. If it is current, the answer is 304.

    Raises:
        NotFound: there is no such video or frame.
        InputError: the video or the frame cannot be read.
    """
    video = app.videos[image_id]
    video.info.check_frame(frame)
    # Browsers ask each time: another video may take the place of this one.
    stat = video.path.stat()
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    try:
        content = app.images.jpeg(video.path, frame, width)
    except InputError as error:
        raise InputError(f"frame {frame} of '{image_id}' is damaged or missing: choose another frame") from error
    return Response(content, media_type="image/jpeg", headers=headers)


@router.post("/videos/{image_id}/final", summary="Mark as final, or open again", dependencies=[ANNOTATOR])
def put_final(image_id: str, final: Final, app: AppServices) -> dict[str, Any]:
    """Mark a video as final, or open it again.

    Returns:
        ``final``; ``job``, which writes the final label, or None; and ``unreadable``, the number of frames that could
        not be read and count as frames without a polyp.

    Raises:
        NotFound: there is no such video.
        Conflict: a job is working on the video, or frames have no mask yet and ``partial`` is not set.
    """
    video = app.videos[image_id]
    if final.final and app.jobs.of_image(image_id):
        raise Conflict(f"a job is working on '{image_id}': wait until it is done, or cancel it")
    if final.final and not final.partial:
        video.check_whole()
    video.set_final(final.final, current_user())
    job = app.on_final(video)
    unreadable = len(video.values.unreadable())
    return {"final": video.info.is_final, "job": job.job if job else None, "unreadable": unreadable}


@router.get("/videos/{image_id}/history", summary="Who did what, and when", dependencies=[READER])
def get_history(image_id: str, app: AppServices) -> list[dict[str, Any]]:
    """What people did to a video, see :meth:`lib.store.history.History.entries`.

    Raises:
        NotFound: there is no such video.
    """
    return app.videos[image_id].history.entries()
