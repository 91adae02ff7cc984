"""Jobs: ask for one, follow it, cancel it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from lib.errors import Conflict
from lib.routes.services import ANNOTATOR, READER, AppServices, lsinet_router
from lib.security import current_caller
from lsinet_monai.errors import InputError

__all__ = ["router"]

router = lsinet_router()

_CANCEL_SECONDS = 3.0  # a busy server answers before a cancelled job has come to its end


class JobRequest(BaseModel):
    """The job that a client asks for."""

    image: str
    kind: Literal["annotate", "propagate"]
    frame: int | None = None
    first: int | None = None
    """Propagate to the frames from this one to ``last`` alone."""
    last: int | None = None


@router.post("/jobs", summary="Ask for a job", status_code=202, dependencies=[ANNOTATOR])
def post_job(wanted: JobRequest, app: AppServices) -> dict[str, str]:
    """Queue a job, and answer its id. A job that is queued already is not queued twice, nor is a propagation of a
    mask that is being propagated.

    Raises:
        NotFound: there is no such video or frame.
        Conflict: the video is final, the frame is not corrected, or there is no model.
        InputError: the video cannot be read.
    """
    video = app.videos[wanted.image]
    video.info.open_once()
    if wanted.frame is not None:
        video.info.check_frame(wanted.frame)
        if wanted.kind == "propagate" and wanted.frame not in video.spreading_corrections:
            raise Conflict(f"frame {wanted.frame} of '{video.id}' is not corrected: save its mask first")
    video.info.check_not_final()
    state = app.model.state()
    if not state["available"]:
        raise Conflict(state["how"])
    frame = wanted.frame if wanted.kind == "propagate" else None
    within = None if wanted.first is None or wanted.last is None else [wanted.first, wanted.last + 1]
    if within is not None and frame is not None and frame not in range(*within):
        raise InputError(f"frame {frame} is not in the frames {within[0]} to {within[1] - 1}: include it")
    version = None if frame is None else video.mask(frame).version
    job = app.jobs.submit(video.id, wanted.kind, frame, *current_caller(), within=within, version=version)
    return {"job": job.job}


@router.get("/jobs", summary="All jobs", dependencies=[READER])
def list_jobs(app: AppServices) -> list[dict[str, Any]]:
    """All known jobs, the oldest first, each without ``changed``, which may be long."""
    return [{name: value for name, value in job.public().items() if name != "changed"} for job in app.jobs.jobs()]


@router.get("/jobs/{job_id}", summary="A job", dependencies=[READER])
def get_job(job_id: str, app: AppServices) -> dict[str, Any]:
    """One job: its state, its progress and, when it is done, the frames whose masks it changed.

    Raises:
        NotFound: there is no such job, or it ended long ago.
    """
    return app.jobs[job_id].public()


@router.delete("/jobs/{job_id}", summary="Cancel a job", dependencies=[ANNOTATOR])
def delete_job(job_id: str, app: AppServices) -> dict[str, Any]:
    """Cancel a job. Propagated masks that it has stored stay, and can be undone; its message says how many frames they
    changed. New masks of the network count if all are there.

    Raises:
        NotFound: there is no such job, or it ended long ago.
    """
    job = app.jobs.cancel(job_id)
    app.jobs.wait_for_end([job_id], _CANCEL_SECONDS)
    return job.public()
