"""Inference as MONAI Label's clients know it: a request for one video, or for all of them."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.model import ServedModel
from lib.queue import JobQueue
from lib.security import current_owner, current_user
from lib.store import VideoStore
from lsinet_monai.errors import InputError

__all__ = ["AllVideosInferTask", "VideoInferTask"]

logger = logging.getLogger(__name__)

_MOST_WAITING = 8
_PATIENCE = 60  # seconds that a client waits that does not say how long


class VideoInferTask(InferTask):
    """The masks of a video: those that are stored or, where there are none, those of a job that is asked for and waited
    for. A job that would outlast the request's limit is answered with its id.

    Args:
        videos: what is stored.
        jobs: the queue.
        model: what is in service.
        datastore: gives the datastore, which is made after this.
    """

    def __init__(
        self, videos: VideoStore, jobs: JobQueue, model: ServedModel, datastore: Callable[[], Datastore]
    ) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=["polyp"],
            dimension=2,
            description="LSI-Net: polyps in colonoscopy video, frame by frame, with a memory",
        )
        self.videos = videos
        self.jobs = jobs
        self.model = model
        self._datastore = datastore
        # Requests that wait hold a thread each, and threads are few.
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)

    def is_valid(self) -> bool:
        return self.model.path() is not None

    def get_path(self, validate: bool = True) -> str | None:
        """The model file for those who download it; None for those who would write over it."""
        path = self.model.path()
        return str(path) if validate and path else None

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Answer a request: ``image`` is the video's id, ``timeout`` the seconds that the client waits at most.

        Returns:
            a copy of the video's COCO file, which the server removes when it is sent, and the summary of the video; or
            no file, and the job's state.
        """
        video = self.videos[request["image"]]
        video.open_once()
        if not self._label(video.id):
            if not video.is_final and not self.is_valid():
                raise InputError(self.model.state()["how"])
            kind = "label" if video.is_final else "annotate"
            job = self.jobs.of_image(video.id) or self.jobs.submit(
                video.id, kind, None, current_user(), current_owner()
            )
            limit = min(_seconds(request.get("timeout")), settings.MONAI_LABEL_INFER_TIMEOUT)
            if not self._waiting.acquire(blocking=False):
                return None, job.public()
            try:
                ended = self.jobs.wait(job, limit, longest=limit)
            finally:
                self._waiting.release()
            if job.state in ("failed", "cancelled"):
                raise InputError(f"'{video.id}': {job.message}")
            if not ended or not self._label(video.id):
                return None, job.public()
        with tempfile.NamedTemporaryFile(suffix=".json", delete=False) as file:
            shutil.copyfile(self._label(video.id), file.name)
        return file.name, {"label_names": {"polyp": 1}, "video": video.summary()}

    def _label(self, image_id: str) -> str:
        """The path of the stored result, final where it is that, or ""."""
        datastore = self._datastore()
        found = [datastore.get_label_uri(image_id, tag) for tag in (DefaultLabelTag.FINAL, DefaultLabelTag.ORIGINAL)]
        return next((path for path in found if path and Path(path).is_file()), "")


def _seconds(timeout: Any) -> float:
    """How long a client waits."""
    try:
        return float(timeout or _PATIENCE)
    except (TypeError, ValueError):
        raise InputError(f"timeout={timeout!r} must be a number of seconds") from None


class AllVideosInferTask(BatchInferTask):
    """Annotate many videos, one after the other, so that a batch that is stopped leaves no queue behind.

    Args:
        jobs: the queue. MONAI Label runs a batch in a process of its own: there the queue only passes files to the
            server's.
    """

    def __init__(self, jobs: JobQueue) -> None:
        super().__init__()
        self.jobs = jobs

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:
        image_ids = sorted(self.get_images(request, datastore))
        most = int(request.get("max_batch_size") or 0)
        result = {}
        for number, image_id in enumerate(image_ids[:most] if most else image_ids, start=1):
            if not datastore.get_label_by_image_id(image_id, DefaultLabelTag.ORIGINAL):
                job = self.jobs.submit(image_id, "annotate", None, "batch", "batch")
                while job.state not in ("done", "failed", "cancelled"):
                    time.sleep(0.5)
                    job = self.jobs.reread(job)
                result[image_id] = {"state": job.state, "message": job.message}
            else:
                result[image_id] = {"state": "done", "message": "was annotated before"}
            logger.info("%s: %s (%d of %d)", image_id, result[image_id]["state"], number, len(image_ids))
        return result
