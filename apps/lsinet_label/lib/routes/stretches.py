"""Many frames at once: check, empty, clear, copy, remove and relabel a stretch, keep a propagation, undo each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, Field

from lib.errors import Conflict
from lib.routes.services import ANNOTATOR, AppServices, Services, lsinet_router, may_be_spreading
from lib.security import current_caller, current_user
from lib.store import Act
from lsinet_monai.errors import InputError

__all__ = ["router"]

router = lsinet_router()


class StretchRequest(BaseModel):
    """What to do to the frames from ``first`` to ``last``, both included."""

    first: int
    last: int
    act: Literal["check", "empty", "clear", "copy", "remove", "relabel", "merge", "unlist"]
    """``merge`` makes a lesion part of another one in the whole video; ``unlist`` takes one that no mask shows from the
    list."""
    lesion: int | None = Field(None, ge=1, le=255)
    """For ``remove``, ``relabel``, ``merge`` and ``unlist``."""
    into: int | None = Field(None, ge=1, le=255)
    """For ``relabel`` and ``merge``: the other lesion. Without it, ``relabel`` takes a new one."""
    frame: int | None = None
    """For ``copy``: the frame whose mask they get."""


class ActRequest(BaseModel):
    """An act by its number."""

    act: int


@router.post("/videos/{image_id}/stretch", summary="Act on a stretch of frames", dependencies=[ANNOTATOR])
def post_stretch(image_id: str, wanted: StretchRequest, app: AppServices) -> dict[str, Any]:
    """Do one thing to a stretch of frames, see :class:`lib.store.stretches.Stretches`.

    Returns:
        ``act``, by which it is undone; ``frames``, those whose mask changed; and ``into``, the id that a relabelled
        lesion has now.

    Raises:
        NotFound: there is no such video or frame.
        Conflict: the video is final, or a job works on it, so that lesions cannot be relabelled.
        InputError: a lesion or frame that the act needs is missing, or the stretch is empty.
    """
    stretches = app.videos[image_id].stretches
    stretch = (wanted.first, wanted.last, current_user())

    def need(name: str) -> int:
        value = getattr(wanted, name)
        if value is None:
            raise InputError(f"{wanted.act} needs {name}: add it to the call")
        return int(value)

    def follow(act: Act) -> dict[str, Any]:
        spreading = [frame for frame in act.withdrawn if may_be_spreading(app.jobs, image_id, frame)]
        _follow(app, image_id, {*act.spread, *spreading})
        return _answer(act)

    if wanted.act == "copy":
        return follow(stretches.copy(*stretch, need("frame")))
    if wanted.act == "remove":
        return _answer(stretches.remove(*stretch, need("lesion")))
    if wanted.act == "relabel":
        if app.jobs.of_image(image_id):
            raise Conflict(f"a job is working on '{image_id}': wait until it is done, or cancel it")
        return _answer(stretches.relabel(*stretch, need("lesion"), wanted.into))
    if wanted.act == "merge":
        return _answer(stretches.merge(current_user(), need("lesion"), need("into")))
    if wanted.act == "unlist":
        return _answer(stretches.unlist(current_user(), need("lesion")))
    if wanted.act == "clear":
        return follow(stretches.clear(*stretch))
    return follow(stretches.check(*stretch) if wanted.act == "check" else stretches.empty(*stretch))


@router.post("/videos/{image_id}/keep", summary="Keep a propagation", dependencies=[ANNOTATOR])
def post_keep(image_id: str, wanted: ActRequest, app: AppServices) -> dict[str, Any]:
    """Note that a person found a propagation right. Then nobody is asked for it any more.

    Raises:
        NotFound: there is no such video, or the act is not known any more.
        Conflict: the act is no propagation, or the video is final.
    """
    return {"act": wanted.act, "frames": app.videos[image_id].propagations.keep(wanted.act, current_user())}


@router.post("/videos/{image_id}/undo", summary="Undo an act on a stretch, or a propagation", dependencies=[ANNOTATOR])
def post_undo(image_id: str, wanted: ActRequest, app: AppServices) -> dict[str, Any]:
    """Bring the masks back that an act on a stretch of frames, or a propagation, changed.

    If the act withdrew corrections that had spread, what had come from them is back, too; nothing is propagated again.

    Raises:
        NotFound: there is no such video, or the act is not known any more.
        Conflict: a mask has changed since, a job is about to change masks over those of a propagation, or the video is
            final.
    """
    stretches, propagations = app.videos[image_id].stretches, app.videos[image_id].propagations
    spreads = propagations.unanswered()
    # What such a job has noted as the masks before it would come back when it is undone.
    is_busy = any(
        job.image == image_id and job.kind in ("propagate", "annotate") and job.state in ("queued", "running")
        for job in app.jobs.jobs()
    )
    if is_busy and propagations.has(wanted.act):
        raise Conflict("a job is changing masks of this video: wait until it is done, then undo the propagation")
    withdrawn = stretches.withdrawn_by(wanted.act)
    following = [
        job
        for job in app.jobs.jobs()
        if (job.image, job.kind) == (image_id, "propagate")
        and job.frame in withdrawn
        and job.state in ("queued", "running")
    ]
    for job in following:
        app.jobs.cancel(job.job)
    app.jobs.wait_for_end([job.job for job in following])
    try:
        act = stretches.undo(wanted.act, current_user())
    except Conflict:
        _follow(app, image_id, [job.frame for job in following])
        raise
    # What jobs changed in frames that are as before is undone, too.
    sources = {*withdrawn, *(spread["frame"] for spread in spreads if spread["act"] == wanted.act)}
    for job in app.jobs.jobs():
        if (job.image, job.kind) == (image_id, "propagate") and job.frame in sources:
            job.changed = [entry for entry in job.changed or [] if entry["frame"] not in act.frames]
    return _answer(act)


def _follow(app: Services, image_id: str, frames: Iterable[int | None]) -> None:
    """Let what came from corrections of these frames follow what was done to them."""
    for frame in frames:
        app.jobs.submit(image_id, "propagate", frame, *current_caller())


def _answer(act: Act) -> dict[str, Any]:
    return {"act": act.id, "frames": act.frames, "into": act.into}
