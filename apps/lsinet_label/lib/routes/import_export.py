"""Masks as files of other tools: export and import."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from lib import imports
from lib.exports import FORMATS, Format, write_masks
from lib.routes.services import ANNOTATOR, READER, AppServices, lsinet_router
from lib.security import current_caller, current_user
from lsinet_monai.errors import InputError
from lsinet_monai.formats import parse_labels

__all__ = ["router"]

router = lsinet_router()


@router.get("/videos/{image_id}/export", summary="All masks as a file", dependencies=[READER])
def export_masks(
    image_id: str,
    app: AppServices,
    format: Annotated[str, Query(description=", ".join(FORMATS))],
    original: bool = False,
    frames: Annotated[str | None, Query(pattern="^[0-9]{1,9}:[0-9]{1,9}$", description="A:B, without B")] = None,
    partial: Annotated[bool, Query(description="also if frames have no mask yet")] = False,
) -> FileResponse:
    """Send a video's masks as a file of another tool.

    The header ``X-Unreadable-Frames`` says how many frames could not be read: they look like frames without a polyp.

    Args:
        image_id: the video.
        app: the app's parts.
        format: one of :data:`lib.exports.FORMATS`.
        original: send the model's own masks instead of the current ones.
        frames: ``A:B`` for the frames from A to B - 1; all frames by default.
        partial: send the masks also if the network has not gone through the whole video. Frames without a mask look
            like frames without a polyp.

    Raises:
        NotFound: there is no such video.
        Conflict: frames have no mask yet, and ``partial`` is not set.
        InputError: there is no such format, no frame is chosen, or the file would be too large.
    """
    kind, video = _format(format), app.videos[image_id]
    chosen = range(video.info.frame_count)
    if not partial:
        video.check_whole(original)
    if frames is not None:
        first, last = map(int, frames.split(":"))
        chosen = chosen[first:last]
        if not chosen:
            raise InputError(f"frames={frames} holds no frame of '{image_id}', which has {video.info.frame_count}")
    with ExitStack() as until_sent:
        path = until_sent.enter_context(app.videos.scratch(kind.suffix))
        write_masks(video, format, path, original, chosen)
        return FileResponse(
            path,
            media_type=kind.media_type,
            filename=f"{image_id}{kind.suffix}",
            headers={"X-Unreadable-Frames": str(len(video.values.unreadable()))},
            background=BackgroundTask(until_sent.pop_all().close),
        )


@router.post("/videos/{image_id}/import", summary="Masks from another tool", dependencies=[ANNOTATOR])
async def import_masks(
    image_id: str,
    request: Request,
    app: AppServices,
    format: str,
    labels: Annotated[list[str] | None, Query(description="polyp; a,b; a:1,b:2 (lesions); or a JSON mapping")] = None,
    first_frame: Annotated[int | None, Query(ge=0, description="of a NIfTI or NRRD file that does not say it")] = None,
    empty: Annotated[bool, Query(description="accept a file without a polyp")] = False,
    dry_run: Annotated[bool, Query(description="store nothing; only say what the import would do")] = False,
) -> dict[str, Any]:
    """Read masks from the file in the request's body. Masks that differ from the current ones become corrections.

    Returns:
        ``corrected``: the frames whose masks change; ``frames``: their number; ``emptied``, ``replaced``: those of them
        that become "no polyp", and those that a person had corrected; ``labels``, ``left_out``, ``left_alone``: what is
        taken from the file, what is not, and the frames that show only that; ``summary``: all of it in lines of text;
        ``job``: the job that propagates the corrections.

    Raises:
        NotFound: there is no such video.
        Conflict: the video is final.
        InputError: there is no such format, the file cannot be read, belongs to another video, or shows no polyp.
        UnclearLabels: it is unclear which labels are polyps; ``labels`` of the answer are those of the file.
    """
    choice = None if labels is None else parse_labels(",".join(labels))
    kind, video = _format(format), app.videos[image_id]
    with app.videos.scratch(kind.suffix) as path:
        with path.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        report = await run_in_threadpool(
            imports.import_masks, video, path, current_user(), app.videos, choice, first_frame, empty, dry_run
        )
    propagates = report.changed and not dry_run
    job = app.jobs.submit(image_id, "propagate", None, *current_caller()).job if propagates else None
    return {**report.as_answer(), "job": job}


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise InputError(f"format={name!r} must be one of {', '.join(FORMATS)}")
    return FORMATS[name]
