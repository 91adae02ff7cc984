"""The app's own calls, below ``/lsinet/``, and the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, from_token
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.types import Scope

from lib.datastore import VideoDatastore
from lib.errors import Conflict
from lib.frame_images import FramePictures
from lib.import_export import FORMATS, read_masks, write_masks
from lib.model import ServedModel
from lib.queue import Job, JobQueue
from lib.security import Guard, current_owner, current_user, include_first
from lib.store import StoredVideo, VideoStore, decode_mask, encode_mask
from lib.strategies import STRATEGIES, next_frame
from lsinet_monai.errors import InputError
from lsinet_monai.version import __version__

__all__ = ["add_routes"]

_PAGE = Path(__file__).parents[1] / "page"
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

_Reader = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_Annotator = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))


class JobRequest(BaseModel):
    """What is to be done."""

    image: str
    kind: Literal["annotate", "propagate"]
    frame: int | None = None


class Lesion(BaseModel):
    """How a lesion is shown."""

    id: int = Field(ge=1, le=255)
    name: str = Field(min_length=1, max_length=100)
    colour: str = Field(pattern="^#[0-9a-fA-F]{6}$")


class Merge(BaseModel):
    """Two lesions that are one."""

    into: int = Field(ge=1, le=255)
    other: int = Field(ge=1, le=255, alias="from")


class Final(BaseModel):
    """Whether a video is done with."""

    final: bool


class _Static(StaticFiles):
    """The page's files, which change with the app's version and are asked for anew each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_PAGE_HEADERS)
        return response


def add_routes(
    app: FastAPI,
    guard: Guard,
    datastore: VideoDatastore,
    videos: VideoStore,
    jobs: JobQueue,
    model: ServedModel,
    on_final: Callable[[StoredVideo], Job | None],
) -> None:
    """Add the page and the calls to a server.

    Args:
        app: the server.
        guard: stands before each call.
        datastore: lists the videos.
        videos: what is stored of them.
        jobs: the queue.
        model: what is in service.
        on_final: called with a video that was marked as final, or opened again; gives the job that follows.
    """
    pictures = FramePictures()
    calls = guard.router(prefix="/lsinet", tags=["LSI-Net"])

    def row(video: StoredVideo) -> dict[str, Any]:
        job = jobs.of_image(video.id)
        if job is None:
            return video.summary() | {"progress": None, "job": None}
        return video.summary() | {"state": "annotating", "progress": job.progress, "job": job.job}

    @calls.get("/status", summary="The server's model, device and user")
    def status(request: Request) -> dict[str, Any]:
        return {
            "model": model.state(),
            "device": model.device,
            "version": __version__,
            "auth": settings.MONAI_LABEL_AUTH_ENABLE,
            "user": _user_or_none(request),
        }

    @calls.get("/videos", summary="All videos", dependencies=[_Reader])
    def list_videos() -> list[dict[str, Any]]:
        return [row(videos[image_id]) for image_id in sorted(datastore.list_images())]

    @calls.get("/videos/{image_id}", summary="A video, frame by frame", dependencies=[_Reader])
    def get_video(image_id: str) -> dict[str, Any]:
        video = videos[image_id]
        return video.details() | row(video)

    @calls.get("/videos/{image_id}/frames/{frame}", summary="A frame as JPEG", dependencies=[_Reader])
    def get_frame(
        image_id: str,
        frame: int,
        width: Annotated[int | None, Query(ge=16, le=8192)] = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        video = videos[image_id]
        video.check_frame(frame)
        # Browsers ask each time, for another video may take the place of this one.
        stat = video.path.stat()
        headers = {"Cache-Control": "private, no-cache", "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'}
        if if_none_match == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        try:
            content = pictures.picture(video.path, frame, width)
        except InputError as error:
            raise InputError(f"frame {frame} of '{image_id}' is damaged or lost; take another") from error
        return Response(content, media_type="image/jpeg", headers=headers)

    @calls.get("/videos/{image_id}/frames/{frame}/mask", summary="A frame's mask as PNG", dependencies=[_Reader])
    def get_mask(image_id: str, frame: int, original: bool = False) -> Response:
        mask = videos[image_id].mask(frame, original)
        headers = {
            "X-Mask-Source": mask.source,
            "X-Mask-Version": str(mask.version),
            "Cache-Control": "no-store",
        }
        return Response(encode_mask(mask.labels), media_type="image/png", headers=headers)

    @calls.put("/videos/{image_id}/frames/{frame}/mask", summary="Correct a frame", dependencies=[_Annotator])
    def put_mask(
        image_id: str,
        frame: int,
        body: Annotated[bytes, Depends(_body)],
        if_match: Annotated[str | None, Header()] = None,
        propagate: bool = False,
    ) -> dict[str, Any]:
        video = videos[image_id]
        labels = decode_mask(body, video.size)
        saved = video.save_correction(frame, labels, current_user(), _version(if_match))
        answer: dict[str, Any] = {
            "version": saved.version, "frame": saved.frame, "user": saved.user, "time": saved.time,
        }  # fmt: skip
        if propagate:
            answer["job"] = jobs.submit(image_id, "propagate", frame, current_user(), current_owner()).job
        return answer

    @calls.delete("/videos/{image_id}/frames/{frame}/mask", summary="Take a correction back", dependencies=[_Annotator])
    def delete_mask(image_id: str, frame: int) -> dict[str, Any]:
        video = videos[image_id]
        answer: dict[str, Any] = {"frame": frame, "version": video.take_back(frame, current_user())}
        # It has spread, or is about to.
        if video.is_propagated(frame - 1) or video.is_propagated(frame + 1) or jobs.of_image(image_id):
            answer["job"] = jobs.submit(image_id, "propagate", frame, current_user(), current_owner()).job
        return answer

    @calls.put("/videos/{image_id}/lesions", summary="Name and colour lesions", dependencies=[_Annotator])
    def put_lesions(image_id: str, lesions: list[Lesion]) -> list[dict[str, Any]]:
        video = videos[image_id]
        video.name_lesions([lesion.model_dump() for lesion in lesions])
        return video.lesions()

    @calls.post("/videos/{image_id}/lesions/merge", summary="Let two lesions be one", dependencies=[_Annotator])
    def merge_lesions(image_id: str, merge: Merge) -> list[dict[str, Any]]:
        video = videos[image_id]
        video.merge_lesions(merge.into, merge.other, current_user())
        return video.lesions()

    @calls.post("/videos/{image_id}/final", summary="Mark as final, or open again", dependencies=[_Annotator])
    def put_final(image_id: str, final: Final) -> dict[str, Any]:
        video = videos[image_id]
        if final.final and jobs.of_image(image_id):
            raise Conflict(f"'{image_id}' is being worked on: wait for its job, or cancel it")
        video.set_final(final.final, current_user())
        job = on_final(video)
        return {"final": video.is_final, "job": job.job if job else None}

    @calls.get("/videos/{image_id}/history", summary="Who did what, and when", dependencies=[_Reader])
    def get_history(image_id: str) -> list[dict[str, Any]]:
        return videos[image_id].history()

    @calls.get("/videos/{image_id}/export", summary="All masks as a file", dependencies=[_Reader])
    def export(
        image_id: str,
        format: Annotated[str, Query(description=", ".join(FORMATS))],
        original: bool = False,
        frames: Annotated[str | None, Query(pattern="^[0-9]{1,9}:[0-9]{1,9}$", description="A:B, without B")] = None,
    ) -> FileResponse:
        kind, video = _format(format), videos[image_id]
        chosen = range(video.frame_count)
        if frames is not None:
            first, last = map(int, frames.split(":"))
            chosen = chosen[first:last]
        scratch = videos.scratch(kind.suffix)
        path = scratch.__enter__()
        try:
            write_masks(video, format, path, original, chosen)
        except BaseException:
            scratch.__exit__(None, None, None)
            raise
        return FileResponse(
            path,
            media_type=kind.media_type,
            filename=f"{image_id}{kind.suffix}",
            background=BackgroundTask(scratch.__exit__, None, None, None),
        )

    @calls.post("/videos/{image_id}/import", summary="Masks from another tool", dependencies=[_Annotator])
    async def import_masks(image_id: str, request: Request, format: str) -> dict[str, Any]:
        kind, video = _format(format), videos[image_id]
        with videos.scratch(kind.suffix) as path:
            with path.open("wb") as file:
                async for chunk in request.stream():
                    await run_in_threadpool(file.write, chunk)
            frames = await run_in_threadpool(read_masks, video, path, current_user(), videos)
        job = jobs.submit(image_id, "propagate", None, current_user(), current_owner()).job if frames else None
        return {"frames": len(frames), "corrected": frames, "job": job}

    @calls.post("/jobs", summary="Ask for a job", status_code=202, dependencies=[_Annotator])
    def post_job(wanted: JobRequest) -> dict[str, str]:
        video = videos[wanted.image]
        video.open_once()
        if wanted.frame is not None:
            video.check_frame(wanted.frame)
            if wanted.kind == "propagate" and wanted.frame not in video.corrections:
                raise Conflict(f"frame {wanted.frame} of '{video.id}' is not corrected: save its mask first")
        if video.is_final:
            raise Conflict(f"'{video.id}' is marked as final: open it again to change it")
        if not model.state()["available"]:
            raise Conflict(model.state()["how"])
        frame = wanted.frame if wanted.kind == "propagate" else None
        return {"job": jobs.submit(video.id, wanted.kind, frame, current_user(), current_owner()).job}

    @calls.get("/jobs", summary="All jobs", dependencies=[_Reader])
    def list_jobs() -> list[dict[str, Any]]:
        # What each one changed would make a long list much longer.
        return [{name: value for name, value in job.public().items() if name != "changed"} for job in jobs.jobs()]

    @calls.get("/jobs/{job_id}", summary="A job", dependencies=[_Reader])
    def get_job(job_id: str) -> dict[str, Any]:
        return jobs[job_id].public()

    @calls.delete("/jobs/{job_id}", summary="Cancel a job", dependencies=[_Annotator])
    def delete_job(job_id: str) -> dict[str, Any]:
        return jobs.cancel(job_id).public()

    @calls.get("/next", summary="Where to look next", dependencies=[_Reader])
    def get_next(strategy: Annotated[str, Query(description=", ".join(STRATEGIES))] = "doubt") -> dict[str, Any]:
        return next_frame([videos[image_id] for image_id in sorted(datastore.list_images())], strategy)

    page = APIRouter()

    @page.get("/lsinet", include_in_schema=False)
    def to_page() -> RedirectResponse:
        return RedirectResponse("lsinet/")

    @page.get("/lsinet/", include_in_schema=False)
    def get_page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers=_PAGE_HEADERS)

    prefix = settings.MONAI_LABEL_API_STR
    include_first(app, calls, prefix)
    include_first(app, page, prefix)
    app.mount(f"{prefix}/lsinet/static", _Static(directory=_PAGE), name="lsinet")


async def _body(request: Request) -> bytes:
    return await request.body()


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    try:
        return int(if_match.strip('"'))
    except ValueError:
        raise InputError(f"If-Match: {if_match!r} is no version: send the X-Mask-Version that the mask had") from None


def _format(name: str) -> Any:
    if name not in FORMATS:
        raise InputError(f"format={name!r} must be one of {', '.join(FORMATS)}")
    return FORMATS[name]


def _user_or_none(request: Request) -> str | None:
    try:
        return from_token(request.headers.get("authorization", "").removeprefix("Bearer ")).username
    except Exception:  # not signed in, or not any more: whatever the token's library says of it
        return None
