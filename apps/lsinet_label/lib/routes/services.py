"""What all routes share: the app's parts, and who may call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC

from lib.datastore import VideoDatastore
from lib.frame_images import FrameImages
from lib.job import Job
from lib.model import ServedModel
from lib.prompted_frames import PromptedFrames
from lib.queue import JobQueue
from lib.security import GuardedRoute
from lib.spread_previews import SpreadPreviews
from lib.store import StoredVideo, VideoStore

__all__ = ["ANNOTATOR", "READER", "AppServices", "Services", "include_first", "lsinet_router", "may_be_spreading"]

READER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
"""Only people who may see videos can call."""
ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
"""Only people who may correct masks can call."""


@dataclass(frozen=True)
class Services:
    """The app's parts that calls work with.

    Attributes:
        datastore: lists the videos.
        videos: the stored videos.
        jobs: the queue.
        model: the model in service.
        on_final: called with a video that was marked as final or opened again. Returns the job that follows.
        images: decodes frames.
        prompted: segments lesions that people point at.
        previews: shows how a mask would spread.
        tasks: the names that a call may start, by the kind of MONAI Label's tasks: ``train``, ``batch_infer``,
            ``scoring``.
    """

    datastore: VideoDatastore
    videos: VideoStore
    jobs: JobQueue
    model: ServedModel
    on_final: Callable[[StoredVideo], Job | None]
    images: FrameImages
    prompted: PromptedFrames
    previews: SpreadPreviews
    tasks: Mapping[str, Collection[str]] = field(default_factory=dict)

    def all_videos(self) -> list[StoredVideo]:
        """The videos in the order of their ids."""
        return [self.videos[image_id] for image_id in sorted(self.datastore.list_images())]


async def _services(request: Request) -> Services:
    services: Services = request.app.state.lsinet
    return services


AppServices = Annotated[Services, Depends(_services)]


def may_be_spreading(jobs: JobQueue, image_id: str, frame: int) -> bool:
    """Whether a job may be spreading the mask of a frame: one that runs on the video, or that waits to spread this."""
    job = jobs.of_image(image_id)
    return job is not None and (job.state == "running" or job.frame == frame)


def lsinet_router() -> APIRouter:
    """A router for calls below ``/lsinet/``, behind the checks."""
    return APIRouter(route_class=GuardedRoute, prefix="/lsinet", tags=["LSI-Net"])


def include_first(app: FastAPI, router: APIRouter, prefix: str = "") -> None:
    """Include a router before all existing routes, so that it answers first."""
    before = len(app.router.routes)
    app.include_router(router, prefix=prefix)
    routes = app.router.routes
    routes[:] = routes[before:] + routes[:before]
