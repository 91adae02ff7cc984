"""Masks as files of other tools: export and import."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from lib.import_export import FORMATS, Format, read_masks, write_masks
from lib.routes.services import ANNOTATOR, READER, AppServices, lsinet_router
from lib.security import current_caller, current_user
from lsinet_monai.errors import InputError

__all__ = ["router"]

router = lsinet_router()


@router.get("/videos/{image_id}/export", summary="All masks as a file", dependencies=[READER])
def export_masks(
    image_id: str,
    app: AppServices,
    format: Annotated[str, Query(description=", ".join(FORMATS))],
    original: bool = False,
    frames: Annotated[str | None, Query(pattern="^[0-9]{1,9}:[0-9]{1,9}$", description="A:B, without B")] = None,
) -> FileResponse:
    kind, video = _format(format), app.videos[image_id]
    chosen = range(video.info.frame_count)
    if frames is not None:
        first, last = map(int, frames.split(":"))
        chosen = chosen[first:last]
    with ExitStack() as until_sent:
        path = until_sent.enter_context(app.videos.scratch(kind.suffix))
        write_masks(video, format, path, original, chosen)
        return FileResponse(
            path,
            media_type=kind.media_type,
            filename=f"{image_id}{kind.suffix}",
            background=BackgroundTask(until_sent.pop_all().close),
        )


@router.post("/videos/{image_id}/import", summary="Masks from another tool", dependencies=[ANNOTATOR])
async def import_masks(image_id: str, request: Request, app: AppServices, format: str) -> dict[str, Any]:
    kind, video = _format(format), app.videos[image_id]
    with app.videos.scratch(kind.suffix) as path:
        with path.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        frames = await run_in_threadpool(read_masks, video, path, current_user(), app.videos)
    job = app.jobs.submit(image_id, "propagate", None, *current_caller()).job if frames else None
    return {"frames": len(frames), "corrected": frames, "job": job}


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise InputError(f"format={name!r} must be one of {', '.join(FORMATS)}")
    return FORMATS[name]
