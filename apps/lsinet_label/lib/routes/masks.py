"""Masks of frames: read, correct, take back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from lib.routes.services import ANNOTATOR, READER, AppServices, lsinet_router, may_be_spreading
from lib.security import current_caller, current_user
from lib.store import decode_mask, encode_mask
from lsinet_monai.errors import InputError

__all__ = ["router"]

router = lsinet_router()

_PATH = "/videos/{image_id}/frames/{frame}/mask"


async def _body(request: Request) -> bytes:
    return await request.body()


@router.get(_PATH, summary="A frame's mask as PNG", dependencies=[READER])
def get_mask(
    image_id: str, frame: int, app: AppServices, original: bool = False, before: int | None = None
) -> Response:
    """Send a mask as an 8-bit grey PNG file, (H, W): lesion ids, 0 for background.

    With ``original``, it is the network's own; with ``before``, the one before the propagation with this act's number.
    The headers ``X-Mask-Source`` and ``X-Mask-Version`` say where it comes from and how often the frame was saved.

    Raises:
        NotFound: there is no such video or frame.
    """
    video = app.videos[image_id]
    mask = video.mask(frame, original)
    if before is not None:
        mask = mask._replace(labels=video.propagations.before(before, frame))
    headers = {"X-Mask-Source": mask.source, "X-Mask-Version": str(mask.version), "Cache-Control": "no-store"}
    return Response(encode_mask(mask.labels), media_type="image/png", headers=headers)


@router.put(_PATH, summary="Correct a frame", dependencies=[ANNOTATOR])
def put_mask(
    image_id: str,
    frame: int,
    app: AppServices,
    body: Annotated[bytes, Depends(_body)],
    if_match: Annotated[str | None, Header()] = None,
    propagate: bool = False,
) -> dict[str, Any]:
    """Save the PNG file in the request's body as a person's mask of a frame.

    Args:
        image_id: the video.
        frame: its index.
        app: the app's parts.
        body: the file, 8-bit grey, (H, W): lesion ids; all 0 says that there is no polyp.
        if_match: the version that the person started from. Without it, any version is replaced.
        propagate: also queue a job that propagates the mask to the frames around it.

    Raises:
        NotFound: there is no such video or frame.
        Conflict: somebody else saved meanwhile, or the video is final.
        InputError: the body is not such a file, or ``if_match`` is not a version.
    """
    video = app.videos[image_id]
    labels = decode_mask(body, video.info.size)
    saved = video.save_correction(frame, labels, current_user(), _version(if_match))
    answer: dict[str, Any] = {
        "version": saved.version, "frame": saved.frame, "user": saved.user, "time": saved.time,
    }  # fmt: skip
    if propagate:
        answer["job"] = app.jobs.submit(image_id, "propagate", frame, *current_caller()).job
    return answer


@router.delete(_PATH, summary="Take a correction back", dependencies=[ANNOTATOR])
def delete_mask(image_id: str, frame: int, app: AppServices) -> dict[str, Any]:
    """Remove a person's mask. If it has spread, a job restores the frames around it.

    Raises:
        NotFound: there is no such video, or the frame is not corrected.
        Conflict: the video is final.
    """
    video = app.videos[image_id]
    answer: dict[str, Any] = {"frame": frame, "version": video.take_back(frame, current_user())}
    if video.propagated_from(frame) or may_be_spreading(app.jobs, image_id, frame):
        answer["job"] = app.jobs.submit(image_id, "propagate", frame, *current_caller()).job
    return answer


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    try:
        return int(if_match.strip('"'))
    except ValueError:
        raise InputError(
            f"If-Match: {if_match!r} is not a version: send the X-Mask-Version of the mask that you started from"
        ) from None
